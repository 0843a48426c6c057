"""What an incident names that can be looked for: recorded, written in its texts, and seen in its alerts; what that ties together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from soc.application import incidents
from soc.application.alert_observables import ALERT, MOST_RECORDED, Seen, alerted, merged
from soc.application.app import App
from soc.errors import Conflict, NotFound, Phrase, UsageError
from soc.incidents.model import PREFIX, Incident
from soc.incidents.workflow import step
from soc.intel import blocking
from soc.intel.allow import AllowList
from soc.intel.observables import FIELDS, MOST_TEXT, TYPES, Observable, every, read
from soc.model.fact import ANY_VERSION, Behalf, NewFact
from soc.model.journal import Append
from soc.model.query.tree import And, Cidr, Node, Not, Or, Term
from soc.organization.model import Agency, Mailbox, Point, System
from soc.organization.registry import Registry
from soc.ports import EventQuery

_MOST_RELATED = 200


class Related(msgspec.Struct, frozen=True):
    """Another incident: `link` what people said that ties them, `shared` what both name."""

    incident: Incident
    link: str
    shared: list[Observable]


def allow_list(app: App) -> AllowList:
    """What is never blocked here: shipped, ours by the registry, and what people said."""
    registry = Registry(app.journal, ("agencies", "points", "systems", "mailboxes"))
    networks = [(prefix.partition("=")[0], point.id) for point in registry.all(Point) for prefix in (*point.prefixes, *point.public_addresses)]
    networks += [(address, system.id) for system in registry.all(System) for address in (*system.addresses, *system.public_addresses)]
    domains = {domain: agency.id for agency in registry.all(Agency) for domain in agency.domains}
    domains |= {domain: system.id for system in registry.all(System) for domain in system.domains}
    mailboxes = [one.address for one in registry.all(Mailbox)]
    domains |= {address.rpartition("@")[2]: address for address in mailboxes}
    said = blocking.allowed(one.fact for one in app.journal.read(blocking.ALLOWED))
    return AllowList(networks, domains, mailboxes, said)


def of_incident(app: App, name: str) -> tuple[Incident, list[Seen]]:
    """The observables of an incident, the commonest first.

    Raises: NotFound.
    """
    incident = incidents.get(app, name)
    allow = allow_list(app)
    live = list(alerted(app, incident.alerts))
    there = {one for one, _, _ in live}
    # what was recorded of alerts counts where they are gone; else they would count twice
    recorded = [found for found in _recorded(incident) if not (found[1].startswith(ALERT) and found[0] in there)]
    found = merged([*written(incident), *recorded, *live])
    for one in found.values():
        one.never_blocked = allow.reason(Observable(one.type, one.value))
        one.ignored = incident.ignored.get(one.value, "")
    return incident, sorted(found.values(), key=lambda one: (-one.count, TYPES.index(one.type), one.value))


def written(incident: Incident) -> Iterator[tuple[Observable, str, int]]:
    """What title, summary and notes name."""
    texts = [("title", incident.title), ("summary", incident.summary), *((f"note {number}", note.text) for number, note in enumerate(incident.notes, 1))]
    for origin, text in texts:
        for one in every(text):
            yield one, origin, 1


def _recorded(incident: Incident) -> Iterator[tuple[Observable, str, int]]:
    for one in incident.observables:
        if one.get("type") in TYPES:
            yield Observable(str(one["type"]), str(one.get("value", ""))), str(one.get("origin", "")), int(one.get("count", 1) or 1)


# --- commands --------------------------------------------------------------------------------------------------------


def observe(app: App, name: str, text: str, *, type_: str = "", origin: str = "", behalf: Behalf | None = None) -> tuple[Incident, list[Observable]]:
    """Record what a text names (pasted, harmlessly written, or one value); the incident, and what was found.

    Raises: UsageError when it names nothing.
    """
    incidents.permitted(app, name, "observe")
    incidents.short("text", text, MOST_TEXT)
    one = read(text, type_) if type_ else None
    found = [one] if one is not None else [] if type_ else list(dict.fromkeys(every(text)))
    if not found:
        raise UsageError(
            "this names nothing that can be looked for", hint=Phrase("known types: {types}; --type TYPE says what a single value is", types=", ".join(TYPES))
        )
    return record(app, name, found[:MOST_RECORDED], origin or "pasted", behalf), found[:MOST_RECORDED]


def record(app: App, name: str, found: Sequence[Observable], origin: str, behalf: Behalf | None = None) -> Incident:
    """Record observables with where they came from; those that are recorded from there already are left out."""
    incident = incidents.permitted(app, name, "observe")
    step(incident.state, "observe")
    known = {(one.get("type"), one.get("value"), one.get("origin")) for one in incident.observables}
    data = [{"type": one.type, "value": one.value, "origin": origin} for one in found if (one.type, one.value, origin) not in known]
    if data:
        app.journal.append(
            PREFIX + incident.id,
            incident.version,
            [NewFact("ObservablesAdded", {"observables": data}, behalf=behalf)],
            actor=app.actor.name,
            scope=incident.scope,
        )
    return incidents.get(app, incident.id)


def ignore(app: App, name: str, values: Sequence[str], reason: str) -> Incident:
    """Say that values do not belong to an incident: they tie it to nothing and are never proposed for blocking.

    Raises: NotFound for a value that it does not name, UsageError without a reason.
    """
    incidents.permitted(app, name, "observe")
    if not reason.strip():
        raise UsageError("why do they not belong to it?", hint="--reason TEXT")
    incidents.short("reason", reason, incidents.MOST_REASON)
    incident, seen = of_incident(app, name)
    step(incident.state, "observe")
    known = {one.value for one in seen}
    wanted = [value if value in known else getattr(read(value), "value", value) for value in values]
    for value in wanted:
        if value not in known:
            raise NotFound(Phrase("{id} does not name {value}", id=incident.id, value=value), hint=Phrase("soc incidents observables {id}", id=incident.id))
    app.journal.append(
        PREFIX + incident.id, incident.version, [NewFact("ObservablesIgnored", {"values": wanted}, reason)], actor=app.actor.name, scope=incident.scope
    )
    return incidents.get(app, incident.id)


def link(app: App, name: str, other: str, reason: str) -> Incident:
    """Tie two incidents, in both of them; nothing else of them changes.

    Raises: UsageError, Conflict (real and exercise).
    """
    return _tie(app, name, other, "IncidentLinked", "link", reason)


def unlink(app: App, name: str, other: str, reason: str) -> Incident:
    """Untie two incidents.

    Raises: NotFound when they are not tied.
    """
    if incidents.permitted(app, other, "unlink").id not in incidents.permitted(app, name, "unlink").links:
        raise NotFound("they are not linked", hint=Phrase("soc incidents related {id}", id=name))
    return _tie(app, name, other, "IncidentUnlinked", "unlink", reason)


def _tie(app: App, name: str, other: str, kind: str, command: str, reason: str) -> Incident:
    both = (incidents.permitted(app, name, command), incidents.permitted(app, other, command))
    if both[0].id == both[1].id:
        raise UsageError("an incident is not linked with itself")
    if both[0].scope != both[1].scope:
        raise Conflict("an exercise and a real incident are never linked")
    if not reason.strip():
        raise UsageError("what ties them?", hint="--reason TEXT")
    incidents.short("reason", reason, incidents.MOST_REASON)
    for one in both:
        step(one.state, command)
    appends = [Append(PREFIX + one.id, ANY_VERSION, (NewFact(kind, {"other": two.id}, reason),)) for one, two in (both, both[::-1])]
    app.journal.append_each(appends, actor=app.actor.name, scope=both[0].scope)
    return incidents.get(app, both[0].id)


# --- what is tied together -------------------------------------------------------------------------------------------


def related(app: App, name: str) -> tuple[Incident, list[Related]]:
    """Other incidents that are linked, or name what this one names and what is neither everybody's nor ours; the closest first.

    Cost: one look at the texts of every incident of the scope.
    """
    incident, seen = of_incident(app, name)
    mine = {Observable(one.type, one.value) for one in seen if not one.never_blocked and not one.ignored}
    found = []
    for other in incidents.without_duties(app, scope=incident.scope):
        if other.id == incident.id:
            continue
        theirs = {one for one, _, _ in (*written(other), *_recorded(other)) if one.value not in other.ignored}
        shared = sorted(mine & theirs)
        if shared or other.id in incident.links:
            found.append(Related(other, incident.links.get(other.id, ""), shared))
    found.sort(key=lambda one: (not one.link, -len(one.shared), one.incident.id))
    return incident, found[:_MOST_RELATED]


def query_of(one: Observable, *, scope: str | None = "real", since_us: int | None = None, until_us: int | None = None) -> EventQuery:
    """The query for the events that name an observable; of a domain also those that name one below it."""
    nodes: list[Node] = []
    for field in FIELDS[one.type]:
        if one.type == "ip" and "/" in one.value:
            nodes.append(Cidr(field, one.value))
        else:
            nodes.append(Term(field, one.value))
        if one.type == "domain":
            nodes.append(Term(field, "*." + one.value, wildcard=True))
    if one.type == "url":  # gateways write it with and without the scheme
        nodes += [Term(field, one.value.partition("://")[2]) for field in FIELDS["url"]]
    return EventQuery(where=Or(tuple(nodes)), scope=scope, since_us=since_us, until_us=until_us, limit=1)


def blocked(query: EventQuery, *, stopped: bool) -> EventQuery:
    """The part of a query that a gateway stopped, or the part that it let through."""
    said = Term("soc.blocked", "true")
    return msgspec.structs.replace(query, where=And((query.where, said if stopped else Not(said))))


def events(app: App, seen: Sequence[Seen], *, scope: str, since_us: int | None) -> list[tuple[int, int]]:
    """For each observable how many events name it, and how many of those were blocked."""
    out = []
    for one in seen:
        query = query_of(Observable(one.type, one.value), scope=scope, since_us=since_us)
        out.append((app.store.count(query), app.store.count(blocked(query, stopped=True))))
    return out
