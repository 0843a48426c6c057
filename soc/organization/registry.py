"""The registry as a fold of the journal: imports are facts, the state of today or of any day follows from them.

A stream per kind (`registry/agencies`); a fact holds the rows that an import added or changed, whole. What is wrong in a
file is told row by row before anything is recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec
from pydantic import ValidationError

from soc.errors import Phrase
from soc.model.fact import NewFact
from soc.model.journal import Journal
from soc.organization.model import KINDS, Agency, Entry, Person, kind_word
from soc.organization.table import Row

E = TypeVar("E", bound=Entry)
ROWS_PER_FACT = 500
"""Rows are cut into facts of this size; all of one import are appended at once."""


class Rejected(msgspec.Struct, frozen=True):
    """A row that cannot be taken: its line, what it would have been called, and why."""

    line: int
    key: str
    reason: str


class Plan(msgspec.Struct):
    """What an import would do. `version`: of the stream that it was compared with."""

    kind: str
    version: int
    added: list[Entry] = []
    changed: list[tuple[Entry, Entry]] = []
    """Before and after."""
    ended: list[Entry] = []
    unchanged: int = 0
    rejected: list[Rejected] = []

    @property
    def empty(self) -> bool:
        """Whether nothing would be recorded."""
        return not (self.added or self.changed or self.ended)


class Registry:
    """All objects that were ever recorded, by kind and key."""

    def __init__(self, journal: Journal, kinds: Iterable[str] = KINDS, *, versions: Mapping[str, int] | None = None) -> None:
        """`versions`: how many imports of each kind count, for the registry as it was; by itself all do."""
        self.entries: dict[str, dict[str, Entry]] = {}
        self.versions: dict[str, int] = {}
        for kind in kinds:
            facts = journal.read(stream_of(kind))
            if versions is not None:
                facts = facts[: versions.get(kind, 0)]
            self.versions[kind] = len(facts)
            model, found = KINDS[kind], self.entries.setdefault(kind, {})
            for stored in facts:
                for values in stored.fact.data.get("rows", ()):
                    entry = model.model_validate(values)
                    found[entry.key] = entry

    def all(self, model: type[E], day: date | None = None) -> list[E]:
        """The objects of a kind, by key; with `day` those that count then."""
        found = self.entries.get(model.kind, {})
        return [entry for _, entry in sorted(found.items()) if isinstance(entry, model) and (day is None or entry.valid(day))]

    def get(self, model: type[E], key: str) -> E | None:
        """The object of this key, whether it counts today or not."""
        entry = self.entries.get(model.kind, {}).get(key)
        return entry if isinstance(entry, model) else None

    def below(self, agency: str) -> list[str]:
        """The ids of an agency and of all below it in the tree."""
        children: dict[str, list[str]] = {}
        for one in self.all(Agency):
            children.setdefault(one.parent, []).append(one.id)
        found, waiting = [], [agency]
        while waiting:
            one_id = waiting.pop()
            if one_id not in found:
                found.append(one_id)
                waiting += children.get(one_id, ())
        return found

    def plan(self, kind: str, rows: Sequence[Row], *, replace: date | None = None) -> Plan:
        """What these rows would change; nothing is recorded. `replace`: objects that the rows do not name end with this day."""
        model, known = KINDS[kind], self.entries.get(kind, {})
        plan = Plan(kind, self.versions.get(kind, 0))
        taken: dict[str, tuple[int, Entry]] = {}
        for row in rows:
            entry = self._read(model, row, plan)
            if entry is None:
                continue
            if entry.key in taken:
                plan.rejected.append(Rejected(row.line, entry.key, Phrase("stands on line {line} already", line=taken[entry.key][0])))
                continue
            taken[entry.key] = (row.line, entry)
        self._drop_dangling(kind, taken, plan)
        for key, (_, entry) in taken.items():
            before = known.get(key)
            if before is None:
                plan.added.append(entry)
            elif before != entry:
                plan.changed.append((before, entry))
            else:
                plan.unchanged += 1
        if replace is not None:
            named = set(taken) | {one.key for one in plan.rejected}
            plan.ended = [
                entry.model_copy(update={"valid_until": replace}) for key, entry in sorted(known.items()) if key not in named and entry.valid(replace)
            ]
        plan.rejected.sort(key=lambda one: one.line)
        return plan

    def _read(self, model: type[Entry], row: Row, plan: Plan) -> Entry | None:
        named = str(row.values.get("id") or row.values.get("address") or "").strip()
        try:
            return model.model_validate(row.values)
        except ValidationError as error:
            plan.rejected.append(Rejected(row.line, named[:80], _joined([_said(one, model) for one in error.errors()[:5]])))
            return None

    def _drop_dangling(self, kind: str, taken: dict[str, tuple[int, Entry]], plan: Plan) -> None:
        """Refuse rows that name what is not there, until no more falls; and agencies whose parents go round in a circle."""
        while True:
            wrong = [(key, line, why) for key, (line, entry) in taken.items() for why in self._dangling(kind, entry, taken)]
            if kind == Agency.kind:
                wrong += [(key, taken[key][0], Phrase("parent: is below itself")) for key in self._circular(taken)]
            if kind == Person.kind:
                wrong += self._same_account(taken)
            if not wrong:
                return
            for key, line, why in wrong:
                if taken.pop(key, None) is not None:
                    plan.rejected.append(Rejected(line, key, why))

    def _dangling(self, kind: str, entry: Entry, taken: Mapping[str, Any]) -> Iterator[str]:
        for field, target in entry.refers.items():
            value = getattr(entry, field)
            for name in value if isinstance(value, list) else [value] if value else []:
                there = self.entries.get(target, {}).get(name)
                if there is None and target == kind and name in taken:
                    there = taken[name][1]
                if there is None:
                    yield Phrase("{where}: there is no {key} among the {kind}", where=field, key=name, kind=kind_word(target))
                elif field == "parent" and isinstance(entry, Agency) and isinstance(there, Agency) and there.tree != entry.tree:
                    yield Phrase("parent: {key} is in another tree", key=name)

    def _same_account(self, taken: Mapping[str, tuple[int, Entry]]) -> list[tuple[str, int, str]]:
        """People whose account is another one's at the same time: a right must lead to one person."""
        owners: dict[str, list[Person]] = {}
        for key, entry in {**self.entries.get(Person.kind, {}), **{key: entry for key, (_, entry) in taken.items()}}.items():
            if isinstance(entry, Person) and entry.account and entry.key == key:
                owners.setdefault(entry.account, []).append(entry)
        found: list[tuple[str, int, str]] = []
        for account, people in owners.items():
            for at, one in enumerate(people):
                other = next((another for another in people[:at] if _together(one, another)), None)
                late = one if one.id in taken else other
                if other is not None and late is not None and late.id in taken:
                    whose = other.id if late is one else one.id
                    found.append((late.id, taken[late.id][0], Phrase("account: {account} belongs to {person}", account=account, person=whose)))
        return found

    def _circular(self, taken: Mapping[str, tuple[int, Entry]]) -> list[str]:
        every = {**self.entries.get(Agency.kind, {}), **{key: entry for key, (_, entry) in taken.items()}}
        parents = {key: entry.parent for key, entry in every.items() if isinstance(entry, Agency)}
        found = []
        for key in taken:
            seen, at = {key}, parents.get(key, "")
            while at and at not in seen:
                seen.add(at)
                at = parents.get(at, "")
            if at == key:
                found.append(key)
        return found


