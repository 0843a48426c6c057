"""Same log, same rules, same alerts: shuffled, read again, carried over a second time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
import pytest

from soc.application.run import run
from soc.model.record import RawRecord
from tests.e2e import traffic
from tests.e2e.distributed import fill, forget, ingest, opened, records_of, run_until, settings_of, state_of
from tests.e2e.state import assert_same, comparable
from tests.servers.kafka_server import Broker

Name = Callable[[str], str]
pytestmark = pytest.mark.xdist_group("order")
COUNTED = frozenset({"soc.counted"})
"""Which of two copies of a line counts depends on who came first; that one counts does not."""


class Undisturbed(NamedTuple):
    """Records in a topic, and what one worker makes of them in the order of the log."""

    records: list[RawRecord]
    topic: str
    prefix: str
    state: dict[str, Any]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, kafka_broker: Broker, elastic_url: str) -> Iterator[Undisturbed]:
    """Firewall lines, some of them sent twice, in one partition."""
    folder = tmp_path_factory.mktemp("undisturbed")
    prefix = f"order_{folder.parent.name}_{folder.name}".replace("-", "_").lower()
    records = records_of(traffic.write(folder / "in")[0])
    topic = kafka_broker.create_topic(f"{prefix}.firewall")
    fill(kafka_broker, {"firewall": topic}, records)
    settings = settings_of(folder, elastic_url, kafka_broker.bootstrap, prefix, {"firewall": topic})
    state = ingest(settings, len(records))
    assert state["alerts"]
    assert any(doc.get("soc.counted") is False for doc in state["events"].values())
    yield Undisturbed(records, topic, prefix, state)
    forget(settings)


@pytest.mark.parametrize("seed", [1, 2])
def test_another_order_gives_the_same_alerts_and_figures(
    seed: int, tmp_path: Path, undisturbed: Undisturbed, kafka_broker: Broker, elastic_url: str, unique_name: Name
) -> None:
    """The same lines in another order: the same events, alerts, groups and counted figures."""
    shuffled = list(undisturbed.records)
    Random(seed).shuffle(shuffled)
    prefix = unique_name("order")
    topics = {"firewall": kafka_broker.create_topic(f"{prefix}.firewall")}
    fill(kafka_broker, topics, shuffled)
    settings = settings_of(tmp_path, elastic_url, kafka_broker.bootstrap, prefix, topics, batch=70)
    found = ingest(settings, len(shuffled))
    assert_same(comparable(found, beside=COUNTED), comparable(undisturbed.state, beside=COUNTED))
    assert _uncounted(found) == _uncounted(undisturbed.state)
    forget(settings)


def _uncounted(state: dict[str, Any]) -> Counter[str]:
    """How often an event of each natural key does not count."""
    return Counter(doc["soc.natural_key"] for doc in state["events"].values() if doc.get("soc.counted") is False)


def test_a_new_group_does_not_read_again_what_the_store_has(tmp_path: Path, undisturbed: Undisturbed, kafka_broker: Broker, elastic_url: str) -> None:
    """The store's positions count, not those of the group: a group of another name goes on behind the last record."""
    topics = {"firewall": undisturbed.topic}
    settings = settings_of(tmp_path, elastic_url, kafka_broker.bootstrap, undisturbed.prefix, topics, group=f"{undisturbed.prefix}_other")
    settings = settings.model_copy(update={"pipeline": settings.pipeline.model_copy(update={"batch_size": 33})})
    before = kafka_broker.end_offsets(undisturbed.topic)[0]
    with opened(settings, pipeline=True) as app:
        totals = run(app, once=True)
    assert totals.received == 0
    assert before == len(undisturbed.records)
    assert_same(state_of(settings), undisturbed.state)


def test_a_topic_carried_over_twice_is_dropped_and_counted(
    tmp_path: Path, undisturbed: Undisturbed, kafka_broker: Broker, elastic_url: str, unique_name: Name
) -> None:
    """The same records under the same positions in a second topic (a mirror, a collector restored from a backup): every one a counted replay."""
    prefix = unique_name("order")
    first, second = (kafka_broker.create_topic(f"{prefix}.{name}") for name in ("first", "second"))
    fill(kafka_broker, {"firewall": first}, undisturbed.records)
    fill(kafka_broker, {"firewall": second}, undisturbed.records)
    settings = settings_of(tmp_path, elastic_url, kafka_broker.bootstrap, prefix, {"firewall": first})
    once = ingest(settings, len(undisturbed.records))
    assert_same(comparable(once), comparable(undisturbed.state))
    mirrored = settings_of(tmp_path, elastic_url, kafka_broker.bootstrap, prefix, {"firewall": second}, batch=90)
    mirrored = mirrored.model_copy(update={"kafka": mirrored.kafka.model_copy(update={"group": f"{prefix}_second"})})
    with opened(mirrored, pipeline=True) as app:
        run_until(app, lambda: sum(item.received for item in app.store.ledger()) >= 2 * len(undisturbed.records))
    twice = state_of(mirrored)
    assert_same(comparable(twice), comparable(once))
    rows = list(twice["ledger"].values())
    assert [row[0] for row in rows] == [len(undisturbed.records)] * 2
    [(_, stored, dead, dropped)] = [row for row in rows if row[1] == 0]
    assert (stored, dead) == (0, 0)
    assert dropped == {"replay": len(undisturbed.records) - dropped.get("empty", 0), **({"empty": dropped["empty"]} if "empty" in dropped else {})}
    forget(settings)


def test_other_bytes_under_a_known_position_are_kept_and_told(
    tmp_path: Path, undisturbed: Undisturbed, kafka_broker: Broker, elastic_url: str, unique_name: Name
) -> None:
    """A position that comes with other bytes is no replay: both are stored, and the ledger says that something is wrong."""
    prefix = unique_name("order")
    topics = {"firewall": kafka_broker.create_topic(f"{prefix}.firewall")}
    some = [record for record in undisturbed.records if record.raw.startswith(b"<18")][:20]
    forged = [msgspec.structs.replace(record, raw=record.raw.replace(b"policyid=", b"policyid=1")) for record in some[:5]]
    assert all(one.raw != other.raw for one, other in zip(forged, some, strict=False))
    fill(kafka_broker, topics, [*some, *forged])
    settings = settings_of(tmp_path, elastic_url, kafka_broker.bootstrap, prefix, topics)
    with opened(settings, pipeline=True) as app:
        run_until(app, lambda: sum(item.received for item in app.store.ledger()) >= 25)
        [row] = app.store.ledger()
        assert (row.received, row.stored, row.difference, row.faults) == (25, 25, 0, 5)
    forget(settings)
