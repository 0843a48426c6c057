"""`soc events`: search, tail, get, stats, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soc.cli import _show
from soc.cli._io import WIDE, Column, csv_heading, csv_line, is_terminal, json_option, list_options, to_json, write_json
from soc.cli._query import limit_option, period_options, scope_option
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soc.application.app import App
    from soc.model.event import Doc
    from soc.ports import EventQuery

QUERY = click.argument("query", nargs=-1, metavar="[QUERY]")


@click.group(help=_("Events: search, follow, count, export."))
def command() -> None:
    """The noun."""


def _columns(zone: str) -> list[Column]:
    return [
        Column("soc.id", "ID", lambda doc: str(doc.get("soc.id", ""))[:10], whole=True),
        Column("@timestamp", _("Time"), lambda doc: _show.when(doc.get("@timestamp", ""), zone), whole=True),
        Column(
            "soc.threat.level",
            _("Level"),
            lambda doc: _show.level(doc.get("soc.threat.level", "none")),
            lambda doc: _show.style_of(doc.get("soc.threat.level", "")),
        ),
        Column("soc.source", _("Source")),
        Column("event.action", _("Action"), lambda doc: str(doc.get("event.action") or doc.get("event.type") or "")),
        Column("from", _("From → to"), lambda doc: " → ".join(filter(None, (_show.ends(doc, "source"), _show.ends(doc, "destination"))))),
        Column("message", _("What"), _what, most=80),
    ]


def _what(doc: Doc) -> str:
    for field in ("rule.name", "threat.indicator.name", "email.subject", "url.original", "message", "event.original"):
        if doc.get(field):
            return str(doc[field])
    return ""


def _line(session: Session, doc: dict[str, Any]) -> None:
    """One event in one line, folded between words where the terminal is narrower."""
    line = "  ".join(text for column in _columns(session.settings.timezone) if (text := column.text(doc).strip()))
    session.out.text(session.out.folded(line, more="    "), _show.style_of(doc.get("soc.threat.level", "")))


@command.command(help=_("Find events.") + "\n\n" + _("QUERY: see soc help filters."))
@QUERY
@period_options
@scope_option
@limit_option()
@click.option("--oldest-first", is_flag=True, help=_("The oldest first."))
@click.option("--sort", "sort_by", default="", metavar="FIELD[:desc]", help=_("By this field instead of by time; every event of the query is read for it."))
@list_options
@pass_session
def search(
    session: Session,
    query: tuple[str, ...],
    since_us: int | None,
    until_us: int | None,
    scope: str | None,
    limit: int,
    oldest_first: bool,
    sort_by: str,
    form: str | None,
    fields: tuple[str, ...],
) -> None:
    """Find events."""
    from soc.application import events
    from soc.model.event import nest

    asked = events.event_query(" ".join(query), scope=scope, since_us=since_us, until_us=until_us, limit=limit, oldest_first=oldest_first)
    app = session.app()
    order = events.sorting(sort_by) if sort_by else None
    found = events.search(app, asked, order)
    if order is not None and found.docs and not any(doc.get(order.field) is not None for doc in found.docs):
        _warn_of_fields(session, app, asked, [order.field])
    if fields:
        rows: list[dict[str, Any]] = [events.pick(doc, fields) for doc in found.docs]
        _warn_of_fields(session, app, asked, [field for field in fields if found.docs and all(row.get(field, 0) is None for row in rows)])
        session.out.items("events", rows, [], total=found.total, form=form, fields=tuple(dict.fromkeys(key for row in rows for key in row)) or fields)
    elif form in ("json", "jsonl"):
        session.out.items("events", [nest(doc) for doc in found.docs], [], total=found.total, form=form)
    elif form is None and is_terminal(sys.stdout) and session.out.console().width < WIDE:
        for doc in found.docs:
            _line(session, doc)
        session.out.tell_rest(len(found.docs), found.total)
    else:
        session.out.items("events", found.docs, _columns(session.settings.timezone), total=found.total, form=form)
    if not found.total:
        _tell_none(session, app, asked)


def _tell_none(session: Session, app: App, asked: EventQuery) -> None:
    """Say that there are none, and why that may be a slip."""
    from soc.application import events

    session.out.say(_("no events"))
    for field, meant in events.unknown_fields(app, asked):
        told = _("none of the newest events has the field {field}").format(field=field)
        session.out.say(told + (_("; did you mean {name}?").format(name=meant) if meant else ""))


def _warn_of_fields(session: Session, app: App, asked: EventQuery, empty: list[str]) -> None:
    """Name those of the fields without any value that no event has, each with the one that may be meant."""
    from soc.application import events

    for field, meant in events.strange_names(app, empty, asked.scope):
        session.out.warn_of_field(field, meant)


@command.command(help=_("Follow events as they come in; Ctrl-C ends it."))
@QUERY
@scope_option
@click.option("--interval", type=click.FloatRange(min=0.1), default=1.0, show_default=True, help=_("Seconds between looks."))
@click.option("--jsonl", "as_json", is_flag=True, help=_("One JSON document per line."))
@click.option("--lines", type=click.IntRange(0, 1000), default=10, show_default=True, help=_("How many of the last events to begin with."))
@click.option("--looks", type=click.IntRange(min=1), help=_("End after so many looks."))
@pass_session
def tail(session: Session, query: tuple[str, ...], scope: str | None, interval: float, as_json: bool, lines: int, looks: int | None) -> None:
    """Follow events."""
    from itertools import count

    from soc.application import events
    from soc.model.event import nest

    app = session.app()
    asked = events.event_query(" ".join(query), scope=scope)
    following = events.Tail(app, asked)
    for number in count(1):
        docs, more = following.look()
        if number == 1:
            docs, more = docs[len(docs) - min(lines, len(docs)) :], False
        for doc in docs:
            if as_json:
                click.echo(to_json(nest(doc)))
            else:
                _line(session, doc)
        if more:
            session.out.warn(_("more came in than can be shown; narrow the query"))
        if number == looks:
            return
        app.clock.sleep(interval)


@command.command(help=_("Show one event; ID may be the beginning of an id."))
@click.argument("id")
@json_option
@click.option("--raw", is_flag=True, help=_("Only the line as it was received."))
@pass_session
def get(session: Session, id: str, as_json: bool, raw: bool) -> None:
    """Show one event."""
    from soc.application import events
    from soc.model.event import nest

    doc = events.get(session.app(), id)
    if raw:
        session.out.text(str(doc.get("event.original", "")))
    elif as_json:
        write_json(nest(doc))
    else:
        zone = session.settings.timezone
        for key in sorted(doc):
            shown = _show.when(doc[key], zone) if key == "@timestamp" or key.endswith("_at") else doc[key]
            session.out.text(f"{key:<32} {shown if isinstance(shown, str) else to_json(shown)}")


@command.command(help=_("Count events over time and by their commonest values."))
@QUERY
@period_options
@scope_option
@click.option("--interval", type=click.Choice(["hour", "day", "month"]), default="day", show_default=True, help=_("Width of a bar."))
@click.option("--by", default="", metavar="FIELD", help=_("Split the bars by this field."))
@click.option("--facet", "facets", multiple=True, metavar="FIELD", help=_("Commonest values of this field (may be repeated)."))
@click.option("--most", type=click.IntRange(1, 1000), default=10, show_default=True, help=_("How many values per field."))
@json_option
@pass_session
def stats(
    session: Session,
    query: tuple[str, ...],
    since_us: int | None,
    until_us: int | None,
    scope: str | None,
    interval: Any,
    by: str,
    facets: tuple[str, ...],
    most: int,
    as_json: bool,
) -> None:
    """Count events."""
    from soc.application import events

    usual = ("soc.threat.level", "soc.source", "event.action", "source.ip", "destination.ip", "soc.threat.previous")
    fields = [field for name in facets or usual for field in events.fields_named(name)]
    split = events.fields_named(by)[0] if by else ""
    asked = events.event_query(" ".join(query), scope=scope, since_us=since_us, until_us=until_us)
    zone = session.settings.timezone
    app = session.app()
    found = events.stats(app, asked, interval=interval, by=split, fields=fields, most=most, tz=zone)
    if found.total:
        empty = [name for name in facets if not any(found.facets[field] for field in events.fields_named(name))]
        empty += [by] if by and not any(bucket.by for bucket in found.histogram) else []
        _warn_of_fields(session, app, asked, empty)
    threats = sorted(found.threats.items(), key=lambda row: (-row[1], row[0]))
    if as_json:
        histogram = [{"at": bucket.at, "by": bucket.by, "count": bucket.count} for bucket in found.histogram]
        values = {field: [{"value": value, "count": count} for value, count in rows] for field, rows in found.facets.items()}
        counted = [{"level": level, "category": category, "count": count} for (level, category), count in threats]
        write_json(
            {
                "schema_version": 1,
                "kind": "event-stats",
                "total": found.total,
                "interval": interval,
                "tz": zone,
                "histogram": histogram,
                "facets": values,
                "threats": counted,
            }
        )
        return
    if not found.total:
        _tell_none(session, app, asked)
    out = session.out
    out.text(_("Events: {count}").format(count=_show.number(found.total)))
    cut = {"hour": 16, "day": 10, "month": 7}[interval]
    _bars(session, _("By time"), [(_show.when(bucket.at, zone)[:cut] + (f" {bucket.by}" if by else ""), bucket.count) for bucket in found.histogram])
    for field, rows in found.facets.items():
        _bars(session, field, rows)
    _bars(
        session, _("Threats (each occurrence once)"), [(f"{_show.level(level)} {category}", count) for (level, category), count in threats if level != "none"]
    )


def _bars(session: Session, title: str, rows: list[tuple[str, int]]) -> None:
    if not rows:
        return
    session.out.text("\n" + title, "bold")
    width = min(max(len(label) for label, _count in rows), 44)
    most = max(count for _label, count in rows)
    for label, count in rows:
        session.out.text(f"  {label[:width]:<{width}} {_show.number(count):>11} {_show.bar(count, most)}".rstrip())


@command.command(help=_("Write all events of a query to a file (NDJSON or CSV, by its name; .gz is packed) or to stdout."))
@QUERY
@period_options
@scope_option
@click.option("--to", "target", type=click.Path(path_type=Path, dir_okay=False), help=_("File to write; it appears only when it is whole."))
@click.option("--csv", "as_csv", is_flag=True, help=_("CSV on stdout (or whatever the name of the file says)."))
@click.option("--fields", metavar="A,B", help=_("Only these fields; with CSV they are the columns."))
@click.option("--oldest-first", is_flag=True, help=_("The oldest first."))
@pass_session
def export(
    session: Session,
    query: tuple[str, ...],
    since_us: int | None,
    until_us: int | None,
    scope: str | None,
    target: Path | None,
    as_csv: bool,
    fields: str | None,
    oldest_first: bool,
) -> None:
    """Write all events of a query."""
    from soc.application import events
    from soc.cli._export import text_file
    from soc.cli._progress import Progress

    asked = events.event_query(" ".join(query), scope=scope, since_us=since_us, until_us=until_us, oldest_first=oldest_first)
    names = [name.strip() for name in fields.split(",") if name.strip()] if fields else []
    csv_wanted = as_csv or (target is not None and ".csv" in target.suffixes[-2:])
    app = session.app()
    docs = events.stream(app, asked)
    empty = set(names)
    lines = _csv_lines(docs, names or list(CSV_FIELDS), empty) if csv_wanted else _json_lines(docs, names, empty)
    written = -1 if csv_wanted else 0
    with text_file(target) as write, Progress(session) as progress:
        for line in lines:
            write(line + "\n")
            written += 1
            progress(_("{count} events written").format(count=written))
    if written <= 0:
        _tell_none(session, app, asked)
    else:
        _warn_of_fields(session, app, asked, [name for name in names if name in empty])
    if target is not None:
        session.out.say(_("{count} events written to {path}").format(count=written, path=target))


CSV_FIELDS = (
    "@timestamp", "soc.id", "soc.source", "soc.threat.level", "soc.threat.category", "event.action", "event.outcome", "source.ip", "source.port",
    "destination.ip", "destination.port", "email.from.address", "email.to.address", "email.subject", "rule.name", "message",
)  # fmt: skip


def _json_lines(docs: Iterator[Doc], names: list[str], empty: set[str]) -> Iterator[str]:
    """The events as JSON; names that some event has leave `empty`."""
    from soc.application.events import pick
    from soc.model.event import nest

    for doc in docs:
        if not names:
            yield to_json(nest(doc))
            continue
        row = pick(doc, names)
        if empty:
            empty.difference_update([name for name in empty if row.get(name, 0) is not None])
        yield to_json(row)


def _csv_lines(docs: Iterator[Doc], names: list[str], empty: set[str]) -> Iterator[str]:
    """The events as CSV; names that some event has leave `empty`."""
    from soc.application.events import value_of

    yield csv_heading(names)
    for doc in docs:
        row = [value_of(doc, name) for name in names]
        if empty:
            empty.difference_update(name for name, value in zip(names, row, strict=True) if value is not None)
        yield csv_line(row)