def _together(one: Entry, other: Entry) -> bool:
    """Whether there is a day on which both count."""
    begin = max(one.valid_from or date.min, other.valid_from or date.min)
    return begin <= min(one.valid_until or date.max, other.valid_until or date.max)


def _joined(parts: Sequence[str]) -> str:
    said = parts[0]
    for part in parts[1:]:
        said = Phrase("{first}; {then}", first=said, then=part)
    return said


def _said(error: Any, model: type[Entry]) -> str:
    """What is wrong with a value, in words of the table."""
    where = str(error["loc"][0]) if error["loc"] else ""
    context = error.get("ctx") or {}
    match error["type"]:
        case "missing" | "string_too_short" | "too_short":
            why: str = Phrase("is missing")
        case "extra_forbidden":
            near = get_close_matches(where, model.model_fields, 1)
            why = Phrase("is no column here; did you mean {near}?", near=near[0]) if near else Phrase("is no column here")
        case "literal_error":
            why = Phrase("is none of {known}", known=str(context.get("expected", "")).replace("'", "").replace(" or ", ", "))
        case "string_too_long" | "too_long":
            why = Phrase("is too long")
        case "less_than_equal":
            why = Phrase("must be at most {most}", most=context.get("le"))
        case "greater_than_equal":
            why = Phrase("must be at least {least}", least=context.get("ge"))
        case "int_parsing" | "int_type" | "int_from_float":
            why = Phrase("is no whole number")
        case "date_from_datetime_parsing" | "date_parsing" | "date_type":
            why = Phrase("is no date (as 2025-06-30)")
        case "value_error":
            why = Phrase(str(context.get("error", "")))
        case _:
            why = Phrase(str(error["msg"]))
    return Phrase("{where}: {why}", where=where, why=why) if where else why


def stream_of(kind: str) -> str:
    """The stream that holds the imports of a kind."""
    return f"registry/{kind}"


def record(journal: Journal, plan: Plan, *, actor: str, reason: str = "", origin: str = "") -> int:
    """Append what a plan would do; how many facts. `origin`: the name of the file.

    Raises: FactConflict when the registry was changed since the plan was made.
    """
    rows = [_row(entry) for entry in (*plan.added, *(after for _, after in plan.changed), *plan.ended)]
    facts = [
        NewFact("RegistryImported", {"kind": plan.kind, "origin": origin, "part": number + 1, "rows": rows[at : at + ROWS_PER_FACT]}, reason)
        for number, at in enumerate(range(0, len(rows), ROWS_PER_FACT))
    ]
    if facts:
        journal.append(stream_of(plan.kind), plan.version, facts, actor=actor)
    return len(facts)


def _row(entry: Entry) -> dict[str, Any]:
    """An object without what is as it always is."""
    found: dict[str, Any] = entry.model_dump(mode="json", exclude_defaults=True)
    return found
