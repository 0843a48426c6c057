"""Rule files with everything in them: detections, correlations and filters, joined by their references.

One bad rule never stops the others: each error carries file, line and reason. What refers to a refused rule is refused
too, because it would silently mean something else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from soc.errors import NotFound, Phrase, RuleError, RuleSyntaxError, RuleUnsupported, near
from soc.model.text import display_safe
from soc.rules.ast import Rule
from soc.rules.cache import Cache
from soc.rules.correlation import Correlation
from soc.rules.filters import Filter, applied
from soc.rules.load import RuleSet, make_ruleset, read_file, rule_files
from soc.rules.signals import chained

Entry = Rule | Correlation | Filter
SHADOW = ".shadow"
"""Ends the id of a shadow rule whose file gives it the id of a live one."""
_MOST_TITLES = 5


class Collection(msgspec.Struct, frozen=True):
    """What rule files give.

    `ruleset`: the detections, their filters applied. `correlations`: children before parents, `rules` and `aliases` by id.
    `silent`: ids of rules that make no alerts of their own, because a correlation with `generate: false` uses them.
    `filters`: per rule id the filters that changed it. `written`: the rules as in their files, with the fields that they name.
    """

    ruleset: RuleSet
    correlations: tuple[Correlation, ...] = ()
    silent: frozenset[str] = frozenset()
    filters: dict[str, tuple[Filter, ...]] = {}
    written: dict[str, Rule] = {}
    names: dict[str, str] = {}

    @property
    def hash(self) -> str:
        """The name of all that decides what alerts there are: rules with their filters, correlations, and what is silent."""
        parts = [
            self.ruleset.hash,
            *(f"{rule.id}\x1f{rule.hash}\x1f{rule.shadow}" for rule in sorted(self.correlations, key=lambda rule: rule.id)),
            *sorted(self.silent),
        ]
        return hashlib.blake2b("\x1e".join(parts).encode(), digest_size=16).hexdigest()

    def part(self, rule_id: str) -> Collection:
        """The collection of one rule or correlation and the rules that it is made of."""
        kept = {rule_id}
        for rule in reversed(self.correlations):  # parents before children
            if rule.id in kept:
                kept.update(rule.rules)
        correlations = tuple(rule for rule in self.correlations if rule.id in kept)
        return msgspec.structs.replace(
            self,
            ruleset=msgspec.structs.replace(self.ruleset, rules=tuple(rule for rule in self.ruleset.rules if rule.id in kept)),
            correlations=correlations,
            silent=frozenset(member for rule in correlations if not rule.generate for member in rule.rules),
        )

    def get(self, name: str) -> Rule | Correlation | None:
        """The rule or correlation of an id, a name, a file name (of several in a file the one that makes alerts) or a unique beginning of an id."""
        every: list[Rule | Correlation] = [*self.ruleset.rules, *self.correlations]
        of_file = [one for one in every if Path(one.path).stem == name]
        ways: tuple[list[Rule | Correlation], ...] = (
            [one for one in every if one.id in {name, self.names.get(name)}],
            [one for one in of_file if one.id not in self.silent],
            of_file,
            [one for one in every if one.id.startswith(name)],
        )
        found = next(filter(None, ways), [])
        return found[0] if len(found) == 1 else None

    def missing(self, name: str, more: Iterable[str] = ()) -> NotFound:
        """What to say of a name that means no rule, or several: the nearest one. `more`: names that are none of files."""
        every = [(rule.id, rule.path) for rule in self.ruleset.rules] + [(rule.id, rule.path) for rule in self.correlations]
        known = sorted({one for rule_id, path in every for one in (rule_id, Path(path).stem)}.union(self.names, more))
        return NotFound(Phrase("no rule {name}, or several", name=name), hint=near(name, known, "soc rules list"))


class _Loaded:
    """What was read so far."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.by_name: dict[str, list[str]] = {}
        self.errors: list[RuleError] = []
        self.notes: list[str] = []
        self.orphans: list[tuple[str, int, tuple[str, ...]]] = []
        """Of refused correlations: file, line, and the rules that they keep from alerting by themselves."""

    def refuse(self, error: RuleError) -> None:
        """Note an error, and whom the rule would have kept silent."""
        self.errors.append(error)
        if error.silences:
            self.orphans.append((error.path, error.line, error.silences))

    def add(self, entry: Entry) -> None:
        first = self.entries.get(entry.id)
        if isinstance(first, (Rule, Correlation)) and isinstance(entry, (Rule, Correlation)) and first.shadow != entry.shadow:
            entry = self._beside(first, entry)
            first = self.entries.get(entry.id)
        if first is not None:
            error = RuleSyntaxError(entry.path, entry.line, f"the id {entry.id} is already that of {first.path}:{first.line}", hint="give each rule its own id")
            error.silences = _silences(entry)
            self.refuse(error)
            return
        self.entries[entry.id] = entry
        if entry.name:
            self.by_name.setdefault(entry.name, []).append(entry.id)

    def _beside(self, first: Rule | Correlation, second: Rule | Correlation) -> Rule | Correlation:
        """The second of two rules with one id of which one is the shadow of the other: the shadow gets an id of its own."""
        if second.shadow:
            return _shadow_of(second)
        self.entries[first.id] = second
        return _shadow_of(first)

    def find(self, reference: str) -> str:
        """The id that a reference means.

        Raises: KeyError with the reason.
        """
        if reference in self.entries:
            return reference
        lower = reference.lower()
        if lower in self.entries:  # ids that are UUIDs are kept in lower case
            return lower
        found = list(dict.fromkeys(self.by_name.get(reference, [])))
        found = [one for one in found if not getattr(self.entries.get(one), "shadow", False)] or found
        if len(found) == 1:
            return found[0]
        shown = display_safe(reference, most=60)
        raise KeyError(f"several rules have the name {shown!r}" if found else f"there is no rule with the id or name {shown!r}")


