"""Faults on the way to a real Elasticsearch and inside it: each ends with exact counts, or with the right error."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme

from soc.adapters.elastic.store import ElasticStore, erase, open_store
from soc.adapters.elastic.templates import VERSION, templates
from soc.clock import FrozenClock, SystemClock
from soc.config import StoreSettings
from soc.errors import AccessDenied, Conflict, StoreFull, StoreNewer, StoreRefused, StoreUnavailable
from soc.model.query import All
from soc.ports import AlertQuery, EventQuery, no_crash
from tests.adapters.elastic.gate import Gate
from tests.adapters.elastic.limits import PATIENT, hasty, told
from tests.contracts.samples import DAY, T0, alert, batch, event
from tests.servers.fault_proxy import FaultProxy
from tests.servers.fixtures import OwnElastic
from tests.servers.process import WITHIN_S, wait_until

pytestmark = pytest.mark.real
EVERYTHING = EventQuery(All(), scope=None)
Make = Callable[..., ElasticStore]


@pytest.fixture
def settings(elastic_url: str, unique_name: Callable[[str], str]) -> Iterator[StoreSettings]:
    """Settings of a fresh prefix, straight to the node."""
    made = StoreSettings(kind="elasticsearch", hosts=[elastic_url], prefix=unique_name("fault"), **PATIENT)
    yield made
    erase(made)


@pytest.fixture
def opened() -> Iterator[Make]:
    """Opens stores and closes them at the end."""
    stores: list[ElasticStore] = []

    def _open(settings: StoreSettings, **changes: Any) -> ElasticStore:
        crash = changes.pop("crash", no_crash)
        stores.append(open_store(settings.model_copy(update=changes), pipeline=True, read_only=False, clock=SystemClock(), crash=crash))
        return stores[-1]

    yield _open
    for store in stores:
        store.close()


@pytest.fixture
def proxy(elastic_url: str) -> Iterator[FaultProxy]:
    """A misbehaving proxy before the node."""
    with FaultProxy(urlsplit(elastic_url).port or 0) as made:
        yield made


def through(proxy: FaultProxy) -> list[str]:
    """The hosts setting that goes through a proxy."""
    return [f"http://127.0.0.1:{proxy.port}"]


@contextmanager
def answers_lost(proxy: FaultProxy) -> Iterator[None]:
    """No answer of the node comes through; at the end the connections on which they were awaited are cut."""
    try:
        yield
    finally:
        proxy.cut()
        proxy.mode = "pass"


def balanced(store: ElasticStore, events: int, *, partition: str = "fw/0", dropped: dict[str, int] | None = None) -> None:
    """Exactly so many events stand, and the ledger row balances."""
    store.refresh()
    [item] = [item for item in store.ledger() if item.partition == partition]
    assert (item.stored, item.difference, item.dropped) == (events, 0, dropped or {})


# --- the way to it -------------------------------------------------------------------------------------------------------


def test_an_answer_lost_after_the_write_counts_as_written(settings: StoreSettings, opened: Make, proxy: FaultProxy) -> None:
    """A bulk that was applied and whose answer never came is sent again, recognised as ours, and stands once."""
    direct, store = opened(settings), opened(settings, hosts=through(proxy))
    store.commit(batch(event(0)))
    events = [event(n) for n in range(1, 501)]
    with ThreadPoolExecutor(1) as pool:
        with answers_lost(proxy):
            proxy.mode = "stall_down"
            commit = pool.submit(store.commit, batch(*events, alerts=[alert(events[0])]))
            wait_until(lambda: _count(direct) == 501, what="the bulk is applied")
        committed = commit.result(2 * WITHIN_S)
    assert (committed.stored, committed.replayed, committed.faults, len(committed.new_alerts)) == (500, 0, [], 1)
    balanced(direct, 501)


def test_a_lost_answer_to_the_position_write_is_no_conflict(settings: StoreSettings, opened: Make, proxy: FaultProxy) -> None:
    """The position stands as we wrote it: the conflict of its repetition is recognised as our own."""

    def crash(point: str) -> None:
        if point == "store.control.written" and armed:
            proxy.mode = "stall_down"

    armed: list[bool] = []
    direct, store = opened(settings), opened(settings, hosts=through(proxy), crash=crash)
    store.commit(batch(event(0)))
    armed.append(True)
    with ThreadPoolExecutor(1) as pool:
        with answers_lost(proxy):
            commit = pool.submit(store.commit, batch(event(1)))
            wait_until(lambda: direct.positions() == {"fw/0": 2}, what="the position is applied")
        assert commit.result(2 * WITHIN_S).stored == 1
    armed.clear()
    assert store.commit(batch(event(2))).stored == 1
    balanced(direct, 3)


def test_connections_cut_in_mid_bulk_lose_and_double_nothing(settings: StoreSettings, opened: Make, proxy: FaultProxy) -> None:
    """Ten resets while batches are written: every event stands once."""
    direct, store = opened(settings), opened(settings, hosts=through(proxy))
    proxy.mode = "delay"
    enough = threading.Event()

    def work() -> tuple[int, int]:
        begin = stored = 0
        while begin < 3000 or not enough.is_set():
            stored += store.commit(batch(*[event(n) for n in range(begin, begin + 200)])).stored
            begin += 200
        return begin, stored

    with ThreadPoolExecutor(1) as pool:
        commits = pool.submit(work)
        try:
            cuts = 0
            while cuts < 10:
                seen = proxy.bytes_up
                wait_until(lambda seen=seen: commits.done() or proxy.bytes_up > seen + 60_000, what="more bytes go up")  # type: ignore[misc]
                assert not commits.done(), commits.result()
                cuts += bool(proxy.cut())
        finally:
            proxy.mode = "pass"
            enough.set()
        given, stored = commits.result(2 * WITHIN_S)
    assert stored == given
    balanced(direct, given)


def test_a_node_that_cannot_be_reached_is_unavailable_and_loses_nothing(settings: StoreSettings, opened: Make, proxy: FaultProxy) -> None:
    """After the stall budget the batch is refused with exit code 4; the same effects go in later."""
    store = opened(settings, hosts=through(proxy))
    store.commit(batch(event(0)))
    proxy.mode = "refuse"
    proxy.cut()
    with hasty(store), pytest.raises(StoreUnavailable) as caught:
        store.commit(batch(event(1)))
    assert caught.value.exit_code == 4
    assert caught.value.hint
    proxy.mode = "pass"
    assert store.commit(batch(event(1))).stored == 1
    balanced(store, 2)


def test_a_look_up_does_not_wait_for_the_whole_stall_budget(settings: StoreSettings, opened: Make, proxy: FaultProxy) -> None:
    """A person who asks while the node is away learns it within seconds, whatever batches are allowed to wait."""
    clock = FrozenClock(T0)
    store = opened(settings, hosts=through(proxy), stall_budget_s=3600)
    store._link.clock = clock
    proxy.mode = "refuse"
    proxy.cut()
    before = clock.monotonic()
    with hasty(store, look_up_budget_s=StoreSettings().look_up_budget_s), pytest.raises(StoreUnavailable):
        store.count(EVERYTHING)
    assert clock.monotonic() - before < 10


def test_a_frozen_node_is_unavailable(settings: StoreSettings, opened: Make, proxy: FaultProxy) -> None:
    """No answer within the budget: StoreUnavailable that names the time limit."""
    direct = opened(settings)
    direct.commit(batch(event(0)))
    store = opened(settings, hosts=through(proxy))
    with answers_lost(proxy):  # and what was asked: nobody sends it on later
        proxy.mode = "stall"
        with hasty(store, stall_budget_s=0.5, request_timeout_s=1), pytest.raises(StoreUnavailable, match="no answer in time"):
            store.commit(batch(event(1)))
    assert direct.commit(batch(event(1))).stored == 1
    balanced(direct, 2)


# --- proxies: passwords, TLS, HTML ---------------------------------------------------------------------------------------


def test_refused_credentials_are_no_fault_of_documents(settings: StoreSettings, opened: Make, elastic_url: str, tmp_path: Path) -> None:
    """401 is AccessDenied (exit code 5) at opening and in mid-run; nothing becomes a dead letter; the right password works."""
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    for file, text in ((right, "bí mật"), (wrong, "guess")):
        file.write_text(text + "\n", encoding="utf-8")
        file.chmod(0o600)
    with Gate(elastic_url, login="soc:bí mật") as gate:
        with pytest.raises(AccessDenied) as caught:
            opened(settings, hosts=[gate.url], username="soc", password_file=wrong)
        assert (caught.value.exit_code, "password" in caught.value.hint, "nginx says no" in caught.value.message) == (5, True, True)
        store = opened(settings, hosts=[gate.url], username="soc", password_file=right)
        assert store.commit(batch(event(0))).stored == 1
        gate.status = 403
        with pytest.raises(AccessDenied):
            store.commit(batch(event(1)))
        gate.status = 0
        assert store.commit(batch(event(1))).stored == 1
        assert store.dead_letters(state="") == (0, [])
    balanced(opened(settings), 2)


def test_a_proxy_without_backend_is_waited_for(settings: StoreSettings, opened: Make, elastic_url: str) -> None:
    """502 and 503 in HTML are retried within the budget; beyond it the error says what the proxy said."""
    with Gate(elastic_url) as gate:
        store = opened(settings, hosts=[gate.url])
        with ThreadPoolExecutor(1) as pool:
            gate.status, gate.only, before = 502, "_bulk", gate.rejected
            commit = pool.submit(store.commit, batch(event(0)))
            wait_until(lambda: gate.rejected >= before + 3, what="three tries")
            gate.status = 0
            assert commit.result(2 * WITHIN_S).stored == 1
        gate.status = 503
        with hasty(store), pytest.raises(StoreUnavailable, match="503"):
            store.commit(batch(event(1)))
    balanced(opened(settings), 1)


def test_a_proxy_that_refuses_large_requests_is_named(settings: StoreSettings, opened: Make, elastic_url: str) -> None:
    """413 says which limit to raise."""
    with Gate(elastic_url) as gate:
        store = opened(settings, hosts=[gate.url])
        gate.status, gate.only = 413, "_bulk"
        with pytest.raises(StoreRefused) as caught:
            store.commit(batch(event(0)))
        assert "client_max_body_size" in caught.value.hint


def test_something_else_on_the_port_is_not_taken_for_elasticsearch(settings: StoreSettings, opened: Make, elastic_url: str) -> None:
    """A page of a portal (200, HTML) is refused, not believed."""
    with Gate(elastic_url) as gate:
        gate.status = 200
        with pytest.raises((StoreRefused, StoreUnavailable), match=r"not Elasticsearch|cannot be understood"):
            opened(settings, hosts=[gate.url])


def test_tls_is_checked_and_its_faults_are_told_apart(settings: StoreSettings, opened: Make, elastic_url: str, tmp_path: Path) -> None:
    """The right authority works; another one, none, and plain http on the https port each say what to do."""
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    other.cert_pem.write_to_path(tmp_path / "other.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    with Gate(elastic_url, tls=context) as gate:
        store = opened(settings, hosts=[gate.url], ca_file=tmp_path / "ca.pem")
        assert store.commit(batch(event(0))).stored == 1
        for changes in ({"ca_file": tmp_path / "other.pem"}, {}):
            with pytest.raises(StoreUnavailable) as caught:
                opened(settings, hosts=[gate.url], **changes)
            assert "store.ca_file" in caught.value.hint
        with pytest.raises((StoreUnavailable, StoreRefused)):
            opened(settings, hosts=[gate.url.replace("https", "http")], stall_budget_s=0.3)


# --- inside it -----------------------------------------------------------------------------------------------------------


def test_a_full_disk_stops_at_once_and_retention_still_works(settings: StoreSettings, opened: Make) -> None:
    """Flood stage is StoreFull (exit code 7) without retries; dropping a partition works all the same; then the batch goes in."""
    store = opened(settings, stall_budget_s=600)
    store.commit(batch(event(0, ts_us=T0 - 60 * DAY), event(1)))
    block = {"index.blocks.read_only_allow_delete": True}
    store._link.request("PUT", f"/{settings.prefix}-*/_settings", block)
    with pytest.raises(StoreFull) as caught:
        store.commit(batch(event(2)))
    assert (caught.value.exit_code, "retention" in caught.value.hint) == (7, True)
    assert [part["events"] for part in store.drop_partitions(kind="firewall", before_us=T0, dry_run=False)] == [1]
    store._link.request("PUT", f"/{settings.prefix}-*/_settings", {"index.blocks.read_only_allow_delete": None})
    assert store.commit(batch(event(2))).stored == 1
    balanced(store, 2, dropped={"retention": 1})


def test_what_the_mappings_refuse_becomes_a_dead_letter(settings: StoreSettings, opened: Make) -> None:
    """One bad document among good ones ends as a dead letter with its raw bytes; the ledger balances; again, the same."""
    store = opened(settings)
    bad, worse = event(1, raw="raw line"), event(2, unheard__of="\udc80")
    bad.doc["source"] = "a value where an object must be"
    effects = batch(event(0), bad, worse, event(3))
    for write in (store.begin_commit(effects), lambda: store.commit(effects)):  # what was encoded before it is sent, and again
        committed = write()
        assert (committed.stored, sorted(committed.rejected)) == (2, sorted([bad.id, worse.id]))
    assert (effects.events[0].sent != b"", effects.events[0].body, worse.sent) == (True, b"", b"")
    store.refresh()
    total, letters = store.dead_letters()
    assert (total, {letter.reason for letter in letters}, letters[0].raw, letters[0].seq) == (2, {"rejected"}, b"raw line", 1)
    assert "source" in letters[0].error
    [item] = store.ledger()
    assert (item.received, item.stored, item.dead_lettered, item.difference) == (4, 2, 2, 0)
    store.settle_dead_letter(bad.id, "redriven", "parser mended", event(1, raw="raw line"))
    store.refresh()
    assert (store.ledger()[0].stored, store.ledger()[0].difference) == (3, 0)


def test_a_worker_that_lost_its_partition_gets_a_conflict(settings: StoreSettings, opened: Make) -> None:
    """Two workers on one partition: the later position write loses, nothing is counted twice."""
    zombie, worker = opened(settings), opened(settings)
    zombie.commit(batch(*[event(n) for n in range(10)]))
    worker.commit(batch(*[event(n) for n in range(10, 20)]))
    with pytest.raises(Conflict):
        zombie.commit(batch(*[event(n) for n in range(10, 15)]))
    with pytest.raises(Conflict):
        zombie.commit(batch(*[event(n) for n in range(15, 25)]))
    assert worker.commit(batch(*[event(n) for n in range(20, 25)])).stored == 5
    balanced(worker, 25)


def test_workers_on_their_own_partitions_share_natural_keys(settings: StoreSettings, opened: Make) -> None:
    """Whoever claims first owns, whichever worker asks."""
    one, two = opened(settings), opened(settings)
    keys = {f"k{n}": f"one-{n}" for n in range(50)}
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(one.owners, keys), pool.submit(two.owners, {key: owner.replace("one", "two") for key, owner in keys.items()})
        assert first.result(2 * WITHIN_S) == second.result(2 * WITHIN_S)


def test_a_partition_dropped_under_a_writer_is_made_again(settings: StoreSettings, opened: Make) -> None:
    """Retention by another process while a worker holds the partition for known: the late event still goes in."""
    worker, operator = opened(settings), opened(settings)
    worker.commit(batch(event(0, ts_us=T0 - 60 * DAY)))
    operator.refresh()
    operator.drop_partitions(kind="firewall", before_us=T0, dry_run=False)
    assert worker.commit(batch(event(1, ts_us=T0 - 60 * DAY))).stored == 1
    balanced(worker, 1, dropped={"retention": 1})


def test_a_partition_closed_by_a_migration_is_waited_for(settings: StoreSettings, opened: Make) -> None:
    """A write block passes: the batch waits, then says what may have closed the index; opened again, it goes in."""
    store = opened(settings)
    store.commit(batch(event(0)))
    store._link.request("PUT", f"/{settings.prefix}-events-*/_settings", {"index.blocks.write": True})
    other = opened(settings)
    with hasty(other):
        told(lambda: other.commit(batch(event(1))), "soc store migrate")
    with ThreadPoolExecutor(1) as pool:
        commit = pool.submit(store.commit, batch(event(1)))
        store._link.request("PUT", f"/{settings.prefix}-events-*/_settings", {"index.blocks.write": None})
        assert commit.result(2 * WITHIN_S).stored == 1
    balanced(store, 2)


def test_a_store_that_was_never_written_reads_as_empty(settings: StoreSettings) -> None:
    """Read-only commands on a fresh cluster find nothing, create nothing, and do not fail."""
    store = open_store(settings, pipeline=False, read_only=True, clock=SystemClock())
    try:
        assert (store.positions(), store.ledger(), store.state("p"), store.gaps(), store.facts("rules")) == ({}, [], {}, [], [])
        assert (store.alerts(AlertQuery()), store.alert_groups(AlertQuery()), store.dead_letters()) == ((0, []), (0, []), (0, []))
        assert (store.get_events(["a" * 20, "abc"]), store.get_alert("a-x"), store.get_alert("g-x"), store.get_dead_letter("x")) == ([], None, None, None)
        assert (store.count(EVERYTHING), list(store.stream(EVERYTHING)), store.search(EVERYTHING).docs) == (0, [], [])
        assert (store.facets(EVERYTHING, "event.action"), store.histogram(EVERYTHING, "day"), store.threats(EVERYTHING)) == ([], [], {})
        assert store.status()["partitions"] == []
        assert not store._uuids()
    finally:
        store.close()


def test_a_store_of_a_newer_program_is_refused(settings: StoreSettings, opened: Make) -> None:
    """A higher layout version in the template: StoreNewer, exit code 7, whether for writing or reading."""
    store = opened(settings)
    name = f"/_index_template/{settings.prefix}-events"
    template = templates(settings.prefix)[f"{settings.prefix}-events"]
    store._link.request("PUT", name, {**template, "_meta": {"version": VERSION + 1}})
    for read_only in (False, True):
        with pytest.raises(StoreNewer) as caught:
            open_store(settings, pipeline=not read_only, read_only=read_only, clock=SystemClock())
        assert caught.value.exit_code == 7


# --- a node of our own: full queues, kill -9 -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(own_elastic: OwnElastic) -> Any:
    """A node with one write thread and a queue of two."""
    return own_elastic(settings={"thread_pool.write.queue_size": "2", "node.processors": "1"})


def test_a_full_queue_is_waited_for_item_by_item(small: Any, opened: Make) -> None:
    """Eight writers against a queue of two: rejected items (429) are sent again until all stand."""
    settings = StoreSettings(kind="elasticsearch", hosts=[small.url], prefix="queue", shards=4, **PATIENT)
    stores = [opened(settings) for _ in range(8)]
    written = 0

    def work(number: int) -> int:
        partition = f"fw/{number}"
        events = [event(n, partition=partition) for n in range(written, written + 300)]
        return stores[number].commit(batch(*events)).stored

    with ThreadPoolExecutor(8) as pool:
        while written < 1500 or not (rejected := _rejected(stores[0])):  # writers that have little of a busy machine do not fill a queue each time
            assert list(pool.map(work, range(8))) == [300] * 8
            written += 300
            assert written < 60_000, "no 429 was provoked"
    assert rejected > 0
    for number in range(8):
        balanced(stores[0], written, partition=f"fw/{number}")


def _rejected(store: ElasticStore) -> int:
    """How many writes the node has turned away."""
    found = store._link.request("GET", "/_nodes/stats/thread_pool", params={"filter_path": "nodes.*.thread_pool.write.rejected"})
    return sum(node["thread_pool"]["write"]["rejected"] for node in found["nodes"].values())


def test_a_killed_and_restarted_node_loses_and_doubles_nothing(small: Any, opened: Make) -> None:
    """kill -9 of the node in mid-stream and its restart: the worker waits, every event stands once."""
    settings = StoreSettings(kind="elasticsearch", hosts=[small.url], prefix="restart", **PATIENT | {"request_timeout_s": 10.0})
    store = opened(settings)
    started = threading.Event()

    def work() -> int:
        done = 0
        for begin in range(0, 6000, 200):
            done += store.commit(batch(*[event(n) for n in range(begin, begin + 200)])).stored
            if begin == 1000:
                started.set()
        return done

    with ThreadPoolExecutor(1) as pool:
        commits = pool.submit(work)
        assert started.wait(2 * WITHIN_S)
        small.kill()
        small.start()
        assert commits.result(3 * WITHIN_S) == 6000
    balanced(store, 6000)


def _count(store: ElasticStore) -> int:
    store.refresh()
    return store.count(EVERYTHING)
