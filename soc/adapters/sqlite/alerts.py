"""Alerts and their groups in `control.db`: create-only, folded into groups in the same transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import zstandard

from soc.adapters.sqlite.control import Control
from soc.adapters.sqlite.database import insert_many
from soc.clock import from_iso
from soc.model.alert import RETRACTED_PREFIX, SHADOW_PREFIX, Alert, AlertGroup, RuleRef, namespace
from soc.model.level import ThreatLevel
from soc.model.retraction import FACT, retraction_of
from soc.ports import AlertQuery, GroupEnd

_ASIDE = "~"
"""Begins the group of withdrawn alerts, which is kept like any other beside the one of those that count."""


class _Kept(msgspec.Struct):
    """A group with what its next alert must be compared with: times and ids of the first, newest and worst alert.

    `held`: how many alerts each agency has in it ("" = none); None = an earlier version did not count them.
    """

    group: AlertGroup
    first: tuple[int, str]
    newest: tuple[int, str]
    worst: tuple[int, int, str]
    held: dict[str, int] | None = None


class _End(msgspec.Struct, gc=False):
    """What of a group changes with its alerts: a fifth of the cost of reading all of it."""

    id: str
    last_at: str
    count: int


class _KeptEnd(msgspec.Struct, gc=False):
    group: _End


class _Whose(msgspec.Struct, gc=False):
    agency: str = ""


class _Before(msgspec.Struct):
    """What of an alert its next state is compared with: not its events, of which a wave has ten thousand."""

    rule: RuleRef
    threat_level: str = "none"
    threat_category: str = ""
    agency: str = ""
    revision: int = 0


_Placed = tuple[Alert, int, bool]
"""An alert, its time in microseconds, and whether it is withdrawn."""
_MOST_AT_ONCE = 1_000


class Alerts:
    """The alerts of a store."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def put(self, alerts: Sequence[Alert]) -> list[Alert]:
        """Add alerts, or further states of them, inside the caller's transaction; those that are new, and were not withdrawn before they came.

        Cost: as many statements for many as for one; each may have to wait for the interpreter.
        """
        if not alerts:
            return []
        db = self._control.db
        known = {name for (name,) in db.execute("SELECT id FROM alert WHERE id IN (SELECT value FROM json_each(?))", _listed({alert.id for alert in alerts}))}
        of_rules = "SELECT rule, from_us, until_us FROM retraction WHERE rule IN (SELECT value FROM json_each(?))"
        withdrawn = db.execute(of_rules, _listed({alert.rule.id for alert in alerts})).fetchall()
        new: list[_Placed] = []
        grown: list[_Placed] = []
        for alert in alerts:
            ts_us = from_iso(alert.ts)
            aside = any(rule == alert.rule.id and from_us <= ts_us < until_us for rule, from_us, until_us in withdrawn)
            if alert.id not in known:
                known.add(alert.id)
                new.append((alert, ts_us, aside))
            elif alert.revision:
                grown.append((alert, ts_us, aside))
        rows = [
            (alert.id, _group_of(alert, aside), alert.rule.id, alert.rule.level, _namespace_of(alert, aside), alert.source, ts_us, _body(alert))
            for alert, ts_us, aside in new
        ]
        insert_many(db, "INSERT INTO alert", rows)
        self._put_groups(new)
        for alert, ts_us, aside in grown:
            self._grow(alert, ts_us, _body(alert), aside=aside)
        return [alert for alert, _, aside in new if not aside]

    def _grow(self, alert: Alert, ts_us: int, body: bytes, *, aside: bool) -> None:
        """Put a higher revision in the place of the state that stands; that one is kept."""
        db = self._control.db
        before_us, before_group, before_body = db.execute("SELECT ts_us, grp, body FROM alert WHERE id = ?", (alert.id,)).fetchone()
        before = msgspec.msgpack.decode(zstandard.decompress(before_body), type=_Before)
        if before.revision >= alert.revision:
            return
        db.execute("INSERT OR IGNORE INTO revision VALUES (?, ?, ?)", (alert.id, before.revision, before_body))
        group = _group_of(alert, aside)
        db.execute(
            "UPDATE alert SET grp = ?, rule = ?, level = ?, scope = ?, ts_us = ?, body = ? WHERE id = ?",
            (group, alert.rule.id, alert.rule.level, _namespace_of(alert, aside), ts_us, body, alert.id),
        )
        if (before_us, before_group, before.rule, before.threat_level, before.threat_category, before.agency) != (
            ts_us,
            group,
            alert.rule,
            alert.threat_level,
            alert.threat_category,
            alert.agency,
        ):  # what the group shows may have been this alert's: fold it anew
            for key in {before_group, group}:
                self._fold_again(key)

    def in_groups(self, ids: Iterable[str]) -> list[str]:
        """Those of the ids that there are, those of one group together."""
        found = self._control.rows("SELECT grp, id FROM alert WHERE id IN (SELECT value FROM json_each(?))", _listed(ids))
        return [identity for _, identity in sorted(found)]

    def attribute(self, agencies: Mapping[str, str]) -> None:
        """Say whose alerts are, inside the caller's transaction; their groups show the agencies of all their alerts, as they stand then.

        Cost: of a group only what the ids say of it, unless an earlier version made it and nothing was attributed in it since.
        """
        db = self._control.db
        turns: dict[str, Counter[str]] = {}
        for identity, agency in sorted(agencies.items()):
            found = db.execute("SELECT grp, body FROM alert WHERE id = ?", (identity,)).fetchone()
            if found is None or (alert := _alert(found[1])).agency == agency:
                continue
            db.execute("UPDATE alert SET body = ? WHERE id = ?", (_body(msgspec.structs.replace(alert, agency=agency)), identity))
            turn = turns.setdefault(found[0], Counter())
            turn[alert.agency] -= 1
            turn[agency] += 1
        for key, turn in sorted(turns.items()):
            self._turn(key, turn)

    def _turn(self, key: str, turn: Mapping[str, int]) -> None:
        """Let a group show the agencies of its alerts, of which some went from one to another."""
        db = self._control.db
        rule, scope, last_us, body = db.execute("SELECT rule, scope, last_us, body FROM grp WHERE id = ?", (key,)).fetchone()
        kept = msgspec.msgpack.decode(body, type=_Kept)
        if kept.held is None:
            whose = msgspec.msgpack.Decoder(_Whose).decode
            bodies = db.execute("SELECT body FROM alert WHERE grp = ?", (key,))
            kept.held = dict(Counter(whose(zstandard.decompress(one)).agency for (one,) in bodies))
        else:
            kept.held = {agency: held for agency in {**kept.held, **turn} if (held := kept.held.get(agency, 0) + turn.get(agency, 0))}
        kept.group.agencies = sorted(agency for agency in kept.held if agency)
        db.execute("INSERT OR REPLACE INTO grp VALUES (?, ?, ?, ?, ?)", (key, rule, scope, last_us, msgspec.msgpack.encode(kept)))

    def _fold_again(self, key: str) -> None:
        """Make a group anew of the alerts that are in it."""
        db = self._control.db
        db.execute("DELETE FROM grp WHERE id = ?", (key,))
        db.execute("DELETE FROM grp_part WHERE grp = ?", (key,))
        db.execute("DELETE FROM member WHERE grp = ?", (key,))
        aside = key.startswith(_ASIDE)
        found = db.execute("SELECT ts_us, body FROM alert WHERE grp = ? ORDER BY rowid", (key,)).fetchall()
        for begin in range(0, len(found), _MOST_AT_ONCE):
            self._put_groups([(_alert(one), at, aside) for at, one in found[begin : begin + _MOST_AT_ONCE]])

    def retract(self, fact: Mapping[str, Any]) -> None:
        """Record a retraction or its undoing inside the caller's transaction, and put the alerts concerned aside or back."""
        db = self._control.db
        self._control.put_fact(FACT, fact)
        if "undoes" in fact:
            found = db.execute("DELETE FROM retraction WHERE id = ? RETURNING rule, from_us, until_us", (str(fact["undoes"]),)).fetchone()
            if found is None:
                return
            rule, from_us, until_us = found
        else:
            one = retraction_of(fact)
            rule, from_us, until_us = one.rule, one.from_us, one.until_us
            db.execute("INSERT OR IGNORE INTO retraction VALUES (?, ?, ?, ?)", (one.id, rule, from_us, until_us))
        changed: set[str] = set()
        rows = db.execute("SELECT id, grp, scope, ts_us FROM alert WHERE rule = ? AND ts_us >= ? AND ts_us < ?", (rule, from_us, until_us)).fetchall()
        for identity, key, scope, ts_us in rows:
            aside = self._is_withdrawn(rule, ts_us)
            if aside == key.startswith(_ASIDE):
                continue
            to, place = (_ASIDE + key, RETRACTED_PREFIX + scope) if aside else (key.removeprefix(_ASIDE), scope.removeprefix(RETRACTED_PREFIX))
            db.execute("UPDATE alert SET grp = ?, scope = ? WHERE id = ?", (to, place, identity))
            changed |= {key, to}
        for key in sorted(changed):
            self._fold_again(key)

    def _is_withdrawn(self, rule: str, ts_us: int) -> bool:
        found = self._control.db.execute("SELECT 1 FROM retraction WHERE rule = ? AND from_us <= ? AND until_us > ? LIMIT 1", (rule, ts_us, ts_us))
        return found.fetchone() is not None

    def _put_groups(self, alerts: Sequence[_Placed]) -> None:
        """Add alerts to their groups."""
        db = self._control.db
        keys = [_group_of(alert, aside) for alert, _, aside in alerts]
        members = [(key, alert.natural_key or (alert.events[0] if alert.events else alert.id)) for key, (alert, _, _) in zip(keys, alerts, strict=True)]
        here = "SELECT grp, occurrence FROM json_each(?) CROSS JOIN member ON grp = json_extract(value, '$[0]') AND occurrence = json_extract(value, '$[1]')"
        known: set[tuple[str, str]] = set(db.execute(here, _listed(members)))
        groups: dict[str, _Kept] = {}
        for key, body in db.execute("SELECT id, body FROM grp WHERE id IN (SELECT value FROM json_each(?))", _listed(set(keys))):
            groups[key] = msgspec.msgpack.decode(body, type=_Kept)
        namespaces: dict[str, str] = {}
        for key, member, (alert, ts_us, aside) in zip(keys, members, alerts, strict=True):
            kept = groups[key] = _fold(groups.get(key), alert, ts_us, int(member not in known))
            kept.group.retracted = aside
            namespaces[key] = _namespace_of(alert, aside)
            known.add(member)
        insert_many(db, "INSERT OR IGNORE INTO member", members)
        insert_many(
            db,
            "INSERT INTO grp_part",
            [(key, alert.rule.level, alert.source, ts_us, ts_us) for key, (alert, ts_us, _) in zip(keys, alerts, strict=True)],
            "ON CONFLICT DO UPDATE SET first_us = min(first_us, excluded.first_us), last_us = max(last_us, excluded.last_us)",
        )
        insert_many(
            db,
            "INSERT OR REPLACE INTO grp",
            [(key, groups[key].group.rule.id, namespace, groups[key].newest[0], msgspec.msgpack.encode(groups[key])) for key, namespace in namespaces.items()],
        )

    def page(self, query: AlertQuery) -> tuple[int, list[Alert]]:
        """Total and one page, newest first."""
        where, values = _where(query)
        total = self._control.rows(f"SELECT count(*) FROM alert WHERE {where}", values)[0][0]
        found = self._control.rows(
            f"SELECT body FROM alert WHERE id IN (SELECT id FROM alert WHERE {where} ORDER BY ts_us DESC, id DESC LIMIT ? OFFSET ?) ORDER BY ts_us DESC, id DESC",
            (*values, query.limit, query.offset),
        )
        return total, [_alert(body) for (body,) in found]

    def groups(self, query: AlertQuery) -> tuple[int, list[AlertGroup]]:
        """Total and one page of groups that have a fitting alert, newest last alert first."""
        where, values = _where_group(query)
        total = self._control.rows(f"SELECT count(*) FROM grp WHERE {where}", values)[0][0]
        found = self._control.rows(f"SELECT body FROM grp WHERE {where} ORDER BY last_us DESC, id DESC LIMIT ? OFFSET ?", (*values, query.limit, query.offset))
        return total, [msgspec.msgpack.decode(body, type=_Kept).group for (body,) in found]

    def ends(self, query: AlertQuery) -> dict[str, tuple[str, int]]:
        """By id the time of the newest alert and the count of all groups that have a fitting alert."""
        where, values = _where_group(query)
        decode = msgspec.msgpack.Decoder(_KeptEnd).decode
        found = (decode(body).group for (body,) in self._control.rows(f"SELECT body FROM grp WHERE {where}", values))
        return {group.id: (group.last_at, group.count) for group in found}

    def changes(self, after: int) -> tuple[int, list[str]]:
        """See `TellingStore.group_changes`."""
        if not self._control.rows("SELECT 1 FROM sqlite_schema WHERE name = 'grp_change'"):  # of an earlier version, and read only
            return 0, [identity for (identity,) in self._control.rows("SELECT id FROM grp")]
        last = self._control.rows("SELECT max(no) FROM grp_change")[0][0] or 0
        if last == after:
            return last, []
        return last, [
            identity for (identity,) in self._control.rows("SELECT id FROM grp_change WHERE no > ? AND no <= ?", (after if after < last else 0, last))
        ]

    def ends_of(self, ids: Sequence[str] | None) -> Iterator[GroupEnd]:
        """See `TellingStore.ends_of`."""
        decode = msgspec.msgpack.Decoder(_KeptEnd).decode
        where, values = ("1", ()) if ids is None else ("id IN (SELECT value FROM json_each(?))", _listed(ids))
        for identity, scope, last_us, body in self._control.rows(f"SELECT id, scope, last_us, body FROM grp WHERE {where}", values):
            if not identity.startswith(_ASIDE) and not scope.startswith((SHADOW_PREFIX, RETRACTED_PREFIX)):
                end = decode(body).group
                yield GroupEnd(identity, scope, last_us, end.last_at, end.count)

    def get(self, prefix: str) -> Alert | AlertGroup | None:
        """The alert or group of an id or unique prefix.

        Raises: Conflict.
        """
        if prefix.startswith("g-"):
            body = self._control.by_prefix("grp", prefix) or self._control.by_prefix("grp", _ASIDE + prefix)
            return msgspec.msgpack.decode(body, type=_Kept).group if body is not None else None
        body = self._control.by_prefix("alert", prefix) if prefix.startswith("a-") else None
        return _alert(body) if body is not None else None


