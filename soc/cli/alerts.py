"""`soc alerts`: list, get, why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from soc.cli import _record, _show, _words
from soc.cli._io import Column, cell, json_option, list_options, write_json
from soc.cli._query import limit_option, period_options, scope_option
from soc.cli._session import Session, pass_session
from soc.cli._triage import COMMANDS, state_options, state_word, states_of
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable

    from soc.application.app import App
    from soc.application.triage import Item
    from soc.model.alert import Alert

LEVELS = ("critical", "high", "medium", "low", "informational")


@click.group(help=_("Alerts: what the rules say needs a look."))
def command() -> None:
    """The noun."""


for _command in COMMANDS:
    command.add_command(_command)


@command.command("list", help=_("List groups of alerts (one rule, one key), the newest first; --each lists single alerts."))
@click.option("--each", is_flag=True, help=_("Single alerts instead of groups."))
@click.option("--level", "levels", multiple=True, type=click.Choice(LEVELS), help=_("Only this level (may be repeated)."))
@click.option("--rule", default="", metavar="ID", help=_("Only this rule."))
@click.option("--group", default="", metavar="ID", help=_("Only alerts of this group (with --each)."))
@click.option("--source", default="", metavar="NAME", help=_("Only alerts of this source."))
@state_options
@click.option("--retracted", is_flag=True, help=_("Those that were withdrawn with their rule's defect instead, which count nowhere else."))
@click.option("--shadow", is_flag=True, help=_("Those of shadow rules instead, which count nowhere else."))
@period_options
@scope_option
@limit_option()
@list_options
@pass_session
def list_command(
    session: Session,
    each: bool,
    levels: tuple[str, ...],
    rule: str,
    group: str,
    source: str,
    state: str,
    suppressed: bool,
    retracted: bool,
    shadow: bool,
    since_us: int | None,
    until_us: int | None,
    scope: str | None,
    limit: int,
    form: str | None,
    fields: tuple[str, ...],
) -> None:
    """List groups or alerts."""
    from soc.application import alerts, triage
    from soc.errors import UsageError
    from soc.ports import AlertQuery

    if (each or group or shadow or retracted) and (suppressed or state != "waiting"):
        raise UsageError("--state and --suppressed are about groups that count", hint="leave out --each, --group, --shadow, --retracted")
    app = session.app()
    rule = alerts.rule_named(app, rule) if rule else ""
    query = AlertQuery(
        scope=scope, levels=levels, rule=rule, group=group, source=source, since_us=since_us, until_us=until_us, limit=limit, shadow=shadow, retracted=retracted
    )
    now = app.clock.now_us()
    if each or group:
        total, single = alerts.each(app, query)
        session.out.items(
            "alerts", [alert_item(alert) for alert in single], _alert_columns(now), total=total, form=form, fields=fields, narrow=_line(now, "ts")
        )
    else:
        found = triage.queue(app, query, states=states_of(state), suppressed=suppressed)
        total = found.total
        session.out.items(
            "alert-groups",
            [group_item(app, one) for one in found.items],
            _group_columns(now),
            total=total,
            form=form,
            fields=fields,
            more={"suppressed": found.suppressed},
            narrow=_line(now, "last_at"),
        )
        if found.suppressed:
            session.out.say(_("{count} more are suppressed: --suppressed shows them").format(count=_show.number(found.suppressed)))
    if not total:
        session.out.say(_("no alerts"))
        session.out.warn_of_source(app, source)


def alert_item(alert: Alert) -> dict[str, Any]:
    """An alert as the JSON of lists: without documents and explanation."""
    from soc.model.event import flatten

    doc = flatten(alert.documents[0]) if alert.documents else {}
    return {
        "id": alert.id,
        "group": alert.group,
        "level": alert.rule.level,
        "rule": {"id": alert.rule.id, "title": alert.rule.title, "title_vi": alert.rule.title_vi, "hash": alert.rule.hash, "kind": alert.rule.kind},
        "ts": alert.ts,
        "detected_at": alert.detected_at,
        "late": alert.late,
        "storm": alert.storm,
        "scope": alert.scope,
        "source": alert.source,
        "agency": alert.agency,
        "key": alert.group_key,
        "threat": {"level": alert.threat_level, "category": alert.threat_category},
        "from": _show.ends(doc, "source"),
        "to": _show.ends(doc, "destination"),
        "events": len(alert.events),
    }


def group_item(app: App, found: Item) -> dict[str, Any]:
    """A group as the JSON of lists."""
    from soc.application.alerts import newest
    from soc.application.reached import size_of
    from soc.application.triage import fields
    from soc.model.event import flatten

    group = found.group
    document, explanation = newest(app, group)
    doc = flatten(document)
    return {
        "id": group.id,
        "level": group.rule.level,
        "rule": {"id": group.rule.id, "title": group.rule.title, "title_vi": group.rule.title_vi, "hash": group.rule.hash, "kind": group.rule.kind},
        "key": group.key,
        "count": group.count,
        "events": size_of(app, group, explanation),
        "first_at": group.first_at,
        "last_at": group.last_at,
        "last_alert": group.last_alert,
        "scope": group.scope,
        "agencies": group.agencies,
        "threat": {"level": group.threat_level, "category": group.threat_category},
        **fields(found),
        "retracted": group.retracted,
        "from": _show.ends(doc, "source"),
        "to": _show.ends(doc, "destination"),
    }


def _line(now_us: int, when: str) -> Callable[[dict[str, Any]], tuple[str, str]]:
    """What shows an alert or group as one line, for narrow terminals."""

    def line(item: dict[str, Any]) -> tuple[str, str]:
        parts = (
            item["id"][:10],
            _show.level(item["level"]),
            _show.age(item[when], now_us),
            f"×{_show.number(item['events'])}" if "count" in item else "",
            _show.title(item["rule"]),
            _ends(item),
            cell(item.get("agencies") or item.get("agency")),
            _state(item),
            _("detected late") if item.get("late") else "",
        )
        return "  ".join(filter(None, parts)), _show.style_of(item["level"])

    return line


def _state(item: dict[str, Any]) -> str:
    """State, verdict, owner and generation of a group in a few words."""
    if "state" not in item:
        return ""
    again = _("again ({number})").format(number=item["generation"]) if item["generation"] > 1 else ""
    return " ".join(filter(None, (state_word(item["state"]), _words.verdict(item["verdict"]), item["owner"], again)))


def _level_column() -> Column:
    return Column("level", _("Level"), lambda item: _show.level(item["level"]), lambda item: _show.style_of(item["level"]), whole=True)


def _title(item: dict[str, Any]) -> str:
    """The title of the rule; what the platform says of itself is said in the reader's language."""
    title = _show.title(item["rule"])
    return _(title) if item["rule"]["kind"] == "health" else title


