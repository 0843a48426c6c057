"""Which rules can match an event at all: an index over what each rule needs (`soc.rules.atoms`).

Each rule is filed under its necessary atoms; an event looks up its own values, one table per field, and only the rules
found are evaluated. In a table whole values and file names stand in dicts, all other pieces in one Aho-Corasick
automaton. A value is looked up as it stands: what it finds is remembered, as devices write few different values; the
memory is bounded, because attackers choose values too, and given up where values do not repeat. Rules that need nothing
rare are evaluated always, and `soc.rules.lint` names them.

Which of several necessary sets is the rarest is estimated at first, and measured on the first events (`SAMPLE`): then the
index is built once more. Both give the same matches.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

from soc.rules.ast import And, Leaf, Node, Not
from soc.rules.atoms import MOST_NUMBER, Atom, Tree, WeighTree, all_atoms, estimate, necessary, needed
from soc.rules.compile import Predicate, compile_condition, encodable
from soc.rules.fields import Taxonomy
from soc.rules.match import TEXT_FIELDS
from soc.rules.values import composed, fold, number_of, scalars, text_of

__all__ = ["Atom", "FieldTable", "Index", "build", "necessary"]

MOST_REMEMBERED = 8_192
"""Values per field whose answer is kept."""
MOST_VALUE = 256
"""Longer values are looked up but not kept."""
MOST_LISTS, MOST_ITEMS = 1_024, 8
"""Lists per field whose answer is kept, and the items of the longest."""
SAMPLE = 1_024
"""Events on which the choice of atoms is measured."""
LEAST_MEASURED = 16
"""An index of fewer rules is not worth measuring."""
PROBE = 512
"""Events on which it is looked whether remembering a field's values pays."""
WORTH = 4
"""A remembered value saves as much as so many vain attempts to remember cost."""
GOOD = 0.004
"""A necessary set that lets a smaller share of events through is not bettered."""
FEW = 96
"""Different values among those of the sample up to which conditions on a field are evaluated once a value."""
RARE = 0.5
"""A necessary set that lets a greater share of events through is as good as none."""
CHUNK = 32_768
"""Characters of a long value searched at once: a hostile one would match at every place."""
FEW_PIECES = 12
"""Patterns up to which each is searched for by itself."""
MOST_DFA = 6_000
"""Patterns up to which the automaton is a DFA: fastest, and about 2 KB a pattern."""

Ids = tuple[int, ...]
Get = Callable[[str], Any]
Scan = Callable[[Get, dict[str, Any]], Ids]

_PLAIN: dict[int, int | str] = {**{ord("A") + number: ord("a") + number for number in range(26)}, 0x17F: "s", 0x212A: "k"}
"""What cased tests and expressions may find of ASCII, in lower case. Source: Unicode CaseFolding.txt, all that folds to an ASCII letter."""


class Pieces:
    """Texts to be found in others, with the rules filed under them: one automaton."""

    __slots__ = ("_few", "_find", "_longest", "_places", "shortest")

    def __init__(self, patterns: dict[tuple[str, str], Ids]) -> None:
        self._places = [(kind, ids) for (kind, _), ids in patterns.items()]
        self._few = [(kind, text, ids) for (kind, text), ids in patterns.items()] if len(patterns) <= FEW_PIECES else []
        """So few that Python's own search is faster."""
        texts = [encodable(text) for _, text in patterns]
        form = Implementation.DFA if len(texts) <= MOST_DFA else Implementation.ContiguousNFA
        self._find: Callable[..., list[tuple[int, int, int]]] = AhoCorasick(
            texts, matchkind=MatchKind.Standard, implementation=form, store_patterns=False
        ).find_matches_as_indexes
        self._longest = max(map(len, texts))
        self.shortest = min(map(len, texts))

    def find(self, text: str) -> Ids:
        """The rules of the texts that are in this one, perhaps named twice."""
        found: Ids = ()
        if self._few:
            for kind, piece, ids in self._few:
                if piece in text and (kind == "contains" or (text.endswith(piece) if kind == "endswith" else text.startswith(piece))):
                    found += ids
            return found
        size = len(text)
        if size > CHUNK:
            return self._of_long(text)
        try:
            matches = self._find(text, overlapping=True)
        except UnicodeEncodeError:
            matches = self._find(encodable(text), overlapping=True)
        for number, begin, end in matches:
            kind, ids = self._places[number]
            if kind == "contains" or (end == size if kind == "endswith" else begin == 0):
                found += ids
        return found

    def _of_long(self, text: str) -> Ids:
        """The same for a long text, a part at a time, each rule named once."""
        found: set[int] = set()
        size = len(text)
        for start in range(0, size, CHUNK):
            part = encodable(text[start : start + CHUNK + self._longest])
            for number, first, last in {(number, start + begin == 0, start + end == size) for number, begin, end in self._find(part, overlapping=True)}:
                kind, ids = self._places[number]
                if kind == "contains" or (last if kind == "endswith" else first):
                    found.update(ids)
        return tuple(found)


