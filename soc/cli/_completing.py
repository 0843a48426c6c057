"""What a shell offers for a value: rules, fields, incidents, agencies and everything else that has a name.

Shape: `ARGUMENTS` and `OPTIONS` say what a word of a command names, `_OFFERED` who knows the names. A store is only looked at:
where there is none, or it cannot be read, nothing is offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click
from click.shell_completion import CompletionItem

from soc.cli._session import Session
from soc.cli._shells import OPEN

if TYPE_CHECKING:
    from soc.application.app import App
    from soc.rules.ast import Rule
    from soc.rules.correlation import Correlation

MOST_OFFERED = 500
MOST_READ = 300
"""Events whose fields are offered: the newest."""
Offer: TypeAlias = Iterable[tuple[str, str]]
"""Values and what they mean."""

ARGUMENTS: dict[str, str] = {
    "alerts/id": "group",
    "alerts/names": "group",
    "agencies/id": "agency",
    "deadletters/id": "letter",
    "deadletters/ids": "letter",
    "evidence/id": "incident",
    "evidence show/id": "evidence",
    "evidence hand-over/id": "evidence",
    "evidence verify/ids": "evidence",
    "help/topic": "topic",
    "incidents/id": "incident",
    "incidents/other": "incident",
    "incidents/alerts": "group",
    "incidents/owner": "person",
    "incidents/playbook": "playbook",
    "incidents/task": "task",
    "incidents/obligation": "obligation",
    "intel/id": "list",
    "intel/names": "list",
    "intel/incidents": "incident",
    "mailboxes/id": "mailboxes",
    "notices/id": "notice",
    "notices/agency": "agency",
    "outbox/id": "message",
    "partners/id": "partners",
    "people/id": "person",
    "playbooks/name": "playbook",
    "playbooks/playbooks": "playbook",
    "points/id": "points",
    "policies/name": "policy",
    "policies/policies": "policy",
    "reports/id": "incident",
    "reports/kind": "report-kind",
    "reports/report": "report",
    "rules/rule": "rule",
    "rules/rules": "rule",
    "rules unretract/id": "",
    "sources/name": "source",
    "suppressions/id": "suppression",
    "systems/id": "system",
    "warnings/id": "warning",
    "/query": "query",
}
"""`noun/argument`, or `noun verb/argument` where a verb differs; without a noun it means every one."""

OPTIONS: dict[str, str] = {
    "--agency": "agency",
    "--below": "agency",
    "--to": "agency",
    "alerts assign/--to": "person",
    "incidents assign/--to": "person",
    "handover write/--to": "person",
    "evidence hand-over/--to": "",
    "--alert": "group",
    "--group": "group",
    "--facet": "field",
    "--fields": "",
    "events/--fields": "fields",
    "--incident": "incident",
    "--into": "incident",
    "--level": "threat-level",
    "--owner": "person",
    "--product": "parser",
    "--rsit": "class",
    "--rule": "rule",
    "rules compare/--with": "rule",
    "--sort": "field",
    "--source": "source",
    "incidents list/--state": "incident-state",
    "store retention/--kind": "event-kind",
    "--system": "system",
    "--tz": "zone",
}
"""The same for options."""


class _Named(click.types.StringParamType):
    """A text that names something, which a shell can complete. Only made where a shell asks."""

    def __init__(self, what: str) -> None:
        self.what = what

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 - click's signature
        """What fits so far."""
        return offered(ctx, self.what, incomplete)


def with_values(command: click.Command, path: tuple[str, ...]) -> click.Command:
    """The command, whose words know what they may be; all its options are offered, also those that its help leaves to `soc --help`."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            with_values(inner, (*path, name))
    for param in command.params:
        what = kind_of(path, param)
        if what:
            param.type = _Named(what)
        if isinstance(param, click.Option) and "--debug" not in param.opts:
            param.hidden = False
    return command


