"""The Elasticsearch store as a whole: opening, schema guard, ledger."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from soc.adapters.elastic.client import Link
from soc.adapters.elastic.keep import Keeping
from soc.adapters.elastic.queries import Clause
from soc.adapters.elastic.reading import Reading
from soc.adapters.elastic.templates import CONTROL, VERSION, Names, templates
from soc.adapters.elastic.writing import Writing
from soc.clock import Clock, SystemClock
from soc.config import StoreSettings
from soc.errors import Phrase, StoreNewer
from soc.ports import CrashPoint, LedgerItem, no_crash

_BY_PARTITION = [{"source": {"terms": {"field": "soc.source"}}}, {"partition": {"terms": {"field": "soc.partition"}}}]
_LETTERS_BY_PARTITION = [{"source": {"terms": {"field": "source"}}}, {"partition": {"terms": {"field": "partition"}}}]
_OWN: Clause = {"bool": {"must_not": [{"term": {"store.derived": True}}]}}
_STANDING: Clause = {"bool": {"must_not": [{"term": {"state": "redriven"}}]}}

Counts = dict[tuple[str, str], int]


class ElasticStore(Reading, Writing, Keeping):
    """A `Store` on Elasticsearch 9; may be used from several threads and processes."""

    def ledger(self) -> list[LedgerItem]:
        self.refresh()
        documents = self._position_documents()
        stored = self._recount(self._names.events, _OWN, _BY_PARTITION)
        dead = self._recount(self._names.control("deadletters"), _STANDING, _LETTERS_BY_PARTITION)
        expired = self._expired()
        items = []
        for document in documents:
            for source, row in document["row"]["sources"].items():
                key = (source, document["partition"])
                items.append(_item(key, row, stored.get(key, 0), dead.get(key, 0), expired.get(key, 0)))
                if items[-1].difference < 0:  # a batch on its way: its events stand, its position does not yet
                    before = self._stored_before(key, document["row"]["next"])
                    items[-1] = _item(key, row, before, dead.get(key, 0), expired.get(key, 0))
        return sorted(items, key=lambda item: (item.source, item.partition))

    def _recount(self, index: str, query: Clause, sources: Iterable[Any]) -> Counts:
        return {(bucket["key"]["source"], bucket["key"]["partition"]): bucket["doc_count"] for bucket in self._composite(index, query, list(sources))}

    def _stored_before(self, key: tuple[str, str], position: int) -> int:
        filters: list[Clause] = [{"term": {"soc.source": key[0]}}, {"term": {"soc.partition": key[1]}}, {"range": {"soc.seq": {"lt": position}}}, _OWN]
        return self._count(self._names.events, {"bool": {"filter": filters}})

    def _open(self) -> None:
        """Check the schema; for writers, bring templates and control indices to this version.

        Raises: StoreNewer when the store was written by a newer program.
        """
        self._prepare()
        names = self._names
        found = self._link.request("GET", f"/_index_template/{names.events}", missing=None)
        version = found["index_templates"][0]["index_template"].get("_meta", {}).get("version", 0) if found else 0
        if version > VERSION:
            raise StoreNewer(
                Phrase("the store {prefix!r} has layout {version}, this program knows {version2}", prefix=names.prefix, version=version, version2=VERSION),
                hint="update soc, or use another store.prefix",
            )
        if self._read_only:
            return
        if version < VERSION:
            self._put_templates()
        else:
            self._put_missing_templates()
        known = self._link.request("GET", f"/{names.prefix}-*", params={"expand_wildcards": "all", "filter_path": "*.settings.index.uuid"}, missing={}) or {}
        missing = [names.control(what) for what in CONTROL if names.control(what) not in known]
        if missing:
            with ThreadPoolExecutor(len(missing)) as pool:  # the master joins what is asked at once
                list(pool.map(self._link.create_index, missing))

    def _put_templates(self) -> None:
        settings = self._link.settings
        made = templates(self._names.prefix, shards=settings.shards, replicas=settings.replicas)
        last = made.pop(self._names.events)  # its version says that all stand
        with ThreadPoolExecutor(len(made)) as pool:
            list(pool.map(self._put_template, made, made.values()))
        self._put_template(self._names.events, last)

    def _put_template(self, name: str, template: dict[str, Any]) -> None:
        self._link.request("PUT", f"/_index_template/{name}", template)

    def close(self) -> None:
        """Give the connections back; idempotent."""
        self._link.close()


def _item(key: tuple[str, str], row: dict[str, Any], stored: int, dead: int, expired: int) -> LedgerItem:
    dropped = dict(row["dropped"])
    if expired:
        dropped["retention"] = expired
    difference = row["received"] - stored - dead - sum(dropped.values())
    return LedgerItem(
        key[0], key[1], row["first"], row["last"], row["received"], stored, dead, dropped, 0, difference, row["knowledge"], row["lost"], row["faults"]
    )


def open_store(settings: StoreSettings, *, pipeline: bool, read_only: bool, clock: Clock, crash: CrashPoint = no_crash) -> ElasticStore:
    """The store of the settings. Templates and indices are made unless it is opened for reading only.

    Raises: StoreUnavailable, AccessDenied, StoreNewer, ConfigError.
    """
    del pipeline  # any number of workers may write: partitions are guarded one by one
    store = ElasticStore(Link(settings, clock), Names(settings.prefix), clock, read_only=read_only, crash=crash)
    try:
        store._open()  # noqa: SLF001 - opening is the second half of making
    except BaseException:
        store.close()
        raise
    return store


def erase(settings: StoreSettings) -> None:
    """Remove every index and template of the prefix: for tests and trials."""
    link, names = Link(settings, SystemClock()), Names(settings.prefix)
    try:
        found = sorted(link.request("GET", f"/{names.prefix}-*", params={"expand_wildcards": "all", "filter_path": "*.settings.index.uuid"}, missing={}) or {})
        for begin in range(0, len(found), 20):  # a request line holds 4 KiB
            link.request("DELETE", "/" + ",".join(found[begin : begin + 20]))
        for name in templates(names.prefix):
            link.request("DELETE", f"/_index_template/{name}")
    finally:
        link.close()