class FieldTable(dict[Any, Ids]):
    """The rules filed under atoms of one field; as a dict it holds what values found, and finds for others by itself."""

    __slots__ = ("_atoms", "_base", "_foreign", "_lists", "_numbers", "_pieces", "_present", "_texts", "_trees", "_unguarded", "field", "full", "remember")

    def __init__(self, field: str) -> None:
        super().__init__()
        self.field = field
        self.remember = True
        self.full: Callable[[], None] | None = None
        """Called at every value that finds the memory full; without it the memory is emptied."""
        self._atoms: dict[tuple[str, str], Ids] = {}
        self._texts: dict[str, Ids] = {}
        self._numbers: dict[float, Ids] = {}
        self._base: dict[str, Ids] = {}
        self._present: Ids = ()
        self._pieces: Pieces | None = None
        self._foreign: Pieces | None = None
        """Pieces that are not ASCII: only a value that is not can hold them."""
        self._trees: list[tuple[int, Predicate]] = []
        """Conditions on this field alone, with their rules; among the rules found, ~number stands for one whose guard holds."""
        self._unguarded: list[int] = []
        self._lists: dict[tuple[Any, ...], Ids] = {}
        """What short lists of texts found: parsers make few different ones."""

    def clear(self) -> None:
        """Empty what is remembered of values."""
        super().clear()
        self._lists.clear()

    def add(self, atom: Atom, rule: int) -> None:
        """File a rule; `close` must follow the last one."""
        if atom.kind == "present":
            self._present += (rule,)
        elif atom.number is not None:
            self._numbers[atom.number] = (*self._numbers.get(atom.number, ()), rule)
        elif atom.kind == "equals":
            self._texts[atom.text] = (*self._texts.get(atom.text, ()), rule)
        elif atom.kind == "endswith" and atom.text[0] in "\\/" and atom.text.count("\\") + atom.text.count("/") == 1:
            self._base[atom.text[1:]] = (*self._base.get(atom.text[1:], ()), rule)
        else:
            key = (atom.kind, atom.text)
            self._atoms[key] = (*self._atoms.get(key, ()), rule)

    def add_tree(self, tree: Tree, rule: int) -> None:
        """File a rule under a condition that is evaluated once a value."""
        number = len(self._trees)
        self._trees.append((rule, compile_condition(tree.node)))
        if tree.guard is None:
            self._unguarded.append(number)
        else:
            for atom in tree.guard:
                self.add(atom, ~number)

    def close(self) -> None:
        """Make the automata."""
        plain = {key: ids for key, ids in self._atoms.items() if key[1].isascii()}
        foreign = {key: ids for key, ids in self._atoms.items() if not key[1].isascii()}
        self._pieces = Pieces(plain) if plain else None
        self._foreign = Pieces(foreign) if foreign else None
        self._atoms = {}

    @property
    def shortest(self) -> int:
        """Characters of the shortest ASCII piece; 1 when none is known."""
        return self._pieces.shortest if self._pieces and not self._texts and not self._present else 1

    def __missing__(self, value: Any) -> Ids:
        """The rules filed under a value not remembered. Raises: TypeError for a list or an object, which are no single value."""
        if value.__class__ is str:
            found = self._of_text(value, value)
            if self._trees:
                found = self._evaluated(found, value)
            if not self.remember or len(value) > MOST_VALUE:
                return found
        elif value is None:
            found = self._evaluated((), None)
        else:
            found = self.of_scalar(value)
            if value in {0, 1}:  # 1, 1.0 and True are one key: what any of them finds, as the rules are evaluated anyway
                found = tuple({*found, *self.of_scalar(bool(value)), *self.of_scalar(int(value))})
            elif value != value:  # noqa: PLR0124 - not a number: a key that is never found again
                return found
        if len(self) < MOST_REMEMBERED:
            self[value] = found
        elif self.full:
            self.full()
        else:
            self.clear()
        return found

    def look_up(self, value: Any) -> Ids:
        """The rules filed under a value, or under any of a list, perhaps named twice."""
        if value.__class__ is not list and value.__class__ is not dict and value.__class__ is not tuple:
            return self[value]
        if value.__class__ is list and len(value) == 1 and value[0].__class__ is str:
            return self[value[0]]  # no test tells a list of one from what is in it
        if value.__class__ is list and self.remember:
            try:
                return self._lists[tuple(value)]
            except (KeyError, TypeError):
                pass
        found = self._of_items(value)
        if value.__class__ is list and self.remember and len(value) <= MOST_ITEMS and all(item.__class__ is str and len(item) <= MOST_VALUE for item in value):
            if len(self._lists) >= MOST_LISTS:
                self._lists.clear()
            self._lists[tuple(value)] = found
        return found

    def _of_items(self, value: Any) -> Ids:
        """The rules filed under any of several values."""
        items = list(scalars(value))
        if not self._trees:
            return tuple(rule for item in items for rule in self[item])
        found = tuple(rule for item in items for rule in self._of_text(text_of(item), item))
        return self._evaluated(tuple(rule if rule >= 0 else self._trees[~rule][0] for rule in found), value)

    def of_scalar(self, value: Any) -> Ids:
        """The same of one scalar, not remembered."""
        return self._evaluated(self._of_text(text_of(value), value), value)

    def _evaluated(self, found: Ids, value: Any) -> Ids:
        """What was found, with the conditions on this field evaluated."""
        if not self._trees:
            return found
        doc = {self.field: value}
        asked = {*self._unguarded, *(~rule for rule in found if rule < 0)}
        return (*(rule for rule in found if rule >= 0), *(rule for rule, holds in (self._trees[number] for number in sorted(asked)) if holds(doc.get, doc)))

    def _of_text(self, text: str, value: Any) -> Ids:
        plain = text.isascii()
        folded = text.lower() if plain else fold(text)
        found = self._present
        if self._texts and folded in self._texts:
            found += self._texts[folded]
        if self._numbers:
            number = number_of(value)
            if number is not None and abs(number) < MOST_NUMBER:
                found += self._numbers.get(float(number), ())
        if self._base:
            found += self._base.get(folded[max(folded.rfind("\\"), folded.rfind("/")) + 1 :], ())
        if self._pieces:
            found += self._pieces.find(folded)
        return found if plain else found + self._of_foreign(text, folded)

    def _of_foreign(self, text: str, folded: str) -> Ids:
        """What a value that is not ASCII finds besides: cased tests and expressions look at its letters as they are written."""
        found = self._foreign.find(folded) if self._foreign else ()
        written = composed(text).translate(_PLAIN)
        if written == folded:
            return found
        if self._base:
            found += self._base.get(written[max(written.rfind("\\"), written.rfind("/")) + 1 :], ())
        return found + self._pieces.find(written) if self._pieces else found


