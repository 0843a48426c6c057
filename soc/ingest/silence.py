"""Silence is an event: notices that a source says nothing although it should (contract 8).

The expected rhythm is set per source, or learned: per hour of the week (UTC) the longest pause between two records,
faded by time, so that a quiet Sunday night is no alarm and a silent Monday morning is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from soc.clock import iso
from soc.model.alert import RuleRef
from soc.model.health import health_alert
from soc.model.ids import digest_id
from soc.ports import Effects, Gap

HOUR_US = 3_600_000_000
WEEK_HOURS = 168
SLACK = 3.0
"""A pause this many times longer than the longest known one counts as silence."""
SHORTEST_S = 300.0
"""Nobody is woken for less than five minutes unless the operator set a shorter rhythm."""
UNKNOWN_S = 21_600.0
"""Expected pause while nothing has been learned for an hour of the week: six hours."""
_FADE = 0.9

SILENT_RULE = RuleRef("soc-source-silent", "Source has gone silent", "high", digest_id("soc-source-silent", "1"), (), "health", "Nguồn đã im lặng")


class Titled(Protocol):
    """A rule as silence names it."""

    @property
    def title(self) -> str:
        """Its title in English."""

    @property
    def title_vi(self) -> str:
        """Its title in Vietnamese ("" = it has none)."""


class _Known(msgspec.Struct):
    """What is remembered of one source: state across restarts."""

    last_us: int = 0
    silent_since_us: int = 0
    """Last record before the silence that is being reported (0 = not silent)."""
    behind_us: int = 0
    """When a backlog of it was last seen: until that is read, nobody can say that it is silent."""
    pauses_s: list[float] = []
    """Longest pause per hour of the week; 0 = unknown."""


class SilenceWatch:
    """Knows when each source last spoke, and says when it should have.

    `expected` maps source to the set rhythm in seconds (0 = learn it).
    """

    def __init__(self, expected: Mapping[str, tuple[float, str, str]], kept: Mapping[str, bytes] = {}) -> None:
        self._expected = dict(expected)
        self._known = {source: _decode(kept.get(source)) for source in expected}
        self._dirty: set[str] = set()

    def heard(self, source: str, received_us: int) -> Gap | None:
        """A record came; the gap that it ends, if any."""
        known = self._known.get(source)
        if known is None or received_us <= known.last_us:
            return None
        if known.last_us:
            hour = known.last_us // HOUR_US % WEEK_HOURS
            known.pauses_s[hour] = max(
                known.pauses_s[hour] * _FADE if received_us // HOUR_US != known.last_us // HOUR_US else known.pauses_s[hour],
                (received_us - known.last_us) / 1e6,
            )
        ended = None
        if known.silent_since_us:
            _, scope, _ = self._expected[source]
            ended = Gap(source, scope, known.silent_since_us, received_us, "silent", self.expected_s(source, known.silent_since_us))
            known.silent_since_us = 0
        known.last_us = received_us
        self._dirty.add(source)
        return ended

    def started(self, now_us: int) -> None:
        """Watching (again) from now on: a source never heard counts from here, also after the next start."""
        for source, known in self._known.items():
            if not known.last_us:
                known.last_us = now_us
                self._dirty.add(source)

    def expected_s(self, source: str, at_us: int) -> float:
        """The longest silence to be expected of a source at a time, in seconds."""
        configured = self._expected[source][0]
        if configured:
            return configured
        learned = self._known[source].pauses_s[at_us // HOUR_US % WEEK_HOURS]
        return max(SHORTEST_S, learned * SLACK) if learned else UNKNOWN_S

    def overdue(self, now_us: int) -> list[Gap]:
        """The sources that have just become silent: one gap each, still open."""
        gaps = []
        for source, known in self._known.items():
            if known.last_us > now_us:  # our clock was set back, or a sender's is ahead: until then nothing would be heard
                known.last_us = now_us
                self._dirty.add(source)
            if not known.silent_since_us and self._is_late(source, now_us):
                known.silent_since_us = known.last_us
                self._dirty.add(source)
                gaps.append(Gap(source, self._expected[source][1], known.last_us, 0, "silent", self.expected_s(source, known.last_us)))
        return gaps

    def _is_late(self, source: str, now_us: int) -> bool:
        known = self._known[source]
        return bool(known.last_us) and now_us - max(known.last_us, known.behind_us) > self.expected_s(source, known.last_us) * 1e6

    def doubtful(self, now_us: int) -> list[str]:
        """The sources that are silent, or about to be called so: where others may have heard them, or a backlog waits, look first."""
        return [source for source, known in self._known.items() if known.silent_since_us or self._is_late(source, now_us)]

    def behind(self, source: str, now_us: int) -> None:
        """A backlog of the source waits to be read: silence counts from its end at the earliest."""
        self._known[source].behind_us = now_us
        self._dirty.add(source)

    def learn(self, source: str, kept: bytes | None) -> None:
        """Take over what another worker has kept of a source, if it heard it later than we did."""
        theirs, ours = _decode(kept), self._known[source]
        newest_us = max(theirs.behind_us, ours.behind_us)
        if theirs.last_us > ours.last_us:
            self._known[source] = ours = theirs
            self._dirty.discard(source)
        ours.behind_us = newest_us

    def last_us(self, source: str) -> int:
        """When the source was last heard (0 = never)."""
        return self._known[source].last_us

    def take_changes(self) -> dict[str, bytes]:
        """What to keep of the sources that changed since the last call."""
        changes = {source: msgspec.msgpack.encode(self._known[source]) for source in self._dirty}
        self._dirty.clear()
        return changes


def _decode(kept: bytes | None) -> _Known:
    known = msgspec.msgpack.decode(kept, type=_Known) if kept else _Known()
    if len(known.pauses_s) != WEEK_HOURS:
        known.pauses_s = [0.0] * WEEK_HOURS
    return known


MOST_NAMED = 20
"""Blind rules that an alert names; the others are counted."""


def silence_effects(gaps: Sequence[Gap], agencies: Mapping[str, str], now_us: int, blinds: Mapping[str, Sequence[Titled]] = {}) -> Effects:
    """The effects of gaps: the facts, and an alert for each that is still open; `blinds`: per source the rules that see nothing meanwhile."""
    effects = Effects(progress=[], gaps=list(gaps))
    for gap in gaps:
        if gap.until_us:
            continue
        effects.alerts.append(
            health_alert(
                SILENT_RULE,
                occurrence=digest_id("silence", gap.source, str(gap.from_us)),
                key={"source": gap.source},
                explanation={
                    "node": "silence",
                    "matched": True,
                    "field": gap.source,
                    "test": "silent longer than",
                    "pattern": f"{gap.expected_s:.0f} s",
                    "matched_value": f"{(now_us - gap.from_us) / 1e6:.0f} s",
                    "blinds": _blinded(blinds.get(gap.source, ())),
                    "children": [],
                },
                at=iso(now_us),
                since=iso(gap.from_us),
                source=gap.source,
                scope=gap.scope,
                agency=agencies.get(gap.source, ""),
            )
        )
    return effects


def _blinded(rules: Sequence[Titled]) -> dict[str, Any]:
    """How many rules see nothing, and the titles of the first of them in both languages."""
    named = rules[:MOST_NAMED]
    return {"count": len(rules), "rules": [rule.title for rule in named], "rules_vi": [rule.title_vi or rule.title for rule in named]}
