"""The breaker of a rule that floods: beyond a limit its alerts stand in one group, and one message tells of it.

Counted per rule, source partition and hour of event time, in the order of the log, and kept with the partition's state: so a
replay of the log, a restart, or another cut into batches gives the same alerts in the same groups. With several
partitions a rule may raise the limit once in each of them; a correlation, once in each share of the signals that is folded. Alerts of a storm stay: stored, counted and explained like any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from soc.clock import from_iso, iso
from soc.model.alert import Alert, RuleRef
from soc.model.health import health_alert
from soc.model.ids import digest_id, group_id

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
KEY = "storm"
"""What the kept state is called: `<partition>\\x1fstorm\\x1f<rule>`."""
MOST_HOURS = 72
"""Hours remembered per rule and partition; the oldest go first, so a storm in older events is counted anew."""

RULE = RuleRef(
    "soc-alert-storm",
    "A rule raises a storm of alerts",
    "high",
    digest_id("soc-alert-storm", "1"),
    (),
    "health",
    "Bão cảnh báo: một quy tắc tạo quá nhiều cảnh báo",
)


class Breaker:
    """Marks the alerts beyond the limit. `kept_state(partition)` reads back what was kept."""

    def __init__(self, limit: int, kept_state: Callable[[str], Mapping[str, bytes]]) -> None:
        self._limit = limit
        self._kept_state = kept_state
        self._counts: dict[str, dict[str, dict[int, int]]] = {}
        self._changed: set[tuple[str, str]] = set()

    def forget(self, partitions: Iterable[str]) -> None:
        """Drop what is known of partitions that went elsewhere."""
        for partition in partitions:
            self._counts.pop(partition, None)

    def forget_all(self) -> None:
        """Drop everything: it is read back."""
        self._counts.clear()
        self._changed.clear()

    def count(self, partition: str, alert: Alert) -> Alert | None:
        """Count an alert, in the order of the log; mark it when it is beyond the limit, and then the message about it.

        There is one message a day and partition, and one group of them a rule, so one thing to tell.
        """
        if not self._limit or alert.rule.kind != "sigma":
            return None
        rule, ts = alert.rule.id, from_iso(alert.ts)
        hours = self._of(partition).setdefault(rule, {})
        hour = ts // HOUR_US
        hours[hour] = number = hours.get(hour, 0) + 1
        if len(hours) > MOST_HOURS:
            del hours[min(hours)]
        self._changed.add((partition, rule))
        if number <= self._limit:
            return None
        day = iso(ts // DAY_US * DAY_US)[:10]
        fold_into_storm(alert, day)
        return self._message(partition, alert, day) if number == self._limit + 1 else None

    def take_changes(self) -> dict[str, bytes]:
        """What to keep, for the partitions that changed since the last call."""
        changes = {f"{partition}\x1f{KEY}\x1f{rule}": msgspec.msgpack.encode(self._counts[partition][rule]) for partition, rule in sorted(self._changed)}
        self._changed.clear()
        return changes

    def _of(self, partition: str) -> dict[str, dict[int, int]]:
        known = self._counts.get(partition)
        if known is None:
            known = self._counts[partition] = {}
            for key, value in self._kept_state(partition).items():
                name, _, rule = key.partition("\x1f")
                if name == KEY:
                    known[rule] = msgspec.msgpack.decode(value, type=dict[int, int])
        return known

    def _message(self, partition: str, alert: Alert, day: str) -> Alert | None:
        if alert.shadow:
            return None
        return health_alert(
            RULE,
            occurrence=digest_id("storm", alert.rule.id, alert.scope, day, partition),
            key={"rule": alert.rule.id},
            explanation={
                "node": "storm",
                "matched": True,
                "field": alert.rule.title,
                "test": "more alerts in an hour than",
                "pattern": str(self._limit),
                "matched_value": str(self._limit + 1),
                "group": alert.group,
                "children": [],
            },
            at=alert.detected_at,
            since=alert.ts,
            source=alert.source,
            scope=alert.scope,
        )


def fold_into_storm(alert: Alert, day: str) -> None:
    """Put an alert into the storm group of its rule and day."""
    alert.storm = True
    alert.group_key = {"storm": day}
    alert.group = group_id(alert.rule.id, f"storm\x1f{day}", alert.namespace)
