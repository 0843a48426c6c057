"""Correlation as a pure fold over signals: the same signals give the same alerts, whatever order they came in.

Time enters by the watermark alone: «no signal before W is still to come». Signals wait until it has passed them and are
then folded in order of (time, group, id), so arrival order cannot matter. The window is closed, [t - T, t], and holds all
events of one instant together. An episode is a run of the instants of a group's events at which the condition holds, no
two further apart than T; it is one alert, which grows by revisions. What means what: docs/reference/correlation-semantics.md.

`soc.rules.correlate_naive` says the same plainly; the tests compare the two. Here is what holds the folds of all rules together:
chains, and what is told. One rule: `soc.rules.fold` and `soc.rules.quiet`; what it costs stands there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from soc.rules.correlation import Correlation
from soc.rules.episodes import Bounds, CorrelationAlert, Episode, Member, Snapshot, plain
from soc.rules.fold import Fold
from soc.rules.quiet import fold_of
from soc.rules.signals import Signal, of_alert
from soc.rules.waiting import BUCKET

__all__ = ["Bounds", "CorrelationAlert", "Correlator", "Member", "plain"]


class Correlator:
    """All correlations of a rule set as one fold.

    `rules`: children before parents, references as ids (as `soc.rules.collection` gives them). `add` signals in any order,
    `advance` the watermark; what comes out depends only on the signals, and on nothing else: not on their order, on how they
    were cut into batches, or on a clock. Signals before the watermark are dropped and counted. State is never stored: how it
    is rebuilt, and what the pipeline does with stragglers, stands in `soc.rules.rebuild`.
    """

    def __init__(self, rules: Sequence[Correlation], *, bounds: Bounds | None = None) -> None:
        self.bounds = bounds or Bounds()
        self.rules = {rule.id: rule for rule in rules}
        self.folds = {rule.id: fold_of(rule, self.bounds) for rule in rules}
        self.dropped = 0
        self.without: Callable[[str, int], bool] | None = None
        """Alerts (rule and time) that tell nothing to what is built on them."""
        self._before: dict[tuple[str, tuple[str, ...]], list[CorrelationAlert]] = {}
        self._parents: dict[str, list[tuple[Correlation, int]]] = {}
        self._lag: dict[str, int] = {}
        for rule in rules:
            children = [member for member in rule.rules if member in self.rules]
            for place, member in enumerate(rule.rules):
                if member in self.rules:
                    self._parents.setdefault(member, []).append((rule, place))
            self._lag[rule.id] = max((self._lag[child] + (self.rules[child].span_us if self.rules[child].negated else 0) for child in children), default=0)

    @property
    def reach_us(self) -> int:
        """How far back signals are needed to have the state right."""
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
            else:
                self.dropped += 1

    def advance(self, watermark: int, *, final: bool = False) -> list[CorrelationAlert]:
        """The alerts that are new or have grown, now that no signal before `watermark` is to come.

        `final`: nothing at all is to come, so `not` is judged by what there is. An open alert is told when it opens, each
        time it has doubled, and when its episode ends; so its last revision depends on its members alone.
        """
        out: list[CorrelationAlert] = []
        for rule_id, fold in self.folds.items():
            fold.advance(watermark if final else watermark - self._lag[rule_id], final=final)
            if self._before:
                self._resume(fold)
            for episode in fold.opened:
                if self.without is not None and self.without(rule_id, episode.at):
                    continue
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

    def _resume(self, fold: Fold) -> None:
        """Called while `_before` has alerts that were told, before what a fold found is told: let episodes go on under their ids."""

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
            members=Snapshot(episode.head, episode.tail),
            count=episode.count,
            measure=plain(episode.measure),
            last_measure=plain(episode.last_measure),
            truncated=episode.truncated,
            late=episode.late,
            revision=episode.steps,
        )
