"""The tree of commands: found by file name, with the common options on each."""

from __future__ import annotations

import difflib
import importlib
import os
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from soc import __version__, cli
from soc.cli import _examples
from soc.cli._session import Session
from soc.i18n import LANGUAGES
from soc.i18n import gettext as _

SECTIONS = {
    "Daily": ("run", "demo", "alerts", "incidents", "notices", "events", "sources", "doctor"),
    "Incidents": ("evidence", "intel", "playbooks", "policies", "reports", "warnings", "handbook"),
    "On duty": ("duties", "handover", "oncall", "outbox", "roster"),
    "Organization": ("agencies", "mailboxes", "partners", "people", "points", "systems"),
    "Rules": ("rules", "suppressions", "replay", "reclassify", "enrich", "parse"),
    "Operation": ("init", "config", "ingest", "store", "deadletters", "audit", "access", "whoami"),
}
"""The headings of the help, and what stands under each; a command that no heading names stands under the last one, "More"."""


def _titles() -> dict[str, str]:
    return {
        "Daily": _("Daily"),
        "Incidents": _("Incidents"),
        "On duty": _("On duty"),
        "Organization": _("Organization"),
        "Rules": _("Rules"),
        "Operation": _("Operation"),
        "More": _("More"),
    }


T = TypeVar("T")
_LONGEST_SHORT = 200


def command_names() -> list[str]:
    """The names of all commands."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(cli.__path__) if not module.name.startswith("_"))


class Commands(click.Group):
    """The root group; imports a command's module when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return command_names()

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if name not in command_names():
            return None
        if name not in self.commands:
            module = importlib.import_module(f"soc.cli.{name.replace('-', '_')}")
            command = module.command
            assert isinstance(command, click.Command)
            self.add_command(completed(with_example(with_common_options(command), (name,)), (name,)), name)
        return self.commands[name]

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in command_names():
            near = difflib.get_close_matches(args[0], command_names(), n=1)
            ctx.fail(_("no such command: {name}").format(name=args[0]) + (" " + _("(did you mean {name}?)").format(name=near[0]) if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        names = command_names()
        placed = {name for group in SECTIONS.values() for name in group}
        sections = SECTIONS | {"More": tuple(name for name in names if name not in placed)}
        for section, title in _titles().items():
            group = [name for name in sections[section] if name in names]
            rows = [(name, command.get_short_help_str(200)) for name in group if (command := self.get_command(ctx, name)) and not command.hidden]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section(_("Examples")):
            formatter.write_dl(
                [
                    ("soc demo", _("half an hour of traffic with two incidents, in ./.demo")),
                    ("soc run", _("receive syslog on 127.0.0.1, without any configuration")),
                    ("soc alerts list", _("what is open, the newest first")),
                    ("soc events search 'source.ip:10.0.0.0/8 -event.action:accept' --since 24h", _("denied traffic of the last day")),
                    ("soc help filters", _("how to write a query")),
                ]
            )
        formatter.write_paragraph()
        formatter.write_text(_("Help without a network: soc help. Exit codes: soc help exit-codes."))


def _asked_by_a_shell() -> bool:
    """Whether a shell asks what could be typed next."""
    return bool(os.environ.get("_SOC_COMPLETE"))


def root() -> click.Group:
    """The whole command `soc`."""
    if _asked_by_a_shell():
        from soc.cli import _shells

        _shells.ready()
    group = Commands(
        name="soc",
        help=_("Security operations: gateway lines become events, threats and alerts."),
        invoke_without_command=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    )
    group.params += common_options()
    group.params.append(
        click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help=_("Show the version and exit."))
    )
    return group


def _show_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"soc {__version__}")
        ctx.exit()


def with_example(command: click.Command, path: tuple[str, ...]) -> click.Command:
    """The command, with a line below its options that shows how it is typed, where its help has none."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            told_alone(inner, (*path, name))
        return command
    words = _examples.example(path)
    if words and not command.epilog and _("Example: {words}").partition("{")[0] not in (command.help or ""):
        command.epilog = "\b\n" + _("Example: {words}").format(words=words)
    return command


def told_alone(command: click.Command, path: tuple[str, ...]) -> click.Command:
    """A subcommand with its example, whose first sentence stands whole in the list of its group."""
    command.short_help = command.short_help or command.get_short_help_str(_LONGEST_SHORT)
    return with_example(command, path)


def completed(command: click.Command, path: tuple[str, ...]) -> click.Command:
    """The command; where a shell asks, its words know what they may be."""
    if _asked_by_a_shell():
        from soc.cli._completing import with_values

        return with_values(command, path)
    return command


def with_common_options(command: click.Command) -> click.Command:
    """The command, with the options that every command knows."""
    command.context_settings.setdefault("help_option_names", ["-h", "--help"])
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            with_common_options(inner)
    taken = {name for param in command.params for name in param.opts}
    # The same options before and after the command: nobody remembers where they belong.
    command.params += [option for option in common_options(hidden=True) if not taken & set(option.opts)]
    return command


def _place(value: str) -> Path:
    """A path; the empty one, which an unset variable of a shell leaves, would be the current folder.

    Raises: click.BadParameter.
    """
    if not value:
        raise click.BadParameter(_("it is empty; the current folder is ."))
    return Path(value)


def common_options(*, hidden: bool = False) -> list[click.Option]:
    """The options that every command knows; each writes into the session."""

    def option(names: list[str], field: str, help_text: str, convert: Callable[[Any], Any] = lambda value: value, **more: Any) -> click.Option:
        def store(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
            if value is not None and value is not False and value != 0:
                setattr(ctx.ensure_object(Session), field, convert(value))

        # Eager: a callback of another option may need the settings that these lead to.
        return click.Option(names, expose_value=False, is_eager=True, callback=store, help=help_text, hidden=hidden, **more)

    return [
        option(
            ["--config"],
            "config",
            _("Configuration file (default: SOC_CONFIG, the user's file, /etc/soc/soc.toml)."),
            _place,
            metavar="FILE",
            type=click.Path(dir_okay=False),
        ),
        option(["--store"], "store", _("Use the embedded store in this folder."), _place, metavar="DIR", type=click.Path(file_okay=False)),
        _zone(hidden=hidden),
        option(["--lang"], "language", _("Language of texts."), type=click.Choice(LANGUAGES)),
        option(
            ["--color"], "color", _("Colors: by default on a terminal that shows them (NO_COLOR, FORCE_COLOR)."), type=click.Choice(["auto", "always", "never"])
        ),
        option(["-v", "--verbose"], "verbosity", _("Say more; twice: debug messages."), count=True),
        option(["-q", "--quiet"], "verbosity", _("Say errors only."), lambda _value: -1, is_flag=True),
        option(["--no-input"], "no_input", _("Never ask."), is_flag=True),
        option(["--debug"], "debug", _("Show the traceback of an error."), is_flag=True),
    ]


def _zone(*, hidden: bool) -> click.Option:
    def store(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
        if value:
            from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

            try:
                ZoneInfo(value)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise click.BadParameter(_("no such time zone: {zone} (as Asia/Ho_Chi_Minh, UTC)").format(zone=value), ctx=ctx) from None
            ctx.ensure_object(Session).timezone = value

    help_text = _("Zone in which times are shown and read (default Asia/Ho_Chi_Minh).")
    return click.Option(["--tz"], expose_value=False, is_eager=True, callback=store, help=help_text, hidden=hidden, metavar="ZONE")
