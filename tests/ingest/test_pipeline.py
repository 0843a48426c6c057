"""Records become events, dead letters or counted drops; how they are cut into batches changes nothing."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.application.demo.traffic import mail_lines
from soc.clock import from_datetime, iso
from soc.errors import StoreUnavailable
from soc.ingest.pipeline import MOST_KEPT, Pipeline, SourceInfo
from soc.ingest.records import record_of, record_of_dead_letter
from soc.ingest.registry import installed
from soc.model.alert import Alert
from soc.model.event import Doc, Event
from soc.model.record import RawRecord
from soc.model.signal import Signal
from soc.model.text import event_tokens
from soc.ports import Effects, Verdict
from tests.contracts.samples import alert
from tests.ingest.supplies import record

RECEIVED = from_datetime(datetime(2026, 11, 21, 1, 30, tzinfo=UTC))
BEGIN = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
FORTI = (
    'date=2026-11-21 time=08:29:00 devname="FG" devid="FG1" eventtime=1795224540000000000 tz="+0700" logid="0419016384" type="utm" subtype="ips" eventtype="signature" level="alert" severity="critical" '
    'srcip=203.0.113.9 dstip=10.0.0.5 srcport=4000 dstport=443 sessionid={} action="detected" proto=6 service="HTTPS" attack="Some.Attack" attackid=1 msg="m"'
)


class Levels:
    """Everything from an intrusion sensor is high; nothing else is anything."""

    hash = "levels"

    silent: frozenset[int] = frozenset()

    def signals(self, matches: Sequence[int], event: Event) -> list[Signal]:
        """Nothing is correlated."""
        return []

    def rule_id(self, index: int) -> str:
        """There is one rule."""
        return f"r{index + 1}"

    def classify(self, doc: Doc) -> Verdict:
        return (
            Verdict("high", "intrusion", "r1", ())
            if "Some.Attack" in str(doc.get("event.original", "")) + str(doc.get("rule.name", ""))
            else Verdict("none", "", "", ())
        )

    def alert(self, index: int, event: Event, detected_at: str) -> Alert:
        raise LookupError("these rules raise no alerts")


def _pipeline(
    source: SourceInfo | None = None, owned: Mapping[str, str] | None = None, kept: Mapping[str, bytes] | None = None, offset_us: int = 0
) -> Pipeline:
    known: dict[str, str] = dict(owned or {})

    def owners(claims: Mapping[str, str]) -> Mapping[str, str]:
        for key, event in claims.items():
            known.setdefault(key, event)
        return {key: known[key] for key in claims}

    source = source or SourceInfo("fw")
    return Pipeline(
        registry=installed(),
        classifier=Levels(),
        sources={source.name: source},
        kept_state=lambda _partition: kept or {},
        owners=owners,
        offset_us=lambda _source, _received: offset_us,
    )


def _one(raw: bytes | str) -> Effects:
    return _pipeline().process([record(0, raw, received_us=RECEIVED)])


def test_a_line_becomes_a_classified_event_with_its_position_and_bytes() -> None:
    """One FortiGate line: parsed, levelled, natural key claimed, raw line and position kept."""
    effects = _one(FORTI.format(7))
    [event] = effects.events
    assert event.level == "high"
    assert event.doc["source.ip"] == "203.0.113.9"
    assert event.doc["event.original"] == FORTI.format(7)
    assert (event.doc["soc.partition"], event.doc["soc.seq"], event.doc["soc.kind"]) == ("p0", 0, "firewall")
    assert event.ts_us == 1_795_224_540_000_000
    assert list(effects.claims.values()) == [event.id]
    [progress] = effects.progress
    assert (progress.first, progress.last, progress.next, progress.received, progress.dropped) == (0, 0, 1, 1, {})


def test_a_resent_line_is_stored_and_not_counted_again() -> None:
    """The same line from another position, with another relay header, is the same threat."""
    again = "<134>Nov 21 08:29:05 relay1 " + FORTI.format(7)
    effects = _pipeline().process([record(0, FORTI.format(7), received_us=RECEIVED), record(1, again, received_us=RECEIVED)])
    assert [event.counted for event in effects.events] == [True, False]
    assert effects.events[1].doc["soc.counted"] is False
    assert len(effects.claims) == 1


def test_invalid_utf8_and_nul_stay_readable_and_recoverable() -> None:
    """What is no UTF-8 is shown as \\xNN, and the very bytes are kept beside it, so that a replay sees the same record."""
    raw = b"<134>bad \xff\xfe\x00 bytes"
    [event] = _one(raw).events
    assert "\\xff" in event.doc["event.original"]
    assert b64decode(event.doc["soc.raw"]) == raw
    assert record_of(event.doc).raw == raw
    assert event.doc["soc.parse_error"]


@pytest.mark.parametrize("raw", [b"", b"   ", b"\r\n", b"\t"])
def test_an_empty_line_is_dropped_and_counted(raw: bytes) -> None:
    """Nothing is in it, so nothing is stored; the ledger still knows of it."""
    effects = _one(raw)
    assert effects.events == []
    assert effects.progress[0].dropped == {"empty": 1}


def test_a_line_of_two_megabytes_is_a_dead_letter_with_all_its_bytes() -> None:
    """Beyond the limit a record is kept whole, with the reason and the setting that decides."""
    raw = b"A" * 2_000_000
    effects = _one(raw)
    [letter] = effects.dead_letters
    assert (letter.reason, letter.raw) == ("oversized", raw)
    assert "max_record_bytes" in letter.error


def test_of_a_record_that_no_store_would_take_the_beginning_is_kept() -> None:
    """Anybody may send twenty megabytes: what is kept of them fits every store, and says how much is missing."""
    raw = b"B" * 20_000_000
    effects = _one(raw)
    [letter] = effects.dead_letters
    assert letter.raw == raw[:MOST_KEPT]
    assert letter.truncated_bytes == len(raw) - MOST_KEPT
    assert letter.error == f"20000000 bytes; the limit is 1048576 (pipeline.max_record_bytes); the first {MOST_KEPT} are kept"


def test_a_megabyte_line_within_the_limit_is_an_event() -> None:
    """A long line is slow for nobody and stays whole."""
    [event] = _one("<134>app: " + "word " * 200_000).events
    assert len(event.doc["event.original"]) > 1_000_000
    assert len(event.tokens) < 200_000


@pytest.mark.parametrize(("date", "fault"), [("1970-01-01", "past"), ("2099-12-31", "future"), ("2025-10-01", "past")])
def test_impossible_dates_are_kept_and_not_used(date: str, fault: str) -> None:
    """The device's time stays in the document; partitions and windows use the received time."""
    line = FORTI.format(1).replace("2026-11-21", date).replace("eventtime=1795224540000000000 ", "")
    [event] = _one(line).events
    assert event.doc["@timestamp"].startswith(date[:4]) or date[:4] == "1970"
    assert event.doc["soc.time_fault"] == fault
    assert event.ts_us == RECEIVED


