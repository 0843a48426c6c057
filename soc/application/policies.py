"""Carrying policies out: what groups and journal say is decided once, recorded, and done; again after a crash nothing is done twice.

Per policy and scope: carry out what was decided before, ask which groups meet the condition, record the decisions under the
version that was seen, carry them out. A decision has the id of its effect (policy, group, occasion); an incident is opened under a number
that was reserved for it, a message has an id of its own, so every step may be repeated. Idempotent; several processes may run it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from soc.application.access import acting, require
from soc.application.app import App
from soc.application.incidents import without_duties
from soc.application.numbered import local_day
from soc.application.policies_defects import Settled, settle
from soc.application.policies_effects import carry_out
from soc.application.policies_match import Asked, Matcher, Memory, groups_since
from soc.application.policies_set import Known, known
from soc.clock import from_iso, iso
from soc.errors import ConfigError, Conflict
from soc.incidents.model import PREFIX as INCIDENTS
from soc.incidents.model import Incident, fold
from soc.incidents.policies.plan import COUNTED, JOINED, KNOWN, OPENED, STORM, TOLD, Firing, Subject, Target, decide, effect_of
from soc.incidents.policies.policy import Loaded
from soc.incidents.policies.state import PREFIX, STATE, PolicyState, stream_of
from soc.incidents.policies.state import fold as fold_policy
from soc.incidents.workflow import CLOSED, OPEN
from soc.model.fact import MOST_BYTES, Fact, NewFact
from soc.model.journal import FactConflict
from soc.model.record import SCOPE_REAL
from soc.telemetry import get_logger

log = get_logger(__name__)

FIRST_LOOK_US = 24 * 3_600_000_000
"""A policy that runs for the first time looks back so far, and no further."""
REACH_US = 30 * 24 * 3_600_000_000
"""Groups without an alert for so long are left alone."""
RECENT_US = FIRST_LOOK_US
"""Between two passes over everything only groups with an alert since then are looked at."""
PER_FACT = 200
"""Decisions in one fact."""
AT_ONCE = 500
"""Incidents whose facts are read together."""
_TRIES = 20


class Did(msgspec.Struct):
    """What one policy did in one scope."""

    policy: str
    scope: str
    opened: int = 0
    joined: int = 0
    known: int = 0
    storms: int = 0
    told: int = 0
    counted: int = 0
    incidents: list[str] = []

    def count(self, firings: Iterable[Firing]) -> None:
        """Add decisions."""
        for firing in firings:
            match firing.how:
                case "opened":
                    self.opened += 1
                case "joined":
                    self.joined += 1
                case "known":
                    self.known += 1
                case "storm":
                    self.storms += 1
                case "told":
                    self.told += 1
                case _:
                    self.counted += 1


class Report(msgspec.Struct):
    """What one pass did. `errors`: files that cannot be used; the other policies ran."""

    did: list[Did] = []
    settled: Settled = msgspec.field(default_factory=Settled)
    errors: list[ConfigError] = []
    groups: int = 0


def run(app: App, *, since_us: int | None = None, only: str = "") -> Report:
    """Carry policies out now, because somebody asks for it. `since_us`: look at groups since this time, also older ones.

    Raises: NotAllowed.
    """
    require(app, "policies.run")
    return apply(app, since_us=since_us, only=only)


def part(app: App) -> int:
    """One pass, for the periodic step: how many decisions were taken and defects settled."""
    report = apply(app)
    for error in report.errors:
        log.error("a policy file cannot be used", error=error.message, hint=error.hint)
    settled = report.settled
    decided = sum(one.opened + one.joined + one.known + one.storms + one.told for one in report.did)
    return decided + len(settled.withdrawn) + len(settled.restored)


def apply(app: App, *, since_us: int | None = None, only: str = "") -> Report:
    """One pass of all policies that run (`only`: of one). For periodic steps; idempotent."""
    _ = (app.store, app.journal)  # opened once, and shared with the application that acts
    service = acting(app, "policies")
    report = Report()
    every, report.errors = known(app)
    running = [one for one in every if one.running and only in ("", one.loaded.name)]
    report.settled = settle(service)
    if not running:
        return report
    now_us = app.clock.now_us()
    streams = _streams(app, running)
    for one in running:
        for scope in streams.get(one.loaded.name, {}):
            carry_out(service, one.loaded, scope)
    asked = [_asked(one, streams.get(one.loaded.name, {}), since_us, now_us) for one in running]
    begin = max(min(min([*one.since_us.values(), one.otherwise_us]) for one in asked), 0 if since_us is not None else now_us - REACH_US)
    memory = _memory_of(app)
    if not memory.begin(app.clock.monotonic()) and since_us is None:
        begin = max(begin, now_us - RECENT_US)
    groups = list(groups_since(app, begin))
    report.groups = len(groups)
    found = Matcher(app, asked, memory=memory).found(groups)
    for ask in asked:
        name = ask.loaded.name
        for scope in sorted({SCOPE_REAL, *(place for policy, place in found if policy == name)}):
            did = _decided(service, ask, scope, found.get((name, scope), []), now_us)
            did.incidents = carry_out(service, ask.loaded, scope)
            if did != Did(name, scope):
                report.did.append(did)
    return report


_memories: WeakKeyDictionary[object, Memory] = WeakKeyDictionary()


def _memory_of(app: App) -> Memory:
    """What this process remembers of the groups of a store."""
    return _memories.setdefault(app.store, Memory())


def _streams(app: App, running: Sequence[Known]) -> dict[str, dict[str, PolicyState]]:
    """By policy and scope what was done so far."""
    names = {one.loaded.name for one in running}
    found: dict[str, dict[str, PolicyState]] = {}
    for head in app.journal.heads(PREFIX):
        name, _, scope = head.stream.removeprefix(PREFIX).partition("/")
        if name in names and scope != STATE:
            found.setdefault(name, {})[scope] = _state(app, name, scope)
    return found


def _state(app: App, name: str, scope: str) -> PolicyState:
    return fold_policy(one.fact for one in app.journal.read(stream_of(name, scope)))


def _asked(one: Known, states: dict[str, PolicyState], since_us: int | None, now_us: int) -> Asked:
    """Since when groups count: since the policy was taken up, or switched on again."""
    on_us = one.switch.at_us if one.switch.state == "on" else 0
    first = now_us - FIRST_LOOK_US if since_us is None else since_us
    since = {scope: max(state.since_us, on_us) if state.since_us else max(first, on_us) for scope, state in states.items()}
    if since_us is not None:
        since = dict.fromkeys(since, since_us)
    return Asked(one.loaded, since, since_us if since_us is not None else max(first, on_us))


def _decided(app: App, asked: Asked, scope: str, subjects: list[Subject], now_us: int) -> Did:
    """Record what a policy decides of groups; when another process was faster, look again."""
    loaded = asked.loaded
    stream = stream_of(loaded.name, scope)
    for _ in range(_TRIES):
        state = _state(app, loaded.name, scope)
        facts: list[NewFact] = []
        if not state.since_us:
            since_us = asked.since_us.get(scope, asked.otherwise_us)
            facts.append(NewFact("PolicyTaken", {"since": iso(since_us), "hash": loaded.hash, "version": loaded.policy.version}))
        firings = _firings(app, loaded, scope, subjects, state, now_us)
        facts += [NewFact("PolicyFired", {"hash": loaded.hash, "firings": part}) for part in _parts(firings)]
        did = Did(loaded.name, scope)
        if not facts:
            return did
        app.crash("policies.decided")
        try:
            app.journal.append(stream, state.version, facts, actor=f"policy/{loaded.name}", scope=scope)
        except FactConflict:
            continue
        app.crash("policies.recorded")
        did.count(firings)
        return did
    raise Conflict("others carry this policy out at the same moment", hint="try again")


def _parts(firings: Sequence[Firing]) -> Iterable[list[dict[str, Any]]]:
    """Decisions as facts take them: not too many, and not too large together."""
    part: list[dict[str, Any]] = []
    size = 0
    for firing in firings:
        values = msgspec.to_builtins(firing)
        length = len(msgspec.json.encode(values))
        if part and (len(part) == PER_FACT or size + length > MOST_BYTES // 2):
            yield part
            part, size = [], 0
        part.append(values)
        size += length
    if part:
        yield part


def _firings(app: App, loaded: Loaded, scope: str, subjects: list[Subject], state: PolicyState, now_us: int) -> list[Firing]:
    """What is decided of groups now; nothing of those that were decided before."""
    opens = loaded.policy.then.open is not None
    if opens:
        _begin_again(app, subjects, state)
    fresh = [one for one in subjects if effect_of(loaded.name, one.group.id, one.occasion) not in state.fired]
    fresh.sort(key=lambda one: (one.detected_at, one.group.first_at, one.group.id))
    if not fresh:
        return []
    targets = _open_incidents(app, scope) if opens else []
    return decide(loaded, fresh, targets, fired=state.fired, begun=state.begun, now_us=now_us, day=local_day(app, now_us).isoformat())


def _begin_again(app: App, subjects: Sequence[Subject], state: PolicyState) -> None:
    """A group that goes on after its incident was closed is another case."""
    by_group: dict[str, list[Firing]] = {}
    for firing in state.fired.values():
        by_group.setdefault(firing.group, []).append(firing)
    newer = [one for one in subjects if any(one.group.last_at > firing.last_at for firing in by_group.get(one.group.id, ()))]
    names = {identity for one in newer for firing in by_group[one.group.id] if (identity := state.incident_of(firing))}
    over: dict[str, str] = {}
    for stream, held in app.journal.read_each([INCIDENTS + name for name in sorted(names)]).items():
        incident = fold(stream.removeprefix(INCIDENTS), [one.fact for one in held])
        if incident.state == CLOSED:
            over[incident.id] = incident.entered.get(CLOSED, "")
    for one in newer:
        ended = {identity for firing in by_group[one.group.id] if (identity := state.incident_of(firing)) in over and over[identity] < one.group.last_at}
        if ended:
            one.occasion = f"{one.occasion}+{len(ended)}"


def _open_incidents(app: App, scope: str) -> list[Target]:
    """The open incidents of a scope, as what groups may join. Cost: one read of the list, and of the open ones' facts."""
    found = [one.id for one in without_duties(app, states=OPEN, scope=scope)]
    targets: list[Target] = []
    for at in range(0, len(found), AT_ONCE):
        streams = app.journal.read_each([INCIDENTS + one for one in found[at : at + AT_ONCE]])
        for stream, held in streams.items():
            facts = [one.fact for one in held]
            incident = fold(stream.removeprefix(INCIDENTS), facts)
            if incident.state in OPEN:
                targets.append(_as_target(incident, facts))
    return targets


