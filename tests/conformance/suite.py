"""The conformance suite as data: what a file holds, how an event is written, what a case's documents are."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
START = datetime(2026, 11, 20, tzinfo=UTC)

Case = dict[str, Any]


def cases(name: str) -> list[Case]:
    """The cases of a file; their names differ."""
    found = yaml.safe_load((HERE / name).read_text(encoding="utf-8"))
    assert len({case["name"] for case in found if "name" in case}) == len([case for case in found if "name" in case])
    return [case for case in found if "library" not in case]


DETECTIONS = [*cases("detections.yml"), *cases("modifiers.yml")]
CORRELATIONS = cases("correlations.yml")
FILTERS = cases("filters.yml")
LIBRARY = yaml.safe_load((HERE / "correlations.yml").read_text(encoding="utf-8"))[0]["library"]


def event_of(text: str) -> dict[str, Any]:
    """The event of `<seconds> <kind> <field>=<value> …`."""
    seconds, kind, *fields = str(text).split()
    event: dict[str, Any] = {"@timestamp": (START + timedelta(microseconds=round(float(seconds) * 1e6))).isoformat(), "event": kind}
    for field in fields:
        name, _, value = field.partition("=")
        parts = [part.strip('"') if part.startswith('"') or not re.fullmatch(r"-?\d+(\.\d+)?", part) else yaml.safe_load(part) for part in value.split("|")]
        event[name] = parts if len(parts) > 1 else parts[0]
    return event


def detection_of(case: Case) -> dict[str, Any]:
    """The rule of a case about a detection."""
    detection = case["detection"] if "condition" in case["detection"] else {"selection": case["detection"], "condition": "selection"}
    return {"title": "case", "id": "case", "logsource": {"category": "test"}, "detection": detection}


def correlations_of(case: Case) -> list[dict[str, Any]]:
    """The documents of a case about correlations: the rules of the library that it names, then its correlations."""
    documents: list[dict[str, Any]] = [
        {"title": name, "id": f"id-{name}", "name": name, "logsource": {"category": "test"}, "detection": {"sel": sel, "condition": "sel"}, "level": "low"}
        for name, sel in LIBRARY.items()
        if name in str(case["correlations"])
    ]
    for number, part in enumerate(case["correlations"]):
        name = part.get("name", f"correlation {number}")
        correlation = {key: value for key, value in part.items() if key != "name"}
        documents.append({"title": name, "id": f"c-{number}", "name": name, "level": "high", "correlation": correlation})
    return documents
