"""Times and names of those on whose behalf something is recorded."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from soc.clock import SystemClock, to_datetime
from tests.cli.conftest import Run


def test_spans_are_ago_for_what_was_and_ahead_for_what_is_due(soc: Run, tmp_path: Path) -> None:
    """`--detected 2h` is two hours ago, `--due 3d` in three days."""
    store = ("--store", str(tmp_path / "s"))
    opened = json.loads(soc("incidents", "new", "x", "--detected", "2h", "--json", *store).out)["item"]
    assert _hours(opened["detected_at"]) == -2
    soc("incidents", "task", opened["id"], "Cách ly", "--due", "3d", *store)
    shown = json.loads(soc("incidents", "show", opened["id"], "--json", *store).out)["item"]
    assert _hours(shown["tasks"][0]["due_at"]) == 72
    made = json.loads(soc("notices", "new", "x", "--to", "a", "--due", "3d", "--json", *store).out)["item"]
    assert _hours(made["due_at"]) == 72


def _hours(moment: str) -> int:
    return round((datetime.fromisoformat(moment) - to_datetime(SystemClock().now_us())).total_seconds() / 3600)


def test_how_somebody_said_it_needs_who(soc: Run, tmp_path: Path) -> None:
    """`--by telephone` alone is refused; with a name it is recorded with time and number."""
    store = ("--store", str(tmp_path / "s"))
    soc("incidents", "new", "x", *store)
    told = soc("incidents", "note", "1", "t", "--by", "telephone", *store)
    assert (told.code, "--on-behalf" in told.err) == (2, True)
    more = ("--on-behalf", "Chị Hoa", "--by", "telephone", "--said-at", "2026-11-20 08:00", "--their-reference", "15/CV")
    assert soc("incidents", "note", "1", "t", *more, *store).code == 0
    facts = [json.loads(line) for line in soc("incidents", "history", "1", "--jsonl", *store).out.splitlines()]
    assert facts[-1]["behalf"] == {"person": "Chị Hoa", "channel": "telephone", "at": "2026-11-20T01:00:00.000Z", "reference": "15/CV"}