def _as_target(incident: Incident, facts: Sequence[Fact]) -> Target:
    joining = [fact for fact in facts if fact.kind in ("IncidentOpened", "AlertsAttached")]
    return Target(
        incident.id,
        from_iso(joining[-1].at) if joining else 0,
        next((str(fact.data["effect"]) for fact in facts if fact.kind == "IncidentOpened" and "effect" in fact.data), ""),
        incident.rsit,
        set(incident.agencies),
        set(incident.systems),
        {one.get("value", "") for one in incident.observables},
        {str(rule) for fact in joining for rule in fact.data.get("rules", [])},
        {str(fact.data["policy"]) for fact in joining if "policy" in fact.data},
        set(incident.alerts),
    )


# --- dry runs --------------------------------------------------------------------------------------------------------


class Would(msgspec.Struct):
    """What a policy would have done in a time. `examples`: the first incidents or messages."""

    policy: str
    groups: int = 0
    opened: int = 0
    joined: int = 0
    storms: int = 0
    messages: int = 0
    pages: int = 0
    counted: int = 0
    examples: list[dict[str, str]] = []


MOST_EXAMPLES = 5
_BATCH_US = 60_000_000


def rehearse(app: App, loaded: Sequence[Loaded], *, since_us: int, scope: str | None = SCOPE_REAL) -> list[Would]:
    """What policies would have done with the groups of a time, had they run every minute; nothing is recorded, nobody is told.

    Groups that people closed since count as well; joining incidents that people opened is left out.
    """
    require(app, "policies.view")
    asked = [Asked(one, {}, since_us) for one in loaded]
    found = Matcher(app, asked, history=True).found(group for group in groups_since(app, since_us) if scope in (None, group.scope))
    return [_would(app, one, {place: subjects for (name, place), subjects in found.items() if name == one.name}) for one in loaded]