def _listed(values: Iterable[object]) -> tuple[str]:
    """The parameter for `json_each(?)`."""
    return (msgspec.json.encode(list(values)).decode(),)


def _body(alert: Alert) -> bytes:
    return zstandard.compress(msgspec.msgpack.encode(alert), 1)


def _alert(body: bytes) -> Alert:
    return msgspec.msgpack.decode(zstandard.decompress(body), type=Alert)


def _fold(kept: _Kept | None, alert: Alert, ts_us: int, new: int) -> _Kept:
    """The group with one more alert; the order in which alerts come makes no difference."""
    at, worst = (ts_us, alert.id), (ThreatLevel(alert.threat_level).rank, ts_us, alert.id)
    if kept is None:
        group = AlertGroup(
            alert.group,
            alert.rule,
            dict(alert.group_key),
            alert.scope,
            new,
            alert.ts,
            alert.ts,
            alert.id,
            alert.threat_level,
            alert.threat_category,
            [alert.agency] if alert.agency else [],
            shadow=alert.shadow,
        )
        return _Kept(group, at, at, worst, {alert.agency: 1})
    group = kept.group
    if kept.held is not None:
        kept.held[alert.agency] = kept.held.get(alert.agency, 0) + 1
    group.count += new
    if at < kept.first:
        kept.first, group.first_at = at, alert.ts
    if at > kept.newest:
        kept.newest, group.last_at, group.last_alert, group.rule, group.key = at, alert.ts, alert.id, alert.rule, dict(alert.group_key)
    if worst > kept.worst:
        kept.worst, group.threat_level, group.threat_category = worst, alert.threat_level, alert.threat_category
    if alert.agency and alert.agency not in group.agencies:
        group.agencies = sorted([*group.agencies, alert.agency])
    return kept