class Limits:
    """The rules that need a field to be at least some number, by that number."""

    def __init__(self, rules: list[tuple[float, int]]) -> None:
        rules.sort()
        self.bounds = [bound for bound, _ in rules]
        self._found = [tuple(number for _, number in rules[:count]) for count in range(len(rules) + 1)]

    def look_up(self, value: Any) -> Ids:
        """The rules whose number the value reaches; all of them for what is not an integer."""
        return self._found[bisect_right(self.bounds, value) if value.__class__ is int else -1]


def limit_of(node: Node) -> tuple[str, float] | None:
    """A field and the number that it must at least reach for a condition to hold; None where nothing of the kind is needed."""
    if isinstance(node, Leaf):
        return (node.field, node.pattern) if node.field and node.test in {"gt", "gte"} and isinstance(node.pattern, (int, float)) else None
    if isinstance(node, Not):
        return None
    found = [limit_of(arg) for arg in node.args]
    if isinstance(node, And):
        return next((limit for limit in found if limit), None)
    limits = [limit for limit in found if limit]
    if not limits or len(limits) < len(found) or len({field for field, _ in limits}) > 1:
        return None
    return limits[0][0], min(bound for _, bound in limits)


class TextTable:
    """The rules that need a piece of the event's text: keywords."""

    def __init__(self, table: FieldTable) -> None:
        self.table = table
        self._least = table.shortest
        self._large = 10 ** (min(self._least, 300) - 1)
        """What no text of a smaller number can hold."""

    def look_up(self, get: Get, doc: dict[str, Any]) -> Ids:
        """The rules found in the text of an event: `event.original`, `message` or else every value (as `soc.rules.match`)."""
        for field in TEXT_FIELDS:
            value = get(field)
            if value is not None:
                return self.table.look_up(value)
        texts: list[str] = []
        found: Ids = ()
        least = self._least
        for value in doc.values():
            if value.__class__ is str:
                if not value.isascii():
                    found += self.table[value]
                elif len(value) >= least:
                    texts.append(value)
            elif value.__class__ is not int or value >= self._large or value < 0:
                texts.extend(map(text_of, scalars(value)))
        return found + self.table.of_scalar("\n".join(texts))  # a piece of one value is a piece of them all


