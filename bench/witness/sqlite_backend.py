"""What pySigma's SQLite backend says of cases; run by an interpreter that has it (bench/peers.sh), never part of the product.

python sqlite_backend.py CASES.ndjson

A case a line: {"rules": YAML, "pipeline": YAML or "", "events": […], "until": seconds or null, "asked": [rule id, …]}. Prints a JSON line for each: {"refused":
reason}, or {"results": {rule id: …}} with the numbers of the events that a detection finds, and the rows of a correlation.
The table is built as the backend's documentation asks: columns that ignore case, one text of all values for keywords,
a REGEXP of Python's `re`, times in microseconds. A column holds one value: lists are JSON texts.
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from sigma.backends.sqlite import sqliteBackend  # type: ignore[import-not-found]
from sigma.collection import SigmaCollection
from sigma.processing.pipeline import ProcessingPipeline


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """An event as columns."""
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        for key, inner in value.items():
            found |= flat(inner, f"{name}.{key}" if name else key)
        return found
    return {name: json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value}


def leaves(value: Any) -> list[str]:
    """All values of an event as texts."""
    if isinstance(value, dict | list):
        return [text for inner in (value.values() if isinstance(value, dict) else value) for text in leaves(inner)]
    return [] if value is None else [str(value)]


def quoted(name: str) -> str:
    """A name of a column."""
    return '"' + name.replace('"', '""') + '"'


def table(events: list[dict[str, Any]], fields: set[str]) -> sqlite3.Connection:
    """The events as a table `logs`."""
    rows = [flat(event) for event in events]
    columns: list[str] = []
    for name in [*(name for row in rows for name in row), *sorted(fields)]:
        if name.lower() not in {other.lower() for other in columns}:
            columns.append(name)
    db = sqlite3.connect(":memory:")
    db.create_function("regexp", 2, lambda pattern, text: text is not None and re.search(pattern, str(text)) is not None)
    db.execute(f"CREATE TABLE logs (_n, _ts, _text TEXT COLLATE NOCASE{''.join(f', {quoted(name)} COLLATE NOCASE' for name in columns)})")
    for number, (event, row) in enumerate(zip(events, rows, strict=True), 1):
        stamp = event.get("@timestamp")
        ts = None if stamp is None else round(datetime.fromisoformat(stamp).timestamp() * 1e6)
        values = [number, ts, "\n".join(leaves(event)), *(row.get(name) for name in columns)]
        db.execute(f"INSERT INTO logs VALUES ({', '.join('?' * len(values))})", values)
    return db


def run(case: dict[str, Any]) -> dict[str, Any]:
    """What each rule finds."""
    pipeline = ProcessingPipeline.from_yaml(case["pipeline"]) if case["pipeline"] else None
    options = {} if case["until"] is None else {"observation_end": case["until"]}
    backend = sqliteBackend(pipeline, timestamp_field="_ts", timestamp_format="unix_us", event_id_field="_n", fulltext_field="_text", **options)
    collection = SigmaCollection.from_yaml(case["rules"])
    backend.convert(collection)
    fields = {field for rule in collection.rules if hasattr(rule, "detection") for field in backend.required_fields(rule)}
    db = table(case["events"], fields - {"_text"})
    out: dict[str, Any] = {}
    for rule in collection.rules:
        if str(rule.id) not in case["asked"]:
            continue
        found: list[Any] = []
        for query in rule.get_conversion_result():
            cursor = db.execute(query)
            names = [column[0] for column in cursor.description]
            for row in cursor:
                line = dict(zip(names, row, strict=True))
                found.append(
                    {"group": json.loads(line["group_keys"]), "events": [int(name.rpartition(":")[2]) for name in json.loads(line["event_ids"])]}
                    if "group_keys" in line
                    else line["_n"]
                )
        out[str(rule.id)] = found
    return out


def main() -> None:
    """Answer every case."""
    for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        try:
            answer: dict[str, Any] = {"results": run(case)}
        except Exception as error:  # noqa: BLE001 - whatever the backend says is its answer
            answer = {"refused": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