def _ends(item: dict[str, Any]) -> str:
    if set(item["key"]) == {"storm"}:  # many of them: the ends of the newest say nothing
        return _("storm of alerts, {day}").format(day=item["key"]["storm"])
    return " → ".join(filter(None, (item["from"], item["to"]))) or " ".join(f"{key}={value}" for key, value in item["key"].items())


def _group_columns(now_us: int) -> list[Column]:
    return [
        _level_column(),
        Column("last_at", _("Age"), lambda item: _show.age(item["last_at"], now_us), right=True),
        Column("rule", _("Rule"), _title),
        Column("from", _("From → to"), _ends),
        Column("events", _("Count"), lambda item: _show.number(item["events"]), right=True),
        Column("agencies", _("Agency")),
        Column("state", _("State"), _state),
        Column("id", "ID", lambda item: item["id"][:10], whole=True),
    ]


def _alert_columns(now_us: int) -> list[Column]:
    return [
        _level_column(),
        Column("ts", _("Age"), lambda item: _show.age(item["ts"], now_us), right=True),
        Column("rule", _("Rule"), _title),
        Column("from", _("From → to"), _ends),
        Column("agency", _("Agency")),
        Column("late", _("Late"), lambda item: _("detected late") if item["late"] else ""),
        Column("id", "ID", lambda item: item["id"][:10], whole=True),
    ]


@command.command(help=_("Show one alert or group whole; ID may be the beginning of an id."))
@click.argument("id")
@json_option
@pass_session
def get(session: Session, id: str, as_json: bool) -> None:
    """Show one alert or group."""
    import msgspec

    from soc.application import alerts, triage
    from soc.application.reached import size_of
    from soc.model.alert import AlertGroup

    app = session.app()
    one = alerts.get(app, id)
    found = msgspec.to_builtins(one)
    if isinstance(one, AlertGroup):
        found |= {"events": size_of(app, one, alerts.newest(app, one)[1]), **triage.fields(triage.get(app, one))}
    if as_json:
        write_json(found)
        return
    zone = session.settings.timezone
    for key, value in found.items():
        if key in ("documents", "explanation"):
            continue
        shown = _show.when(value, zone) if key == "ts" or key.endswith("_at") else _show.level(value) if key == "threat_level" else cell(value)
        session.out.text(f"{key:<16} {shown}")
    session.out.say(_("Why: soc alerts why {id}").format(id=str(found["id"])[:10]))


