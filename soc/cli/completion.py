"""`soc completion`: completion for shells."""

from __future__ import annotations

import click

from soc.i18n import gettext as _


@click.command(help=_('Print the completion script of a shell, to be sourced: eval "$(soc completion bash)"'))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script."""
    from soc.cli._group import root
    from soc.cli._shells import script

    click.echo(script(shell, root()), nl=False)
