"""What was decided is done: incidents opened or joined with owner, observables and tasks, people told, those on call woken.

An incident is opened by one append of all its first facts under a number that was reserved for its effect before; whoever finds
the number taken by somebody else reserves the next one. So after a crash at any step the same incident is found or opened, never a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from soc.application import outbox
from soc.application.app import App
from soc.application.incidents import checked
from soc.application.numbered import last_number, local_day
from soc.application.playbooks import find as find_playbook
from soc.application.playbooks import task_facts
from soc.application.policies_people import Reached, owner_of, reached, wake
from soc.clock import from_iso, iso, to_datetime
from soc.errors import Conflict, NotFound, SocError, UsageError
from soc.incidents.clocks import regime_at
from soc.incidents.model import PREFIX as INCIDENTS
from soc.incidents.model import Incident
from soc.incidents.model import fold as fold_incident
from soc.incidents.policies.plan import FIRST, STORM, Firing, action_of
from soc.incidents.policies.policy import Loaded, Opening, filled
from soc.incidents.policies.state import PolicyState, fold, stream_of
from soc.incidents.workflow import OPEN
from soc.model.fact import ANY_VERSION, NewFact
from soc.model.journal import FactConflict
from soc.model.message import message, one_line
from soc.organization.model import Agency
from soc.organization.registry import Registry
from soc.telemetry import get_logger

log = get_logger(__name__)

MOST_TITLE = 300
DONE_PER_FACT = 5_000
PER_FACT = 500
"""Groups that one fact ties to an incident."""
MOST_OBSERVABLES = 200
_TRIES = 50


def carry_out(app: App, loaded: Loaded, scope: str) -> list[str]:
    """Do what a policy decided and nobody has done yet; the incidents that it opened or joined. What fails is told and tried again later."""
    state = _state(app, loaded, scope)
    by_target: dict[str, list[Firing]] = {}
    for firing in state.pending():
        by_target.setdefault(firing.target or firing.effect, []).append(firing)
    touched: list[str] = []
    for firings in by_target.values():
        try:
            touched += _carry(app, loaded, scope, firings)
        except (UsageError, NotFound, Conflict) as error:
            log.error("a policy could not be carried out", policy=loaded.name, scope=scope, error=error.message, hint=error.hint)
            continue
        app.crash("policies.done")
        for at in range(0, len(firings), DONE_PER_FACT):
            _append(app, loaded, scope, NewFact("PolicyDone", {"effects": [firing.effect for firing in firings[at : at + DONE_PER_FACT]]}))
    return touched


def _state(app: App, loaded: Loaded, scope: str) -> PolicyState:
    return fold(one.fact for one in app.journal.read(stream_of(loaded.name, scope)))


def _append(app: App, loaded: Loaded, scope: str, fact: NewFact) -> None:
    """Record what is true whatever others recorded meanwhile."""
    app.journal.append(stream_of(loaded.name, scope), ANY_VERSION, [fact], actor=_actor(loaded), scope=scope)


def _actor(loaded: Loaded) -> str:
    return f"policy/{loaded.name}"


def _carry(app: App, loaded: Loaded, scope: str, firings: Sequence[Firing]) -> list[str]:
    """Carry out the decisions that are about one incident (or none)."""
    first = next((firing for firing in firings if firing.how in FIRST), None)
    opening = loaded.policy.then.open
    incident: Incident | None = None
    if opening is not None:
        identity = _state(app, loaded, scope).incident_of(firings[0])
        if first is not None:
            incident = _opened(app, loaded, opening, scope, first, firings)
        elif identity:
            incident = _incident(app, identity)
        if incident is not None:
            incident = _join(app, loaded, incident, firings)
    if first is not None:
        _tell(app, loaded, scope, first, incident, len(firings))
    return [incident.id] if incident is not None else []


# --- incidents -------------------------------------------------------------------------------------------------------


def _incident(app: App, identity: str) -> Incident:
    return fold_incident(identity, [one.fact for one in app.journal.read(INCIDENTS + identity)])


def _opened(app: App, loaded: Loaded, opening: Opening, scope: str, first: Firing, firings: Sequence[Firing]) -> Incident:
    """The incident of an effect: opened now, or found."""
    facts = _first_facts(app, loaded, opening, scope, first, firings)
    stem = f"INC-{local_day(app, from_iso(facts[0].data['detected_at'])).year}-"
    for _ in range(_TRIES):
        state = _state(app, loaded, scope)
        identity = state.reserved.get(first.effect, "")
        if identity:
            held = app.journal.read(INCIDENTS + identity)
            if held and held[0].fact.data.get("effect") == first.effect:
                return fold_incident(identity, [one.fact for one in held])
        if not identity or held:
            identity = stem + f"{last_number(app, INCIDENTS + stem) + 1:04d}"
            fact = NewFact("IncidentReserved", {"effect": first.effect, "incident": identity})
            try:
                app.journal.append(stream_of(loaded.name, scope), state.version, [fact], actor=_actor(loaded), scope=scope)
            except FactConflict:
                continue
            app.crash("policies.reserved")
        try:
            stored = app.journal.append(INCIDENTS + identity, 0, facts, actor=_actor(loaded), scope=scope)
        except FactConflict:
            continue
        app.crash("policies.opened")
        return fold_incident(identity, [one.fact for one in stored])
    raise Conflict("too many incidents are opened at the same moment", hint="try again")


def _first_facts(app: App, loaded: Loaded, opening: Opening, scope: str, first: Firing, firings: Sequence[Firing]) -> list[NewFact]:
    """All that an incident begins with."""
    language = language_of(app)
    values = texts(app, first, language)
    agencies = _known(app, "agencies", {agency for firing in firings for agency in firing.agencies})
    detected = min(iso(app.clock.now_us()), min(filter(None, (firing.detected_at for firing in firings)), default=iso(app.clock.now_us())))
    title = filled(opening.title.of(language), values)
    if first.how == STORM:
        title = one_line(f"[{loaded.policy.title.of(language)}] {title}")
    data = checked(
        app,
        {
            "title": one_line(title)[:MOST_TITLE],
            "summary": filled(opening.summary.of(language), values) if opening.summary is not None else "",
            "severity": opening.severity,
            "rsit": opening.class_,
            "tlp": opening.tlp,
            "agencies": agencies,
            "systems": _known(app, "systems", {system for firing in firings for system in firing.systems}),
            "detected_at": detected,
            "detected_by": f"soc policy {loaded.name}",
            "channel": "alert",
        },
    )
    data |= {
        "regime": regime_at(detected).id,
        "alerts": sorted({firing.group for firing in firings})[:PER_FACT],
        "owner": owner_of(app, loaded.policy.then.assign, agencies),
        "policy": loaded.name,
        "policy_hash": loaded.hash,
        "effect": first.effect,
        "rules": sorted({firing.rule for firing in firings}),
    }
    facts = [NewFact("IncidentOpened", data, f"policy {loaded.name}@{loaded.policy.version}")]
    observables = _observables(loaded, firings)
    if observables:
        facts.append(NewFact("ObservablesAdded", {"observables": observables}))
    if opening.playbook:
        try:
            playbook = find_playbook(app.settings, opening.playbook)
            facts += task_facts(app, playbook, Incident("", detected_at=detected, agencies=agencies, owner=data["owner"], scope=scope))
        except SocError as error:  # the incident matters more than its tasks
            log.error("a playbook could not be used", policy=loaded.name, playbook=opening.playbook, error=error.message)
            facts.append(NewFact("NoteAdded", {"text": str(error.message)}))
    return facts


def _observables(loaded: Loaded, firings: Sequence[Firing]) -> list[dict[str, str]]:
    found = {(one["type"], one["value"]): {**one, "origin": f"policy {loaded.name}"} for firing in firings for one in firing.observables}
    return list(found.values())[:MOST_OBSERVABLES]


def _known(app: App, kind: str, ids: set[str]) -> list[str]:
    """Those of the ids that the registry has (all while it has none of the kind): an unknown one must not hold an incident up."""
    if not ids:
        return []
    known = Registry(app.journal, (kind,)).entries[kind]
    return sorted(one for one in ids if not known or one in known)


def _join(app: App, loaded: Loaded, incident: Incident, firings: Sequence[Firing]) -> Incident:
    """Tie groups to an incident, unless they are or it is over; agencies, systems and observables come along."""
    for _ in range(_TRIES):
        missing = [firing for firing in firings if firing.group not in incident.alerts]
        if not missing or incident.state not in OPEN:
            return incident
        groups = sorted({firing.group for firing in missing})
        rules = sorted({firing.rule for firing in missing})
        facts = [
            NewFact("AlertsAttached", {"alerts": groups[at : at + PER_FACT], "rules": rules, "policy": loaded.name}) for at in range(0, len(groups), PER_FACT)
        ]
        facts += _widened(app, loaded, incident, missing)
        try:
            app.journal.append(INCIDENTS + incident.id, incident.version, facts, actor=_actor(loaded), scope=incident.scope)
        except FactConflict:
            incident = _incident(app, incident.id)
            continue
        app.crash("policies.joined")
        return _incident(app, incident.id)
    raise Conflict("others change this incident at the same moment", hint="try again")


def _widened(app: App, loaded: Loaded, incident: Incident, firings: Sequence[Firing]) -> list[NewFact]:
    facts: list[NewFact] = []
    wider: dict[str, Any] = {}
    for kind, held, given in (
        ("agencies", incident.agencies, {one for firing in firings for one in firing.agencies}),
        ("systems", incident.systems, {one for firing in firings for one in firing.systems}),
    ):
        new = [one for one in _known(app, kind, given) if one not in held]
        if new:
            wider[kind] = [*held, *new]
    if wider:
        facts.append(NewFact("IncidentEdited", wider))
    known = {(one.get("type"), one.get("value")) for one in incident.observables}
    more = [one for one in _observables(loaded, firings) if (one["type"], one["value"]) not in known][: max(MOST_OBSERVABLES - len(known), 0)]
    if more:
        facts.append(NewFact("ObservablesAdded", {"observables": more}))
    return facts


# --- people ----------------------------------------------------------------------------------------------------------


def language_of(app: App) -> str:
    """The language in which incidents are written: that of the settings, else Vietnamese."""
    return app.settings.language or "vi"


def texts(app: App, firing: Firing, language: str, incident: str = "") -> dict[str, str]:
    """What the places of texts stand for, in a language: agencies by their names, times where the users are."""
    values = dict(firing.values)
    if language == "en":
        values |= {name: values[f"{name}_en"] for name in ("rule", "key") if f"{name}_en" in values}
    if firing.agencies:
        known = Registry(app.journal, (Agency.kind,)).entries[Agency.kind]
        values["agency"] = ", ".join(str(getattr(known.get(one), "name", one)) for one in firing.agencies)
    zone = ZoneInfo(app.settings.timezone)
    values |= {name: f"{to_datetime(from_iso(values[name])).astimezone(zone):%H:%M %d/%m/%Y}" for name in ("first", "last") if values.get(name)}
    return {**values, "incident": incident}


def _tell(app: App, loaded: Loaded, scope: str, first: Firing, incident: Incident | None, groups: int) -> None:
    """Send what a policy says to people, and wake who is on call; each under an id of its own."""
    then, language = loaded.policy.then, language_of(app)
    identity = incident.id if incident is not None else ""
    values = texts(app, first, language, identity)
    cause = INCIDENTS + identity if identity else stream_of(loaded.name, scope)
    subject = one_line(filled(then.open.title.of(language), values) if then.open is not None else loaded.policy.title.of(language))
    subject = f"{identity} {subject}".strip()
    many = f" (+{groups - 1})" if groups > 1 else ""
    sent: dict[str, Reached] = {}
    for telling in then.notify:
        for way in reached(app, telling.to, incident, first.agencies):
            body = filled(telling.text.of(language), values) + _foot(identity, first)
            one = message("policy", first.effect, "opened", way.recipient, subject + many, body, channel=way.channel, scope=scope, cause=cause)
            if one.id not in sent:
                sent[one.id] = way
                outbox.send(app, one)
    if then.notify and not sent:
        log.info("a policy found nobody to tell", policy=loaded.name, to=[telling.to for telling in then.notify], hint="soc people list, soc roster show")
    app.crash("policies.told")
    if then.page:
        wake(app, identity or first.group, action_of(first.effect, "page"), subject + many, subject + _foot(identity, first), scope=scope, cause=cause)
        app.crash("policies.paged")


def _foot(identity: str, first: Firing) -> str:
    """Where to look on."""
    return f"\n\nsoc incidents show {identity}\n" if identity else f"\n\nsoc alerts why {first.group[:12]}\n"