class Index:
    """The rules of one route: a table per field, and the rules that are asked always.

    Call `scan` for the candidates of an event; it is replaced as the index learns. Not shared between threads while it
    learns; what it learns never changes a result.
    """

    def __init__(self, rules: list[tuple[int, Node]], names: Taxonomy) -> None:
        self._rules = rules
        self._names = names
        self._several: set[str] = set()
        self._events = 0
        self._sample: dict[str, Counter[Any]] = {}
        self._hits: Counter[str] = Counter()
        self.tables: list[tuple[str, FieldTable]] = []
        self.limits: list[tuple[str, Limits]] = []
        self.always: Ids = ()
        self.scan: Scan
        self._file(lambda atom: estimate(atom, names))
        if len(rules) >= LEAST_MEASURED:
            self._measured = sorted({atom.field for _, condition in rules for atom in all_atoms(condition)})
            self.scan = self._measure

    def _file(self, weigh: Callable[[Atom], float], weigh_tree: WeighTree | None = None) -> None:
        """Choose what every rule is filed under, and make the tables."""
        tables: dict[str, FieldTable] = {}
        limits: dict[str, list[tuple[float, int]]] = {}
        always: list[int] = []
        for number, condition in self._rules:
            found = needed(condition, weigh)
            if weigh_tree and (found is None or found.share > GOOD):
                found = needed(condition, weigh, weigh_tree)
            if found is None or found.share > RARE or any(atom.kind == "present" for atom in found.atoms):
                limit = limit_of(condition)
                if limit is not None:
                    limits.setdefault(limit[0], []).append((limit[1], number))
                    continue
            if found is None or found.share > RARE:
                always.append(number)
                continue
            for atom in sorted(found.atoms, key=lambda atom: atom.order):
                tables.setdefault(atom.field, FieldTable(atom.field)).add(atom, number)
            for tree in found.trees:
                tables.setdefault(tree.field, FieldTable(tree.field)).add_tree(tree, number)
        for table in tables.values():
            table.close()
            table.full = self._probe
        self.tables = sorted(tables.items())
        self.limits = [(field, Limits(limits[field])) for field in sorted(limits)]
        self.always = tuple(always)
        self._compile()

    def _compile(self) -> None:
        """Make `scan`: one expression that adds up what the tables find (the names in it are our own)."""
        constants: dict[str, Any] = {"always": self.always}
        terms = ["always"]
        for number, (field, table) in enumerate(self.tables):
            constants[f"f{number}"] = field
            if not field:
                constants[f"t{number}"] = TextTable(table).look_up
                terms.append(f"t{number}(g, d)")
            elif field in self._several:
                constants[f"t{number}"] = table.look_up
                terms.append(f"t{number}(g(f{number}))")
            else:
                constants[f"t{number}"] = table
                terms.append(f"t{number}[g(f{number})]")
        for number, (field, limit) in enumerate(self.limits):
            constants |= {f"n{number}": limit.bounds[0], f"l{number}": limit.look_up, f"m{number}": field, "whole": int}
            terms.append(f"(() if (v := g(m{number})) is None else l{number}(v) if v.__class__ is not whole or v >= n{number} else ())")
        fast: Scan = eval(f"lambda g, d: {' + '.join(terms)}", {"__builtins__": {}, **constants})  # noqa: S307 - see above
        self._fast = self.scan = fast

    def several(self, doc: dict[str, Any]) -> Ids:
        """The candidates of an event whose lists `scan` refused (TypeError): from now on it expects lists in these fields."""
        lists = {field for field, _ in self.tables if isinstance(doc.get(field), (list, dict, tuple))}
        if not lists <= self._several:
            learning = self.scan is not self._fast
            scan = self.scan
            self._several |= lists
            self._compile()
            if learning:
                self.scan = scan
        return self._fast(doc.get, doc)

    def forget(self) -> None:
        """Empty what is remembered of values."""
        for _, table in self.tables:
            table.clear()

    def _measure(self, get: Get, doc: dict[str, Any]) -> Ids:
        """`scan` while values are collected to measure the atoms on."""
        for field in self._measured:
            value = get(field) if field else doc
            if value is None:
                continue
            counts = self._sample.get(field)
            if counts is None:
                counts = self._sample[field] = Counter()
            if value.__class__ is str:
                if len(value) <= CHUNK:
                    counts[value] += 1
                continue
            for item in scalars(value) if field else _texts(doc):
                if not isinstance(item, str) or len(item) <= CHUNK:
                    counts[text_of(item)] += 1
        self._events += 1
        if self._events >= SAMPLE:
            sample = _Sample(self._rules, self._sample, self._events)
            self._sample = {}
            self._file(lambda atom: sample.shares.get(atom, 0.0) + 0.01 * estimate(atom, self._names), sample.share_of_tree)
            return self._fast(get, doc)
        return self._fast(get, doc)

    def _probe(self) -> None:
        """The memory of a field is full: look at the next events whether it pays, then empty it or give it up."""
        if self.scan is self._fast:
            self._events = 0
            self._hits.clear()
            self.scan = self._probing

    def _probing(self, get: Get, doc: dict[str, Any]) -> Ids:
        for field, table in self.tables:
            value = get(field) if field else None
            if value.__class__ is list and len(value) == 1:
                value = value[0]
            if value.__class__ is str and len(value) <= MOST_VALUE:
                self._hits[field] += WORTH if value in table else -1
        self._events += 1
        if self._events >= PROBE:
            for field, table in self.tables:
                if len(table) >= MOST_REMEMBERED:
                    table.remember = not field or self._hits[field] >= 0
                    table.clear()
            self.scan = self._fast
        return self._fast(get, doc)


