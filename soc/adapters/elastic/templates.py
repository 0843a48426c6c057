"""Index names, mappings and settings: everything that Elasticsearch must know before the first event.

One table, `fields.toml`, says which type a field has; the composable templates are made from it. `deploy/elastic/`
holds the same templates as files for those who install them by hand (`python -m soc.adapters.elastic.templates DIR`).
"""

from __future__ import annotations

import json
import sys
import tomllib
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from soc.model.event import SCHEMA

VERSION = 3
"""Of the templates and index layout; a store with a higher one was written by a newer program."""
LONGEST_KEYWORD = 1024
"""Characters: longer values are stored, not indexed; their fields are listed in `store.odd`."""
CONTROL = ("positions", "alerts", "members", "deadletters", "claims", "state", "gaps", "facts", "retention", "signals", "revisions")
"""Indices that are no partitions: one shard each, small."""


class Names(NamedTuple):
    """The names of everything that a store with a prefix has on the cluster."""

    prefix: str

    @property
    def events(self) -> str:
        """The alias that stands for all events."""
        return f"{self.prefix}-events"

    @property
    def replaced(self) -> str:
        """The alias of what a migration has under way, or has replaced: whatever has it may go."""
        return f"{self.prefix}-migration"

    def partition(self, kind: str, month: str) -> str:
        """The alias of one partition (`month` as `2026.11`)."""
        return f"{self.prefix}-events-{kind}-{month}"

    def generation(self, partition: str, number: int) -> str:
        """The index behind a partition's alias."""
        return f"{partition}-{number:06d}"

    def control(self, what: str) -> str:
        """The index of alerts, positions and the like."""
        return f"{self.prefix}-{what}"


@lru_cache(maxsize=1)
def field_types() -> dict[str, str]:
    """The type of every mapped field; `flattened` ones are prefixes."""
    table = tomllib.loads(files(__package__).joinpath("fields.toml").read_text(encoding="utf-8"))
    return {field: kind for kind, fields in table.items() for field in fields}


_MAPPINGS: dict[str, dict[str, Any]] = {
    "ip": {"type": "ip", "ignore_malformed": True},
    "long": {"type": "long", "ignore_malformed": True, "coerce": False},
    "double": {"type": "double", "ignore_malformed": True, "coerce": False},
    "boolean": {"type": "boolean", "ignore_malformed": True},
    "date_nanos": {"type": "date_nanos", "ignore_malformed": True},
    "keyword": {"type": "keyword", "ignore_above": LONGEST_KEYWORD},
    "stored": {"type": "keyword", "index": False, "doc_values": False},
    "flattened": {"type": "flattened", "ignore_above": LONGEST_KEYWORD, "depth_limit": 20},
}
# What queries need beside the document itself; taken off when an event is read. See soc/adapters/elastic/document.py.
_BOOKKEEPING: dict[str, Any] = {
    "time": {"type": "date", "format": "epoch_millis"},
    "us": {"type": "long"},
    "counted": {"type": "boolean"},
    "derived": {"type": "boolean"},
    "text": {"type": "text", "analyzer": "whitespace", "norms": False, "index_options": "docs"},
    "folded": {"type": "keyword"},
    "extra": {"type": "keyword"},
    "odd": {"type": "keyword"},
}


def event_mappings() -> dict[str, Any]:
    """The mappings of the event indices."""
    root: dict[str, Any] = {}
    for field, kind in sorted(field_types().items()):
        *parents, last = field.split(".")
        node = root
        for parent in parents:
            node = node.setdefault(parent, {"properties": {}})["properties"]
        node[last] = _MAPPINGS[kind]
    root["store"] = {"properties": _BOOKKEEPING}
    return {"dynamic": False, "_meta": {"version": VERSION, "schema": SCHEMA}, "properties": root}


def _keywords(*names: str) -> dict[str, Any]:
    return {name: {"type": "keyword"} for name in names}


_KEPT = {"type": "object", "enabled": False}
_BLOB = {"type": "binary"}
_CONTROL_MAPPINGS: dict[str, dict[str, Any]] = {
    "positions": {**_keywords("source", "partition"), "row": _KEPT},
    "alerts": {
        **_keywords("id", "group", "rule", "rule_level", "scope", "source", "threat_level", "agency"),
        "rank": {"type": "byte"},
        "us": {"type": "long"},
        "alert": _KEPT,
    },
    "members": _keywords("group"),
    "deadletters": {**_keywords("id", "source", "partition", "state", "hash"), "received_us": {"type": "long"}, "letter": _KEPT},
    "claims": {"owner": {"type": "keyword", "index": False, "doc_values": False}},
    "state": {**_keywords("partition"), "entry": _KEPT},
    "gaps": {**_keywords("source"), "from_us": {"type": "long"}, "until_us": {"type": "long"}, "gap": _KEPT},
    "facts": {**_keywords("kind"), "number": {"type": "long"}, "fact": _KEPT},
    "retention": {**_keywords("uuid"), "rows": _KEPT},
    "signals": {"from_us": {"type": "long"}, "until_us": {"type": "long"}, "body": _BLOB},
    "revisions": {**_keywords("id"), "revision": {"type": "integer"}, "alert": _KEPT},
}


def templates(prefix: str, *, shards: int = 1, replicas: int = 0) -> dict[str, dict[str, Any]]:
    """The composable index templates of a store, by name."""
    names = Names(prefix)
    meta = {"version": VERSION, "program": "soc"}
    out = {
        names.events: {
            "index_patterns": [f"{names.events}-*"],
            "priority": 500,
            "version": VERSION,
            "_meta": meta,
            "template": {
                "settings": {"index": {"number_of_shards": shards, "number_of_replicas": replicas, "mapping": {"total_fields": {"limit": 1000}}}},
                "mappings": event_mappings(),
            },
        }
    }
    for what in CONTROL:
        out[names.control(what)] = {
            "index_patterns": [names.control(what)],
            "priority": 500,
            "version": VERSION,
            "_meta": meta,
            "template": {
                "settings": {"index": {"number_of_shards": 1, "number_of_replicas": replicas}},
                "mappings": {"dynamic": False, "_meta": {"version": VERSION}, "properties": _CONTROL_MAPPINGS[what]},
            },
        }
    return out


def write_templates(folder: Path) -> None:
    """Write the templates of the default prefix as JSON files, one each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in templates("soc").items():
        (folder / f"{name}.json").write_text(json.dumps(body, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_templates(Path(sys.argv[1]))
