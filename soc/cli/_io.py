"""Data to stdout, narration to stderr, in the form that the reader asks for.

Every text that came from outside is made displayable here; nothing is printed by other means.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from soc.i18n import gettext as _
from soc.model.text import display_safe

if TYPE_CHECKING:
    from soc.application.app import App
    from soc.cli._session import Session

F = TypeVar("F", bound=Callable[..., Any])

FORMATS = ("json", "jsonl", "csv", "plain")


def list_options(command: F) -> F:
    """The options of every list: form, fields. Gives the parameters `form` ("" = by where it goes) and `fields`."""
    for name, text in (
        ("json", _("One JSON document.")),
        ("jsonl", _("One JSON document per line.")),
        ("csv", _("Comma-separated, for spreadsheets (formulas are defused).")),
        ("plain", _("Tab-separated lines without colors (the default where the output is no terminal).")),
    ):
        command = click.option(f"--{name}", "form", flag_value=name, help=text)(command)
    return click.option("--fields", callback=_fields, metavar="A,B", help=_("Only these fields, in this order."))(command)


def _fields(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if value else ()


def json_option(command: F) -> F:
    """`--json` for a command that shows one thing; gives the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=_("One JSON document."))(command)


# --- forms ---------------------------------------------------------------------------------------------------------

# Reference: RFC 8259 section 7 (any character of a string may be escaped); the set is that of soc.model.text.
_STEERS = re.compile("[\x7f-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]")


def _escape(match: re.Match[str]) -> str:
    units = match.group().encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _plain(value: Any) -> Any:
    """What msgspec does not know: phrases are texts; anything else goes on to the JSON writer, which refuses it."""
    return str(value) if isinstance(value, str) else value


def to_json(value: Any, *, indent: bool = False) -> str:
    """JSON that says the same and steers no terminal: what could is written as an escape."""
    import msgspec
    import orjson

    options = orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if indent else 0)
    plain = msgspec.to_builtins(value, enc_hook=_plain)
    try:
        text = orjson.dumps(plain, option=options).decode()
    except TypeError:
        # Bytes that are no UTF-8 stand as lone surrogates, and numbers may be larger than 64 bits: slower, but all of it.
        text = json.dumps(plain, indent=2 if indent else None, separators=None if indent else (",", ":"))
    return text if text.isascii() and "\x7f" not in text else _STEERS.sub(_escape, text)


def write_json(value: Any) -> None:
    """One JSON document on stdout, indented on a terminal."""
    click.echo(to_json(value, indent=sys.stdout.isatty()))


def csv_safe(value: Any) -> str:
    """A cell that no spreadsheet takes for a formula: text that begins like one gets an apostrophe.

    Source: OWASP, CSV Injection.
    """
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        value = to_json(value)
    if not isinstance(value, str):
        return str(value)
    text = display_safe(value)
    return "'" + text if text.lstrip()[:1] in ("=", "+", "-", "@", "＝", "＋", "－", "＠", "|", "%") and text.strip() != "-" else text


# Reference: names of ECS fields and JSON keys; anything else in a heading is treated as data
_NAME = re.compile(r"@?[A-Za-z0-9_.\-]{1,200}")


def csv_heading(names: Iterable[str]) -> str:
    """The first line of CSV: names of fields stay as they are (`@timestamp`), so that programs find them."""
    return ",".join(name if _NAME.fullmatch(name) and name[0] != "-" else csv_line([name]) for name in names)


def csv_line(values: Iterable[Any]) -> str:
    """One line of CSV, without its end.  Source: RFC 4180."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow([csv_safe(value) for value in values])
    return buffer.getvalue()


WIDE = 110
"""Columns; a narrower terminal gets rich items as lines of text, see `Output.items`."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: a JSON key, its title, and how its value is shown."""

    key: str
    title: str
    show: Callable[[dict[str, Any]], str] | None = None
    style: Callable[[dict[str, Any]], str] | None = None
    right: bool = False
    most: int = 0
    """Longer texts are cut on a terminal (0 = never)."""
    whole: bool = False
    """Never wrapped on a terminal: times, ids, numbers."""

    def text(self, item: dict[str, Any]) -> str:
        """The cell of an item."""
        return self.show(item) if self.show else cell(item.get(self.key))