def build(rules: list[tuple[int, Node]], names: Taxonomy) -> Index:
    """The index of numbered conditions."""
    return Index(rules, names)


def _texts(doc: dict[str, Any]) -> Iterable[Any]:
    for field in TEXT_FIELDS:
        if doc.get(field) is not None:
            return scalars(doc[field])
    return (item for value in doc.values() for item in scalars(value))


class _Sample:
    """What the values of the first events say: the share of events that each atom, and each tree, is true of."""

    def __init__(self, rules: list[tuple[int, Node]], values: dict[str, Counter[Any]], events: int) -> None:
        atoms = sorted({atom for _, condition in rules for atom in all_atoms(condition)}, key=lambda atom: atom.order)
        self._events = events
        tables: dict[str, FieldTable] = {}
        for number, atom in enumerate(atoms):
            tables.setdefault(atom.field, FieldTable(atom.field)).add(atom, number)
        counts = [0] * len(atoms)
        self._true: dict[str, list[tuple[str | None, int, set[Atom]]]] = {}
        """Of fields whose values repeat: each value, how often it stood there, and its atoms."""
        for field, table in tables.items():
            table.close()
            seen = values.get(field, Counter())
            repeat = len(seen) <= FEW
            if repeat and field:
                self._true[field] = [(None, events - seen.total(), set())]
            for value, times in seen.items():
                found = set(table.of_scalar(value))
                for number in found:
                    counts[number] += times
                if repeat and field:
                    self._true[field].append((value, times, {atoms[number] for number in found}))
        self.shares = {atom: count / events for atom, count in zip(atoms, counts, strict=True) if count}

    def share_of_tree(self, tree: Tree) -> float | None:
        """The share of events that a tree is true of; None for a field whose values do not repeat."""
        if tree.field not in self._true:
            return None
        holds = compile_condition(tree.node)
        count = 0
        for value, times, atoms in self._true[tree.field]:
            if (tree.guard is None or not atoms.isdisjoint(tree.guard)) and times > 0:
                doc = {tree.field: value}
                count += times if holds(doc.get, doc) else 0
        return count / self._events
