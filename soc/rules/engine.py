"""The compiled rule set: what every event is classed as, which rules match it, and the alerts that say so.

An event takes the way: routing fields → the rules of its log sources (one index per combination seen) → candidates by
the index → predicates. Classification rules stand first, the highest level first, so that the first match decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from soc.clock import iso
from soc.model.alert import Alert, RuleRef
from soc.model.event import Doc, Event, nest, values
from soc.model.ids import alert_id, group_id, shadow_name
from soc.model.level import ThreatLevel
from soc.model.signal import Signal
from soc.ports import Verdict
from soc.rules.ast import LogSource, Rule, RuleException
from soc.rules.collection import Collection
from soc.rules.compile import Folded, Predicate, Several, SinglePredicate, compile_condition, compile_single
from soc.rules.exceptions import explained, in_force
from soc.rules.fields import belongs, ecs_fields, taxonomy
from soc.rules.index import Index, build
from soc.rules.load import RuleSet
from soc.rules.signals import Extractor, is_private
from soc.rules.values import text_of

DEFAULT_GROUP_BY = ("soc.agency.id", "observer.name", "source.ip")
"""What alerts of a rule are grouped by unless it says otherwise; fields that the event lacks are left out."""
PLACE_FIELDS = ("soc.network_point", "observer.name", "observer.serial_number", "host.name", "soc.source")
"""What tells where a private address is, the first that the event has: 192.168.1.5 stands behind 152 routers."""
MOST_ROUTES = 4_096
_KEY_TEXT = 256
_SEPARATOR = "\x1f"

NOTHING = Verdict("none", "", "", ())


class Engine:
    """A compiled rule set; implements `soc.ports.Classifier`.

    `rules`: all of them, classification rules first; `Verdict.matches` and `alert` number them by it.
    Cost: `classify` about 1 µs for a FortiGate traffic event and 4 µs for a security event, with the shipped rules.
    """

    def __init__(self, ruleset: RuleSet, collection: Collection | None = None) -> None:
        self.hash = ruleset.hash if collection is None else collection.hash
        self.collection = collection or Collection(ruleset)
        self.rules: tuple[Rule, ...] = tuple(sorted(ruleset.rules, key=_order))
        self._names = taxonomy()
        self._routed = ruleset.ecs
        self._routing = self._names.routing if ruleset.ecs else ()
        self._place = _together(self._routing)
        self._predicates: list[SinglePredicate | None] = [None] * len(self.rules)  # made when first asked: most rules of a large set are never asked
        self._general: dict[int, Predicate] = {}
        self._refs = [RuleRef(rule.id, rule.title, rule.level, rule.hash, rule.tags, title_vi=rule.title_vi) for rule in self.rules]
        self._exceptions: dict[int, tuple[tuple[RuleException, Predicate], ...]] = {
            number: tuple((one, compile_condition(one.condition)) for one in rule.exceptions) for number, rule in enumerate(self.rules) if rule.exceptions
        }
        self._classifiers = sum(1 for rule in self.rules if rule.classify)
        self._classes = [Verdict(rule.classify.level, rule.classify.category, rule.id, ()) for rule in self.rules if rule.classify]
        self._by_source: dict[LogSource, list[int]] = {}
        for number, rule in enumerate(self.rules):
            self._by_source.setdefault(rule.logsource, []).append(number)
        self.silent = frozenset(number for number, rule in enumerate(self.rules) if rule.id in self.collection.silent)
        self._extractors = self._extractors_of(self.collection)
        self._routes: dict[tuple[Any, ...], Index] = {}
        self._indices: dict[tuple[int, ...], Index] = {}

    def classify(self, doc: Doc) -> Verdict:
        """Class and matches of one event.

        Reads `soc.kind`, `event.module` and the other routing fields, so they must be set before.
        """
        get = doc.get
        place = self._place(get)
        try:
            index = self._routes.get(place)
        except TypeError:  # a list where one value belongs: asked without remembering
            return self._evaluate(self._index_of(place), doc)
        if index is None:
            if len(self._routes) >= MOST_ROUTES:
                self._routes.clear()
            index = self._routes[place] = self._index_of(place)
        try:
            found = index.scan(get, doc)
        except TypeError:  # a list where one value belongs
            found = index.several(doc)
        return self._decide(found, doc) if found else NOTHING

    def _evaluate(self, index: Index, doc: Doc) -> Verdict:
        found = index.several(doc)
        return self._decide(found, doc) if found else NOTHING

    def _decide(self, candidates: tuple[int, ...], doc: Doc) -> Verdict:
        get = doc.get
        folded = Folded()
        folded.get_raw = get
        predicates = self._predicates
        classified: Verdict | None = None
        matches: list[int] = []
        excepted: tuple[tuple[int, str], ...] = ()
        for number in sorted(set(candidates)) if len(candidates) > 1 else candidates:
            if number < self._classifiers and classified is not None:
                continue
            try:
                hit = (predicates[number] or self._predicate(number))(folded, get, doc)
            except Several:  # of this rule there will be more such events
                predicates[number] = for_any = _for_any(self._any_event(number))
                hit = for_any(folded, get, doc)
            if hit and number in self._exceptions and (exception := self._let_pass(number, get, doc)):
                excepted += ((number, exception),)
            elif hit:
                if number < self._classifiers:
                    classified = self._classes[number]
                else:
                    matches.append(number)
        if excepted:
            base = classified or NOTHING
            return Verdict(base.level, base.category, base.classified_by, tuple(matches), excepted)
        if not matches:
            return classified or NOTHING
        if classified is None:
            return Verdict("none", "", "", tuple(matches))
        return Verdict(classified.level, classified.category, classified.classified_by, tuple(matches))

    def _let_pass(self, number: int, get: Callable[[str], Any], doc: Doc) -> str:
        """The id of the exception in force that covers an event which the rule matches, "" when none does."""
        return next((one.id for one, keeps in self._exceptions[number] if in_force(one, doc) and not keeps(get, doc)), "")

    def _predicate(self, number: int) -> SinglePredicate:
        made = self._predicates[number] = compile_single(self.rules[number].condition)
        return made

    def _any_event(self, number: int) -> Predicate:
        made = self._general.get(number)
        if made is None:
            made = self._general[number] = compile_condition(self.rules[number].condition)
        return made

    def places(self) -> tuple[tuple[Any, ...], ...]:
        """The routing values seen so far, for `warm`."""
        return tuple(self._routes)

    def warm(self, places: Iterable[tuple[Any, ...]]) -> None:
        """Make the indices of these routing values now, so that no event has to wait for them."""
        if not self._routed:
            places = [()]
        for place in places:
            if len(place) == len(self._routing) and place not in self._routes and len(self._routes) < MOST_ROUTES:
                self._routes[place] = self._index_of(place)
        for number in {number for index in self._indices for number in index}:
            if self._predicates[number] is None:
                self._predicate(number)

    def rule_id(self, index: int) -> str:
        """The id of rule `index`."""
        return self.rules[index].id

    def residual(self) -> tuple[Rule, ...]:
        """The rules that, as things stand, are asked of every event of a route in use: an index finds nothing rare that they need."""
        numbers = {number for index in self._indices.values() for number in index.always}
        return tuple(self.rules[number] for number in sorted(numbers))

    def forget(self) -> None:
        """Empty what is remembered of values, for measurements; what was learned of them stays."""
        for index in self._indices.values():
            index.forget()

    def _index_of(self, place: tuple[Any, ...]) -> Index:
        """The index of the rules whose log source has events with these routing values."""
        where = dict(zip(self._routing, [value if isinstance(value, (str, type(None))) else text_of(value) for value in place], strict=True))
        chosen = tuple(
            sorted(number for source, numbers in self._by_source.items() if not self._routed or belongs(source, where, self._names) for number in numbers)
        )
        index = self._indices.get(chosen)
        if index is None:
            index = self._indices[chosen] = build([(number, self.rules[number].condition) for number in chosen], self._names)
        return index

    def _extractors_of(self, collection: Collection) -> dict[int, list[Extractor]]:
        """Per rule number what makes the signals of its events."""
        numbers = {rule.id: number for number, rule in enumerate(self.rules)}
        found: dict[int, list[Extractor]] = {}
        for correlation in collection.correlations:
            for place, member in enumerate(correlation.rules):
                if member in numbers:
                    written = collection.written.get(member, self.rules[numbers[member]])

                    def fields_of(field: str, source: LogSource = written.logsource) -> tuple[str, ...]:
                        return (tuple(ecs_fields(field, source, self._names)) if self._routed else ()) or (field,)

                    found.setdefault(numbers[member], []).append(Extractor(correlation, place, fields_of, None if _placed(correlation.group_by) else place_of))
        return found

    def signals(self, matches: Sequence[int], event: Event) -> list[Signal]:
        """What correlations are to be told of an event that these rules matched."""
        extractors, doc = self._extractors, event.doc
        return [
            signal
            for number in matches
            if number in extractors
            for extractor in extractors[number]
            for signal in extractor.signals(doc, event.ts_us, event.id, event.scope)
        ]

    def _explained(self, rule: Rule, doc: Doc) -> dict[str, Any]:
        """Why the rule matched, and which filters are part of its condition."""
        tree = explained(rule, doc)
        filters = [one for one in self.collection.filters.get(rule.id, ()) if not one.owner]  # those with an owner are told as exceptions
        if filters:
            tree["filters"] = [{"id": one.id, "title": one.title, "hash": one.hash} for one in filters]
        return tree

    def alert(self, index: int, event: Event, detected_at: str) -> Alert:
        """The alert of rule `index` for an event that it matched."""
        rule = self.rules[index]
        key = group_key(rule, event.doc)
        name = shadow_name(rule.id) if rule.shadow else rule.id
        text = _SEPARATOR.join(f"{name}={value}" for name, value in key.items())
        return Alert(
            id=alert_id(name, event.id),
            group=group_id(name, text, event.scope),
            group_key=key,
            rule=self._refs[index],
            scope=event.scope,
            ts=iso(event.ts_us),
            detected_at=detected_at,
            events=[event.id],
            documents=[nest(event.doc)],
            explanation=self._explained(rule, event.doc),
            source=event.source,
            threat_level=event.level,
            threat_category=event.category,
            agency=_first(event.doc, "soc.agency.id"),
            natural_key=event.natural_key,
            rules_hash=self.hash,
            shadow=rule.shadow,
        )


def compile_ruleset(ruleset: RuleSet) -> Engine:
    """The engine of a rule set. Cost: about 0.1 ms a rule."""
    return Engine(ruleset)


def compile_collection(collection: Collection) -> Engine:
    """The engine of a collection: its detections, and the signals of its correlations."""
    return Engine(collection.ruleset, collection)


def group_key(rule: Rule, doc: Doc) -> dict[str, str]:
    """What the alerts of a rule are grouped by, for one event: fields that it has, and the place of private addresses."""
    key = {field: text for field in rule.group_by or DEFAULT_GROUP_BY if (text := _joined(doc, field))}
    if any(is_private(text) for text in key.values()) and not _placed(key):
        place = next((field for field in PLACE_FIELDS if _joined(doc, field)), "")
        if place:
            key[place] = _joined(doc, place)
    return key


def place_of(doc: Mapping[str, Any]) -> str:
    """Where the private addresses of an event are, as `field=value`; "" when it does not say."""
    return next((f"{field}={text}" for field in PLACE_FIELDS if (text := _joined(doc, field))), "")


def _for_any(predicate: Predicate) -> SinglePredicate:
    """The predicate of any event, called as that of events whose fields have single values."""
    return lambda _folded, get, doc: predicate(get, doc)


def _together(fields: Sequence[str]) -> Callable[[Callable[[str], Any]], tuple[Any, ...]]:
    """What takes the values of these fields out by `doc.get` (the names in the expression are our own)."""
    names = {f"f{number}": field for number, field in enumerate(fields)}
    values: Callable[[Callable[[str], Any]], tuple[Any, ...]] = eval(  # noqa: S307 - see above
        f"lambda g: ({''.join(f'g({name}),' for name in names)})", {"__builtins__": {}, **names}
    )
    return values


def _placed(fields: Iterable[str]) -> bool:
    """Whether a key says already where private addresses are."""
    return not frozenset(PLACE_FIELDS).isdisjoint(fields)


def _order(rule: Rule) -> tuple[bool, int, str, str]:
    """Classification rules first, the highest level first; then by id, so that the order is that of the set, not of its place."""
    return (rule.classify is None, -ThreatLevel(rule.classify.level).rank if rule.classify else 0, rule.id, rule.hash)


def _joined(doc: Mapping[str, Any], field: str) -> str:
    return ",".join(sorted(text_of(value)[:_KEY_TEXT] for value in values(doc, field)))


def _first(doc: Doc, field: str) -> str:
    return next((text_of(value) for value in values(doc, field)), "")