def _where_kept(query: AlertQuery) -> tuple[list[str], list[Any]]:
    """The condition on the column `scope`, which keeps shadows and withdrawn alerts apart."""
    if query.scope is not None:
        return ["scope = ?"], [namespace(query.scope, shadow=query.shadow, retracted=query.retracted)]
    begin = namespace("", shadow=query.shadow, retracted=query.retracted)
    parts, values = (["scope GLOB ?"], [begin + "*"]) if begin else ([], [])
    for other in (SHADOW_PREFIX, RETRACTED_PREFIX):  # what lies apart within that
        if not query.shadow or other != SHADOW_PREFIX:
            parts.append("scope NOT GLOB ?")
            values.append(begin + other + "*")
    return parts, values


def _group_of(alert: Alert, aside: bool) -> str:
    return (_ASIDE if aside else "") + alert.group


def _namespace_of(alert: Alert, aside: bool) -> str:
    return namespace(alert.scope, shadow=alert.shadow, retracted=aside)


def _group_key(query: AlertQuery) -> str | None:
    return (_ASIDE if query.retracted else "") + query.group if query.group else None


def _where(query: AlertQuery) -> tuple[str, list[Any]]:
    """The condition on the table `alert`, and its values."""
    parts, values = _where_kept(query)
    if query.group:  # `+`: of two indexes the one by group is always the right one, whatever the order asked for
        parts = ["+" + part for part in parts]
    for column, value in (("rule", query.rule or None), ("grp", _group_key(query)), ("source", query.source or None)):
        if value is not None:
            parts.append(f"{column} = ?")
            values.append(value)
    if query.levels:
        parts.append(f"level IN ({','.join('?' * len(query.levels))})")
        values += query.levels
    if query.since_us is not None:
        parts.append("ts_us >= ?")
        values.append(query.since_us)
    if query.until_us is not None:
        parts.append("ts_us < ?")
        values.append(query.until_us)
    return " AND ".join(parts), values


