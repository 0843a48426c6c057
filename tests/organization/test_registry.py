"""Imports of the registry: what is taken, what is refused and why, and how it was on another day."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from soc.adapters.memory_journal import MemoryJournal
from soc.clock import FrozenClock
from soc.errors import ConfigError
from soc.model.journal import FactConflict
from soc.organization.gaps import missing
from soc.organization.model import Agency, Mailbox, Point
from soc.organization.registry import Registry, record
from soc.organization.table import Row, read

SAMPLE = Path(__file__).parents[2] / "soc/organization/sample"
NOW = 1_795_137_600_000_000
AGENCIES = [
    {"id": "tinh", "name": "Tỉnh Mẫu", "level": "province"},
    {"id": "h-a", "name": "Huyện A", "level": "district", "parent": "tinh", "valid_until": "30/06/2025", "successors": "x-1;x-2"},
    {"id": "x-1", "name": "Xã Một", "level": "commune", "parent": "tinh", "valid_from": "2025-07-01"},
    {"id": "x-2", "name": "Xã Hai", "level": "commune", "parent": "tinh", "valid_from": "2025-07-01"},
]


@pytest.fixture
def journal() -> MemoryJournal:
    """An empty journal."""
    return MemoryJournal(clock=FrozenClock(NOW))


def take(journal: MemoryJournal, kind: str, rows: list[dict[str, str]]) -> None:
    """Import rows that must all be good."""
    plan = Registry(journal).plan(kind, [Row(number, row) for number, row in enumerate(rows, 2)])
    assert plan.rejected == []
    record(journal, plan, actor="an")


def reasons(journal: MemoryJournal, kind: str, *rows: dict[str, str]) -> list[tuple[int, str]]:
    """Line and reason of each rejected row."""
    return [(one.line, one.reason) for one in Registry(journal).plan(kind, [Row(number, row) for number, row in enumerate(rows, 2)]).rejected]


def test_history_is_kept_when_districts_end(journal: MemoryJournal) -> None:
    """A district abolished on 1 July 2025 counts before and not after, and names its successors."""
    take(journal, "agencies", AGENCIES)
    registry = Registry(journal)
    assert [one.id for one in registry.all(Agency, date(2025, 6, 30))] == ["h-a", "tinh"]
    assert [one.id for one in registry.all(Agency, date(2025, 7, 1))] == ["tinh", "x-1", "x-2"]
    district = registry.get(Agency, "h-a")
    assert district is not None
    assert district.successors == ["x-1", "x-2"]
    assert sorted(registry.below("tinh")) == ["h-a", "tinh", "x-1", "x-2"]


def test_nothing_is_recorded_by_planning_and_the_same_file_changes_nothing(journal: MemoryJournal) -> None:
    """A plan leaves no trace; importing again what stands is a plan without content."""
    rows = [Row(number, dict(row)) for number, row in enumerate(AGENCIES)]
    plan = Registry(journal).plan("agencies", rows)
    assert (len(plan.added), list(journal.scan())) == (4, [])
    record(journal, plan, actor="an")
    again = Registry(journal).plan("agencies", rows)
    assert (again.empty, again.unchanged) == (True, 4)
    renamed = Registry(journal).plan("agencies", [Row(2, {**AGENCIES[2], "name": "Xã Mới"})])
    assert [(before.key, after.name) for before, after in renamed.changed if isinstance(after, Agency)] == [("x-1", "Xã Mới")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"id": "x", "level": "commune"}, "name: is missing"),
        ({"id": "x", "name": "  ", "level": "commune"}, "name: is missing"),
        ({"id": "a b", "name": "n", "level": "commune"}, "id: is no id: letters, digits, `.`, `_`, `-`, up to 64 of them"),
        ({"id": "x", "name": "n", "level": "village"}, "level: is none of province, department, district, commune, unit, other"),
        ({"id": "x", "name": "n", "level": "commune", "parent": "nobody"}, "parent: there is no nobody among the agencies"),
        ({"id": "x", "name": "n", "level": "commune", "parent": "x"}, "parent: is below itself"),
        ({"id": "x", "name": "n", "level": "commune", "tree": "party", "parent": "tinh"}, "parent: tinh is in another tree"),
        ({"id": "x", "name": "n", "level": "commune", "fone": "1"}, "fone: is no column here; did you mean phone?"),
        ({"id": "x", "name": "n", "level": "commune", "phone": "12"}, "phone: is no telephone number"),
        ({"id": "x", "name": "n", "level": "commune", "email": "a@b"}, "email: is no mail address"),
        ({"id": "x", "name": "n", "level": "commune", "valid_from": "2025-07-02", "valid_until": "2025-07-01"}, "valid_until is before valid_from"),
        ({"id": "x", "name": "n\x1b[2J", "level": "commune"}, "name: holds control characters"),
        ({"id": "x", "name": "n" * 3000, "level": "commune"}, "name: is too long"),
        ({"id": "tinh", "name": "n", "level": "province", "parent": "x-1"}, "parent: is below itself"),
    ],
)
def test_each_rejected_row_has_its_line_and_reason(journal: MemoryJournal, row: dict[str, str], reason: str) -> None:
    """What cannot be taken is named by line and column in plain words."""
    take(journal, "agencies", AGENCIES)
    assert reasons(journal, "agencies", row) == [(2, reason)]


def test_rows_that_hang_on_a_rejected_row_fall_with_it(journal: MemoryJournal) -> None:
    """A child of a refused parent is refused too; a repeated id is told with the line of the first."""
    found = reasons(
        journal,
        "agencies",
        {"id": "a", "name": "", "level": "province"},
        {"id": "b", "name": "B", "level": "unit", "parent": "a"},
        {"id": "c", "name": "C", "level": "unit", "parent": "b"},
        {"id": "d", "name": "D", "level": "unit"},
        {"id": "d", "name": "D again", "level": "unit"},
    )
    assert found == [
        (2, "name: is missing"),
        (3, "parent: there is no a among the agencies"),
        (4, "parent: there is no b among the agencies"),
        (6, "stands on line 5 already"),
    ]


def test_two_people_importing_at_once_conflict(journal: MemoryJournal) -> None:
    """A plan made before somebody else's import is refused, not mixed with it."""
    first = Registry(journal).plan("agencies", [Row(2, AGENCIES[0])])
    second = Registry(journal).plan("agencies", [Row(2, {**AGENCIES[0], "name": "Khác"})])
    record(journal, first, actor="an")
    with pytest.raises(FactConflict):
        record(journal, second, actor="bình")


