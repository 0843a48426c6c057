"""Recorded re-enrichment: whose stored events are is asked again when the registry was put right afterwards.

Each event is asked of the registry as it is known now, on the day on which the event came: a district that was abolished since keeps its
events. What the settings of a source said stays. The event keeps the name of the state that was asked first (`soc.registry`), so a replay
gives what was, and all that it had before (`soc.agency.previous`, oldest first). Alerts are attributed anew after their events; they keep
their groups, whose agencies follow, so that nothing that people did is torn apart. No rule is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from itertools import islice, product
from typing import Any

import msgspec

from soc.application.access import require
from soc.application.app import App
from soc.application.directories import ASKED, FACT, STAMP, Enrich, State, enricher, present, recorded
from soc.application.in_force import Tell, await_pipeline, no_word
from soc.application.numbered import local_day
from soc.clock import from_iso, iso
from soc.errors import UsageError
from soc.model.alert import Alert
from soc.model.event import Doc, usable_us, values
from soc.model.fact import ANY_VERSION, NewFact
from soc.model.query.evaluate import matches
from soc.model.record import SCOPE_REAL
from soc.organization.directory import Directory
from soc.organization.registry import Registry
from soc.ports import AlertQuery, EventQuery

STREAM = "enrichment"
"""The stream of the journal that says who had events asked anew: `EnrichmentBegun`, `EnrichmentDone` with the counts."""
MOST_TURNS = 200
"""Changes of agency that a fact tells, those of the most events."""
AGENCY, POINT, SYSTEM, LEVEL = PLACES = ("soc.agency.id", "soc.network_point", "soc.system.id", "soc.system.level")
PREVIOUS = "soc.agency.previous"
"""What an event was given before, oldest first: `agency/network point/system/its level`, "" for none."""
AGAIN = "soc.agency.registry"
"""The state of the registry that gave what stands now; without it that of `soc.registry` did."""
EVERY = 1_000
"""Events between two reports of progress."""
_AT_ONCE = 1_000
_TOGETHER = 50_000
"""Alerts that are attributed by one call of the store, which takes them in slices."""
_MOST_DAYS = 40
_MOST_STATES = 40


class Enriched(msgspec.Struct):
    """What a re-enrichment did, or would do. `agencies`: events per `old→new` agency ("" = none); `alerts`: those attributed to another agency."""

    registry: str
    seen: int = 0
    changed: int = 0
    alerts: int = 0
    agencies: dict[str, int] = {}


def enrich(
    app: App,
    *,
    query: EventQuery,
    text: str = "",
    original: bool = False,
    why: str,
    dry_run: bool,
    progress: Callable[[int], None] = lambda _count: None,
    tell: Tell = no_word,
) -> Enriched:
    """Ask the registry anew whose the events of a query are; `original` gives them back what they had when they came.

    `text`: the words of the query, for the record. With `dry_run` nothing is written.
    Delivery: who, why, period and state are recorded before the first event is changed and, with the counts, at the end. Killed in between,
    some events are changed; the same call again changes the rest and the alerts. Once more it changes nothing.
    Raises: UsageError without a reason.
    """
    require(app, "events.enrich")
    if not why.strip():
        raise UsageError("a re-enrichment needs a reason", hint="--why '…'")
    state = present(app)
    found = Enriched("" if original else state.name)
    change = _back if original else _Again(app, state).change
    what = {
        "since": iso(query.since_us) if query.since_us is not None else "",
        "until": iso(query.until_us) if query.until_us is not None else "",
        "query": text,
        "original": original,
        "registry": found.registry,
        "versions": {} if original else state.versions,
    }
    if not dry_run:
        if not original:
            await_pipeline(app, FACT, "name", state.name, tell)
        _note(app, query, "EnrichmentBegun", what, why)
        app.crash("enrich.begun")

    def other(doc: Doc) -> Doc | None:
        found.seen += 1
        if not found.seen % EVERY:
            progress(found.seen)
        new = change(doc)
        if new is not None:
            found.changed += 1
            turn = f"{doc.get(AGENCY, '')}→{new.get(AGENCY, '')}"
            found.agencies[turn] = found.agencies.get(turn, 0) + 1
        return new

    app.store.revise(query, other, dry_run=dry_run)
    app.crash("enrich.events")
    agencies: dict[str, str] = {}
    for some in _alerts(app, query):
        agencies |= _attributed(app, query, some, change)
        if len(agencies) >= _TOGETHER:
            found.alerts += _attribute(app, agencies, dry_run=dry_run)
            agencies = {}
    found.alerts += _attribute(app, agencies, dry_run=dry_run)
    found.agencies = dict(sorted(found.agencies.items(), key=lambda item: (-item[1], item[0])))
    if not dry_run:
        most = dict(islice(found.agencies.items(), MOST_TURNS))
        counts = {"seen": found.seen, "changed": found.changed, "alerts": found.alerts, "agencies": most}
        _note(app, query, "EnrichmentDone", {**what, **counts}, why)
    return found


def _note(app: App, query: EventQuery, kind: str, data: dict[str, Any], why: str) -> None:
    """Record a step in the journal; `soc audit log enrichment` shows it."""
    app.journal.append(STREAM, ANY_VERSION, [NewFact(kind, data, why)], actor=app.actor.name, scope=query.scope or SCOPE_REAL)


# --- events ----------------------------------------------------------------------------------------------------------


def _place(doc: Doc) -> list[str]:
    """Agency, network point, system and its level of an event ("" = none)."""
    return [str(doc.get(name, "")) for name in PLACES]


def _first(doc: Doc) -> list[str]:
    """Agency, network point, system and its level that an event had when it came."""
    before = next(iter(values(doc, PREVIOUS)), None)
    return _place(doc) if before is None else str(before).split("/")


def _changed(doc: Doc, place: Doc, registry: str) -> Doc | None:
    """The document with another place; None when it has this one."""
    if all(doc.get(name) == place.get(name) for name in PLACES):
        return None
    out = {name: value for name, value in doc.items() if name not in PLACES and name != AGAIN}
    out |= {name: place[name] for name in PLACES if name in place}
    out[PREVIOUS] = [*values(doc, PREVIOUS), "/".join(_place(doc))]
    if registry:
        out[AGAIN] = registry
    return out


def _back(doc: Doc) -> Doc | None:
    """The document with what it had when it came."""
    if PREVIOUS not in doc:
        return None
    place: Doc = {name: int(value) if name == LEVEL else value for name, value in zip(PLACES, _first(doc), strict=True) if value}
    return _changed(doc, place, "")


class _Again:
    """Asks the registry as it is known now, on the day of each event."""

    def __init__(self, app: App, state: State) -> None:
        self._app = app
        self._name = state.name
        self._registry = Registry(app.journal, ASKED, versions=state.versions)
        self._days: dict[str, Directory] = {}
        self._states: dict[str, Enrich | None] = {}
        self._agencies = {name: (source.agency, source.network_point) for name, source in app.settings.sources.items()}

    def change(self, doc: Doc) -> Doc | None:
        """The document with the place that the registry says now; None when it has that."""
        place = {name: value for name, value in doc.items() if name not in PLACES and name not in (STAMP, PREVIOUS, AGAIN)}
        self._keep_given(doc, place)
        self._directory(str(doc.get("soc.received_at") or doc["@timestamp"])).enrich(place)
        return _changed(doc, place, self._name)

    def _keep_given(self, doc: Doc, place: Doc) -> None:
        """Put back what did not come from the registry: what the settings of the source say, or the state asked then does not explain."""
        agency, point, *_ = _first(doc)
        set_agency, set_point = self._agencies.get(str(doc.get("soc.source", "")), ("", ""))
        ask = self._state(str(doc.get(STAMP, "")))
        if point and (point == set_point or (ask is not None and _asked(ask, place).get(POINT) != point)):
            place[POINT] = point
        if agency and (agency == set_agency or (ask is not None and _asked(ask, place).get(AGENCY) != agency)):
            place[AGENCY] = agency

    def _state(self, name: str) -> Enrich | None:
        """What asks the state of the registry of this name; None when nobody recorded what it was."""
        if name not in self._states:
            while len(self._states) >= _MOST_STATES:
                self._states.pop(next(iter(self._states)))
            state = recorded(self._app, name) if name else None
            self._states[name] = (enricher(self._app, state) or _nothing) if state is not None else None if name else _nothing
        return self._states[name]

    def _directory(self, received_at: str) -> Directory:
        day = local_day(self._app, from_iso(received_at)).isoformat()
        if day not in self._days:
            while len(self._days) >= _MOST_DAYS:
                self._days.pop(next(iter(self._days)))
            self._days[day] = Directory(self._registry, date.fromisoformat(day))
        return self._days[day]


def _nothing(_doc: Doc) -> None:
    """What an empty registry says."""


def _asked(enrich: Enrich, place: Doc) -> Doc:
    """What a state of the registry makes of a document without its place."""
    out = dict(place)
    enrich(out)
    return out


# --- alerts ----------------------------------------------------------------------------------------------------------


def _alerts(app: App, query: EventQuery) -> Iterator[list[Alert]]:
    """The alerts that events of the query may stand behind, also those of shadows and those withdrawn since."""
    for shadow, retracted in product((False, True), repeat=2):
        # One of a correlation may be later than its events, never earlier.
        asked = AlertQuery(scope=query.scope, since_us=query.since_us, limit=_AT_ONCE, shadow=shadow, retracted=retracted)
        given: set[str] = set()
        while True:
            _, page = app.store.alerts(asked)
            yield [alert for alert in page if alert.rule.kind == "sigma" and alert.id not in given]
            if len(page) < _AT_ONCE:
                break
            # On from the millisecond of the last: counted from the newest, places shift while a pipeline raises more.
            until = (from_iso(page[-1].ts) // 1000 + 1) * 1000
            given = {alert.id for alert in page if from_iso(alert.ts) >= until - 1000} | (given if until == asked.until_us else set())
            asked = msgspec.structs.replace(asked, until_us=until, offset=asked.offset + len(page) if until == asked.until_us else 0)


def _attribute(app: App, agencies: dict[str, str], *, dry_run: bool) -> int:
    """Say whose alerts are; how many they were."""
    if agencies and not dry_run:
        app.store.attribute(agencies)
        app.crash("enrich.alerts")
    return len(agencies)


def _attributed(app: App, query: EventQuery, alerts: list[Alert], change: Callable[[Doc], Doc | None]) -> dict[str, str]:
    """By id the agencies of those alerts that have another one now: that of the first event shown which has one."""
    shown = {alert.id: [str(one) for doc in alert.documents if (one := doc.get("soc", {}).get("id"))] or alert.events[:1] for alert in alerts}
    wanted = list(dict.fromkeys(name for names in shown.values() for name in names))
    docs: dict[str, Doc] = {}
    for doc in app.store.get_events(wanted):
        new = change(dict(doc)) if _fits(query, doc) else None  # of a dry run; what was written asks for no change
        docs[str(doc["soc.id"])] = doc if new is None else new
    out = {}
    for alert in alerts:
        stored = [docs[name] for name in shown[alert.id] if name in docs]
        agency = next((str(doc[AGENCY]) for doc in stored if doc.get(AGENCY)), "")
        if agency != alert.agency and any(PREVIOUS in doc for doc in stored):
            out[alert.id] = agency
    return out


def _fits(query: EventQuery, doc: Doc) -> bool:
    at = usable_us(doc)
    after = query.since_us is None or at >= query.since_us
    before = query.until_us is None or at < query.until_us
    return after and before and query.scope in (None, doc.get("soc.scope")) and matches(query.where, doc)
