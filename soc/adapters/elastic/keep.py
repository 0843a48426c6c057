"""Keeping house on Elasticsearch: status, retention, reclassification, migration, backup and restore."""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import zstandard

from soc.adapters.elastic.base import SCAN_SIZE, Base, Hit
from soc.adapters.elastic.bulk import Action, create, put, send
from soc.adapters.elastic.client import Link
from soc.adapters.elastic.document import body, read
from soc.adapters.elastic.journal import make_journal
from soc.adapters.elastic.queries import plan
from soc.adapters.elastic.templates import CONTROL, VERSION, Names, event_mappings, templates
from soc.clock import Clock, from_datetime, iso, to_datetime
from soc.config import StoreSettings
from soc.errors import Conflict, Phrase, StoreCorrupt, StoreFull, StoreNewer, StoreRefused, StoreUnavailable
from soc.model.event import SCHEMA, Doc, event_of, other_class
from soc.model.query.evaluate import matches
from soc.model.text import event_tokens
from soc.ports import EventQuery

MANIFEST = "manifest.json"
JOURNAL = "journal"
JOURNAL_EXPORT = f"{JOURNAL}.ndjson.zst"
_BY_PARTITION = [{"source": {"terms": {"field": "soc.source"}}}, {"partition": {"terms": {"field": "soc.partition"}}}]
_EVERYTHING: dict[str, Any] = {"match_all": {}}
_TRIES = 50
_SHOWN = 3