def _silences(entry: Entry) -> tuple[str, ...]:
    return entry.rules if isinstance(entry, Correlation) and not entry.generate and not entry.shadow else ()


def _orphans(loaded: _Loaded, disabled: set[str], shadows: set[str]) -> set[str]:
    """The rules that were written for a refused correlation (they stand in its file): as when it is off, they make no alerts, and that is said.

    A typing error in it must not flood the queue with what was never meant to be told one by one. Rules of other files alert by themselves.
    """
    out: set[str] = set()
    for path, line, names in loaded.orphans:
        if disabled & {Path(path).name, Path(path).stem}:
            continue
        found = []
        for name in names:
            try:
                one = loaded.find(name)
            except KeyError:
                continue
            entry = loaded.entries.get(one)
            if entry is not None and not isinstance(entry, Filter) and entry.path == path and one not in shadows:
                found.append(one)
        if found:
            titles = ", ".join(repr(display_safe(loaded.entries[one].title, most=80)) for one in found[:_MOST_TITLES]) + (
                " …" if len(found) > _MOST_TITLES else ""
            )
            loaded.notes.append(f"{path}:{line}: while this correlation is refused, the rules that were written for it make no alerts: {titles}")
            out.update(found)
    return out


def _shadow_of(rule: Rule | Correlation) -> Rule | Correlation:
    return msgspec.structs.replace(rule, id=rule.id + SHADOW, replaces=rule.id)


def load_collection(
    paths: list[Path],
    *,
    ecs: bool = True,
    states: Mapping[str, str] | None = None,
    disabled: list[str] | None = None,
    cache: Cache | None = None,
    zone: str = "",
) -> tuple[Collection, list[RuleError], list[str]]:
    """The collection of files and folders (all `*.yml` below them), the errors, and notes on what is odd but right.

    `states`: by id of a rule `shadow` (it runs beside the live ones) or `live` (it does so no longer), whatever its file says.

    `disabled`: ids, names of files, or their stems. A disabled rule that an enabled correlation uses is still evaluated
    for it and makes no alerts of its own. What was written for a correlation (in its file, `generate: false`) alerts never.

    `zone`: the name of that in which rules tell hours and days, and exceptions end, "" = that of `soc.rules.values`.

    Cost: 500 rules from the cache below 0.1 s; without it 0.4 s and about 1.5 ms a rule.
    """
    loaded = _Loaded()
    known = cache or Cache()
    off = set(disabled or [])
    for path, placeholders in rule_files(paths, loaded.errors):
        for item in read_file(path, placeholders, known):
            if isinstance(item, RuleError):
                loaded.refuse(item)
            else:
                loaded.add(item.in_zone(zone) if isinstance(item, Filter) else item)
    known.save()
    _take_states(loaded, states or {})
    _take_places(loaded)
    resolved = _shadowed(_resolved(loaded, off), loaded)
    parts = _parts(resolved, loaded)
    correlations = _enabled(resolved, off, parts)
    filters = _filters(loaded)
    used = {member for rule in correlations for member in rule.rules}
    rules = [entry for entry in loaded.entries.values() if isinstance(entry, Rule) and (entry.id in used or not (_named(entry, off) or entry.id in parts))]
    ruleset = make_ruleset([applied(rule, filters.get(rule.id, [])) for rule in rules], ecs=ecs, zone=zone)
    shadows = {rule.id for rule in rules if rule.shadow} | {rule.id for rule in correlations if rule.shadow}
    silent = frozenset(member for rule in correlations if not rule.generate for member in rule.rules if member in shadows or not rule.shadow)
    present: list[Rule | Correlation] = [*rules, *correlations]
    silent |= {rule.id for rule in present if rule.id in parts or _named(rule, off)} | _orphans(loaded, off, shadows)
    names = {name: ids[0] for name, ids in loaded.by_name.items() if len(ids) == 1}
    loaded.errors.sort(key=lambda error: (error.path, error.line))
    collection = Collection(
        ruleset, tuple(correlations), silent, {key: tuple(value) for key, value in filters.items()}, {rule.id: rule for rule in rules}, names
    )
    return collection, loaded.errors, loaded.notes