def kind_of(path: tuple[str, ...], param: click.Parameter) -> str:
    """What a word of a command names, "" = nothing that is known."""
    if not isinstance(param.type, click.types.StringParamType):
        return ""
    names = param.opts if isinstance(param, click.Option) else [param.name or ""]
    table = OPTIONS if isinstance(param, click.Option) else ARGUMENTS
    for head in (" ".join(path), path[0], ""):
        for name in names:
            found = table.get(f"{head}/{name}", table.get(name) if not head else None)
            if found is not None:
                return found
    return ""


def offered(ctx: click.Context, what: str, incomplete: str) -> list[CompletionItem]:
    """The items of a kind that begin with what was typed so far (agencies: whose name holds it, too)."""
    from soc.errors import SocError

    session = ctx.find_object(Session) or Session()
    try:
        if what == "query":
            return _query(session, incomplete)
        if what == "fields":
            return _fields(session, incomplete)
        found = _OFFERED[what](session, ctx, incomplete)
        fitting = (item for item in found if what == "agency" or item[0].lower().startswith(incomplete.lower()))
        return [CompletionItem(value, help=told) for value, told in list(fitting)[:MOST_OFFERED]]
    except (SocError, OSError):
        return []  # nobody asked for an error in the middle of a line
    finally:
        session.close()


# --- queries and fields ----------------------------------------------------------------------------------------------


def _known_fields(session: Session) -> list[str]:
    from soc.application import events
    from soc.model.query.fields import ALIASES, CLOSED_FIELDS

    app = session.looking()
    docs = events.search(app, events.event_query("", limit=MOST_READ)).docs if app is not None else []
    return sorted({*(name for doc in docs for name in doc), *ALIASES, *CLOSED_FIELDS, *(field for fields in ALIASES.values() for field in fields)})


def _query(session: Session, incomplete: str) -> list[CompletionItem]:
    """A query as far as it is typed, with the field or value that could come next."""
    from soc.model.query.fields import ALIASES, CLOSED_FIELDS

    start = max(incomplete.rfind(char) for char in " (-") + 1 if not incomplete.endswith(" ") else len(incomplete)
    before, word = incomplete[:start], incomplete[start:]
    field, sign, value = word.partition(":")
    if not sign:
        return [CompletionItem(f"{before}{name}:", type=OPEN) for name in _known_fields(session) if name.startswith(word)][:MOST_OFFERED]
    name = ALIASES.get(field, (field,))[0]
    known = list(session.settings.sources) if name == "soc.source" else list(CLOSED_FIELDS.get(name, ()))
    return [CompletionItem(f"{before}{field}:{one}") for one in known if one.startswith(value)]


def _fields(session: Session, incomplete: str) -> list[CompletionItem]:
    """A list of fields with the one that could come next."""
    before, sign, word = incomplete.rpartition(",")
    taken = before.split(",")
    return [CompletionItem(before + sign + name, type=OPEN) for name in _known_fields(session) if name.startswith(word) and name not in taken][:MOST_OFFERED]


# --- what is in the store --------------------------------------------------------------------------------------------


def _from_store(names: Callable[[App, click.Context, str], Offer]) -> Callable[[Session, click.Context, str], Offer]:
    """Names that only a store knows; none where there is no store to look at."""

    def asked(session: Session, ctx: click.Context, incomplete: str) -> Offer:
        app = session.looking()
        return names(app, ctx, incomplete) if app is not None else ()

    return asked


def _incidents(app: App, _ctx: click.Context, incomplete: str) -> Offer:
    from soc.application import incidents
    from soc.incidents.workflow import STATES

    found = incidents.without_duties(app, states=STATES, scope=None)
    short = incomplete.isdigit()  # a number alone names an incident, too
    for one in sorted(found, key=lambda one: one.id, reverse=True):
        number = one.id.rpartition("-")[2].lstrip("0")
        yield (number if short else one.id), f"{one.id}  {one.title}" if short else one.title


