"""The queue of groups, and what people do with them: acknowledge, assign, close, reopen, undo; one group or ten thousand.

What the alerts say comes from the store, what people said from the journal; neither is ever written into the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from soc.application import alerts, suppressions
from soc.application.access import acting, reach, require, visible
from soc.application.app import App
from soc.errors import NotFound, Phrase, UsageError
from soc.model.alert import AlertGroup
from soc.model.fact import Fact, NewFact
from soc.model.journal import Append, FactConflict
from soc.model.role import ANY
from soc.ports import AlertQuery
from soc.triage.listing import groups as group_lists
from soc.triage.listing import triage_of
from soc.triage.model import PREFIX, TABLE, UNDONE, VERDICTS, WAITING, IllegalStep, Triage, effective, fold, standing

MOST_NOTE = 2_000
MOST_OWNER = 200
_ALL = 1_000_000_000


class Item(msgspec.Struct, frozen=True):
    """A group as people see it. `suppressed`: the suppression that hides it."""

    group: AlertGroup
    triage: Triage
    suppressed: str = ""


class Queue(msgspec.Struct, frozen=True):
    """A page of groups. `suppressed`: how many more there would be without suppressions."""

    total: int
    items: list[Item]
    suppressed: int = 0


class Outcome(msgspec.Struct, frozen=True):
    """What became of a command: groups as they are now, those it did not fit, and those that somebody changed meanwhile."""

    done: list[Item]
    skipped: list[str]
    conflicts: list[FactConflict]


def queue(app: App, query: AlertQuery, *, states: Sequence[str] = WAITING, suppressed: bool = False) -> Queue:
    """Groups in these states, newest first (`limit` 0 = all); those that are suppressed only when they are asked for.

    Shadows and withdrawn groups are shown whatever their state. Cost: a look at kept states (`soc.ports.Lists`), and one at what
    suppressions in force hide.
    """
    require(app, "alerts.view")
    if reach(app, "alerts.view") != ANY:
        return _own_queue(app, query, states, suppressed)
    if query.shadow or query.retracted:
        total, groups = alerts.groups(app, query)
        said = _said(app, [group.id for group in groups])
        return Queue(total, [_item(group, said) for group in groups])
    hidden = _hidden(app, query, states)
    if suppressed:
        said = _said(app, hidden)
        return _paged([_item(group, said, hidden[group.id][1]) for group in _newest(group for group, _ in hidden.values())], query)
    chosen = app.lists.standing(group_lists(), app.store, query, states, frozenset(hidden))
    asked = msgspec.structs.replace(query, ids=chosen.ids, without=chosen.without, limit=query.limit or _ALL)
    if chosen.total is not None:
        asked = msgspec.structs.replace(asked, offset=0)
    total, groups = app.store.alert_groups(asked)
    said = _said(app, [group.id for group in groups])
    return Queue(total if chosen.total is None else chosen.total, [_item(group, said) for group in groups], len(hidden))


def _hidden(app: App, query: AlertQuery, states: Sequence[str]) -> dict[str, tuple[AlertGroup, str]]:
    """By id the groups in these states that suppressions hide; only groups in these states are looked at."""
    if not suppressions.in_force(app):
        return {}
    every = app.lists.standing(group_lists(), app.store, msgspec.structs.replace(query, limit=0, offset=0), states, frozenset())
    return suppressions.hidden(app, msgspec.structs.replace(query, ids=every.ids, without=every.without))


def _own_queue(app: App, query: AlertQuery, states: Sequence[str], suppressed: bool) -> Queue:
    """The queue of somebody who sees the groups of some agencies only: what the program itself would see, and of that their own."""
    whole = queue(acting(app, app.actor.name), msgspec.structs.replace(query, limit=0, offset=0), states=states, suppressed=suppressed)
    own = visible(app, "alerts.view", [item.group for item in whole.items])
    ids = {group.id for group in own}
    return _paged([item for item in whole.items if item.group.id in ids], query)


def _said(app: App, groups: Iterable[str]) -> dict[str, Triage]:
    """What people said of some groups; those of which nobody said anything are left out."""
    found = app.lists.some(group_lists(), [PREFIX + group for group in groups])
    return {stream.removeprefix(PREFIX): triage_of(one) for stream, one in found.items()}


def _item(group: AlertGroup, said: Mapping[str, Triage], suppressed: str = "") -> Item:
    return Item(group, standing(said.get(group.id, Triage()), last_at=group.last_at, count=group.count), suppressed)


def _newest(groups: Iterable[AlertGroup]) -> list[AlertGroup]:
    return sorted(groups, key=lambda group: (group.last_at, group.id), reverse=True)


def _paged(found: list[Item], query: AlertQuery) -> Queue:
    return Queue(len(found), found[query.offset : query.offset + query.limit] if query.limit else found[query.offset :])


def get(app: App, group: AlertGroup) -> Item:
    """A group with its triage."""
    hidden = next((one.id for one in suppressions.in_force(app) if one.hides(group)), "")
    return _item(group, {group.id: fold([one.fact for one in app.journal.read(PREFIX + group.id)])}, hidden)


def named(app: App, names: Sequence[str]) -> list[Item]:
    """The groups of these ids (or of these alerts), each once; beginnings of ids do.

    Raises: NotFound, Conflict.
    """
    found: dict[str, AlertGroup] = {}
    for name in dict.fromkeys(names):
        one = alerts.get(app, name)
        group = one if isinstance(one, AlertGroup) else alerts.get(app, one.group)
        if not isinstance(group, AlertGroup):
            raise NotFound(Phrase("no alert or group {prefix}", prefix=name), hint="soc alerts list")
        found[group.id] = group
    facts = app.journal.read_each([PREFIX + group for group in found])
    said = {stream.removeprefix(PREFIX): fold([one.fact for one in held]) for stream, held in facts.items()}
    return [_item(group, said) for group in found.values()]


# --- commands --------------------------------------------------------------------------------------------------------


def acknowledge(app: App, items: Sequence[Item], *, lenient: bool = False) -> Outcome:
    """Say that somebody looks at them; who does so owns those that nobody owned."""
    require(app, "alerts.triage")
    return _each(app, items, "ack", lambda item: NewFact("GroupAcknowledged", {"generation": item.triage.generation}), lenient)


def assign(app: App, items: Sequence[Item], owner: str, *, lenient: bool = False) -> Outcome:
    """Give them to somebody ("" = to nobody)."""
    require(app, "alerts.triage")
    if len(owner) > MOST_OWNER or not owner.isprintable():
        raise UsageError(Phrase("{field}: at most {count} printable characters", field="owner", count=MOST_OWNER))
    return _each(app, items, "assign", lambda item: NewFact("GroupAssigned", {"generation": item.triage.generation, "owner": owner.strip()}), lenient)


def close(app: App, items: Sequence[Item], verdict: str, note: str = "", *, lenient: bool = False) -> Outcome:
    """Close them as what they were; the next alert opens the next generation.

    Raises: UsageError for an unknown verdict or a long note.
    """
    require(app, "alerts.triage")
    check(verdict, note)

    def fact(item: Item) -> NewFact:
        group = item.group
        through = {"last_alert": group.last_alert, "last_at": group.last_at, "count": group.count}
        about = {"rule": group.rule.id, "rule_hash": group.rule.hash}
        return NewFact("GroupClosed", {"generation": item.triage.generation, "verdict": verdict, "note": note.strip(), "through": through, **about})

    return _each(app, items, "close", fact, lenient)


def check(verdict: str, note: str) -> None:
    """Refuse what is no verdict, and notes that are too long.

    Raises: UsageError.
    """
    if verdict not in VERDICTS:
        raise UsageError(Phrase("no verdict is named {verdict!r}", verdict=verdict), hint=Phrase("one of {names}", names=", ".join(VERDICTS)))
    if len(note) > MOST_NOTE:
        raise UsageError(Phrase("a note has at most {count} characters", count=MOST_NOTE))


def reopen(app: App, items: Sequence[Item], note: str = "", *, lenient: bool = False) -> Outcome:
    """Open closed groups again, in the same generation; their verdict no longer counts."""
    require(app, "alerts.triage")
    if len(note) > MOST_NOTE:
        raise UsageError(Phrase("a note has at most {count} characters", count=MOST_NOTE))
    return _each(app, items, "reopen", lambda item: NewFact("GroupReopened", {"generation": item.triage.generation}, note.strip()), lenient)


def undo(app: App, items: Sequence[Item], *, lenient: bool = False) -> Outcome:
    """Take back the last thing that one said of each group, unless somebody said something since; again goes one further back.

    Raises: UsageError when there is nothing to take back (unless `lenient`: skipped).
    """
    require(app, "alerts.triage")
    streams = app.journal.read_each([PREFIX + item.group.id for item in items])
    ready: list[tuple[Item, NewFact]] = []
    skipped: list[str] = []
    conflicts: list[FactConflict] = []
    for item in items:
        stream = PREFIX + item.group.id
        facts = effective([one.fact for one in streams.get(stream, ())])
        own = [fact for fact in facts if fact.actor == app.actor.name]
        if not own:
            if not lenient:
                raise UsageError(
                    Phrase("{group}: there is nothing of yours to undo", group=item.group.id), hint=Phrase("soc audit log {stream}", stream=stream)
                )
            skipped.append(item.group.id)
        elif facts[-1] is not own[-1]:
            conflicts.append(FactConflict(stream, own[-1].sequence, [fact for fact in facts if fact.sequence > own[-1].sequence]))
        else:
            ready.append((item, NewFact(UNDONE, {"sequence": own[-1].sequence})))
    found = _append(app, ready)
    return Outcome(found.done, skipped, conflicts + found.conflicts)


def _each(app: App, items: Sequence[Item], command: str, fact: Any, lenient: bool) -> Outcome:
    """One fact for each group that the command fits, all in one append; a group that was named and does not fit stops all.

    Raises: IllegalStep.
    """
    unfit = [item for item in items if item.triage.state not in TABLE[command]]
    if unfit and not lenient:
        raise IllegalStep(unfit[0].group.id, unfit[0].triage.state, command)
    found = _append(app, [(item, fact(item)) for item in items if item.triage.state in TABLE[command]])
    return Outcome(found.done, [item.group.id for item in unfit], found.conflicts)


def _append(app: App, ready: Sequence[tuple[Item, NewFact]]) -> Outcome:
    """Append under the versions that were seen, scope by scope."""
    by_scope: dict[str, list[tuple[Item, NewFact]]] = {}
    for item, fact in ready:
        by_scope.setdefault(item.group.scope, []).append((item, fact))
    done: list[Item] = []
    conflicts: list[FactConflict] = []
    for scope, some in by_scope.items():
        appends = [Append(PREFIX + item.group.id, item.triage.version, (fact,)) for item, fact in some]
        outcomes = app.journal.append_each(appends, actor=app.actor.name, scope=scope)
        went = []
        for (item, _), outcome in zip(some, outcomes, strict=True):
            if isinstance(outcome, FactConflict):
                conflicts.append(outcome)
            else:
                went.append(item)
        done += _again(app, went)
    return Outcome(done, [], conflicts)


def _again(app: App, items: Sequence[Item]) -> list[Item]:
    facts: dict[str, list[Fact]] = {
        name: [one.fact for one in held] for name, held in app.journal.read_each([PREFIX + item.group.id for item in items]).items()
    }
    said = {item.group.id: fold(facts.get(PREFIX + item.group.id, ())) for item in items}
    return [_item(item.group, said, item.suppressed) for item in items]


def fields(item: Item) -> dict[str, Any]:
    """The triage of a group as JSON, beside what its alerts say."""
    triage = item.triage
    return {
        "state": triage.state,
        "owner": triage.owner,
        "verdict": triage.verdict,
        "note": triage.note,
        "generation": triage.generation,
        "count_since": triage.count_since(item.group.count),
        "previous_verdict": triage.previous_verdict,
        "suppressed": item.suppressed,
        "version": triage.version,
    }


__all__ = [
    "VERDICTS",
    "WAITING",
    "Item",
    "Outcome",
    "Queue",
    "acknowledge",
    "assign",
    "check",
    "close",
    "fields",
    "get",
    "named",
    "queue",
    "reopen",
    "undo",
]