# --- shadows ----------------------------------------------------------------------------------------------------------


def _take_states(loaded: _Loaded, states: Mapping[str, str]) -> None:
    """Give rules the state that was recorded for them."""
    for name, state in states.items():
        entry = loaded.entries.get(name)
        if entry is None or isinstance(entry, Filter) or (isinstance(entry, Rule) and entry.classify is not None):
            continue
        if state in ("shadow", "live"):
            loaded.entries[name] = msgspec.structs.replace(entry, shadow=state == "shadow")


def _take_places(loaded: _Loaded) -> None:
    """Let live rules take the place of those that they replace."""
    for name, entry in list(loaded.entries.items()):
        if isinstance(entry, Filter) or entry.shadow or not entry.replaces or loaded.entries.get(name) is not entry:
            continue
        try:
            old = loaded.find(entry.replaces)
        except KeyError:
            continue  # it is gone already
        if old == name:
            continue
        if name == old + SHADOW:  # the same rule further on: it keeps its id, and so its alerts and groups
            loaded.entries[old] = msgspec.structs.replace(entry, id=old, replaces="")
            del loaded.entries[name]
        else:
            del loaded.entries[old]


def _shadowed(correlations: list[Correlation], loaded: _Loaded) -> list[Correlation]:
    """The correlations (children before parents); what is made of a shadow is one."""
    shadows = {name for name, entry in loaded.entries.items() if isinstance(entry, Rule) and entry.shadow}
    out = []
    for rule in correlations:
        found = rule if rule.shadow or shadows.isdisjoint(rule.rules) else msgspec.structs.replace(rule, shadow=True)
        shadows |= {rule.id} if found.shadow else set()
        out.append(found)
    return out


def _named(rule: Rule | Correlation, names: set[str]) -> bool:
    return bool(names & {rule.id, Path(rule.path).name, Path(rule.path).stem})


def _parts(correlations: list[Correlation], loaded: _Loaded) -> frozenset[str]:
    """The rules that were written for a correlation: it stands in the same file and keeps them silent.

    They make no alerts of their own while the correlation is a shadow either, and are gone when everything that uses them is off.
    """
    return frozenset(member for rule in correlations if not rule.generate for member in rule.rules if loaded.entries[member].path == rule.path)


def _enabled(correlations: list[Correlation], disabled: set[str], parts: frozenset[str]) -> list[Correlation]:
    """The correlations that are on, and those that one of them uses."""
    kept: list[Correlation] = []
    used: set[str] = set()
    for rule in reversed(correlations):  # parents before children
        if rule.id in used or not (rule.id in parts or _named(rule, disabled)):
            used.update(rule.rules)
            kept.append(rule)
    return kept[::-1]


# --- references -------------------------------------------------------------------------------------------------------


def _resolved(loaded: _Loaded, disabled: set[str]) -> list[Correlation]:
    """The correlations that can be used, children before parents."""
    rules = {entry.id: entry for entry in loaded.entries.values() if isinstance(entry, Correlation)}
    done: dict[str, Correlation] = {}
    refused: set[str] = set()

    def refuse(rule: Correlation, key: str, reason: str, hint: str = "") -> None:
        refuse_with(rule, RuleUnsupported(rule.path, rule.lines.get(key, rule.line), reason, hint=hint))

    def refuse_with(rule: Correlation, error: RuleError) -> None:
        refused.add(rule.id)
        error.silences = () if _named(rule, disabled) else _silences(rule)
        loaded.refuse(error)

    linked: dict[str, tuple[Correlation, list[str]]] = {}
    for rule in rules.values():
        try:
            linked[rule.id] = _linked(loaded, rule)
        except KeyError as error:
            refuse(rule, "rules" if "rules" in rule.lines else "condition", str(error.args[0]))
        except RuleError as error:
            refuse_with(rule, error)
    waiting = dict(linked)
    while waiting:
        ready = [name for name, (_, children) in waiting.items() if not any(child in waiting for child in children)]
        if not ready:
            for name in _in_cycle(waiting):
                refuse(rules[name], "rules", "the correlation refers to itself, directly or through others")
                del waiting[name]
            continue
        for name in ready:
            rule, children = waiting.pop(name)
            bad = next((child for child in children if child in refused), "")
            if bad:
                refuse(rule, "rules", f"it refers to the correlation {rules[bad].path}:{rules[bad].line}, which is refused")
                continue
            problem = next(filter(None, (_chain_fault(rule, done[child]) for child in children)), "")
            if problem:
                refuse(rule, "group-by", problem, "group the inner correlation by it too, or give an alias")
                continue
            done[name] = rule
    for name in refused:
        loaded.entries.pop(name, None)
    return list(done.values())