@command.command(help=_("Say what alerts or groups were; the rate of false positives of their rules follows (soc rules stats)."))
@click.argument("words", nargs=-1, required=True, metavar="ID… VERDICT")
@click.option("--note", default="", help=_("A note, for the record."))
@json_option
@pass_session
def verdict(session: Session, words: tuple[str, ...], note: str, as_json: bool) -> None:
    """Record a verdict: true-positive, false-positive, benign, duplicate or test."""
    from soc.application import verdicts
    from soc.errors import UsageError

    *names, said = words
    if not names:
        raise UsageError("say which alerts, and what they were", hint="soc alerts verdict a-… false-positive")
    facts = verdicts.record(session.app(), names, said, note)
    if as_json:
        write_json({"schema_version": 1, "kind": "verdicts", "total": len(facts), "truncated": False, "items": facts})
        return
    for fact in facts:
        session.out.say(f"{fact['target'][:10]}  {_words.verdict(fact['verdict'])}")


@command.command(
    help=_record.example(
        _("List the mailboxes into which the mails of groups were delivered, by agency; --each: one line each, as soc notices new --annex reads it."),
        "soc alerts recipients g-dk4okf37 --each --csv > annex.csv",
    )
)
@click.argument("names", nargs=-1, required=True, metavar="ID…")
@click.option("--each", is_flag=True, help=_("One line per mailbox: agency, item, mails, first_at, last_at."))
@list_options
@pass_session
def recipients(session: Session, names: tuple[str, ...], each: bool, form: str | None, fields: tuple[str, ...]) -> None:
    """List mailboxes by agency."""
    from soc.application.reached import reached

    found = reached(session.app(), names)
    more = {"events": found.events, "delivered": found.delivered, "mailboxes": len(found.boxes)}
    zone = session.settings.timezone
    if each:
        rows = [{"agency": box.agency, "item": box.address, "mails": box.mails, "first_at": box.first_at, "last_at": box.last_at} for box in found.boxes]
        columns = [
            Column("agency", _("Agency")),
            Column("item", _("Mailbox"), whole=True),
            Column("mails", _("Mails"), lambda item: _show.number(item["mails"]), right=True),
            Column("last_at", _("Last"), lambda item: _show.when(item["last_at"], zone), whole=True),
        ]
    else:
        rows = [
            {
                "agency": agency,
                "name": found.names.get(agency, ""),
                "count": len(boxes),
                "mails": sum(box.mails for box in boxes),
                "mailboxes": [box.address for box in boxes],
            }
            for agency, boxes in found.by_agency()
        ]
        columns = [
            Column("agency", _("Agency"), lambda item: item["agency"] or _("(none)"), whole=True),
            Column("name", _("Name"), most=60),
            Column("count", _("Mailboxes"), lambda item: _show.number(item["count"]), right=True),
            Column("mails", _("Mails"), lambda item: _show.number(item["mails"]), right=True),
            Column("mailboxes", _("Addresses")),
        ]
    session.out.items("recipients", rows, columns, form=form, fields=fields, more=more)
    session.out.say(
        _("{delivered} of {events} events were delivered, into {mailboxes} mailboxes").format(
            delivered=_show.number(found.delivered), events=_show.number(found.events), mailboxes=_show.number(len(found.boxes))
        )
    )


@command.command(help=_("Explain an alert (of a group: its newest): the rule, what matched, the events, what to do."))
@click.argument("id")
@json_option
@pass_session
def why(session: Session, id: str, as_json: bool) -> None:
    """Explain an alert."""
    import msgspec

    from soc.application import alerts

    app = session.app()
    alert = alerts.explained(app, id)
    if as_json:
        write_json(msgspec.to_builtins(alert))
        return
    _tell_why(session, app, alert)


