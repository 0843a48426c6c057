"""Alerts and dead letters on Elasticsearch.

Alerts are create-only. A group's count is the number of its member documents, each created once per occurrence
(`hash(group, natural key)`), so it is exact whatever was repeated; all else of a group is a fold of its alerts, made
when asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import orjson

from soc.adapters.elastic.base import Base
from soc.adapters.elastic.bulk import CREATED, EXISTS, UPDATED, Action, Outcome, create, send
from soc.adapters.elastic.client import Budget
from soc.adapters.elastic.queries import Clause
from soc.clock import from_datetime
from soc.errors import Conflict, Phrase, StoreRefused
from soc.model.alert import SHADOW_PREFIX, Alert, AlertGroup, namespace
from soc.model.deadletter import DeadLetter
from soc.model.ids import digest_id
from soc.model.level import ThreatLevel
from soc.ports import AlertQuery

_NEWEST = [{"us": "desc"}, {"id": "desc"}]
_WORST = [{"rank": "desc"}, *_NEWEST]
_MOST_AGENCIES = 1_000


class Alerts(Base):
    """The alerts' side of the store."""

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
            return known
        alerts = fresh
        for alert in alerts:
            actions += [
                create(self._names.control("alerts"), alert.id, _alert_body(alert)),
                create(self._names.control("members"), digest_id("member", alert.group, _occurrence(alert)), orjson.dumps({"group": alert.group})),
            ]
        outcomes = send(self._link, actions, budget=budget)
        _accept(outcomes)
        return known + [alert for alert, outcome in zip(alerts, outcomes[::2], strict=True) if outcome.status == CREATED]

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

    def alerts(self, query: AlertQuery) -> tuple[int, list[Alert]]:
        total, hits = self._page(self._names.control("alerts"), _filter(query), _NEWEST, query.offset, query.limit)
        return total, [_alert(hit) for hit in hits]

    def alert_groups(self, query: AlertQuery) -> tuple[int, list[AlertGroup]]:
        index = self._names.control("alerts")
        fits = _filter(query)
        bounded = query.since_us is not None or query.until_us is not None
        # A group fits when one of its alerts does, and is shown whole: its span is that of all its alerts. Only the times
        # and the source can differ between alerts of a group, so only they need the second look.
        whole = _filter(msgspec.structs.replace(query, since_us=None, until_us=None, source=""))
        aggs: dict[str, Any] = {"last": {"max": {"field": "us"}}}
        if bounded or query.source or query.levels:
            whole = _filter(AlertQuery(scope=query.scope, rule=query.rule, group=query.group, shadow=query.shadow))
            aggs["fitting"] = {"filter": fits}
        groups = [
            (bucket["last"]["value"], bucket["key"]["group"])
            for bucket in self._composite(index, whole, [{"group": {"terms": {"field": "group"}}}], aggs)
            if "fitting" not in bucket or bucket["fitting"]["doc_count"]
        ]
        groups.sort(reverse=True)
        return len(groups), self._fold([group for _, group in groups[query.offset : query.offset + query.limit]])

    def _fold(self, groups: Sequence[str]) -> list[AlertGroup]:
        """The groups of these ids, in this order."""
        out: list[AlertGroup] = []
        for begin in range(0, len(groups), 100):
            out += self._fold_some(groups[begin : begin + 100])
        return out

    def _fold_some(self, groups: Sequence[str]) -> list[AlertGroup]:
        if not groups:
            return []
        only: Clause = {"terms": {"group": list(groups)}}

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
            self._names.control("alerts"), {"size": 0, "query": only, "aggs": {"g": {"terms": {"field": "group", "size": len(groups)}, "aggs": aggs}}}
        )
        counts = {
            bucket["key"]["group"]: bucket["doc_count"]
            for bucket in self._composite(self._names.control("members"), only, [{"group": {"terms": {"field": "group"}}}])
        }
        folded = {bucket["key"]: _group(bucket, counts.get(bucket["key"], 0)) for bucket in answer.get("aggregations", {"g": {"buckets": []}})["g"]["buckets"]}
        return [folded[group] for group in groups if group in folded]

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
            return self._fold(groups)[0] if groups else None
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


def _filter(query: AlertQuery) -> Clause:
    filters: list[Clause] = [{"term": {name: value}} for name, value in (("rule", query.rule), ("group", query.group), ("source", query.source)) if value]
    if query.scope is not None:
        filters.append({"term": {"scope": namespace(query.scope, shadow=query.shadow)}})
    else:
        apart: Clause = {"prefix": {"scope": SHADOW_PREFIX}}
        filters.append(apart if query.shadow else {"bool": {"must_not": [apart]}})
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


def _group(bucket: dict[str, Any], count: int) -> AlertGroup:
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
        },
        AlertGroup,
    )


def letter_of(source: dict[str, Any]) -> DeadLetter:
    """The dead letter of a stored document."""
    return msgspec.convert({**source["letter"], "state": source["state"]}, DeadLetter)
