"""The naive oracle on events: what the rules of a correlation match by definition, every window looked at anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from soc.clock import from_datetime
from soc.model.event import Doc
from soc.rules.collection import Collection
from soc.rules.correlate_naive import alert_key, alerts
from soc.rules.correlation import Correlation
from soc.rules.fields import ecs_fields, taxonomy
from soc.rules.match import matches
from soc.rules.signals import Extractor, Signal
from soc.rules.values import local_time

Episode = tuple[list[int], list[tuple[str, str]]]
"""The numbers of its events, from 1, and the fields and values of its group."""
DIGITS = 12
"""Of the number of an event as its id, so that ids are in order."""


def episodes(collection: Collection, rule: Correlation, docs: Sequence[Doc], until_us: int | None = None) -> list[Episode]:
    """The episodes of a correlation for events with `@timestamp`, in order. Cost: quadratic."""
    times = [None if (moment := local_time(doc.get("@timestamp"))) is None else from_datetime(moment) for doc in docs]
    usable = [ts for ts in times if ts is not None and (until_us is None or ts <= until_us)]
    if not usable:
        return []
    signals: list[Signal] = []
    for number, (doc, ts) in enumerate(zip(docs, times, strict=True), 1):
        if ts is None:
            continue
        matched = {one.id for one in collection.ruleset.rules if matches(one.condition, doc)}
        for correlation in collection.correlations:
            for place, member in enumerate(correlation.rules):
                if member in matched:
                    signals += Extractor(correlation, place, fields_of_member(collection, member)).signals(doc, ts, f"{number:0{DIGITS}}")
    found = alerts(collection.correlations, signals, until_us if until_us is not None else max(usable), {"real": min(usable)})
    by_key = {alert_key(one): one for one in found}

    def events_of(name: str) -> set[int]:
        return {number for _, inner, _ in by_key[name].members for number in events_of(inner)} if name in by_key else {int(name)}

    return sorted(
        (sorted({number for _, name, _ in one.members for number in events_of(name)}), sorted(zip(rule.group_by, one.shown, strict=False)))
        for one in found
        if one.rule == rule.id
    )


def fields_of_member(collection: Collection, member: str) -> Callable[[str], tuple[str, ...]]:
    """What the events of a rule call a field that a correlation names."""
    written = collection.written.get(member)
    if not collection.ruleset.ecs or written is None:
        return lambda field: (field,)
    return lambda field: tuple(ecs_fields(field, written.logsource, taxonomy())) or (field,)