def _where_group(query: AlertQuery) -> tuple[str, list[Any]]:
    """The condition on the table `grp`: that one of its alerts fits. Only both bounds of time together need the alerts themselves."""
    parts, values = _where_kept(query)
    for column, value in (("rule", query.rule or None), ("id", _group_key(query))):
        if value is not None:
            parts.append(f"{column} = ?")
            values.append(value)
    aside = _ASIDE if query.retracted else ""
    for condition, ids in (("IN", query.ids), ("NOT IN", query.without or None)):
        if ids is not None:
            parts.append(f"id {condition} (SELECT value FROM json_each(?))")
            values += _listed(aside + one for one in ids)
    table, since, until = "grp_part", "last_us", "first_us"
    if query.since_us is not None and query.until_us is not None:
        table, since, until = "alert", "ts_us", "ts_us"
    elif query.since_us is not None and not (query.levels or query.source):  # its newest alert says it
        return " AND ".join([*parts, "last_us >= ?"]), [*values, query.since_us]
    inner = [f"{table}.grp = grp.id"]
    if query.levels:
        inner.append(f"level IN ({','.join('?' * len(query.levels))})")
        values += query.levels
    for condition, bound in (("source = ?", query.source or None), (f"{since} >= ?", query.since_us), (f"{until} < ?", query.until_us)):
        if bound is not None:
            inner.append(condition)
            values.append(bound)
    if len(inner) > 1:
        parts.append(f"EXISTS (SELECT 1 FROM {table} WHERE {' AND '.join(inner)})")
    return " AND ".join(parts), values