def _tell_why(session: Session, app: App, alert: Alert) -> None:
    from soc import i18n
    from soc.application import alerts
    from soc.cli._why_correlation import why_lines
    from soc.model.event import flatten
    from soc.ports import AlertQuery

    out, zone = session.out, session.settings.timezone
    title = _show.title(alert.rule)
    said = _(title) if alert.rule.kind == "health" else title
    out.text(f"{_show.level(alert.rule.level)}  {said}", _show.style_of(alert.rule.level))
    rows = [
        (_("Alert"), alert.id + ("  (" + _("detected late") + ")" if alert.late else "")),
        (_("Group"), alert.group + "  " + " ".join(f"{key}={value}" for key, value in alert.group_key.items())),
        (_("Time"), _show.when(alert.ts, zone)),
        (_("Detected"), _show.when(alert.detected_at, zone)),
        (_("Threat"), f"{_show.level(alert.threat_level)} {alert.threat_category}"),
        (_("Rule"), f"{alert.rule.id}  " + _("hash") + f" {alert.rule.hash}"),
        (_("Tags"), " ".join(alert.rule.tags)),
        (_("Source"), alert.source),
        (_("Agency"), alert.agency),
        (_("Scope"), alert.scope if alert.scope != "real" else ""),
        (_("Shadow"), _("its rule runs beside the live ones: it counts nowhere") if alert.shadow else ""),
        (_("Verdict"), _verdict_text(session, app, alert)),
        (_("Storm"), _("beyond the limit of its rule in that hour (rules.storm_per_hour)") if alert.storm else ""),
        (_("Withdrawn"), _withdrawn(session, app, alert)),
    ]
    for title, value in rows:
        if value.strip():
            out.text(out.folded(value, f"  {title:<11} ", " " * 14))
    out.text("\n" + _("Why"), "bold")
    for parts in why_lines(alert.explanation, zone, everything=session.verbosity > 0):
        _styled(session, parts)
    out.text("\n" + _("Events ({count})").format(count=len(alert.events)), "bold")
    for identity, document in zip(alert.events, alert.documents, strict=False):
        doc = flatten(document)
        line = "  ".join(
            filter(
                None,
                (
                    identity[:10],
                    _show.when(str(doc.get("@timestamp", "")), zone),
                    " → ".join(filter(None, (_show.ends(doc, "source"), _show.ends(doc, "destination")))),
                ),
            )
        )
        out.text("  " + line)
        if doc.get("event.original"):
            out.text("    " + str(doc["event.original"]))
    if len(alert.events) > len(alert.documents):
        out.text("  " + _("… and {count} more: soc events get ID").format(count=len(alert.events) - len(alert.documents)))
    text = alerts.triage_text(app, alert.rule.id, i18n.current())
    if text:
        out.text("\n" + _("What to do"), "bold")
        out.text("\n".join(out.folded(line, indent="  ") for line in text.strip().split("\n")))
    out.say("")
    together, _first = alerts.each(app, AlertQuery(scope=alert.scope, group=alert.group, shadow=alert.shadow, limit=1))
    if alert.events and together > 1:
        out.say(
            _("Next: soc events get {id} · soc alerts list --each --group {group} (all {count} alerts of the group)").format(
                id=alert.events[0][:10], group=alert.group[:10], count=_show.number(together)
            )
        )
    elif alert.events:
        out.say(_("Next: soc events get {id}").format(id=alert.events[0][:10]))
    else:
        out.say(_("Next: soc alerts list --each --group {id}").format(id=alert.group[:10]))


def _withdrawn(session: Session, app: App, alert: Alert) -> str:
    """By whom, when and why the alert was withdrawn; "" = it counts."""
    from soc.application.rules_retract import defect_of

    defect = defect_of(app, alert)
    return f"{defect.id[:10]}  {_show.when(defect.at, session.settings.timezone)}  {defect.by}: {defect.why}" if defect is not None else ""


def _verdict_text(session: Session, app: App, alert: Alert) -> str:
    """What was said of an alert, or else of its group."""
    from soc.application.verdicts import of_alert

    fact = of_alert(app, alert)
    return f"{_words.verdict(fact['verdict'])}  {fact['by']}  {_show.when(fact['at'], session.settings.timezone)}  {fact['note']}".rstrip() if fact else ""


def _styled(session: Session, parts: list[tuple[str, str]]) -> None:
    from soc.cli._io import click_style
    from soc.cli._why import plain

    if session.out.colors():
        click.echo("".join(click.style(text, **click_style(style)) if style else text for text, style in parts))
    else:
        click.echo(plain(parts))
