"""The journal behaves alike in memory, in the embedded store and on Elasticsearch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from soc.adapters.elastic.journal import ElasticJournal
from soc.adapters.memory_journal import MemoryJournal
from soc.adapters.sqlite.journal import SqliteJournal
from soc.application import audit
from soc.clock import FrozenClock
from soc.config import StoreSettings
from soc.errors import NotAllowed, SocError, StoreCorrupt, UsageError
from soc.model.fact import ANY_VERSION, Behalf, NewFact
from soc.model.journal import Append, FactConflict, Journal, readable, sole
from soc.model.signing import SigningKey
from tests.contracts.conftest import STORES
from tests.contracts.samples import T0
from tests.servers.clock import clock_for


@dataclass
class Bench:
    """A journal that can be opened a second time on the same data."""

    clock: FrozenClock
    again: Callable[[bool], Journal]


@pytest.fixture(params=STORES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A fresh, empty journal."""
    clock = clock_for(request.param, T0)
    opened: list[Journal] = []
    kept = MemoryJournal(clock=clock)
    settings: StoreSettings = request.getfixturevalue("elastic_store") if request.param == "elasticsearch" else StoreSettings()

    def again(read_only: bool) -> Journal:
        journal: Journal
        if request.param == "memory":
            journal = MemoryJournal(clock=clock, read_only=read_only)
            journal.facts = kept.facts
        elif request.param == "sqlite":
            journal = SqliteJournal(tmp_path / "store", clock=clock, read_only=read_only)
        else:
            journal = ElasticJournal(settings, clock=clock, read_only=read_only)
        opened.append(journal)
        return journal

    yield Bench(clock, again)
    for journal in opened:
        journal.close()


@pytest.fixture
def journal(bench: Bench) -> Journal:
    """The journal, open for writing."""
    return bench.again(False)


def closed(note: str = "") -> NewFact:
    """A fact as triage writes it."""
    return NewFact("GroupClosed", {"reason": "false-positive", "note": note}, "đã kiểm tra", Behalf("Trần Thị B", "telephone", "2026-11-20T08:00:00Z", "CV 12"))


def test_appended_facts_are_there_at_once_in_order_and_chained(bench: Bench, journal: Journal) -> None:
    """What was appended is read back, numbered and chained, also through another connection."""
    written = journal.append("group/g-1", 0, [NewFact("GroupAcknowledged"), closed("ghi chú")], actor="an")
    assert [(one.fact.sequence, one.fact.kind, one.fact.actor) for one in written] == [(1, "GroupAcknowledged", "an"), (2, "GroupClosed", "an")]
    assert written[1].fact.previous == written[0].hash
    assert bench.again(True).read("group/g-1") == written
    assert journal.read("group/g-1", 1) == written[1:]
    assert journal.read("group/g-2") == []


def test_second_writer_sees_what_the_first_one_recorded(journal: Journal) -> None:
    """An append to a version that is gone is refused and shows both changes; nothing of it stands."""
    journal.append("group/g-1", 0, [NewFact("GroupAcknowledged")], actor="an")
    journal.append("group/g-1", 1, [closed()], actor="bình")
    with pytest.raises(FactConflict) as caught:
        journal.append("group/g-1", 1, [NewFact("GroupAssigned", {"to": "an"})], actor="an")
    assert [fact.kind for fact in caught.value.since] == ["GroupClosed"]
    assert "bình" in caught.value.message
    assert len(journal.read("group/g-1")) == 2
    with pytest.raises(FactConflict):
        journal.append("group/g-1", 7, [closed()], actor="an")


def test_logs_take_facts_whatever_was_there(journal: Journal) -> None:
    """With no expected version facts go to the end."""
    for number in range(20):
        journal.append("outbox", ANY_VERSION, [NewFact("MessageSent", {"n": number})], actor="soc")
    assert [one.fact.data["n"] for one in journal.read("outbox")] == list(range(20))


