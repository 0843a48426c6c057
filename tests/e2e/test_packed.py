"""A small packed batch that stands for much more: one dead letter, a balanced ledger, and everything else as if it were not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from soc.adapters.kafka.packing import LZ4, ZSTD
from soc.application import sources
from soc.application.correlate_topic import SOURCE
from tests.adapters.kafka.packed import pack, records, send_packed
from tests.e2e import traffic
from tests.e2e.distributed import fill, forget, ingest, opened, received, records_of, run_until, settings_of
from tests.e2e.state import assert_balanced, assert_same, comparable
from tests.servers.kafka_server import Broker
from tests.servers.process import WITHIN_S

Name = Callable[[str], str]
MIB = 1 << 20


def test_a_bomb_is_one_dead_letter_and_costs_no_other_record(
    tmp_path: Path, kafka_broker: Broker, elastic_url: str, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Received = stored + dead + dropped, with all records of the batch in it; the same events and alerts as without."""
    lines = [record for record in records_of(traffic.write(tmp_path / "in", lines=200)[0]) if record.raw]
    states = []
    for bombs in (0, 1):
        prefix = unique_name("packed")
        topic = kafka_broker.create_topic(f"{prefix}.firewall")
        settings = settings_of(tmp_path, elastic_url, kafka_broker.bootstrap, prefix, {"firewall": topic}, batch=50, max_batch_bytes=MIB)
        fill(kafka_broker, {"firewall": topic}, lines[:100])
        for _ in range(bombs):
            packed = pack(ZSTD, records([b"small", *[bytes(64 * MIB)] * 2, b"small"]))
            at = send_packed(kafka_broker.bootstrap, topic, ZSTD, packed, 4, monkeypatch=monkeypatch)
        fill(kafka_broker, {"firewall": topic}, lines[100:])
        states.append(ingest(settings, len(lines) + 4 * bombs))
        if bombs:
            with opened(settings) as app:
                look = sources.probe(app, "firewall", most=len(lines) + 4, wait_s=WITHIN_S)
                assert (look.ok, len(look.sample)) == (True, len(lines)), look.steps
                assert sum("packed with zstd" in text for text, _, _ in look.steps) == 1
                (letter,) = [letter for letter in app.store.dead_letters(limit=100)[1] if letter.seq == at]
            assert (letter.reason, letter.source) == ("oversized", "firewall")
            assert packed in letter.raw, "the batch can be looked at"
            for word in ("zstd", "kafka.max_batch_bytes", f"4 records at offsets {at} to {at + 3}"):
                assert word in letter.error
        forget(settings)
    without, with_bomb = states
    assert_same(comparable(with_bomb), {part: value for part, value in comparable(without).items() if part != "letters"})
    (before,), (after,) = without["ledger"].values(), with_bomb["ledger"].values()
    assert after[:3] == (before[0] + 4, before[1], before[2] + 1)
    assert after[3] == {**before[3], "unread-batch": 3}


def test_a_bomb_in_the_topic_of_signals_is_counted_and_passed(
    tmp_path: Path, kafka_broker: Broker, elastic_url: str, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Correlators go on behind it, and the ledger says how many records could not be read."""
    prefix = unique_name("packed")
    topic = kafka_broker.create_topic(f"{prefix}.firewall")
    lines = [record for record in records_of(traffic.write(tmp_path / "in", lines=60)[0]) if record.raw]
    settings = settings_of(
        tmp_path,
        elastic_url,
        kafka_broker.bootstrap,
        prefix,
        {"firewall": topic},
        signals_topic=prefix + ".signals",
        correlate_group=f"{prefix}-correlate",
        max_batch_bytes=MIB,
    )
    settings = settings.model_copy(update={"roles": ["ingest", "correlate"]})
    fill(kafka_broker, {"firewall": topic}, lines)
    kafka_broker.create_topic(prefix + ".signals")
    send_packed(kafka_broker.bootstrap, prefix + ".signals", LZ4, pack(LZ4, records([bytes(32 * MIB)] * 2)), 2, monkeypatch=monkeypatch)
    with opened(settings, pipeline=True) as app:

        def is_read() -> bool:
            positions = app.store.positions()
            return received(app.store) >= len(lines) and all(positions.get(name, 0) > 2 for name in app.wiring.signal_ends())

        run_until(app, is_read)
        assert_balanced(app.store)
        (row,) = [item for item in app.store.ledger() if item.source == SOURCE]
        assert (row.received, row.dropped, row.difference) == (2, {"unreadable": 2}, 0)
        (told,) = [item for item in sources.status(app) if item.source == SOURCE]
        assert (told.state, told.difference) == ("ok", 0)
    forget(settings)