def test_a_line_without_a_time_has_its_received_time() -> None:
    """The received time stands in, and the document says so."""
    [event] = _one("no time in here").events
    assert event.doc["@timestamp"] == iso(RECEIVED)
    assert event.doc["soc.time_fault"] == "missing"


def test_a_clock_offset_moves_the_time_and_keeps_the_devices() -> None:
    """A device 7 hours off: corrected time, device time and offset are all in the document."""
    effects = _pipeline(offset_us=25_200_000_000).process([record(0, FORTI.format(1), received_us=RECEIVED + 25_200_000_000)])
    [event] = effects.events
    assert event.ts_us == 1_795_224_540_000_000 + 25_200_000_000
    assert event.doc["soc.device_time"] == "2026-11-21T01:29:00.000Z"
    assert event.doc["@timestamp"] == iso(event.ts_us)
    assert event.doc["soc.clock_offset_s"] == 25200


def test_a_backlog_is_marked_late() -> None:
    """An event a quarter of an hour older than its arrival says so."""
    [event] = _pipeline().process([record(0, FORTI.format(1), received_us=RECEIVED + 3_600_000_000)]).events
    assert event.doc["soc.late"] is True
    assert "soc.late" not in _one(FORTI.format(1)).events[0].doc


def test_place_and_scope_of_the_source_stand_on_every_event() -> None:
    """Scope, agency and network point come from the configuration of the source."""
    source = SourceInfo("fw", scope="exercise:d1", agency="so-y-te", network_point="p-12")
    [event] = _pipeline(source).process([record(0, FORTI.format(1), received_us=RECEIVED)]).events
    assert (event.scope, event.doc["soc.agency.id"], event.doc["soc.network_point"]) == ("exercise:d1", "so-y-te", "p-12")


