"""What operators do to a real cluster behind the store's back: indices closed, aliases and templates gone, nodes that are not all back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from soc.adapters.elastic.client import Budget, Link
from soc.adapters.elastic.store import ElasticStore, erase, open_store
from soc.application.app import Actor, App
from soc.application.doctor import check_store
from soc.bootstrap import open_app
from soc.clock import SystemClock
from soc.config import Settings, StoreSettings
from soc.errors import StoreRefused, StoreUnavailable
from soc.incidents.listing import incidents
from soc.incidents.model import PREFIX
from soc.model.event import Doc
from soc.model.fact import ANY_VERSION, NewFact
from soc.model.journal import Append
from soc.model.projection import ListQuery
from soc.model.query import All
from soc.ports import EventQuery
from tests.adapters.elastic.limits import PATIENT, hasty, told
from tests.contracts.samples import alert, batch, event
from tests.servers.process import WITHIN_S, wait_until

pytestmark = pytest.mark.real
EVERYTHING = EventQuery(All(), scope=None)
NOWHERE = {"index.routing.allocation.require._name": "nobody"}
"""Settings of an index whose shards no node takes."""


def of_ours(faults: Iterable[str]) -> list[str]:
    """Without the colour of the cluster: a node that other tests use too is red for the moment in which they make an index."""
    return [fault for fault in faults if "the cluster is red" not in fault]


@pytest.fixture
def settings(elastic_url: str, unique_name: Callable[[str], str]) -> Iterator[StoreSettings]:
    """Settings of a fresh prefix."""
    made = StoreSettings(kind="elasticsearch", hosts=[elastic_url], prefix=unique_name("operator"), **PATIENT)
    yield made
    erase(made)


@pytest.fixture
def opened(settings: StoreSettings) -> Iterator[Callable[..., ElasticStore]]:
    """Opens stores on the prefix, and closes them."""
    stores: list[ElasticStore] = []

    def _open(*, read_only: bool = False, **changes: Any) -> ElasticStore:
        stores.append(open_store(settings.model_copy(update=changes), pipeline=not read_only, read_only=read_only, clock=SystemClock()))
        return stores[-1]

    yield _open
    for store in stores:
        store.close()


def _partition(settings: StoreSettings) -> str:
    return f"{settings.prefix}-events-firewall-2026.11"


@contextmanager
def _shards_away(store: ElasticStore, index: str) -> Iterator[None]:
    """Leave an index of a few documents without a shard that answers, as while a node comes back; with its documents again at the end."""
    store._link.request("POST", f"/{index}/_refresh")
    kept = [(hit["_id"], hit["_source"]) for hit in store._scan(index, {"match_all": {}})]
    store._link.request("DELETE", f"/{index}")
    store._link.request("PUT", f"/{index}", {"settings": NOWHERE}, params={"wait_for_active_shards": "0"})
    yield
    store._link.request("PUT", f"/{index}/_settings", dict.fromkeys(NOWHERE))
    wait_until(lambda: store._link.request("GET", f"/_cluster/health/{index}")["status"] in {"green", "yellow"}, what="the shards are back")
    for identity, source in kept:
        store._link.request("PUT", f"/{index}/_create/{identity}", source)


def test_shards_that_are_not_back_are_not_taken_for_empty(settings: StoreSettings, opened: Callable[..., ElasticStore]) -> None:
    """After a restart each index answers in its own time: what is not known yet is unavailable, neither missing nor a crash, and no state is lost by it."""
    store = opened()
    made = alert(event(0))
    effects = batch(*[event(number) for number in range(5)], alerts=[made])
    effects.state["fw/0\x1fopen"] = b"five"
    store.commit(effects)
    with _shards_away(store, f"{settings.prefix}-alerts"), hasty(store), pytest.raises(StoreUnavailable):
        store.attribute({made.id: "agency"})
    later = batch(*[event(number) for number in range(5, 9)])
    later.state["fw/0\x1fopen"] = b"nine"
    with _shards_away(store, f"{settings.prefix}-positions"):
        other = opened()
        with hasty(other):
            told(lambda: other.commit(later), "does not say whether 1 documents stand")
        assert any("cluster is red" in fault for fault in store.status()["faults"])
        store.refresh("state")
        assert store.count(EVERYTHING) == 5
    again = opened()
    assert again.state("fw/0") == {"open": b"five"}
    assert again.commit(later).stored == 4
    assert again.state("fw/0") == {"open": b"nine"}
    [item] = again.ledger()
    assert (item.received, item.stored, item.difference) == (9, 9, 0)


def test_a_new_index_is_used_when_its_shards_are_there(settings: StoreSettings) -> None:
    """A busy master starts the shards of a new index late: whoever made it, or finds it just made, waits for them."""
    index = f"{settings.prefix}-new"
    with closing(Link(settings, SystemClock())) as link, ThreadPoolExecutor(1) as pool:
        made = pool.submit(link.create_index, index, {"settings": NOWHERE})
        while link.request("GET", f"/{index}", missing=None) is None:
            time.sleep(0.05)
        with closing(Link(settings.model_copy(update={"stall_budget_s": 0.5}), SystemClock())) as hasty, pytest.raises(StoreUnavailable):
            hasty.create_index(index)
        assert not made.done()
        link.request("PUT", f"/{index}/_settings", dict.fromkeys(NOWHERE))
        made.result()
        assert link.request("GET", f"/{index}/_count", budget=Budget(SystemClock(), 0))["count"] == 0
        link.create_index(index)
        with pytest.raises(StoreRefused, match="already_exists"):
            link.create_index(index, exist_ok=False)


def test_figures_wait_for_all_shards(settings: StoreSettings, opened: Callable[..., ElasticStore]) -> None:
    """While a partition that was just made does not answer, no figure is given from the others: it is waited for, and then an error."""
    store, patient = opened(), opened()
    store.commit(batch(event(0)))
    store.refresh()
    fresh = f"{settings.prefix}-events-mail-2026.11-000001"
    body = {"settings": NOWHERE, "aliases": {f"{settings.prefix}-events": {}}}
    store._link.request("PUT", f"/{fresh}", body, params={"wait_for_active_shards": "0"})
    with hasty(store):
        told(lambda: store.count(EVERYTHING), "from 1 of 2 shards only")
        told(lambda: store.search(EVERYTHING), "from 1 of 2 shards only")
    with ThreadPoolExecutor(3) as pool:
        figures = [
            pool.submit(patient.count, EVERYTHING),
            pool.submit(lambda: len(patient.search(EVERYTHING).docs)),
            pool.submit(lambda: len(patient.ledger())),
        ]
        store._link.request("PUT", f"/{fresh}/_settings", dict.fromkeys(NOWHERE))
        assert [figure.result() for figure in figures] == [1, 1, 1]


def test_a_closed_index_makes_no_dead_letters(settings: StoreSettings, opened: Callable[..., ElasticStore]) -> None:
    """An index that somebody closed is named, with how to open it, by who writes and who reads; opened again, everything goes in."""
    store = opened()
    store.commit(batch(event(0)))
    store._link.request("POST", f"/{_partition(settings)}-000001/_close")
    other = opened()
    with hasty(store), hasty(other):
        for work in (
            lambda: store.commit(batch(event(1))),
            lambda: store.count(EVERYTHING),
            lambda: store.search(EVERYTHING),
            lambda: list(store.stream(EVERYTHING)),
            store.ledger,
            store.status,
            lambda: other.commit(batch(event(1))),
        ):
            assert "_open" in told(work, f"{_partition(settings)}-000001 is closed").hint
    patient = opened()
    with ThreadPoolExecutor(1) as pool:
        commit = pool.submit(patient.commit, batch(event(1)))
        store._link.request("POST", f"/{_partition(settings)}-000001/_open")
        assert commit.result(2 * WITHIN_S).stored == 1
    assert store.dead_letters()[0] == 0
    [item] = store.ledger()
    assert (item.received, item.stored, item.difference) == (2, 2, 0)


@pytest.mark.parametrize("gone", [["partition"], ["events"], ["partition", "events"]], ids=["the partition's", "that of all events", "both"])
def test_aliases_that_are_gone_are_set_again(gone: list[str], settings: StoreSettings, opened: Callable[..., ElasticStore]) -> None:
    """An index restored without its aliases: doctor says so, the next writer sets them, and no event is gone."""
    store = opened()
    store.commit(batch(event(0), event(1)))
    names = {"partition": _partition(settings), "events": f"{settings.prefix}-events"}
    index = f"{_partition(settings)}-000001"
    store._link.request("POST", "/_aliases", {"actions": [{"remove": {"index": index, "alias": names[which]}} for which in gone]})
    if "events" in gone:
        assert [f"index {index} has lost its aliases: its events are not found; the next run sets them again"] == of_ours(store.status()["faults"])
    for writer in ([store] if "partition" in gone else []) + [opened()]:
        number = sum(item.received for item in store.ledger())
        assert writer.commit(batch(event(number))).stored == 1
    store.refresh()
    [item] = store.ledger()
    assert (item.stored, item.difference, of_ours(store.status()["faults"])) == (item.received, 0, [])


def test_a_migration_does_not_remove_what_it_did_not_make(settings: StoreSettings, opened: Callable[..., ElasticStore]) -> None:
    """Events of an index that lost its aliases are the only copy: a migration refuses and names it; set again, it goes on."""
    store = opened()
    store.commit(batch(event(0), event(1)))
    index = f"{_partition(settings)}-000001"
    aliases = [{"index": index, "alias": alias} for alias in (_partition(settings), f"{settings.prefix}-events")]
    store._link.request("POST", "/_aliases", {"actions": [{"remove": one} for one in aliases]})
    for reparse in (None, lambda doc: doc):
        with pytest.raises(StoreRefused) as caught:
            store.migrate(reparse, dry_run=False)
        assert index in caught.value.message
        assert "_aliases" in caught.value.hint
    store._link.request("POST", "/_aliases", {"actions": [{"add": one} for one in aliases]})
    store.migrate(lambda doc: doc, dry_run=False)
    assert store.count(EVERYTHING) == 2


@pytest.mark.parametrize("when", ["before the swap", "after the swap"])
def test_what_a_killed_migration_left_is_removed_by_the_next(when: str, settings: StoreSettings, opened: Callable[..., ElasticStore]) -> None:
    """Killed on either side of the swap: each event stands once, what is left is told, and the next migration clears it away."""
    store = opened()
    store.commit(batch(event(0), event(1)))
    request, killed = store._link.request, False

    def until(method: str, path: str, *args: Any, **more: Any) -> Any:
        nonlocal killed
        if killed or path == "/_aliases":
            if when == "after the swap" and not killed:
                request(method, path, *args, **more)
            killed = True
            raise KeyboardInterrupt
        return request(method, path, *args, **more)

    store._link.request = until  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        store.migrate(lambda doc: doc, dry_run=False)
    store = opened()
    assert store.count(EVERYTHING) == 2
    assert any("left from a migration: soc store migrate" in problem for problem in store.status()["problems"])
    store.migrate(None, dry_run=False)
    assert (store.count(EVERYTHING), store.status()["problems"]) == (2, [])
    assert store.commit(batch(event(2))).stored == 1
    [item] = store.ledger()
    assert (item.stored, item.difference) == (3, 0)


def test_a_leftover_of_a_migration_is_not_written_to(settings: StoreSettings, opened: Callable[..., ElasticStore]) -> None:
    """A migration that moved every event to another partition was killed before it removed the old index: that one stays out."""
    store = opened()
    store.commit(batch(event(0)))

    def moved(doc: Doc) -> Doc:
        return {**doc, "soc.kind": "mail"}

    request = store._link.request

    def undeleted(method: str, path: str, *args: Any, **more: Any) -> Any:
        if method == "DELETE" and "-events-" in path:
            raise KeyboardInterrupt
        return request(method, path, *args, **more)

    store._link.request = undeleted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        store.migrate(moved, dry_run=False)
    store = opened()
    with hasty(store):
        told(lambda: store.commit(batch(event(1))), "soc store migrate")
    store.migrate(None, dry_run=False)
    assert store.commit(batch(event(1))).stored == 1
    store.refresh()
    assert store.count(EVERYTHING) == 2


def test_an_index_in_the_place_of_an_alias_is_named(settings: StoreSettings, opened: Callable[..., ElasticStore]) -> None:
    """Another program that wrote to the name made an index of it: said, with what to do, and not waited for."""
    store = opened()
    store._link.request("PUT", f"/{_partition(settings)}")
    with pytest.raises(StoreRefused) as caught:
        store.commit(batch(event(0)))
    assert f"{_partition(settings)} is an index, and must be an alias" in caught.value.message
    store._link.request("DELETE", f"/{_partition(settings)}")
    assert store.commit(batch(event(0))).stored == 1


def test_templates_that_are_gone_are_installed_again(settings: StoreSettings, opened: Callable[..., ElasticStore]) -> None:
    """Removed before a new month begins, or before a start: indices that are made then have their mappings, and queries find."""
    store = opened()
    for name in (f"{settings.prefix}-events", f"{settings.prefix}-deadletters"):
        store._link.request("DELETE", f"/_index_template/{name}")
    assert "templates are missing" in store.status()["problems"][0] or "missing" in str(store.status()["problems"])
    store.commit(batch(event(0)))
    mapping = store._link.request("GET", f"/{_partition(settings)}/_mapping")
    assert next(iter(mapping.values()))["mappings"]["properties"]["source"]["properties"]["ip"]["type"] == "ip"
    store._link.request("DELETE", f"/_index_template/{settings.prefix}-alerts")
    store._link.request("DELETE", f"/{settings.prefix}-alerts")
    again = opened()
    mapping = again._link.request("GET", f"/{settings.prefix}-alerts/_mapping")
    assert next(iter(mapping.values()))["mappings"]["properties"]["rule"]["type"] == "keyword"
    assert again.status()["problems"] == []


def test_a_view_that_the_cluster_forgot_is_an_error_to_be_retried(settings: StoreSettings, opened: Callable[..., ElasticStore]) -> None:
    """A node restarted between two pages: exit code 4, not half an answer."""
    store = opened()
    store.commit(batch(*[event(number) for number in range(10)]))
    store.refresh()
    pages = store._scan(f"{settings.prefix}-events", {"match_all": {}}, [{"store.time": "asc"}, {"soc.id": "asc"}], size=3)
    next(pages)
    found: dict[str, Any] = {}
    request = store._link.request

    def forgotten(method: str, path: str, body: Any = None, **more: Any) -> Any:
        if path == "/_search" and not found:
            found["id"] = body["pit"]["id"]
            request("DELETE", "/_pit", {"id": body["pit"]["id"]})
        return request(method, path, body, **more)

    store._link.request = forgotten  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable) as caught:
        list(pages)
    assert (caught.value.exit_code, "lost the view" in caught.value.message) == (4, True)


def test_a_partition_that_is_dropped_while_it_is_looked_at_is_left_out(opened: Callable[..., ElasticStore], monkeypatch: pytest.MonkeyPatch) -> None:
    """The status beside a retention: what is gone is not shown, and nothing breaks."""
    store = opened()
    store.commit(batch(event(0)))
    listed = store._partitions_of
    monkeypatch.setattr(store, "_partitions_of", lambda alias: {**listed(alias), f"{alias}-firewall-2026.10-000001": "firewall-2026.10"})
    assert [partition["name"] for partition in store.status()["partitions"]] == ["firewall-2026.11"]


def test_what_takes_no_writes_is_told(settings: StoreSettings, opened: Callable[..., ElasticStore]) -> None:
    """An index that is closed to writing stands among the problems that doctor shows."""
    store = opened()
    store.commit(batch(event(0)))
    index = f"{_partition(settings)}-000001"
    store._link.request("PUT", f"/{index}/_settings", {"index.blocks.read_only_allow_delete": True})

    assert of_ours(store.status()["faults"]) == [f"1 indices take no writes (index.blocks.read_only_allow_delete): {index}"]
    failed = [check.text for check in check_store(cast("App", SimpleNamespace(store=store)), None) if check.state == "fail"]
    assert of_ours(failed) == of_ours(store.status()["faults"])
    store._link.request("PUT", f"/{index}/_settings", {"index.blocks.read_only_allow_delete": None})
    assert of_ours(store.status()["faults"]) == []


def test_lists_are_read_while_nothing_can_be_written(settings: StoreSettings) -> None:
    """A full disk hinders nobody from looking: lists are made of the journal, and kept again when there is room."""
    app_settings = Settings(store=settings)
    with open_app(app_settings, Actor("an"), pipeline=True) as app:
        facts = (NewFact("IncidentOpened", {"title": "Sự cố", "detected_at": "2026-11-20T01:00:00Z", "regime": "vn-2017"}),)
        for number in (1, 2):
            if number == 2:
                app.lists.page(incidents(), ListQuery())
            app.journal.append_each([Append(f"{PREFIX}INC-2026-{number:04d}", ANY_VERSION, facts)], actor="an")
        block = {"index.blocks.read_only_allow_delete": True}
        with closing(Link(settings, SystemClock())) as link:
            link.request("PUT", f"/{settings.prefix}-*/_settings", block)
            assert app.lists.page(incidents(), ListQuery())[0] == 2
            link.request("PUT", f"/{settings.prefix}-*/_settings", dict.fromkeys(block))
            assert app.lists.page(incidents(), ListQuery())[0] == 2


def test_a_backup_says_how_it_is_restored(settings: StoreSettings, tmp_path: Path) -> None:
    """By another prefix, not by a folder; into one that holds something it is refused."""
    other = settings.model_copy(update={"prefix": f"{settings.prefix}r"})

    def soc(store: StoreSettings, *words: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SOC_", "XDG_"))}
        own = {"HOME": str(tmp_path), "LANG": "C.UTF-8", "SOC_STORE__KIND": "elasticsearch", "SOC_STORE__HOSTS": json.dumps(store.hosts)}
        own |= {f"SOC_STORE__{name.upper()}": str(limit) for name, limit in PATIENT.items()}
        return subprocess.run(
            [sys.executable, "-m", "soc", *words],
            env={**kept, **own, "SOC_STORE__PREFIX": store.prefix},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    with closing(open_store(settings, pipeline=True, read_only=False, clock=SystemClock())) as store:
        store.commit(batch(event(0)))
    copy = str(tmp_path / "copy")
    made = soc(settings, "store", "backup", copy)
    assert (made.returncode, f"soc store restore {copy}, with a store.prefix that has no indices" in made.stderr) == (0, True), made.stderr
    try:
        assert soc(other, "store", "restore", copy, "--yes").returncode == 0
        assert soc(other, "store", "restore", copy, "--yes").returncode == 6
    finally:
        erase(other)