class Keeping(Base):
    """The operator's side of the store."""

    def record_fact(self, kind: str, fact: Mapping[str, Any]) -> None:
        """Implemented by the writing side."""
        raise NotImplementedError

    def _put_templates(self) -> None:
        """Implemented by the store."""
        raise NotImplementedError

    # status ----------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        health = self._link.request("GET", "/_cluster/health")
        nodes = self._link.request("GET", "/_nodes/stats/fs", params={"filter_path": "nodes.*.fs.total.available_in_bytes"}) or {}
        free = [node["fs"]["total"]["available_in_bytes"] for node in nodes.get("nodes", {}).values()]
        return {
            "kind": "elasticsearch",
            "place": f"{', '.join(self._link.settings.hosts)} ({self._names.prefix}-*)",
            "schema": SCHEMA,
            "layout": VERSION,
            "health": health["status"],
            "nodes": health["number_of_nodes"],
            "partitions": self._describe(self._partitions_of(self._names.events)),
            "free_bytes": sum(free) if free else None,
            "faults": self._faults(health["status"]),
            "problems": self._problems(),
        }

    def _faults(self, health: str) -> list[str]:
        """What hinders writing, or leaves figures short."""
        names = self._names
        found: list[str] = []
        if health == "red":
            found.append(Phrase("the cluster is red: some shards have no copy that answers (GET _cluster/allocation/explain)"))
        live = self._partitions_of(names.events)
        found += [
            Phrase("index {index} has lost its aliases: its events are not found; the next run sets them again", index=index)
            for index, its in self._aliases(f"{names.events}-*").items()
            if index not in live and names.replaced not in its
        ]
        asked = {"expand_wildcards": "all", "filter_path": "*.settings.index.blocks"}
        blocks = self._link.request("GET", f"/{names.prefix}-*/_settings", params=asked, missing={}) or {}
        by_name: dict[str, list[str]] = {}
        for index, one in sorted(blocks.items()):
            for name, value in one["settings"]["index"]["blocks"].items():
                if str(value) == "true":
                    by_name.setdefault(name, []).append(index)
        for name, indices in by_name.items():
            shown = ", ".join(indices[:_SHOWN]) + (", …" if len(indices) > _SHOWN else "")
            found.append(Phrase("{count} indices take no writes (index.blocks.{name}): {indices}", count=len(indices), name=name, indices=shown))
        return found

    def _problems(self) -> list[str]:
        """What should be mended some time."""
        names = self._names
        found: list[str] = []
        standing = self._template_names()
        if standing and (lacking := sorted(templates(names.prefix).keys() - standing)):
            found.append(Phrase("index templates are missing: {names}; the next run installs them", names=", ".join(lacking)))
        left = self._aliases(names.replaced)
        found += [Phrase("index {index} is left from a migration: soc store migrate", index=index) for index in left]
        return found

    def _describe(self, partitions: Mapping[str, str]) -> list[dict[str, Any]]:
        """Partitions with their counts, sizes and the times that they span."""
        out = []
        for index, name in sorted(partitions.items(), key=lambda item: item[1]):
            kind, _, month = name.rpartition("-")
            aggs = {"from": {"min": {"field": "store.us"}}, "until": {"max": {"field": "store.us"}}}
            found = self._search(index, {"size": 0, "track_total_hits": True, "aggs": aggs})
            if "aggregations" not in found:
                continue  # dropped since it was listed
            stats = self._link.request("GET", f"/{index}/_stats/store", missing={}) or {}
            count = found["hits"]["total"]["value"]
            span = {name: iso(int(one["value"])) if one["value"] is not None else "" for name, one in found["aggregations"].items()}
            size = stats.get("_all", {}).get("primaries", {}).get("store", {}).get("size_in_bytes", 0)
            out.append({"name": name, "kind": kind, "month": month, "index": index, "events": count, "bytes": size, **span})
        return out

    # retention -------------------------------------------------------------------------------------------------

    def drop_partitions(self, *, kind: str, before_us: int, dry_run: bool) -> list[dict[str, Any]]:
        if not dry_run:
            self._writable()
        chosen = {
            index: name
            for index, name in self._partitions_of(self._names.events).items()
            if name.rpartition("-")[0] == kind and _month_end(name.rpartition("-")[2]) <= before_us
        }
        if dry_run or not chosen:
            return self._describe(chosen)
        # A full disk closes every index to writing; ours that record what is dropped must open for it.
        for what in ("retention", "facts"):
            self._settings(self._names.control(what), {"index.blocks.read_only_allow_delete": None})
        described = []
        for index, name in chosen.items():
            described += self._drop(index, name)
        self.record_fact("retention", {"at": iso(self._clock.now_us()), "kind": kind, "before": iso(before_us), "partitions": described})
        return described

    def _drop(self, index: str, name: str) -> list[dict[str, Any]]:
        """Close the index to writing, note what the ledger loses with it, remove it. Again from any step: the same."""
        self._settings(index, {"index.blocks.write": True})
        self._link.request("POST", f"/{index}/_refresh")
        described = self._describe({index: name})
        own = {"bool": {"must_not": [{"term": {"store.derived": True}}]}}
        rows = [[*bucket["key"].values(), bucket["doc_count"]] for bucket in self._composite(index, own, _BY_PARTITION)]
        uuid = self._uuids()[index]
        send(self._link, [put(self._names.control("retention"), uuid, {"uuid": uuid, "rows": rows})])
        self._link.request("DELETE", f"/{index}")
        return described

    def _expired(self) -> dict[tuple[str, str], int]:
        """Events per source and partition that retention removed."""
        alive = set(self._uuids().values())
        counts: Counter[tuple[str, str]] = Counter()
        for hit in self._scan(self._names.control("retention"), _EVERYTHING):
            if hit["_source"]["uuid"] not in alive:
                for source, partition, count in hit["_source"]["rows"]:
                    counts[source, partition] += count
        return dict(counts)

    def _uuids(self) -> dict[str, str]:
        """Every index of the store with its unique id."""
        found = (
            self._link.request("GET", f"/{self._names.prefix}-*", params={"expand_wildcards": "all", "filter_path": "*.settings.index.uuid"}, missing={}) or {}
        )
        return {index: one["settings"]["index"]["uuid"] for index, one in found.items()}

    def _settings(self, index: str, settings: Mapping[str, Any]) -> None:
        self._link.request("PUT", f"/{index}/_settings", settings)

    # reclassification ------------------------------------------------------------------------------------------

    def reclassify(self, query: EventQuery, change: Callable[[Doc], tuple[str, str] | None], *, fact: Mapping[str, Any], dry_run: bool) -> dict[str, int]:
        counts: Counter[str] = Counter(seen=0, changed=0)
        self.revise(query, partial(other_class, change, counts), dry_run=dry_run)
        if not dry_run:
            self.record_fact("reclassification", {"at": iso(self._clock.now_us()), **fact, **counts})
        return dict(counts)

    def revise(self, query: EventQuery, change: Callable[[Doc], Doc | None], *, dry_run: bool) -> None:
        if not dry_run:
            self._writable()
        self.refresh()
        actions: list[Action] = []
        for hit in self._whole_hits(query):
            store = hit["_source"]["store"]
            doc = change(read(hit["_source"]))
            if doc is None or dry_run:
                continue
            actions.append(_rewritten(hit, doc, store))
            if len(actions) >= SCAN_SIZE:
                self._rewrite(actions)
                actions = []
        self._rewrite(actions)

    def _whole_hits(self, query: EventQuery) -> Iterator[Hit]:
        """Every event that fits, with its bookkeeping and version."""
        asked = plan(query)
        source = {"excludes": ["store.text"]}
        for hit in self._scan(self._names.events, asked.candidates, [{"store.time": "asc"}, {"soc.id": "asc"}], source=source, size=500, versions=True):
            bare = {name: value for name, value in hit["_source"].items() if name != "store"}
            if asked.certain or matches(query.where, read(bare)):
                yield hit

    def _rewrite(self, actions: list[Action]) -> None:
        for outcome in send(self._link, actions) if actions else ():
            if outcome.kind:
                raise Conflict(
                    Phrase("an event was changed by somebody else meanwhile: {reason}", reason=outcome.reason),
                    hint="run the command again: what is changed already stays so",
                )

    # migration -------------------------------------------------------------------------------------------------

    def migrate(self, reparse: Callable[[Doc], Doc] | None, *, dry_run: bool, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
        if not dry_run:
            self._writable()
        self.refresh()
        live = self._partitions_of(self._names.events)
        total = self._count(self._names.events, _EVERYTHING)
        report: dict[str, Any] = {"from": VERSION, "to": VERSION, "events": total, "changed": 0}
        if dry_run:
            for number, hit in enumerate(self._scan(self._names.events, _EVERYTHING, source={"excludes": ["store"]}), 1):
                doc = read(hit["_source"])
                report["changed"] += bool(reparse and reparse(dict(doc)) != doc)
                if progress:
                    progress(number, total)
            return report
        self._put_templates()
        self._sweep(live)
        if reparse is None:
            for index in live:
                self._link.request("PUT", f"/{index}/_mapping", {"properties": event_mappings()["properties"]})
        elif live:
            report["changed"] = self._new_generation(live, total, reparse, progress)
        self.record_fact("migration", {"at": iso(self._clock.now_us()), **report})
        return report

    def _sweep(self, live: Mapping[str, str]) -> None:
        """Remove what an interrupted migration left behind, and open what it closed.

        Raises: StoreRefused for an index that is not found by its aliases and was not left by a migration: it may hold the only copy.
        """
        for index, its in self._aliases(f"{self._names.events}-*").items():
            if index in live:
                continue
            if self._names.replaced not in its:
                raise StoreRefused(
                    Phrase("index {index} belongs to no partition: its events are not found, and nothing says that they may go", index=index),
                    hint=Phrase(
                        "if it was restored or lost its aliases, give it them (POST /_aliases: {alias} and {events}); if it is a copy, remove it (DELETE /{index})",
                        alias=index.rpartition("-")[0],
                        events=self._names.events,
                        index=index,
                    ),
                )
            self._link.request("DELETE", f"/{index}")
        for index in live:
            self._settings(index, {"index.blocks.write": None})

    def _new_generation(self, live: Mapping[str, str], total: int, reparse: Callable[[Doc], Doc], progress: Callable[[int, int], None] | None) -> int:
        """Write every event anew beside the old indices, swap all aliases in one step, remove the old. Returns how many changed."""
        number = 1 + max(int(index.rpartition("-")[2]) for index in live)
        made: set[str] = set()
        try:
            for index in live:  # writers wait (within their stall budget) until the swap
                self._settings(index, {"index.blocks.write": True})
            self.refresh()
            changed = self._copy(total, number, reparse, progress, made)
            self._swap(live, made)
        except BaseException:
            for index in made:
                self._link.request("DELETE", f"/{index}", missing=None)
            for index in live:
                self._settings(index, {"index.blocks.write": None})
            raise
        for index in live:
            self._link.request("DELETE", f"/{index}", missing=None)
        return changed

    def _copy(self, total: int, number: int, reparse: Callable[[Doc], Doc], progress: Callable[[int, int], None] | None, made: set[str]) -> int:
        changed = done = 0
        actions: list[Action] = []

        def flush() -> None:
            for outcome in send(self._link, actions) if actions else ():
                if outcome.kind:
                    raise StoreRefused(
                        Phrase("the new generation refuses an event: {kind}: {reason}", kind=outcome.kind, reason=outcome.reason),
                        hint="nothing was changed; mend the parser and migrate again",
                    )
            actions.clear()

        for hit in self._scan(self._names.events, _EVERYTHING, source={"excludes": ["store.text"]}, size=500):
            store = hit["_source"]["store"]
            doc = read(hit["_source"])
            new = reparse(dict(doc))
            changed += new != doc
            event = event_of(new, event_tokens(new))
            event.counted = store["counted"]
            if new.get("@timestamp") == doc.get("@timestamp"):
                event.ts_us = store["us"]
            index = self._names.generation(self._names.partition(event.kind, f"{to_datetime(event.ts_us):%Y.%m}"), number)
            if index not in made:
                self._link.create_index(index, {"aliases": {self._names.replaced: {}}}, exist_ok=False)
                made.add(index)
            actions.append(create(index, event.id, body(event)))
            done += 1
            if len(actions) >= 500:  # noqa: PLR2004 - documents of a request
                flush()
            if progress:
                progress(done, total)
        flush()
        self.refresh()
        if made and self._count(",".join(sorted(made)), _EVERYTHING) != done:
            raise StoreRefused(
                "the new generation does not hold every event of the old one", hint="nothing was changed; look at the cluster's health and migrate again"
            )
        return changed

    def _swap(self, live: Mapping[str, str], made: set[str]) -> None:
        actions: list[dict[str, Any]] = []
        for index, name in live.items():
            actions += [{"remove": {"index": index, "alias": alias}} for alias in (self._names.events, f"{self._names.events}-{name}")]
            actions.append({"add": {"index": index, "alias": self._names.replaced}})
        for index in sorted(made):
            actions.append({"remove": {"index": index, "alias": self._names.replaced}})
            actions += [{"add": {"index": index, "alias": alias}} for alias in (self._names.events, index.rpartition("-")[0])]
        self._link.request("POST", "/_aliases", {"actions": actions})

    # backup ----------------------------------------------------------------------------------------------------

    def backup(self, target: Path, progress: Callable[[str, int, int], None] | None = None) -> dict[str, Any]:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        indices = {self._names.control(what): what for what in CONTROL}
        if self._link.request("GET", f"/{self._names.control(JOURNAL)}/_settings", missing=None) is not None:
            indices[self._names.control(JOURNAL)] = JOURNAL
        pits = self._consistent_pits()
        files = []
        try:
            for index, name in self._partitions_of(self._names.events).items():
                indices[index] = f"events-{name}"
            for number, (index, name) in enumerate(indices.items(), 1):
                pit = pits.get(index) or self._pit(index)
                pits[index] = pit
                files.append(self._export(pit, target / f"{name}.ndjson.zst"))
                if progress:
                    progress(name, number, len(indices))
            manifest = {
                "kind": "elasticsearch",
                "schema": SCHEMA,
                "layout": VERSION,
                "at": iso(self._clock.now_us()),
                "files": files,
                "events": sum(file["documents"] for file in files if file["name"].startswith("events-")),
            }
            (target / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
        except OSError as error:
            raise StoreFull(
                Phrase("{target}: the backup cannot be written: {strerror}", target=target, strerror=error.strerror), hint="choose a target with more room"
            ) from error
        finally:
            for pit in pits.values():
                self._link.request("DELETE", "/_pit", {"id": pit})
        return manifest

    def _pit(self, index: str) -> str:
        self._link.request("POST", f"/{index}/_refresh", missing=None)
        return str(self._link.request("POST", f"/{index}/_pit", params={"keep_alive": "10m", "ignore_unavailable": "true"})["id"])

    def _consistent_pits(self) -> dict[str, str]:
        """Views of positions and state that belong together: taken again when a batch was committed in between."""
        positions, state = self._names.control("positions"), self._names.control("state")
        for _ in range(_TRIES):
            first, kept, second = self._pit(positions), self._pit(state), self._pit(positions)
            rows = [sorted(orjson.dumps(hit["_source"]) for hit in self._scan_pit(pit, _EVERYTHING, [])) for pit in (first, second)]
            if rows[0] == rows[1]:
                self._link.request("DELETE", "/_pit", {"id": second})
                return {positions: first, state: kept}
            for pit in (first, kept, second):
                self._link.request("DELETE", "/_pit", {"id": pit})
        raise StoreUnavailable("batches are committed too fast for a consistent backup", hint="try again when less comes in")

    def _export(self, pit: str, path: Path) -> dict[str, Any]:
        count = 0
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as raw, zstandard.ZstdCompressor(level=6).stream_writer(raw, closefd=False) as out:
            for hit in self._scan_pit(pit, _EVERYTHING, []):
                out.write(orjson.dumps({"_id": hit["_id"], "_source": hit["_source"]}) + b"\n")
                count += 1
        return {"name": path.name, "bytes": path.stat().st_size, "sha256": _sha256(path), "documents": count}


def _rewritten(hit: Hit, doc: Doc, store: Mapping[str, Any]) -> Action:
    """The write that replaces an event's document, if nobody else has changed it."""
    event = event_of(doc, event_tokens(doc))
    event.ts_us, event.counted = store["us"], store["counted"]
    head = {"index": {"_index": hit["_index"], "_id": hit["_id"], "if_seq_no": hit["_seq_no"], "if_primary_term": hit["_primary_term"]}}
    return Action(orjson.dumps(head), body(event))


def _month_end(month: str) -> int:
    begin = datetime.fromisoformat(month.replace(".", "-") + "-01T00:00:00+00:00")
    return from_datetime((begin + timedelta(days=31)).replace(day=1))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def restore(settings: StoreSettings, source: Path, *, clock: Clock, progress: Callable[[str, int, int], None] | None = None) -> dict[str, Any]:
    """Fill an empty store from what `backup` wrote; returns the manifest.

    Raises: Conflict when the store holds something, StoreCorrupt when a file is not the one backed up, StoreNewer.
    """
    from soc.adapters.elastic.store import open_store

    manifest = _manifest(source)
    store = open_store(settings, pipeline=True, read_only=False, clock=clock)
    link, names = Link(settings, clock), Names(settings.prefix)
    try:
        if store.positions() or store.status()["partitions"]:
            raise Conflict(Phrase("the store {prefix!r} is not empty", prefix=settings.prefix), hint="restore into another store.prefix, or remove its indices")
        if any(file["name"] == JOURNAL_EXPORT for file in manifest["files"]):
            make_journal(link, names)
        for number, file in enumerate(manifest["files"], 1):
            _import(link, names, source / file["name"])
            if progress:
                progress(file["name"], number, len(manifest["files"]))
    finally:
        link.close()
        store.close()
    return manifest


def _manifest(source: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = orjson.loads((source / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise StoreCorrupt(
            Phrase("{source}: no backup of an Elasticsearch store: {error}", source=source, error=error), hint="give the folder that `soc store backup` wrote"
        ) from error
    if manifest.get("kind") != "elasticsearch":
        raise StoreRefused(
            Phrase("{source}: a backup of kind {kind!r}", source=source, kind=manifest.get("kind")), hint="restore it into a store of its own kind"
        )
    if manifest["layout"] > VERSION:
        raise StoreNewer(
            Phrase("{source}: the backup has layout {layout}, this program knows {version}", source=source, layout=manifest["layout"], version=VERSION),
            hint="update soc",
        )
    for file in manifest["files"]:
        path = source / file["name"]
        if not path.is_file() or _sha256(path) != file["sha256"]:
            raise StoreCorrupt(Phrase("{path}: not the file that was backed up", path=path), hint="copy the backup again")
    return manifest


def exported_journal(path: Path) -> Iterator[tuple[str, int, bytes, str]]:
    """Stream, number, bytes and hash of every fact in the journal of a backup, stream by stream in order.

    Raises: StoreCorrupt.
    """
    try:
        with path.open("rb") as raw, io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw)) as lines:
            documents = [orjson.loads(line)["_source"] for line in lines]
        for document in sorted(documents, key=lambda one: (one["stream"], one["first"])):
            for number, fact in enumerate(document["facts"]):
                yield document["stream"], int(document["first"]) + number, str(fact["body"]).encode("utf-8", "surrogatepass"), str(fact["hash"])
    except (OSError, ValueError, KeyError, TypeError, zstandard.ZstdError) as error:
        raise StoreCorrupt(Phrase("{path}: the journal of the backup cannot be read: {error}", path=path, error=error), hint="use another backup") from error


def _import(link: Link, names: Names, path: Path) -> None:
    name = path.name.removesuffix(".ndjson.zst")
    index = names.control(name)
    if name.startswith("events-"):
        alias = index
        index = names.generation(alias, 1)
        link.create_index(index, {"aliases": {alias: {}, names.events: {}}}, exist_ok=False)
    actions: list[Action] = []
    with path.open("rb") as raw, io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw)) as lines:
        for line in lines:
            hit = orjson.loads(line)
            actions.append(create(index, hit["_id"], orjson.dumps(hit["_source"])))
            if len(actions) >= SCAN_SIZE:
                _load(link, actions)
                actions = []
    _load(link, actions)


def _load(link: Link, actions: list[Action]) -> None:
    for outcome in send(link, actions) if actions else ():
        if outcome.kind and outcome.status != 409:  # noqa: PLR2004 - an earlier attempt at the same request
            raise StoreRefused(Phrase("a document of the backup is refused: {kind}: {reason}", kind=outcome.kind, reason=outcome.reason))
