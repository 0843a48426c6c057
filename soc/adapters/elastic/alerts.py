"""Alerts and dead letters on Elasticsearch.

Alerts are create-only. A group's count is the number of its member documents, each created once per occurrence
(`hash(group, natural key)`), so it is exact whatever was repeated; all else of a group is a fold of its alerts, made
when asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import orjson

from soc.adapters.elastic.base import Base
from soc.adapters.elastic.bulk import CREATED, EXISTS, UPDATED, Action, Outcome, create, send
from soc.adapters.elastic.client import Budget
from soc.adapters.elastic.queries import Clause
from soc.clock import from_datetime, from_iso
from soc.errors import Conflict, Phrase, StoreRefused
from soc.model.alert import SHADOW_PREFIX, Alert, AlertGroup, namespace
from soc.model.deadletter import DeadLetter
from soc.model.ids import digest_id
from soc.model.level import ThreatLevel
from soc.model.retraction import FACT, Retraction, in_force, withdrawn
from soc.ports import AlertQuery

_NEWEST = [{"us": "desc"}, {"id": "desc"}]
_WORST = [{"rank": "desc"}, *_NEWEST]
_MOST_AGENCIES = 1_000
_KNOWN_S = 2.0
_EVERY = 1_000_000_000
_TRIES = 5


class Alerts(Base):
    """The alerts' side of the store."""

    _withdrawals: tuple[Retraction, ...] = ()
    _withdrawals_until = float("-inf")

    def _put_alerts(self, alerts: Sequence[Alert], budget: Budget) -> list[Alert]:
        """Write alerts and members; returns the alerts that were not known.

        A further state of an alert takes the place of the one that stands if its revision is higher; each is kept.
        """
        if not alerts:
            return []
        actions: list[Action] = []
        fresh = [alert for alert in alerts if not alert.revision]
        grown = [alert for alert in alerts if alert.revision]
        known = self._grow(grown, budget) if grown else []
        if not fresh:
            return self._counting(known)
        alerts = fresh
        for alert in alerts:
            actions += [
                create(self._names.control("alerts"), alert.id, _alert_body(alert)),
                create(self._names.control("members"), digest_id("member", alert.group, _occurrence(alert)), orjson.dumps({"group": alert.group})),
            ]
        outcomes = send(self._link, actions, budget=budget)
        _accept(outcomes)
        return self._counting(known + [alert for alert, outcome in zip(alerts, outcomes[::2], strict=True) if outcome.status == CREATED])

    def _grow(self, alerts: Sequence[Alert], budget: Budget) -> list[Alert]:
        """Write states of alerts that grow: the state by itself first, then as the present one unless a higher one stands."""
        actions: list[Action] = []
        for alert in alerts:
            body = _alert_body(alert)
            head = {"index": {"_index": self._names.control("alerts"), "_id": alert.id, "version": alert.revision + 1, "version_type": "external"}}
            state = orjson.dumps({"id": alert.id, "revision": alert.revision, "alert": orjson.Fragment(msgspec.json.encode(alert))})
            actions += [
                create(self._names.control("revisions"), digest_id("revision", alert.id, str(alert.revision)), state),
                Action(orjson.dumps(head), body),
                create(self._names.control("members"), digest_id("member", alert.group, _occurrence(alert)), orjson.dumps({"group": alert.group})),
            ]
        outcomes = send(self._link, actions, budget=budget)
        _accept(outcomes)
        return [alert for alert, outcome in zip(alerts, outcomes[1::3], strict=True) if outcome.status == CREATED]

    def attribute(self, agencies: Mapping[str, str]) -> None:
        self._writable()
        index = self._names.control("alerts")
        todo = dict(agencies)
        for _ in range(_TRIES):
            actions, ids = [], []
            for hit in self._mget([(index, identity) for identity in todo]):
                if not hit.get("found") or (alert := _alert(hit)).agency == todo[alert.id]:
                    continue
                # The version stays that of its revision, so that the next one still takes its place (see `_grow`).
                head = {"index": {"_index": index, "_id": alert.id, "version": alert.revision + 1, "version_type": "external_gte"}}
                actions.append(Action(orjson.dumps(head), _alert_body(msgspec.structs.replace(alert, agency=todo[alert.id]))))
                ids.append(alert.id)
            outcomes = send(self._link, actions) if actions else []
            _accept(outcomes)
            todo = {identity: todo[identity] for identity, outcome in zip(ids, outcomes, strict=True) if outcome.status == EXISTS}
            if not todo:
                return
        raise Conflict("these alerts are changed by somebody else all the time", hint="try again")

    def group_ends(self, query: AlertQuery) -> dict[str, tuple[str, int]]:
        _, groups = self.alert_groups(msgspec.structs.replace(query, limit=_EVERY, offset=0))
        return {group.id: (group.last_at, group.count) for group in groups}

    def alerts(self, query: AlertQuery) -> tuple[int, list[Alert]]:
        total, hits = self._page(self._names.control("alerts"), _filter(query, self._retractions()), _NEWEST, query.offset, query.limit)
        return total, [_alert(hit) for hit in hits]

    # retractions: facts that are applied when alerts are asked for -------------------------------------------------

    def facts(self, kind: str) -> list[dict[str, Any]]:
        """Implemented by the writing side."""
        raise NotImplementedError

    def _retractions(self) -> tuple[Retraction, ...]:
        return in_force(self.facts(FACT))

    def _counting(self, alerts: list[Alert]) -> list[Alert]:
        """The alerts that nothing withdrew before they came. What was recorded in the last seconds may be missed: only messages depend on it."""
        if not alerts:
            return alerts
        now = self._clock.monotonic()
        if now >= self._withdrawals_until:
            self._withdrawals, self._withdrawals_until = self._retractions(), now + _KNOWN_S
        return [alert for alert in alerts if not withdrawn(self._withdrawals, alert.rule.id, from_iso(alert.ts))]

    def alert_groups(self, query: AlertQuery) -> tuple[int, list[AlertGroup]]:
        index = self._names.control("alerts")
        retractions = self._retractions()
        fits = _filter(query, retractions)
        bounded = query.since_us is not None or query.until_us is not None
        # A group fits when one of its alerts does, and is shown whole: its span is that of all its alerts. Only the times
        # and the source can differ between alerts of a group, so only they need the second look.
        whole = _filter(msgspec.structs.replace(query, since_us=None, until_us=None, source=""), retractions)
        aggs: dict[str, Any] = {"last": {"max": {"field": "us"}}}
        if bounded or query.source or query.levels:
            whole = _filter(AlertQuery(scope=query.scope, rule=query.rule, group=query.group, shadow=query.shadow, retracted=query.retracted), retractions)
            aggs["fitting"] = {"filter": fits}
        groups = [
            (bucket["last"]["value"], bucket["key"]["group"])
            for bucket in self._composite(index, whole, [{"group": {"terms": {"field": "group"}}}], aggs)
            if ("fitting" not in bucket or bucket["fitting"]["doc_count"])
            and (query.ids is None or bucket["key"]["group"] in query.ids)
            and bucket["key"]["group"] not in query.without
        ]
        groups.sort(reverse=True)
        return len(groups), self._fold([group for _, group in groups[query.offset : query.offset + query.limit]], retractions, retracted=query.retracted)

    def _fold(self, groups: Sequence[str], retractions: Sequence[Retraction], *, retracted: bool) -> list[AlertGroup]:
        """The groups of these ids, in this order."""
        out: list[AlertGroup] = []
        for begin in range(0, len(groups), 100):
            out += self._fold_some(groups[begin : begin + 100], retractions, retracted=retracted)
        return out

    def _fold_some(self, groups: Sequence[str], retractions: Sequence[Retraction], *, retracted: bool) -> list[AlertGroup]:
        if not groups:
            return []
        only: Clause = {"terms": {"group": list(groups)}}
        kept: Clause = {"bool": {"filter": [only, _aside(retractions, retracted=retracted)]}}

        def top(order: Sequence[Any]) -> dict[str, Any]:
            source = [
                "alert.id",
                "alert.group",
                "alert.rule",
                "alert.group_key",
                "alert.scope",
                "alert.ts",
                "alert.threat_level",
                "alert.threat_category",
                "alert.shadow",
            ]
            return {"top_hits": {"size": 1, "sort": list(order), "_source": source}}

        aggs = {
            "newest": top(_NEWEST),
            "oldest": top([{"us": "asc"}, {"id": "asc"}]),
            "worst": top(_WORST),
            "agencies": {"terms": {"field": "agency", "size": _MOST_AGENCIES}},
        }
        answer = self._search(
            self._names.control("alerts"), {"size": 0, "query": kept, "aggs": {"g": {"terms": {"field": "group", "size": len(groups)}, "aggs": aggs}}}
        )
        counts = {
            bucket["key"]["group"]: bucket["doc_count"]
            for bucket in self._composite(self._names.control("members"), only, [{"group": {"terms": {"field": "group"}}}])
        }
        if retractions:
            counts |= self._count_kept(kept, {one.rule for one in retractions})
        buckets = answer.get("aggregations", {"g": {"buckets": []}})["g"]["buckets"]
        folded = {bucket["key"]: _group(bucket, counts.get(bucket["key"], 0), retracted=retracted) for bucket in buckets}
        return [folded[group] for group in groups if group in folded]

    def _count_kept(self, kept: Clause, rules: set[str]) -> dict[str, int]:
        """The occurrences of groups of rules that have retractions: their members hold also what was withdrawn, so the alerts are read."""
        occurrences: dict[str, set[str]] = {}
        query: Clause = {"bool": {"filter": [kept, {"terms": {"rule": sorted(rules)}}]}}
        for hit in self._scan(self._names.control("alerts"), query, source=["alert.group", "alert.id", "alert.natural_key", "alert.events"]):
            alert = hit["_source"]["alert"]
            events = alert.get("events") or [alert["id"]]
            occurrences.setdefault(alert["group"], set()).add(alert.get("natural_key") or events[0])
        return {group: len(found) for group, found in occurrences.items()}

    def get_alert(self, prefix: str) -> Alert | AlertGroup | None:
        if prefix.startswith("a-"):
            hits = self._search(self._names.control("alerts"), {"query": {"prefix": {"id": prefix}}, "size": 2})["hits"]["hits"]
            _one("alert", prefix, len(hits))
            return _alert(hits[0]) if hits else None
        if prefix.startswith("g-"):
            found = self._search(
                self._names.control("alerts"), {"size": 0, "query": {"prefix": {"group": prefix}}, "aggs": {"g": {"terms": {"field": "group", "size": 2}}}}
            )
            groups = [bucket["key"] for bucket in found.get("aggregations", {"g": {"buckets": []}})["g"]["buckets"]]
            _one("group", prefix, len(groups))
            retractions = self._retractions()
            for retracted in (False, True) if groups else ():
                whole = self._fold(groups, retractions, retracted=retracted)
                if whole:
                    return whole[0]
        return None

    # dead letters ----------------------------------------------------------------------------------------------

    def dead_letters(self, *, state: str = "open", source: str = "", limit: int = 100, offset: int = 0) -> tuple[int, list[DeadLetter]]:
        filters: list[Clause] = [{"term": {name: value}} for name, value in (("state", state), ("source", source)) if value]
        total, hits = self._page(self._names.control("deadletters"), {"bool": {"filter": filters}}, [{"received_us": "asc"}, {"id": "asc"}], offset, limit)
        return total, [letter_of(hit["_source"]) for hit in hits]

    def get_dead_letter(self, prefix: str) -> DeadLetter | None:
        hits = self._search(self._names.control("deadletters"), {"query": {"prefix": {"id": prefix}}, "size": 2})["hits"]["hits"]
        _one("dead letter", prefix, len(hits))
        return letter_of(hits[0]["_source"]) if hits else None


