"""The correlator of the pipeline: rebuilt from the log of signals at any time, and able to fold a stretch of it anew.

After a restart the state is read back from the signals of the last timespans and from what was told of them; for
stragglers the groups that they touch are folded anew from the log, and what that changes is told as revisions, or as new
alerts, marked late. Both are the same step: signals from a time on, whose first windows are not whole, and alerts that
were told, whose ids go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from operator import attrgetter

import msgspec

from soc.rules.correlate import Correlator
from soc.rules.correlation import Correlation
from soc.rules.episodes import Bounds, CorrelationAlert, Episode
from soc.rules.fold import Fold
from soc.rules.groups import NEVER
from soc.rules.quiet import NegatedFold, SilenceFold
from soc.rules.signals import Signal, shape_of

Key = tuple[str, ...]
_BEGIN = attrgetter("at")
_ALWAYS = ("", ())


def look_back(rules: Sequence[Correlation]) -> int:
    """How long a log of signals must keep them, microseconds, so that these rules can be rebuilt from it as they were."""
    correlator = LiveCorrelator(rules)
    return max((-correlator.since(rule_id, 0) for rule_id in correlator.rules), default=0)


class LiveCorrelator(Correlator):
    """A correlator that can be rebuilt from its log.

    `reach`: by rule how far back its state depends on signals, microseconds; a rule that others are built on has theirs.
    """

    def __init__(self, rules: Sequence[Correlation], *, bounds: Bounds | None = None) -> None:
        super().__init__(rules, bounds=bounds)
        self.shapes = {rule.id: shape_of(rule) for rule in rules}
        self.reach: dict[str, int] = {}
        for rule in reversed(rules):
            above = max((self.reach[parent.id] for parent, _ in self._parents.get(rule.id, ())), default=0)
            self.reach[rule.id] = max(self._lag[rule.id] + 2 * rule.span_us, above)
        self._resumed: dict[int, tuple[Episode, CorrelationAlert]] = {}
        self._warming: dict[str, int] = {}
        self._late_ids: set[str] = set()
        self._told_until: dict[str, int] = {}

    def understands(self, signal: Signal) -> bool:
        """Whether a signal was made for a rule as it is now."""
        return self.shapes.get(signal.correlation) == signal.shape

    def is_late(self, signal: Signal) -> bool:
        """Whether time has passed a signal."""
        return signal.ts < self.folds[signal.correlation].watermark

    def since(self, rule_id: str, base: int) -> int:
        """From which time on signals of a rule are needed to have its state right from `base - reach` on."""
        return base - 2 * self.reach[rule_id] - self.rules[rule_id].span_us

    def advance(self, watermark: int, *, final: bool = False) -> list[CorrelationAlert]:
        """As `Correlator.advance`; an episode that goes on is told at least once a timespan, so that a restart finds it."""
        out = super().advance(watermark, final=final)
        for fold in self.folds.values():
            for name, episode in list(fold.untold.items()):
                group = fold.groups.get(episode.key)
                still = isinstance(fold, SilenceFold) and group is not None and group.due >= NEVER  # nothing happens until an event comes
                if still or episode.end - self._told_until.get(episode.id, episode.at) >= fold.span:
                    del fold.untold[name]
                    out.append(self._tell(fold, episode))
        return out

    def is_open(self, rule_id: str, key: Key, alert_id: str) -> bool:
        """Whether an alert may still grow."""
        fold = self.folds.get(rule_id)
        group = fold.groups.get(key) if fold is not None else None
        return group is not None and group.episode is not None and group.episode.id == alert_id

    def forget_told(self, alert_id: str) -> None:
        """Forget until when an alert was told: it grows no more."""
        self._told_until.pop(alert_id, None)

    def settle(self) -> list[CorrelationAlert]:
        """What has grown since it was told."""
        out: list[CorrelationAlert] = []
        for fold in self.folds.values():
            out += [self._tell(fold, episode) for episode in fold.untold.values()]
            fold.untold.clear()
        return out

    def _tell(self, fold: Fold, episode: Episode) -> CorrelationAlert:
        episode.emitted, episode.told = episode.count, episode.steps
        return self._alert(fold.rule, episode)

    # --- from the log -------------------------------------------------------------------------------------------------

    def rebuild(
        self, signals: Iterable[Signal], watermark: int, told: Iterable[CorrelationAlert], *, base: int, late_ids: Iterable[str] = ()
    ) -> list[CorrelationAlert]:
        """Fold signals since `since(base)` of each rule, up to `watermark`; what differs from the alerts that were told.

        Until `base - reach` windows are not whole, so what they seem to say counts only where it was told. `late_ids`: events
        that came late; what they change is marked so.
        """
        self._before = {_ALWAYS: []}  # `advance` asks us to resume only while there is something
        stops = {base - reach for reach in self.reach.values()}
        for alert in told:
            self._before.setdefault((alert.rule, alert.key), []).append(alert)
            if self.rules[alert.rule].by_time:  # how often silence was looked at before it was told cannot be counted afterwards
                stops.add(alert.end + 1 + self._lag[alert.rule])
        self._late_ids = set(late_ids)
        self._warming = {rule_id: base - reach for rule_id, reach in self.reach.items()}
        self.extend(self._sharing(signals, {rule_id: self.since(rule_id, base) for rule_id in self.rules}))
        out: list[CorrelationAlert] = []
        for until in sorted(stop for stop in stops if stop <= watermark):
            out += self.advance(until)
            for rule_id in [rule_id for rule_id, end in self._warming.items() if end == until]:
                self._whole_from_here(rule_id)
        self._warming.clear()
        out += self.advance(watermark)
        self._before = {}
        self._resumed.clear()
        self._late_ids = set()
        return out

    def _sharing(self, signals: Iterable[Signal], since: Mapping[str, int]) -> Iterator[Signal]:
        """The signals that are needed of each rule; those of a group have its texts in common, as all of them wait at once."""
        shapes = {rule_id: (rule_id, shape) for rule_id, shape in self.shapes.items()}
        known: dict[Key, Key] = {}
        for signal in signals:
            rule = shapes.get(signal.correlation)
            if rule is not None and signal.shape == rule[1] and signal.ts >= since[rule[0]]:
                signal.correlation, signal.shape = rule
                signal.key = known.setdefault(signal.key, signal.key)
                signal.shown = known.setdefault(signal.shown, signal.shown)
                yield signal

    def _whole_from_here(self, rule_id: str) -> None:
        del self._warming[rule_id]
        fold = self.folds[rule_id]
        for group in fold.groups.values():
            episode = group.episode
            if episode is not None and not episode.told:
                group.episode = None
            elif episode is not None and episode.steps != episode.told:
                fold.untold[id(episode)] = episode

    def _resume(self, fold: Fold) -> None:
        """Let episodes that were told go on under the ids that they have: their beginnings may lie before what was read back."""
        lasting = fold.rule.by_time and not fold.rule.group_by  # silence without end: nothing was judged since it was told
        found = [(episode, episode.end) for episode, _ in fold.changed.values()]
        if lasting:  # what was read back may say that it began earlier than was told, and nothing of it since
            still = [group.episode for group in fold.groups.values() if group.episode is not None and not group.episode.told]
            found += [(episode, fold.watermark - 1) for episode in still]
        for episode, until in found:
            told = self._before.get((fold.rule.id, episode.key), ())
            fitting = [alert for alert in told if alert.at <= until and (episode.at <= alert.end or lasting)]
            if fitting:
                alert = max(fitting, key=_BEGIN)  # what is found of an earlier one, in windows that are not whole, may run into it
                known = self._resumed.get(id(episode))
                self._go_on(episode, alert, again=known is not None and known[1] is alert)
                self._resumed[id(episode)] = (episode, alert)
        if fold.rule.id in self._warming:
            fold.opened[:] = [episode for episode in fold.opened if episode.told]
            fold.changed.clear()  # what ended in this time was told when it ended
        if self._late_ids:
            self._mark_late(fold)

    def _go_on(self, episode: Episode, alert: CorrelationAlert, *, again: bool = False) -> None:
        """Put what was told before what was found now."""
        known = {(ts, name) for ts, name, _ in alert.members}
        found = dict.fromkeys((*episode.head, *episode.tail))
        since = NEVER if alert.truncated else -NEVER if self._late_ids else alert.start
        new = [one for one in found if one[:2] not in known and (one[0] > alert.end or one[0] >= since)]
        between = any(ts <= alert.end for ts, _, _ in new)
        late = between or any(name in self._late_ids for _, name, _ in new)
        episode.id, episode.first = alert.id, alert.first
        episode.at = min(alert.at, episode.at) if between else alert.at
        told_last = episode.end <= alert.end
        episode.end = max(alert.end, episode.end)
        episode.late = alert.late or late
        episode.shown = shown_of(alert.group, len(self.rules[alert.rule].group_by))
        episode.measure = Fraction(repr(alert.measure)) if isinstance(alert.measure, float) else alert.measure
        if told_last:
            episode.last_measure = Fraction(repr(alert.last_measure)) if isinstance(alert.last_measure, float) else alert.last_measure
        truncated = alert.truncated or (episode.truncated and not again)
        episode.truncated = False
        episode.empty()
        episode.take(sorted((*alert.members, *new)), self.bounds.members)
        episode.count, episode.truncated = alert.count + len(new), episode.truncated or truncated
        episode.emitted, episode.told = alert.count, alert.revision
        self._told_until[alert.id] = alert.end
        if told_last or not (again and self.rules[alert.rule].by_time):
            episode.steps = alert.revision + len({ts for ts, _, _ in new})

    def _mark_late(self, fold: Fold) -> None:
        """Mark the episodes that stragglers brought about; their alerts are stragglers to what is built on them."""
        for episode, _ in fold.changed.values():
            if not episode.told and not episode.late and not self._late_ids.isdisjoint(name for _, name, _ in (*episode.head, *episode.tail)):
                episode.late = True
                self._late_ids.add(episode.id)

    # --- stragglers ---------------------------------------------------------------------------------------------------

    def touched(self, late: Iterable[Signal]) -> dict[str, set[Key] | None]:
        """By rule the groups that late signals can change; None = all of them, where rules are chained or silence counts."""
        out: dict[str, set[Key] | None] = {}
        for signal in late:
            family = self.family(signal.correlation)
            if len(family) > 1 or isinstance(self.folds[signal.correlation], (NegatedFold, SilenceFold)):
                out.update(dict.fromkeys(family))
            elif (keys := out.setdefault(signal.correlation, set())) is not None:
                keys.add(signal.key)
        return out

    def family(self, rule_id: str) -> set[str]:
        """The rule and all correlations that it is built on or that are built on it, however far."""
        found: set[str] = set()
        waiting = [rule_id]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += [parent.id for parent, _ in self._parents.get(one, ())]
                waiting += [member for member in self.rules[one].rules if member in self.rules]
        return found

    def graft(self, other: LiveCorrelator, touched: Mapping[str, set[Key] | None]) -> None:
        """Take over what another correlator at the same watermark knows: of some groups of a rule, or all of it."""
        for rule_id, keys in touched.items():
            fold, found = self.folds[rule_id], other.folds[rule_id]
            if keys is None:
                self.folds[rule_id] = found
                continue
            fold.untold = {name: one for name, one in fold.untold.items() if one.key not in keys}
            fold.untold |= {name: one for name, one in found.untold.items() if one.key in keys}
            for key in keys:
                fold.adopt(found, key)
        self._told_until |= other._told_until

    # --- telling ------------------------------------------------------------------------------------------------------

    def _alert(self, rule: Correlation, episode: Episode) -> CorrelationAlert:
        self._told_until[episode.id] = episode.end
        return msgspec.structs.replace(super()._alert(rule, episode), group=group_of(rule, episode.shown))


def group_of(rule: Correlation, shown: tuple[str, ...]) -> dict[str, str]:
    """Field → value of a group; behind the values may stand `field=value`, the place of private addresses."""
    group = dict(zip(rule.group_by, shown, strict=False))
    for place in shown[len(rule.group_by) :]:
        field, _, value = place.partition("=")
        group[field] = value
    return group


def shown_of(group: dict[str, str], named: int) -> tuple[str, ...]:
    """What `group_of` was made of."""
    items = list(group.items())
    return (*(value for _, value in items[:named]), *(f"{field}={value}" for field, value in items[named:]))