def _of_incident(app: App, ctx: click.Context) -> Any:
    from soc.application import incidents
    from soc.errors import NotFound

    name = ctx.params.get("id")
    if not name:
        raise NotFound("")
    return incidents.get(app, str(name))


def _tasks(app: App, ctx: click.Context, _incomplete: str) -> Offer:
    return [(one.id, one.title) for one in _of_incident(app, ctx).tasks if not one.done_at]


def _obligations(app: App, ctx: click.Context, _incomplete: str) -> Offer:
    from soc.application import incidents
    from soc.i18n import current

    return [(one.id, one.title.get(current(), "")) for one in incidents.duties(app, _of_incident(app, ctx))]


def _reports(app: App, ctx: click.Context, _incomplete: str) -> Offer:
    from soc.application import reports

    return [(one.id, str(one.kind)) for one in reports.listed(app, str(ctx.params.get("id") or ""))]


def _report_kinds(app: App, ctx: click.Context, _incomplete: str) -> Offer:
    from soc.application import reports
    from soc.i18n import current

    return [(one.id, one.title.get(current(), "")) for one in reports.known(app, str(ctx.params.get("id") or ""))]


def _groups(app: App, _ctx: click.Context, _incomplete: str) -> Offer:
    from soc.application import alerts
    from soc.cli import _show
    from soc.ports import AlertQuery

    for one in alerts.groups(app, AlertQuery(scope=None, limit=1000))[1]:
        yield one.id[:10], f"{_show.level(one.rule.level)}  {_show.title(one.rule)}"


def _agencies(app: App, _ctx: click.Context, incomplete: str) -> Offer:
    from soc.application import registry

    return [(one.id, one.name) for one in registry.agencies_like(app, incomplete)]


def _registered(kind: str) -> Callable[[App, click.Context, str], Offer]:
    def names(app: App, _ctx: click.Context, _incomplete: str) -> Offer:
        from soc.application import registry

        return [(one.key, str(getattr(one, "name", ""))) for one in registry.listed(app, kind)]

    return names


def _notices(app: App, _ctx: click.Context, _incomplete: str) -> Offer:
    from soc.application import notices

    return [(one.id, one.subject) for one in notices.listed(app, scope=None)]


def _warnings(app: App, _ctx: click.Context, _incomplete: str) -> Offer:
    from soc.application import warnings

    return [(one.id, f"{one.number} {one.subject}") for one, _progress in warnings.listed(app, closed=True, scope=None)]


def _lists(app: App, _ctx: click.Context, _incomplete: str) -> Offer:
    from soc.application import intel

    return [(one.id, f"{one.state} {one.reason}") for one in intel.listed(app, every=True)]


def _evidence(app: App, _ctx: click.Context, _incomplete: str) -> Offer:
    from soc.application import evidence

    return [(one.id, one.name) for one in evidence.listed(app, scope=None)]


def _letters(app: App, _ctx: click.Context, _incomplete: str) -> Offer:
    from soc.application import deadletters

    return [(one.id[:10], f"{one.source} {one.reason}") for one in deadletters.listed(app, state="open", source="", limit=MOST_OFFERED)[1]]


def _messages(app: App, _ctx: click.Context, _incomplete: str) -> Offer:
    from soc.application import outbox

    return [(one.message.id[:12], one.message.subject) for one in outbox.waiting(app)]


def _suppressions(app: App, _ctx: click.Context, _incomplete: str) -> Offer:
    from soc.application import suppressions

    return [(one.id, one.reason) for one in suppressions.in_force(app)]


# --- what the settings and the program know --------------------------------------------------------------------------