def test_eight_writers_of_one_stream_lose_and_fork_nothing(bench: Bench, journal: Journal) -> None:
    """Half of them under the version that they saw, half as a log: each fact stands once, in its writer's order, chained."""
    shared = isinstance(journal, MemoryJournal)  # what forgets is one process by nature
    errors: list[SocError] = []

    def write(name: str, own: Journal, versioned: bool) -> None:
        try:
            done = 0
            while done < 6:
                expected = len(own.read("shared")) if versioned else ANY_VERSION
                try:
                    own.append("shared", expected, [NewFact("NoteAdded", {"n": done})], actor=name)
                except FactConflict:
                    continue
                done += 1
        except SocError as error:
            errors.append(error)

    writers = [threading.Thread(target=write, args=(f"w{n}", journal if shared else bench.again(False), n % 2 == 0)) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(600)
    assert errors == []
    wrote: dict[str, list[int]] = {}
    for one in journal.read("shared"):
        wrote.setdefault(one.fact.actor, []).append(one.fact.data["n"])
    assert wrote == {f"w{n}": list(range(6)) for n in range(8)}
    assert audit.verify(journal).problems == []


def test_many_streams_at_once_conflict_one_by_one(journal: Journal) -> None:
    """Of many appends only those conflict whose stream moved."""
    journal.append("group/g-3", 0, [closed()], actor="an")
    outcomes = journal.append_each([Append(f"group/g-{number}", 0, (closed(),)) for number in range(6)], actor="lead")
    assert [isinstance(outcome, FactConflict) for outcome in outcomes] == [False, False, False, True, False, False]
    assert [(head.stream, head.sequence) for head in journal.heads("group/")] == [(f"group/g-{number}", 1) for number in range(6)]


def test_many_streams_are_read_at_once(journal: Journal) -> None:
    """By name or by beginning, each whole and in order; what is not there is left out."""
    assert (journal.read_each(["group/g-1"]), list(journal.under("group/"))) == ({}, [])
    for number in (2, 1, 10):
        journal.append(f"group/g-{number}", 0, [NewFact("GroupAcknowledged"), closed()], actor="an")
        journal.append(f"incident/{number}", 0, [closed()], actor="an")
        journal.append(f"group/g-{number}", 2, [NewFact("GroupReopened")], actor="an")
    journal.append("group0", 0, [closed()], actor="an")
    wanted = {f"group/g-{number}": journal.read(f"group/g-{number}") for number in (1, 10, 2)}
    assert list(journal.under("group/")) == list(wanted.items())
    assert dict(journal.under("group/g-1")) == {name: wanted[name] for name in ("group/g-1", "group/g-10")}
    assert journal.read_each(["group/g-2", "group/g-3", "group/g-2"]) == {"group/g-2": wanted["group/g-2"]}


def test_long_streams_are_read_whole(journal: Journal) -> None:
    """Hundreds of facts in appends of many sizes come back in order."""
    total = 0
    for size in (1, 3, 40, 1, 300, 7):
        journal.append("incident/INC-2026-0001", total, [NewFact("NoteAdded", {"n": total + n}) for n in range(size)], actor="an")
        total += size
    assert [one.fact.data["n"] for one in journal.read("incident/INC-2026-0001")] == list(range(total))
    assert [head.sequence for head in journal.heads()] == [total]
    assert len(list(journal.scan())) == total


def test_latest_facts_come_newest_first(bench: Bench, journal: Journal) -> None:
    """The log shows the newest facts first, of all streams or of a kind of them."""
    for number in range(5):
        bench.clock.advance(1)
        journal.append(f"group/g-{number}", 0, [closed()], actor="an")
        journal.append(f"incident/{number}", 0, [NewFact("IncidentOpened")], actor="an")
    assert [fact.stream for fact in journal.latest(3, "group/")] == ["group/g-4", "group/g-3", "group/g-2"]
    assert len(journal.latest(100)) == 10


@pytest.mark.parametrize("data", [{"x": "a\x00b"}, {"x": "\ud800"}, {"x": "y" * 300_000}, {"x": object()}])
def test_what_cannot_be_stored_is_refused_and_nothing_is_appended(journal: Journal, data: dict[str, object]) -> None:
    """A fact that JSON or a text file cannot hold is refused whole, with the facts beside it."""
    with pytest.raises(UsageError):
        journal.append("group/g-1", 0, [closed(), NewFact("NoteAdded", data)], actor="an")
    assert journal.read("group/g-1") == []
    assert list(journal.scan()) == []


def test_hostile_texts_come_back_as_they_are(journal: Journal) -> None:
    """Markup, formulas, terminal codes and separators are data; texts are NFC."""
    texts = ["=cmd|' /C calc'!A0", "<script>", "\x1b[2J", "a\u2028b\n\t", "Đơn vị".encode().decode(), "e\u0323\u0302"]
    journal.append("group/g-1", 0, [NewFact("NoteAdded", {"texts": texts})], actor="an\x1b")
    [one] = journal.read("group/g-1")
    assert one.fact.data["texts"] == [*texts[:-1], "ệ"]


def test_reading_only_writes_nothing(bench: Bench) -> None:
    """A journal opened for reading only is empty where there is none, and refuses facts."""
    reader = bench.again(True)
    assert list(reader.scan()) == []
    assert reader.read("group/g-1") == []
    assert list(reader.heads()) == []
    assert reader.latest(5) == []
    with pytest.raises(NotAllowed):
        reader.append("group/g-1", 0, [closed()], actor="an")


def test_checkpoints_and_anchor_hold_while_the_journal_grows(journal: Journal) -> None:
    """Signed ends stay true when more is appended; another journal does not pass for this one."""
    key = SigningKey.generate()
    for number in range(3):
        journal.append(f"group/g-{number}", 0, [closed()], actor="an")
    anchor = audit.checkpoint(journal, key, actor="an")
    assert audit.checkpoint(journal, key, actor="an").checkpoint == anchor.checkpoint
    journal.append("group/g-1", 1, [closed()], actor="an")
    assert audit.checkpoint(journal, key, actor="an").checkpoint == anchor.checkpoint + 1
    verdict = audit.verify(journal, anchor)
    assert (verdict.ok, verdict.checkpoints, verdict.problems) == (True, 2, [])
    other = MemoryJournal(clock=FrozenClock(T0))
    other.append("group/g-0", 0, [closed("khác")], actor="an")
    kinds = {(problem.stream, problem.kind) for problem in audit.verify(other, anchor).problems}
    assert ("group/g-0", "fork") in kinds
    assert ("group/g-1", "truncated") in kinds


def test_the_only_outcome_is_handed_out_or_raised_and_damaged_bytes_name_place_and_stream() -> None:
    """What every journal says in the same words."""
    kept = MemoryJournal(clock=FrozenClock(T0))
    stored = kept.append("group/g-1", 0, [closed()], actor="an")
    assert sole([stored]) == stored
    conflict = FactConflict("group/g-1", 0, [stored[0].fact])
    with pytest.raises(FactConflict) as caught:
        sole([conflict])
    assert caught.value is conflict
    assert readable(stored[0].body, stored[0].hash, place="here", stream="group/g-1") == stored[0]
    with pytest.raises(StoreCorrupt, match=r"here: a fact of group/g-1 cannot be read"):
        readable(stored[0].body[:-1], stored[0].hash, place="here", stream="group/g-1")