def _linked(loaded: _Loaded, rule: Correlation) -> tuple[Correlation, list[str]]:
    """The correlation with ids in place of names, and those of them that are correlations.

    Raises: KeyError with the reason, RuleError.
    """
    ids = []
    for reference in rule.rules:
        entry = loaded.entries[loaded.find(reference)]
        if isinstance(entry, Filter):
            raise KeyError(f"{display_safe(reference, most=60)!r} is a filter; rules are correlated")
        if isinstance(entry, Rule) and entry.classify is not None:
            raise KeyError(f"{display_safe(reference, most=60)!r} classifies events; detection rules are correlated")
        if entry.id in ids:
            raise KeyError(f"{display_safe(reference, most=60)!r} is a rule that already stands in `rules` under another name")
        ids.append(entry.id)
    aliases: dict[str, dict[str, str]] = {}
    for alias, mapping in rule.aliases.items():
        found = {}
        for reference, field in mapping.items():
            target = loaded.find(reference)
            if target not in ids:
                raise RuleSyntaxError(
                    rule.path,
                    rule.lines.get("aliases", rule.line),
                    f"the alias {display_safe(alias, most=60)!r} names {display_safe(reference, most=60)!r}, which is not in `rules`",
                )
            found[target] = field
        missing = next((name for name in ids if name not in found), "")
        if missing and alias in (*rule.group_by, *rule.fields):
            raise RuleSyntaxError(
                rule.path,
                rule.lines.get("aliases", rule.line),
                f"the alias {display_safe(alias, most=60)!r} does not say what it is in the rule {missing}",
                hint="events of that rule would never count",
            )
        aliases[alias] = found
    return msgspec.structs.replace(rule, rules=tuple(ids), aliases=aliases), [name for name in ids if isinstance(loaded.entries[name], Correlation)]


def _in_cycle(waiting: dict[str, tuple[Correlation, list[str]]]) -> list[str]:
    """The correlations of a cycle; those that only lead to it are told by what they refer to."""
    name = next(iter(waiting))
    way: list[str] = []
    while name not in way:
        way.append(name)
        name = next(child for child in waiting[name][1] if child in waiting)
    return way[way.index(name) :]


def _chain_fault(rule: Correlation, child: Correlation) -> str:
    try:
        chained(rule, child)
    except KeyError as error:
        return f"the correlation {child.path}:{child.line} that it builds on is not grouped by {error.args[0]!r}"
    return ""


def _filters(loaded: _Loaded) -> dict[str, list[Filter]]:
    """Per rule the filters that change it."""
    out: dict[str, list[Filter]] = {}
    rules = [entry for entry in loaded.entries.values() if isinstance(entry, Rule)]
    for one in [entry for entry in loaded.entries.values() if isinstance(entry, Filter)]:
        if not one.rules:
            covered = [rule for rule in rules if one.covers(rule.logsource)]
            for rule in covered:
                out.setdefault(rule.id, []).append(one)
            if not covered:
                loaded.notes.append(f"{one.path}:{one.line}: no rule is of the log source of the filter ({one.logsource}): it changes nothing")
            continue
        for reference in one.rules:
            try:
                entry = loaded.entries[loaded.find(reference)]
            except KeyError as error:
                loaded.errors.append(RuleSyntaxError(one.path, one.rules_line, f"{error.args[0]}; the filter does not change it"))
                continue
            if not isinstance(entry, Rule):
                loaded.errors.append(
                    RuleUnsupported(one.path, one.rules_line, f"{display_safe(reference, most=60)!r} is no detection rule: filters change those only")
                )
            elif one.covers(entry.logsource):
                for rule in (entry, *(other for other in rules if other.shadow and other.replaces in (entry.id, reference))):
                    out.setdefault(rule.id, []).append(one)
            else:
                shown = (
                    f"the log source of the filter ({one.logsource}) is not that of {entry.path}:{entry.line} ({entry.logsource}): it does not change that rule"
                )
                loaded.notes.append(f"{one.path}:{one.line}: {shown}")
    return out
