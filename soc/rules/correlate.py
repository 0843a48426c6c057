"""Correlation as a pure fold over signals: the same signals give the same alerts, whatever order they came in.

Time enters by the watermark alone: «no signal before W is still to come». Signals wait until it has passed them and are
then folded in order of (time, group, id), so arrival order cannot matter. The window is closed, [t - T, t], and holds all
events of one instant together. An episode is a run of the instants of a group's events at which the condition holds, no
two further apart than T; it is one alert, which grows by revisions. What means what: docs/reference/correlation-semantics.md.

`soc.rules.correlate_naive` says the same plainly; the tests compare the two. Here is what holds the folds of all rules together:
chains, stragglers, what is told. One rule: `soc.rules.fold` and `soc.rules.quiet`; what it costs stands there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from soc.rules.correlation import Correlation
from soc.rules.episodes import Bounds, CorrelationAlert, Episode, Member, plain
from soc.rules.fold import Fold
from soc.rules.quiet import fold_of
from soc.rules.signals import Signal, of_alert
from soc.rules.stragglers import Stragglers
from soc.rules.waiting import BUCKET

__all__ = ["Bounds", "CorrelationAlert", "Correlator", "Member", "plain"]


class Correlator:
    """All correlations of a rule set as one fold.

    `rules`: children before parents, references as ids (as `soc.rules.collection` gives them). `add` signals in any order,
    `advance` the watermark; what comes out depends only on the signals, and on nothing else: not on their order, on how they
    were cut into batches, or on a clock. `late`: what becomes of a signal before the watermark: "drop" counts it,
    "revise" folds its group anew over the last two timespans and gives revisions and alerts marked late.

    State is rebuilt by `restore` from the signals of the last `reach_us` and the alerts still open; it is never stored.
    """

    def __init__(self, rules: Sequence[Correlation], *, bounds: Bounds | None = None, late: str = "drop") -> None:
        self.bounds = bounds or Bounds()
        self.rules = {rule.id: rule for rule in rules}
        self.folds = {rule.id: fold_of(rule, self.bounds) for rule in rules}
        self.dropped = 0
        self._revise = late == "revise"
        self._before: dict[tuple[str, tuple[str, ...]], list[CorrelationAlert]] = {}
        self._parents: dict[str, list[tuple[Correlation, int]]] = {}
        self._lag: dict[str, int] = {}
        self._late: dict[str, list[Signal]] = {}
        self._stragglers = {rule.id: Stragglers(self.folds[rule.id], self.bounds) for rule in rules} if self._revise else {}
        for rule in rules:
            children = [member for member in rule.rules if member in self.rules]
            for place, member in enumerate(rule.rules):
                if member in self.rules:
                    self._parents.setdefault(member, []).append((rule, place))
            self._lag[rule.id] = max((self._lag[child] + (self.rules[child].span_us if self.rules[child].negated else 0) for child in children), default=0)

    @property
    def reach_us(self) -> int:
        """How far back signals are needed to rebuild the state."""
        return max((self._lag[rule.id] + 2 * rule.span_us for rule in self.rules.values()), default=0)

    def begin(self, us: int, scope: str = "real") -> None:
        """Observation of a scope begins at this time."""
        for fold in self.folds.values():
            fold.begin(us, scope)

    def add(self, signal: Signal) -> None:
        """Take a signal."""
        self.extend((signal,))

    def extend(self, signals: Iterable[Signal]) -> None:
        """Take signals."""
        folds = self.folds
        for signal in signals:
            fold = folds[signal.correlation]
            ts = signal.ts
            if ts >= fold.watermark:
                bucket = fold.waiting.buckets.get(ts // BUCKET)
                if bucket is None:
                    fold.waiting.add(signal)
                else:
                    bucket.append(signal)
            elif self._revise:
                self._late.setdefault(signal.correlation, []).append(signal)
            else:
                self.dropped += 1

    def advance(self, watermark: int, *, final: bool = False) -> list[CorrelationAlert]:
        """The alerts that are new or have grown, now that no signal before `watermark` is to come.

        `final`: nothing at all is to come, so `not` is judged by what there is. An open alert is told when it opens, each
        time it has doubled, and when its episode ends; so its last revision depends on its members alone.
        """
        out: list[CorrelationAlert] = []
        for rule_id, fold in self.folds.items():
            batch = fold.advance(watermark if final else watermark - self._lag[rule_id], final=final)
            late = self._late.pop(rule_id, None)
            if late:
                self.dropped += self._stragglers[rule_id].take(late)
            if self._before:
                self._resume(fold)
            if self._revise:
                self._stragglers[rule_id].remember(batch)
            for episode in fold.opened:
                for parent, place in self._parents.get(rule_id, ()):
                    signal = of_alert(parent, place, fold.rule, episode.at, episode.id, episode.key, episode.shown)
                    if signal is not None:
                        self.add(signal)
            fold.opened.clear()
            if final:
                fold.changed.update({name: (episode, False) for name, episode in fold.untold.items() if name not in fold.changed})
            for name, (episode, closed) in fold.changed.items():
                if episode.told != episode.steps:
                    if not (closed or final or not episode.told or episode.late or episode.count > 2 * episode.emitted):
                        fold.untold[name] = episode
                        continue
                    episode.emitted, episode.told = episode.count, episode.steps
                    out.append(self._alert(fold.rule, episode))
                fold.untold.pop(name, None)
            fold.changed.clear()
        return out

    def restore(self, signals: Iterable[Signal], watermark: int, told: Iterable[CorrelationAlert] = ()) -> list[CorrelationAlert]:
        """Rebuild the state from signals of the last `reach_us`, and tell what differs from the alerts that were told."""
        for alert in told:
            self._before.setdefault((alert.rule, alert.key), []).append(alert)
        self.extend(signals)
        out = self.advance(watermark)
        self._before.clear()
        return out

    def _resume(self, fold: Fold) -> None:
        """Let episodes that were told go on under the ids that they have: their beginnings may lie before what was read back."""
        for episode, _ in fold.changed.values():
            for alert in self._before.get((fold.rule.id, episode.key), ()):
                if alert.at <= episode.end and episode.at <= alert.end:
                    new = [member for member in (*episode.head, *episode.tail) if member[0] > alert.end]
                    episode.id, episode.first, episode.at, episode.late = alert.id, alert.first, alert.at, alert.late
                    episode.shown = tuple(alert.group.values())
                    episode.measure = Fraction(repr(alert.measure)) if isinstance(alert.measure, float) else alert.measure
                    episode.head, episode.count = [], 0
                    episode.tail.clear()
                    episode.take((*alert.members, *new), self.bounds.members)
                    episode.count, episode.truncated = alert.count + len(new), episode.truncated or alert.truncated
                    episode.emitted, episode.told, episode.steps = alert.count, alert.revision, alert.revision + len({ts for ts, _, _ in new})
                    break

    def _alert(self, rule: Correlation, episode: Episode) -> CorrelationAlert:
        return CorrelationAlert(
            id=episode.id,
            rule=rule.id,
            scope=episode.key[0],
            key=episode.key,
            group=dict(zip(rule.group_by, episode.shown, strict=False)),
            first=episode.first,
            at=episode.at,
            start=episode.at - rule.span_us,
            end=episode.end,
            members=[*episode.head, *episode.tail],
            count=episode.count,
            measure=plain(episode.measure),
            last_measure=plain(episode.last_measure),
            truncated=episode.truncated,
            late=episode.late,
            revision=episode.steps,
        )
