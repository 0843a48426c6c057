"""Stragglers: signals behind the watermark. Their groups are folded anew from what is remembered, and what changes is told.

Told alerts are never taken back: they grow by revisions marked late. What is remembered are the signals and the episodes of
the last two timespans, of conditions with `not` three, as such an instant is judged by its neighbours on both sides.
Cost: 0.2 KB a signal remembered; folding anew costs what the signals of the groups concerned cost.
"""

from __future__ import annotations

from operator import attrgetter

from soc.rules.episodes import Bounds, Episode, grow
from soc.rules.fold import Fold, Key
from soc.rules.groups import NEVER
from soc.rules.quiet import NegatedFold, SilenceFold, fold_of
from soc.rules.signals import Signal

_TIME = attrgetter("ts")
_SWEEPS = 2


class Stragglers:
    """What the stragglers of one correlation need."""

    def __init__(self, fold: Fold, bounds: Bounds) -> None:
        self._fold = fold
        self._bounds = bounds
        self._memory = (3 if isinstance(fold, NegatedFold) else 2) * fold.span
        self._signals: dict[Key, list[Signal]] = {}
        self._told: dict[Key, list[Episode]] = {}
        self._sweep = -NEVER

    def remember(self, batch: list[Signal]) -> None:
        """Keep the signals that were folded, and the episodes that changed."""
        signals, told = self._signals, self._told
        for signal in batch:
            kept = signals.get(signal.key)
            if kept is None:
                signals[signal.key] = [signal]
            else:
                kept.append(signal)
        for episode, _ in self._fold.changed.values():
            episodes = told.setdefault(episode.key, [])
            if not any(one is episode for one in reversed(episodes)):
                episodes.append(episode)
        if self._fold.watermark >= self._sweep:
            self._forget(self._fold.watermark - self._memory)
            self._sweep = self._fold.watermark + max(1, self._fold.span // _SWEEPS)

    def _forget(self, low: int) -> None:
        for key in [key for key, kept in self._signals.items() if kept[0].ts < low]:
            rest = [signal for signal in self._signals[key] if signal.ts >= low]
            if rest:
                self._signals[key] = rest
            else:
                del self._signals[key]
        for key, episodes in list(self._told.items()):
            recent = [episode for episode in episodes if episode.end >= low]
            if recent:
                self._told[key] = recent
            else:
                del self._told[key]

    def take(self, late: list[Signal]) -> int:
        """Fold the groups of stragglers anew, and put what they change into the fold's episodes; how many could not be used.

        A condition with `not` cannot be judged where it is not known any more what was silent.
        """
        fold = self._fold
        usable = late
        if isinstance(fold, NegatedFold):
            usable = [signal for signal in late if signal.ts >= fold.watermark - self._memory + fold.span]
        known = {key: {(signal.ts, signal.id, signal.rules) for signal in self._signals.get(key, ())} for key in {signal.key for signal in usable}}
        fresh = [signal for signal in usable if (signal.ts, signal.id, signal.rules) not in known[signal.key]]
        if fresh:
            self._fold_again(fresh)
        return len(late) - len(usable)

    def _fold_again(self, fresh: list[Signal]) -> None:
        fold, keys = self._fold, {signal.key for signal in fresh}
        for signal in fresh:
            self._signals.setdefault(signal.key, []).append(signal)
        again = fold_of(fold.rule, self._bounds)
        for key in keys:
            self._signals[key].sort(key=_TIME)
            for signal in self._signals[key]:
                again.waiting.add(signal)
        again.advance(fold.watermark)
        ids = {signal.id for signal in fresh}
        for episode in again.opened:
            earlier = next((old for old in self._told.get(episode.key, ()) if old.at <= episode.end and episode.at <= old.end), None)
            if earlier is not None:
                grow(earlier, episode, self._bounds.members)
                fold.changed[id(earlier)] = (earlier, False)
                group = again.groups.get(episode.key)
                if group is not None and group.episode is episode:
                    group.episode = earlier
            elif any(name in ids for _, name, _ in (*episode.head, *episode.tail)):
                episode.late = True
                fold.opened.append(episode)
                fold.changed[id(episode)] = (episode, False)
        if not isinstance(fold, SilenceFold):
            for key in keys:
                fold.adopt(again, key)
