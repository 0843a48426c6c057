"""What all parts of the store share: the link, the names, scanning and paging."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from soc.adapters.elastic.client import CLOSED, Link, closed
from soc.adapters.elastic.templates import Names, templates
from soc.clock import Clock
from soc.errors import NotAllowed, Phrase, StoreUnavailable
from soc.ports import CrashPoint
from soc.telemetry import get_logger

log = get_logger(__name__)

Hit = dict[str, Any]
SCAN_SIZE = 2_000
WINDOW = 10_000
"""`index.max_result_window`: offsets beyond it are reached by scanning."""
HIDDEN = {"excludes": ["store"]}
KEEP_ALIVE = "2m"


class Base:
    """A store on a cluster, seen from one of its sides."""

    def __init__(self, link: Link, names: Names, clock: Clock, *, read_only: bool, crash: CrashPoint) -> None:
        self._link = link
        self._names = names
        self._clock = clock
        self._read_only = read_only
        self._crash = crash

    def _writable(self) -> None:
        if self._read_only:
            raise NotAllowed("the store is open for reading only", hint="leave out read_only to write")

    def refresh(self, *what: str) -> None:
        """Make everything written findable (`what`: control indices; none = all)."""
        targets = ",".join(self._names.control(one) for one in what) if what else f"{self._names.prefix}-*"
        self._link.request("POST", f"/{targets}/_refresh", params={"ignore_unavailable": "true"})

    # No request for events or figures says `ignore_unavailable`: it would leave out a closed index without a word.

    def _search(self, index: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._asked(f"/{index}/_search", body, missing={"hits": {"hits": []}})
        return answer

    def _count(self, index: str, query: Mapping[str, Any]) -> int:
        return int(self._asked(f"/{index}/_count", {"query": query}, missing={"count": 0})["count"])

    def _asked(self, path: str, body: Mapping[str, Any], missing: Any) -> Any:
        """The answer of all shards; those of an index that was just made, or of a node that comes back, are waited for.

        Raises: StoreUnavailable for half an answer: a figure from some of the shards is a wrong figure.
        """
        budget = self._link.patience()
        while True:
            answer = self._link.request("POST", path, body, missing=missing, budget=budget)
            shards = (answer or {}).get("_shards") or {}
            if not shards.get("failed") and not (answer or {}).get("timed_out"):
                return answer
            if not budget.wait():
                break
        reasons = [failure.get("reason") or {} for failure in shards.get("failures") or ()]
        why = [str(reason.get("reason") or reason.get("type") or "") for reason in reasons]
        raise StoreUnavailable(
            Phrase(
                "Elasticsearch answered from {successful} of {total} shards only: {names}",
                successful=shards.get("successful"),
                total=shards.get("total"),
                names=" ".join(why[:1])[:300],
            ),
            hint="look at the cluster's health",
        )

    def _scan(
        self, index: str, query: Mapping[str, Any], sort: Sequence[Mapping[str, Any]] = (), *, source: Any = True, size: int = SCAN_SIZE, versions: bool = False
    ) -> Iterator[Hit]:
        """All hits, in order, from one point in time, in constant memory."""
        pit = self._link.request("POST", f"/{index}/_pit", params={"keep_alive": KEEP_ALIVE}, missing=None)
        if pit is None:
            return
        try:
            yield from self._scan_pit(pit["id"], query, sort, source=source, size=size, versions=versions)
        finally:
            self._link.request("DELETE", "/_pit", {"id": pit["id"]})

    def _scan_pit(
        self, pit: str, query: Mapping[str, Any], sort: Sequence[Mapping[str, Any]], *, source: Any = True, size: int = SCAN_SIZE, versions: bool = False
    ) -> Iterator[Hit]:
        body: dict[str, Any] = {
            "size": size,
            "query": query,
            "sort": list(sort) or ["_shard_doc"],
            "_source": source,
            "track_total_hits": False,
            "pit": {"id": pit, "keep_alive": KEEP_ALIVE},
            "seq_no_primary_term": versions,
        }
        while True:
            answer = self._asked("/_search", body, missing=None)
            if answer is None:
                raise StoreUnavailable(
                    "Elasticsearch has lost the view that was being read: a node was restarted, a partition was dropped, or nothing was asked of it for too long",
                    hint="run the command again; read faster than one page in two minutes",
                )
            hits = answer["hits"]["hits"]
            yield from hits
            if len(hits) < size:
                return
            body["search_after"] = hits[-1]["sort"]
            body["pit"]["id"] = answer.get("pit_id", pit)

    def _page(self, index: str, query: Mapping[str, Any], sort: Sequence[Mapping[str, Any]], offset: int, limit: int) -> tuple[int, list[Hit]]:
        """Exact total and one page."""
        if offset + limit > WINDOW:
            return self._count(index, query), list(islice(self._scan(index, query, sort), offset, offset + limit))
        answer = self._search(index, {"query": query, "sort": list(sort), "from": offset, "size": limit, "track_total_hits": True})
        return answer["hits"].get("total", {}).get("value", 0), answer["hits"]["hits"]

    def _composite(
        self, index: str, query: Mapping[str, Any], sources: Sequence[Mapping[str, Any]], aggs: Mapping[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """All buckets of a composite aggregation, page by page: exact however many there are."""
        composite: dict[str, Any] = {"size": 10_000, "sources": list(sources)}
        while True:
            bucket: dict[str, Any] = {"composite": composite}
            if aggs:
                bucket["aggs"] = aggs
            answer = self._search(index, {"size": 0, "track_total_hits": False, "query": query, "aggs": {"c": bucket}})
            found = answer.get("aggregations", {}).get("c", {"buckets": []})
            yield from found["buckets"]
            if "after_key" not in found or len(found["buckets"]) < composite["size"]:
                return
            composite = {**composite, "after": found["after_key"]}

    def _mget(self, wanted: Sequence[tuple[str, str]], source: Any = True) -> list[dict[str, Any]]:
        """Documents by index and id, as they are now (not as last refreshed); `found` says whether each stands.

        Raises: StoreUnavailable when nobody knows: while a node comes back, each shard answers in its own time.
        """
        out: list[dict[str, Any]] = []
        for begin in range(0, len(wanted), 2_000):
            out += self._looked_up([{"_index": index, "_id": identity, "_source": source} for index, identity in wanted[begin : begin + 2_000]])
        return out

    def _looked_up(self, docs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        budget = self._link.patience()
        while True:
            found: list[dict[str, Any]] = self._link.request("POST", "/_mget", {"docs": docs}, refuse_404=True, budget=budget)["docs"]
            failed = [doc["error"] for doc in found if doc.get("error") and doc["error"].get("type") != "index_not_found_exception"]
            if not failed:
                return found
            if not budget.wait():
                break
        if failed[0].get("type") == CLOSED:
            raise closed(str(failed[0].get("index")), budget.seconds)
        raise StoreUnavailable(
            Phrase(
                "Elasticsearch does not say whether {count} documents stand: {kind}: {reason}",
                count=len(failed),
                kind=failed[0].get("type"),
                reason=str(failed[0].get("reason"))[:300],
            ),
            hint="look at the cluster's health",
        )

    def _put_missing_templates(self) -> None:
        """Install the templates that somebody removed: an index made without its own could be searched for nothing."""
        settings, names = self._link.settings, self._names
        standing = self._template_names()
        for name, template in templates(names.prefix, shards=settings.shards, replicas=settings.replicas).items():
            if name not in standing:
                log.warning("index template was missing and is installed again", template=name)
                self._link.request("PUT", f"/_index_template/{name}", template)

    def _template_names(self) -> set[str]:
        found = self._link.request("GET", f"/_index_template/{self._names.prefix}-*", params={"filter_path": "index_templates.name"}, missing=None) or {}
        return {template["name"] for template in found.get("index_templates", ())}

    def _aliases(self, name: str) -> dict[str, Any]:
        """Index → all its aliases, for the index or alias `name`; {} when there is none."""
        answer = self._link.request("GET", f"/{name}/_alias", missing=None) or {}
        return {index: one.get("aliases", {}) for index, one in answer.items()}

    def _attach(self, index: str, partition: str) -> None:
        """Let an index be found as (part of) the partition that this alias stands for."""
        self._link.request("POST", "/_aliases", {"actions": [{"add": {"index": index, "alias": alias}} for alias in (partition, self._names.events)]})

    def _partitions_of(self, alias: str) -> dict[str, str]:
        """Index → its partition's name (`firewall-2026.11`), for all live partitions."""
        answer = self._link.request("GET", f"/_alias/{alias}", params={"ignore_unavailable": "true"}, missing={}) or {}
        stem = len(self._names.events) + 1
        return {index: index[stem:].rpartition("-")[0] for index in sorted(answer) if index.startswith(self._names.events + "-")}