def test_replacing_ends_what_the_file_does_not_name(journal: MemoryJournal) -> None:
    """With a day, objects that are left out end on it; rejected rows do not end what they name."""
    take(journal, "agencies", AGENCIES)
    plan = Registry(journal).plan("agencies", [Row(2, AGENCIES[0]), Row(3, {"id": "x-1", "name": "", "level": "commune"})], replace=date(2026, 11, 21))
    assert [(one.key, one.valid_until) for one in plan.ended] == [("x-2", date(2026, 11, 21))]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", b"id,id\nx,y\n", "stands twice"),
        ("a.csv", b"id,name\n\xff,\n", "UTF-8"),
        ("a.csv", b'id,name\n"x,y\n', "no CSV"),
        ("a.csv", b"id,name\nx,y,z\n", "more cells"),
        ("a.yml", b"- &a {id: x}\n- *a\n", "aliases"),
        ("a.yml", b"just text\n", "no list"),
        ("a.yml", b"- !!python/object/apply:os.system ['true']\n", "no mapping"),
        ("a.yml", b"- {id: !!python/object/apply:os.system ['true']}\n", "no YAML"),
        ("a.yml", b"- {id: [}\n", "no YAML"),
    ],
)
def test_files_that_are_no_table_are_refused_with_their_line(tmp_path: Path, name: str, text: bytes, message: str) -> None:
    """Nothing is guessed and nothing executed."""
    file = tmp_path / name
    file.write_bytes(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "\ufeffid;name;level\r\nx;Xã Lộc Ninh;commune\r\n\r\n"),
        ("a.csv", "id,name,level,note\nx,Xã Lộc Ninh,commune,\n"),
        ("a.tsv", "id\tname\tlevel\nx\tXã Lộc Ninh\tcommune\n"),
        ("a.yml", "- id: x\n  name: Xã Lộc Ninh\n  level: commune\n"),
        ("a.yaml", "agencies:\n  - {id: x, name: Xã Lộc Ninh, level: commune}\n"),
    ],
)
def test_tables_as_people_have_them(journal: MemoryJournal, tmp_path: Path, name: str, text: str) -> None:
    """Separators, marks at the beginning, empty cells and both formats give the same object."""
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    [entry] = Registry(journal).plan("agencies", read(file)).added
    assert entry == Agency(id="x", name="Xã Lộc Ninh", level="commune")


def test_the_sample_province_is_whole() -> None:
    """152 points, 8,023 mailboxes, 11 districts that ended, 111 communes; every row is taken, and gaps are found."""
    journal = MemoryJournal(clock=FrozenClock(NOW))
    for kind in ("agencies", "points", "people", "systems", "mailboxes"):
        plan = Registry(journal).plan(kind, read(SAMPLE / f"{kind}.csv"))
        assert plan.rejected == []
        record(journal, plan, actor="an")
    registry = Registry(journal)
    assert (len(registry.all(Point)), len(registry.all(Mailbox))) == (152, 8023)
    before, after = registry.all(Agency, date(2025, 6, 30)), registry.all(Agency, date(2026, 1, 1))
    assert sum(one.level == "district" for one in before) == 11
    assert (sum(one.level == "commune" for one in after), sum(one.level == "district" for one in after)) == (111, 0)
    found = missing(registry, date(2026, 11, 21))
    assert {"contact-phone", "dossier", "review-overdue"} <= {one.what for one in found}
    assert {one.agency for one in missing(registry, date(2026, 11, 21), "x-an-an")} <= {"x-an-an"}
