"""`soc commands`: the whole tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from soc.cli._io import json_option, write_json
from soc.i18n import gettext as _


@click.command(help=_("List every command; --json with all arguments and options."))
@json_option
def command(as_json: bool) -> None:
    """List the commands."""
    items = list(described())
    if as_json:
        write_json({"schema_version": 1, "kind": "commands", "total": len(items), "truncated": False, "items": items})
        return
    width = max(len(item["command"]) for item in items)
    for item in items:
        click.echo(f"{item['command']:<{width}}  {item['help'].splitlines()[0]}")


def described() -> Iterator[dict[str, Any]]:
    """Every command that does something: its words, help, arguments and options."""
    from soc.cli._group import root

    group = root()
    context = click.Context(group, info_name="soc")
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if found is not None and not found.hidden:
            yield from _walk(found, f"soc {name}")


def _walk(found: click.Command, words: str) -> Iterator[dict[str, Any]]:
    if isinstance(found, click.Group):
        context = click.Context(found, info_name=words)
        for name in found.list_commands(context):
            if inner := found.get_command(context, name):
                yield from _walk(inner, f"{words} {name}")
        return
    arguments = [
        {"name": _metavar(param), "required": param.required, "many": param.nargs == -1} for param in found.params if isinstance(param, click.Argument)
    ]
    options = [
        {
            "names": [*param.opts, *param.secondary_opts],
            "help": param.help or "",
            "value": ""
            if param.is_flag or param.count
            else param.metavar or ("|".join(map(str, param.type.choices)) if isinstance(param.type, click.Choice) else param.type.name.upper()),
            "required": param.required,
            "repeatable": param.multiple,
        }
        for param in found.params
        if isinstance(param, click.Option) and not param.hidden
    ]
    yield {"command": words, "help": found.help or found.short_help or "", "arguments": arguments, "options": options}


def _metavar(param: click.Argument) -> str:
    return (param.metavar or (param.name or "")).strip("[]").upper()