def test_a_fault_of_ours_costs_one_record_not_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that breaks its promise makes a dead letter; its neighbours are stored."""
    registry = installed()
    parser = registry.get("fortinet_fortigate")
    parse = type(parser).parse

    def breaks(self: object, line: object, context: object) -> object:
        if "sessionid=2 " in str(getattr(line, "message", "")):
            raise ZeroDivisionError
        return parse(self, line, context)  # type: ignore[arg-type]

    monkeypatch.setattr(type(parser), "parse", breaks)
    effects = _pipeline().process([record(number, FORTI.format(number), received_us=RECEIVED) for number in (1, 2, 3)])
    assert len(effects.events) == 2
    assert [(letter.seq, letter.reason) for letter in effects.dead_letters] == [(2, "parser-fault")]


class Failing(Levels):
    """Rules that fail: at everything, at lines that hold a word, or at the alert of what they matched."""

    def __init__(self, word: str, *, at_alert: bool = False) -> None:
        self.word = word
        self.at_alert = at_alert

    def classify(self, doc: Doc) -> Verdict:
        if self.word in str(doc.get("event.original", "")):
            if self.at_alert:
                return Verdict("high", "intrusion", "r1", (0,))
            raise RecursionError("a rule")
        return super().classify(doc)


@pytest.mark.parametrize("at_alert", [False, True])
def test_a_rule_that_fails_costs_one_record_and_nothing_is_counted_twice(at_alert: bool) -> None:
    """The record ends as a dead letter and as nothing else, its natural key is not claimed, its neighbours are stored."""
    pipeline = _pipeline()
    pipeline.classifier = Failing("sessionid=2 ", at_alert=at_alert)
    effects = pipeline.process([record(number, FORTI.format(number), received_us=RECEIVED) for number in (1, 2, 3)])
    assert [event.seq for event in effects.events] == [1, 3]
    assert [letter.seq for letter in effects.dead_letters] == [2]
    assert sorted(effects.claims.values()) == sorted(event.id for event in effects.events)


def test_a_rule_that_fails_at_a_message_leaves_the_message_and_the_stream() -> None:
    """A message that the rules fail at is kept without a class: its lines are folded and will not come again."""
    pipeline = _pipeline(SourceInfo("mail"))
    whole = pipeline.process([record(number, line, source="mail", received_us=RECEIVED) for number, line in enumerate(MAIL)])
    derived = {event.id for event in whole.events if "soc.derived" in event.doc}
    assert derived

    class Derived(Levels):
        def classify(self, doc: Doc) -> Verdict:
            if "soc.derived" in doc:
                raise ZeroDivisionError
            return super().classify(doc)

    pipeline = _pipeline(SourceInfo("mail"))
    pipeline.classifier = Derived()
    failed = pipeline.process([record(number, line, source="mail", received_us=RECEIVED) for number, line in enumerate(MAIL)])
    assert failed.dead_letters == []
    kept = {event.id: event for event in failed.events if "soc.derived" in event.doc}
    assert kept.keys() == derived
    assert all("ZeroDivisionError" in event.doc["soc.parse_error"] and event.level == "none" for event in kept.values())


def test_a_store_that_is_away_is_no_fault_of_the_record() -> None:
    """When the kept state cannot be read the batch is given again later: the line must not end as a dead letter."""

    def away(_partition: str) -> Mapping[str, bytes]:
        raise StoreUnavailable("the store is away")

    pipeline = _pipeline(SourceInfo("mail"))
    pipeline._kept_state = away
    with pytest.raises(StoreUnavailable):
        pipeline.process([record(number, line, source="mail", received_us=RECEIVED) for number, line in enumerate(MAIL)])


def test_two_agencies_may_share_a_natural_key() -> None:
    """Two devices with the same names and numbers in two agencies are two threats; in one agency they are one."""

    def keys(agency: str) -> set[str]:
        return set(_pipeline(SourceInfo("fw", agency=agency)).process([record(0, FORTI.format(1), received_us=RECEIVED)]).claims)

    assert keys("so-y-te").isdisjoint(keys("so-tai-chinh"))
    assert keys("so-y-te") == keys("so-y-te")


def test_an_event_names_the_rules_it_was_classified_by() -> None:
    """The hash of the rule set stands with the batch and on each of its events."""
    effects = _one(FORTI.format(1))
    assert effects.rules_hash == "levels"
    assert effects.events[0].doc["soc.rules_hash"] == "levels"


def test_the_words_of_lines_read_together_are_those_of_their_documents() -> None:
    """What a parser says of words beforehand, with what is said of an event later (class, agency, sender), is what its document says."""
    records = [record(number, FORTI.format(number), received_us=RECEIVED, host="10.9.8.7") for number in range(40)]
    events = _pipeline(SourceInfo("fw", agency="so-y-te")).process(records).events
    assert {"intrusion", "so-y-te", "10.9.8.7", "some.attack"} <= set(events[-1].tokens.split(" "))
    assert [set(event.tokens.split(" ")) for event in events] == [set(event_tokens(event.doc).split(" ")) for event in events]


MAIL = [line for line, _ in zip(mail_lines(3, BEGIN), range(120), strict=False)]


def _concatenated(batches: list[Effects]) -> list[object]:
    return [(event.id, event.counted, event.doc, set(event.tokens.split())) for effects in batches for event in effects.events]


@settings(deadline=None)
@given(st.sets(st.integers(min_value=1, max_value=len(MAIL) - 1), max_size=12))
def test_how_the_log_is_cut_into_batches_changes_nothing(cuts: set[int]) -> None:
    """Mail lines joined to messages: any cut into batches, with a restart from the kept state at each, gives the same events."""
    records = [record(number, line, source="mail", received_us=RECEIVED + number * 1000) for number, line in enumerate(MAIL)]
    whole = _concatenated([_pipeline(SourceInfo("mail")).process(records)])
    kept: dict[str, bytes] = {}
    owned: dict[str, str] = {}
    batches = []
    for begin, end in pairwise([0, *sorted(cuts), len(records)]):
        pipeline = _pipeline(SourceInfo("mail"), owned, kept)
        effects = pipeline.process(records[begin:end])
        owned.update(effects.claims)
        for key, value in effects.state.items():
            name = key.partition("\x1f")[2]
            if value is None:
                kept.pop(name, None)
            else:
                kept[name] = value
        batches.append(effects)
    assert _concatenated(batches) == whole


def test_a_heartbeat_lets_time_go_on() -> None:
    """A heartbeat finishes what nobody will finish, and is dropped under its name."""
    opened = _pipeline(SourceInfo("mail"))
    begun = [line for line in MAIL if not line.endswith(": removed")]
    opened.process([record(number, line, source="mail", received_us=RECEIVED) for number, line in enumerate(begun)])
    assembler = installed().assembler("postfix")
    assert assembler is not None
    beat = RawRecord("mail", "p0", 500, 501, b"", RECEIVED + round((assembler.timeout_s + 1) * 1e6), "p0", 500, heartbeat=True)
    effects = opened.process([beat])
    assert effects.progress[0].dropped == {"heartbeat": 1}
    assert effects.events, "the messages under way are finished as they stand"
    assert all(event.doc["soc.derived"] for event in effects.events)


def test_a_record_cut_by_its_collector_says_so_also_after_a_redrive() -> None:
    """A dead letter remembers how much is missing and who sent it; the event that it becomes says so, unless mended bytes are given."""
    [letter] = (
        _pipeline()
        .process([record(0, FORTI.format(1), received_us=RECEIVED, fault="oversized: 9 bytes were cut", truncated_bytes=9, host="10.1.1.1")])
        .dead_letters
    )
    assert (letter.truncated_bytes, letter.host) == (9, "10.1.1.1")
    [event] = _pipeline().process([record_of_dead_letter(letter)]).events
    assert (event.doc["soc.truncated_bytes"], event.doc["log.source.address"]) == (9, "10.1.1.1")
    [event] = _pipeline().process([record_of_dead_letter(letter, b"whole")]).events
    assert "soc.truncated_bytes" not in event.doc


def test_a_batch_that_could_not_be_read_is_one_dead_letter_and_each_of_its_records_is_counted() -> None:
    """What stands for many records is received as many: one letter, and the rest dropped for one reason."""
    fault = "oversized: a batch packed with zstd; these are the 5 records at offsets 3 to 7"
    effects = _pipeline().process([RawRecord("fw", "p", 3, 8, b"packed", RECEIVED, "p", 3, fault=fault, records=5)])
    [letter], [progress] = effects.dead_letters, effects.progress
    assert (letter.seq, letter.reason, letter.error, letter.raw) == (3, "oversized", fault, b"packed")
    assert (progress.first, progress.next, progress.received, progress.dropped) == (3, 8, 5, {"unread-batch": 4})


class Raising(Levels):
    """Each of those lines raises an alert."""

    def classify(self, doc: Doc) -> Verdict:
        verdict = super().classify(doc)
        return msgspec.structs.replace(verdict, matches=(0,)) if verdict.level != "none" else verdict

    def alert(self, index: int, event: Event, detected_at: str) -> Alert:
        return alert(event, rule=self.rule_id(index))


@pytest.mark.parametrize("cut", [1, 2, 3, 6])
def test_alerts_beyond_the_limit_are_counted_by_the_partition_of_their_events(cut: int) -> None:
    """However the log was cut, and whether a batch is of one partition or of several."""
    records = [record(seq, FORTI.format(seq), received_us=RECEIVED, partition=partition) for seq, partition in enumerate(("p0", "p0", "p1", "p0", "p1", "p0"))]
    pipeline = Pipeline(
        registry=installed(),
        classifier=Raising(),
        sources={"fw": SourceInfo("fw")},
        kept_state=lambda _partition: {},
        owners=dict,
        storm_per_hour=2,
    )
    raised: list[Alert] = []
    state: dict[str, bytes | None] = {}
    for begin in range(0, len(records), cut):
        effects = pipeline.process(records[begin : begin + cut])
        raised += [one for one in effects.alerts if one.rule.kind == "sigma"]
        state |= effects.state
    assert [one.storm for one in raised] == [False, False, False, True, False, True]
    assert sorted(key.partition("\x1f")[0] for key in state) == ["p0", "p1"]