def _would(app: App, loaded: Loaded, found: dict[str, list[Subject]]) -> Would:
    would = Would(loaded.name)
    then = loaded.policy.then
    for _, subjects in sorted(found.items()):
        subjects.sort(key=lambda one: (one.at_us, one.group.id))
        targets: list[Target] = []
        fired: set[str] = set()
        begun: list[int] = []
        titles = {one.group.id: one for one in subjects}
        for batch in _batches(subjects):
            now_us = batch[-1].at_us
            for firing in decide(loaded, batch, targets, fired=fired, begun=begun, now_us=now_us, day=local_day(app, now_us).isoformat()):
                fired.add(firing.effect)
                would.groups += firing.how != STORM
                would.opened += firing.how in (OPENED, STORM) and then.open is not None
                would.joined += firing.how in (JOINED, KNOWN)
                would.storms += firing.how == STORM
                would.counted += firing.how == COUNTED
                if firing.how in (OPENED, STORM, TOLD):
                    begun.append(now_us)
                    would.messages += len(then.notify)
                    would.pages += then.page
                    if len(would.examples) < MOST_EXAMPLES:
                        group = titles[firing.group].group
                        would.examples.append(
                            {
                                "at": iso(now_us),
                                "how": firing.how,
                                "group": group.id,
                                "level": group.rule.level,
                                "rule": group.rule.title,
                                "rule_vi": group.rule.title_vi,
                            }
                        )
    return would


def _batches(subjects: Sequence[Subject]) -> Iterable[list[Subject]]:
    batch: list[Subject] = []
    for subject in subjects:
        if batch and subject.at_us // _BATCH_US != batch[0].at_us // _BATCH_US:
            yield batch
            batch = []
        batch.append(subject)
    if batch:
        yield batch