def _rules(session: Session, _ctx: click.Context, _incomplete: str) -> Offer:
    from soc.application.rules_choice import configured
    from soc.cli import _show

    collection, _errors = configured(session.settings.rules_in_zone)
    named = {identity: name for name, identity in collection.names.items()}
    every: list[Rule | Correlation] = [*collection.ruleset.rules, *collection.correlations]
    for rule in every:
        if rule.id not in collection.silent:
            file = Path(rule.path).stem
            yield (file if collection.get(file) is rule else named.get(rule.id, rule.id)), _show.title(rule)


def _playbooks(session: Session, _ctx: click.Context, _incomplete: str) -> Offer:
    from soc.application import playbooks
    from soc.i18n import current

    return [(one.name, one.title.of(current())) for one in playbooks.load(session.settings)[0]]


def _policies(session: Session, _ctx: click.Context, _incomplete: str) -> Offer:
    from soc.application import policies_set

    return [(one.policy.name, "") for one in policies_set.load(session.settings)[0]]


def _sources(session: Session, _ctx: click.Context, _incomplete: str) -> Offer:
    return [(name, one.type) for name, one in session.settings.sources.items()]


def _parsers(_session: Session, _ctx: click.Context, _incomplete: str) -> Offer:
    from soc.ingest.registry import installed

    return [(name, "") for name in installed().names()]


def _zones(_session: Session, _ctx: click.Context, incomplete: str) -> Offer:
    from zoneinfo import available_timezones

    return (
        [(name, "") for name in sorted(available_timezones(), key=lambda name: (name != "Asia/Ho_Chi_Minh", name))]
        if incomplete
        else [("Asia/Ho_Chi_Minh", ""), ("UTC", "")]
    )


def _levels(_session: Session, _ctx: click.Context, _incomplete: str) -> Offer:
    from soc.cli import _show
    from soc.model.level import THREAT_LEVELS

    return [(one, _show.level_word(one)) for one in reversed(THREAT_LEVELS)]


def _kinds(_session: Session, _ctx: click.Context, _incomplete: str) -> Offer:
    from soc.model.level import KINDS

    return [(one, "") for one in KINDS]


def _states(_session: Session, _ctx: click.Context, _incomplete: str) -> Offer:
    from soc.incidents.workflow import STATES

    return [(one, "") for one in STATES]


def _classes(_session: Session, _ctx: click.Context, _incomplete: str) -> Offer:
    from soc.incidents.classes import CODES, GROUPS, group_of

    return [(one, GROUPS[group_of(one)]) for one in sorted(CODES)]


def _topics(_session: Session, ctx: click.Context, _incomplete: str) -> Offer:
    from soc.cli._group import command_names
    from soc.cli.help import TOPICS

    return [(one, "") for one in (*TOPICS, *command_names())] if not ctx.params.get("topic") else ()


_OFFERED: dict[str, Callable[[Session, click.Context, str], Offer]] = {
    "agency": _from_store(_agencies),
    "class": _classes,
    "event-kind": _kinds,
    "evidence": _from_store(_evidence),
    "field": lambda session, _ctx, _incomplete: [(name, "") for name in _known_fields(session)],
    "group": _from_store(_groups),
    "incident": _from_store(_incidents),
    "incident-state": _states,
    "letter": _from_store(_letters),
    "list": _from_store(_lists),
    "mailboxes": _from_store(_registered("mailboxes")),
    "message": _from_store(_messages),
    "notice": _from_store(_notices),
    "obligation": _from_store(_obligations),
    "parser": _parsers,
    "partners": _from_store(_registered("partners")),
    "person": _from_store(_registered("people")),
    "playbook": _playbooks,
    "points": _from_store(_registered("points")),
    "policy": _policies,
    "report": _from_store(_reports),
    "report-kind": _from_store(_report_kinds),
    "rule": _rules,
    "source": _sources,
    "suppression": _from_store(_suppressions),
    "system": _from_store(_registered("systems")),
    "task": _from_store(_tasks),
    "threat-level": _levels,
    "topic": _topics,
    "warning": _from_store(_warnings),
    "zone": _zones,
}