def cell_width(text: str) -> int:
    """How many places a text takes on a terminal."""
    from rich.cells import cell_len

    return cell_len(text)


def cell(value: Any) -> str:
    """A value as one line of text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list | tuple):
        return ", ".join(cell(item) for item in value)
    if isinstance(value, dict):
        return " ".join(f"{key}={cell(inner)}" for key, inner in value.items())
    return str(value)


def inner(item: dict[str, Any], field: str) -> Any:
    """The value of a field of an item; `rule.id` is the `id` in the object `rule`. None where there is none."""
    if field in item:
        return item[field]
    head, _dot, rest = field.partition(".")
    below = item.get(head)
    return inner(below, rest) if rest and isinstance(below, dict) else None


def _names(item: dict[str, Any]) -> set[str]:
    """The fields of an item, those in objects too."""
    names = set(item)
    for key, value in item.items():
        if isinstance(value, dict):
            names.update(f"{key}.{name}" for name in _names(value))
    return names


class Output:
    """The way out of one command."""

    def __init__(self, session: Session) -> None:
        self._session = session

    # narration ------------------------------------------------------------------------------------------------------

    def say(self, text: str = "") -> None:
        """Narrate, unless `--quiet`."""
        if self._session.verbosity >= 0:
            click.echo("\n".join(display_safe(line) for line in self._session.as_typed(text).split("\n")), err=True)

    def warn(self, text: str) -> None:
        """Narrate what should be looked at, even with `--quiet`."""
        click.echo(_("warning") + ": " + display_safe(self._session.as_typed(text)), err=True)

    def warn_of_source(self, app: App, name: str) -> None:
        """Warn where nothing was found because no source has that name ("" = none was asked for)."""
        from soc.application.sources import strange

        near = strange(app, name) if name else None
        if near is not None:
            said = _("no source {name} was ever configured or heard").format(name=name)
            self.warn(said + ("; " + _("did you mean {names}?").format(names=near) if near else ""))

    # data ------------------------------------------------------------------------------------------------------------

    def items(
        self,
        kind: str,
        items: Sequence[dict[str, Any]],
        columns: Sequence[Column],
        *,
        total: int | None = None,
        form: str | None = None,
        fields: Sequence[str] = (),
        more: dict[str, Any] | None = None,
        narrow: Callable[[dict[str, Any]], tuple[str, str]] | None = None,
    ) -> None:
        """A list in the form asked for; where it is cut, the true total is told.

        `narrow`: an item as one line of text and its style, for terminals on which a table would fold names into strips.
        """
        form = form or ("table" if is_terminal(sys.stdout) else "plain")
        total = len(items) if total is None else total
        if fields:
            self._warn_of_unknown(fields, items, columns)
            items = [{field: inner(item, field) for field in fields} for item in items]
            columns = [Column(field, field) for field in fields]
        if form == "json":
            head = {"schema_version": 1, "kind": kind, "total": total, "truncated": total > len(items), **(more or {})}
            write_json({**head, "items": items})
        elif form == "jsonl":
            for item in items:
                click.echo(to_json(item))
        elif form == "csv":
            keys = fields or list(dict.fromkeys(key for item in items for key in item)) or [column.key for column in columns]
            click.echo(csv_heading(keys))
            for item in items:
                click.echo(csv_line([item.get(key) for key in keys]))
        elif form == "table" and narrow is not None and not fields and self.console().width < WIDE:
            for item in items:
                line, style = narrow(item)
                self.text(self.folded(line, more="    "), style)
        else:
            self.table(items, columns, plain=form == "plain")
        if form != "json":
            self.tell_rest(len(items), total)

    def _warn_of_unknown(self, fields: Sequence[str], items: Sequence[dict[str, Any]], columns: Sequence[Column]) -> None:
        """Name the fields that nothing of a list has, each with the one that may be meant; an empty list knows too few names to tell."""
        if not items:
            return
        known = {column.key for column in columns}.union(*map(_names, items))
        for field in fields:
            if field not in known:
                self.warn_of_field(field, next(iter(difflib.get_close_matches(field, sorted(known), 1)), ""))

    def warn_of_field(self, field: str, meant: str) -> None:
        """Say that a field was asked for that nothing has; `meant`: the one that it may be a slip of ("" = none)."""
        self.warn(_("there is no field {field}").format(field=field) + (_("; did you mean {name}?").format(name=meant) if meant else ""))

    def tell_rest(self, shown: int, total: int) -> None:
        """Say that a list was cut."""
        if total > shown:
            self.say(_("{shown} of {total} shown; --limit 0 shows all").format(shown=shown, total=total))

    def table(self, items: Sequence[dict[str, Any]], columns: Sequence[Column], *, plain: bool = False) -> None:
        """Rows: tab-separated, or a table on a terminal."""
        if plain:
            click.echo("\t".join(column.title for column in columns))
            for item in items:
                click.echo("\t".join(display_safe(column.text(item)) for column in columns))
            return
        from rich.table import Table
        from rich.text import Text

        from soc.cli import _layout

        console = self.console()
        rows = [[display_safe(column.text(item), most=column.most) for column in columns] for item in items]
        places = _layout.fitting(columns, rows, console.width)
        if places is None:
            self._records(items, columns, rows)
            return
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in (columns[at] for at in places):
            table.add_column(Text(column.title), justify="right" if column.right else "left", overflow="fold", no_wrap=column.whole or column.right)
        for item, row in zip(items, rows, strict=True):
            table.add_row(*(Text(row[at], style=columns[at].style(item) if columns[at].style else "") for at in places))  # type: ignore[misc]
        console.print(table)

    def _records(self, items: Sequence[dict[str, Any]], columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Items one after the other, their values below each other: for tables that are wider than the terminal."""
        from soc.cli import _layout

        for at, (item, row) in enumerate(zip(items, rows, strict=True)):
            styles = {column.title: column.style(item) for column in columns if column.style}
            if at:
                click.echo()
            for title, value in _layout.record(columns, row):
                self.text(self.folded(f"{title}  {value}", more=" " * (cell_width(title) + 2)), styles.get(title.rstrip(), ""))

    def folded(self, line: str, indent: str = "", more: str | None = None) -> str:
        """A line of prose, folded between words where a terminal is narrower; `more` indents what follows (as `indent`)."""
        if not is_terminal(sys.stdout) or not line.strip():
            return indent + line
        from soc.cli import _layout

        return _layout.folded(line, self.console().width, indent, indent if more is None else more)

    def text(self, text: str, style: str = "") -> None:
        """A line of data, colored where colors are shown."""
        safe = "\n".join(display_safe(line) for line in text.split("\n"))
        click.echo(click.style(safe, **click_style(style)) if style and self.colors() else safe)

    def colors(self) -> bool:
        """Whether stdout gets colors."""
        return wants_color(self._session.color, sys.stdout)

    def console(self) -> Any:
        """A rich console on stdout that obeys the color options."""
        from rich.console import Console

        colors = self.colors()
        return Console(
            file=sys.stdout, force_terminal=colors, no_color=not colors, highlight=False, markup=False, emoji=False, soft_wrap=not sys.stdout.isatty()
        )


def click_style(style: str) -> dict[str, Any]:
    """What `click.style` needs for a style such as `bold red`."""
    words = style.split()
    color = next((word for word in words if word not in ("bold", "dim", "underline")), None)
    return {"bold": "bold" in words or None, "dim": "dim" in words or None, "underline": "underline" in words or None, "fg": color}


def is_terminal(stream: TextIO) -> bool:
    """Whether a person reads it on a terminal that can do more than print lines."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def wants_color(choice: str, stream: TextIO) -> bool:
    """Whether a stream gets colors.  Source: https://no-color.org, https://force-color.org."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or is_terminal(stream)
