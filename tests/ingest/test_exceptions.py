"""What exceptions let pass is counted exactly once, wherever a batch ends and whatever is read again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from soc.adapters.memory import MemoryStore
from soc.clock import FrozenClock
from soc.ingest.exceptions import MOST_EVENTS, ExceptionCounts, kept_counts
from soc.ingest.pipeline import Pipeline, SourceInfo
from soc.ingest.registry import installed
from soc.rules.collection import load_collection
from soc.rules.engine import Engine
from tests.conftest import NOW_US
from tests.ingest.supplies import record

RULE = """\
title: Attack
id: 55555555-0000-4000-8000-000000000001
logsource: {category: firewall}
detection: {sel: {fortinet.firewall.action: detected}, condition: sel}
---
title: Ours
id: 55555555-0000-4000-8000-000000000002
logsource: {category: firewall}
filter: {rules: [55555555-0000-4000-8000-000000000001], selection: {source.ip: 203.0.113.2}, condition: not selection}
soc: {owner: an, reason: our scanner, expires: never}
"""
LINE = (
    'date=2026-11-21 time=08:20:00 devname="FG" devid="FG1" tz="+0700" logid="0419016384" type="utm" subtype="ips" level="alert" '
    'srcip=203.0.113.{0} dstip=10.0.0.5 sessionid={1} action="detected"'
)
KEY = ("55555555-0000-4000-8000-000000000002", "55555555-0000-4000-8000-000000000001")


def pipeline(tmp_path: Path, store: MemoryStore) -> Pipeline:
    """A pipeline under the rule and its exception."""
    (tmp_path / "r.yml").write_text(RULE)
    collection, errors, _notes = load_collection([tmp_path])
    assert not errors
    return Pipeline(
        registry=installed(),
        classifier=Engine(collection.ruleset, collection),
        sources={"fw": SourceInfo("fw", product="fortinet_fortigate")},
        kept_state=store.state,
        owners=store.owners,
    )


def counts(store: MemoryStore) -> Mapping[tuple[str, str], int]:
    """What is kept for the partition."""
    return {key: passed.count for key, passed in kept_counts(store.state("p0")).items()}


def test_matches_are_counted_with_the_batch_and_across_restarts(tmp_path: Path) -> None:
    """Each committed batch adds what it let pass; a batch that is processed again after a conflict adds it once."""
    store = MemoryStore(clock=FrozenClock(NOW_US))
    lines = [record(n, LINE.format(2 if n % 2 else 3, n)) for n in range(8)]
    first = pipeline(tmp_path, store)
    effects = first.process(lines[:4])
    assert len(effects.alerts) == 2
    assert effects.excepted == {KEY[0]: 2}
    store.commit(effects)
    assert counts(store) == {KEY: 2}
    first.process(lines[4:])  # was never committed: the partition went elsewhere
    first.forget_all()
    store.commit(first.process(lines[4:6]))
    assert counts(store) == {KEY: 3}
    store.commit(pipeline(tmp_path, store).process(lines[6:]))
    assert counts(store) == {KEY: 4}
    (passed,) = kept_counts(store.state("p0")).values()
    assert len(passed.events) == 4
    assert passed.first_at == passed.last_at == "2026-11-21T01:36:40.000Z"


def test_only_the_latest_examples_are_kept() -> None:
    """The count goes on, the ids are bounded; what was forgotten is read back."""
    kept: dict[str, bytes] = {}

    def state(partition: str) -> dict[str, bytes]:
        return {key.removeprefix(partition + "\x1f"): value for key, value in kept.items()}

    found = ExceptionCounts(state)
    for number in range(20):
        found.count("p0", "x", "r", f"e{number}", f"2026-11-21T00:00:{number:02}.000Z")
        kept.update({key: value for key, value in found.take_changes().items() if value is not None})
        if number % 7 == 0:
            found.forget(["p0"])
    (passed,) = kept_counts(state("p0")).values()
    assert (passed.count, len(passed.events), passed.events[-1]) == (20, MOST_EVENTS, "e19")
    assert (passed.first_at, passed.last_at) == ("2026-11-21T00:00:00.000Z", "2026-11-21T00:00:19.000Z")
    assert found.take_changes() == {}
