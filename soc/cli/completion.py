"""`soc completion`: completion for shells."""

from __future__ import annotations

import click

from soc.i18n import gettext as _


@click.command(help=_('Print the completion script of a shell, to be sourced: eval "$(soc completion bash)"'))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script."""
    from click.shell_completion import get_completion_class

    from soc.cli._group import root

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(root(), {}, "soc", "_SOC_COMPLETE").source())