def _accept(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.status not in {CREATED, EXISTS, UPDATED}:
            raise StoreRefused(
                Phrase("Elasticsearch refused an alert ({status}): {kind}: {reason}", status=outcome.status, kind=outcome.kind, reason=outcome.reason),
                hint="the mappings of the alert indices were changed; `soc store migrate`",
            )


def _one(what: str, prefix: str, found: int) -> None:
    if found > 1:
        raise Conflict(Phrase("several {what}s have ids that begin with {prefix!r}", what=what, prefix=prefix), hint="give more characters of the id")


def _aside(retractions: Sequence[Retraction], *, retracted: bool) -> Clause:
    """The alerts that were withdrawn, or those that were not."""
    withdrawals: list[Clause] = [
        {"bool": {"filter": [{"term": {"rule": one.rule}}, {"range": {"us": {"gte": one.from_us, "lt": one.until_us}}}]}} for one in retractions
    ]
    if not retracted:
        return {"bool": {"must_not": withdrawals}}
    return {"bool": {"should": withdrawals, "minimum_should_match": 1}} if withdrawals else {"match_none": {}}


def _filter(query: AlertQuery, retractions: Sequence[Retraction]) -> Clause:
    filters: list[Clause] = [{"term": {name: value}} for name, value in (("rule", query.rule), ("group", query.group), ("source", query.source)) if value]
    if query.scope is not None:
        filters.append({"term": {"scope": namespace(query.scope, shadow=query.shadow)}})
    else:
        apart: Clause = {"prefix": {"scope": SHADOW_PREFIX}}
        filters.append(apart if query.shadow else {"bool": {"must_not": [apart]}})
    filters.append(_aside(retractions, retracted=query.retracted))
    if query.levels:
        filters.append({"terms": {"rule_level": list(query.levels)}})
    bounds = {name: value for name, value in (("gte", query.since_us), ("lt", query.until_us)) if value is not None}
    if bounds:
        filters.append({"range": {"us": bounds}})
    return {"bool": {"filter": filters}}


def _occurrence(alert: Alert) -> str:
    """What a group counts once."""
    return alert.natural_key or (alert.events[0] if alert.events else alert.id)


def _alert_body(alert: Alert) -> bytes:
    return orjson.dumps(
        {
            "id": alert.id,
            "group": alert.group,
            "rule": alert.rule.id,
            "rule_level": alert.rule.level,
            "scope": alert.namespace,
            "source": alert.source,
            "threat_level": alert.threat_level,
            "agency": alert.agency or None,
            "rank": ThreatLevel(alert.threat_level).rank,
            "us": from_datetime(datetime.fromisoformat(alert.ts)),
            "alert": orjson.Fragment(msgspec.json.encode(alert)),
        }
    )


def _alert(hit: dict[str, Any]) -> Alert:
    return msgspec.convert(hit["_source"]["alert"], Alert)


def _group(bucket: dict[str, Any], count: int, *, retracted: bool) -> AlertGroup:
    newest, oldest, worst = (bucket[name]["hits"]["hits"][0]["_source"]["alert"] for name in ("newest", "oldest", "worst"))
    return msgspec.convert(
        {
            "id": newest["group"],
            "rule": newest["rule"],
            "key": newest["group_key"],
            "scope": newest["scope"],
            "count": count,
            "first_at": oldest["ts"],
            "last_at": newest["ts"],
            "last_alert": newest["id"],
            "threat_level": worst["threat_level"],
            "threat_category": worst["threat_category"],
            "agencies": sorted(one["key"] for one in bucket["agencies"]["buckets"]),
            "shadow": newest.get("shadow", False),
            "retracted": retracted,
        },
        AlertGroup,
    )


def letter_of(source: dict[str, Any]) -> DeadLetter:
    """The dead letter of a stored document."""
    return msgspec.convert({**source["letter"], "state": source["state"]}, DeadLetter)
