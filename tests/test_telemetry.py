"""Our log: attacker-written text in it stays text, in our entries and in those of libraries."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from soc.telemetry import get_logger, setup_logging

EVIL = "a\x1b[2J\n2026-11-21 [error] all is well\u202e"


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Logging as it was before, afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def _written(style: str) -> str:
    out = io.StringIO()
    setup_logging("info", style, out)
    get_logger("t").warning("a device clock is off", source=EVIL)
    logging.getLogger("lib").warning("bad request %s", EVIL)
    return out.getvalue()


@pytest.mark.parametrize("style", ["text", "json"])
def test_what_attackers_wrote_steers_no_terminal_and_forges_no_entry(style: str) -> None:
    """Escapes, bidirectional controls and line ends are shown, not sent; each line begins as an entry of ours or is indented."""
    text = _written(style)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert not any(line.startswith("2026-11-21 [error]") for line in text.splitlines())
    assert "a device clock is off" in text
    assert "bad request" in text


def test_json_lines_are_json() -> None:
    """Each entry of ours is one object with level, time and facts."""
    entry = json.loads(_written("json").splitlines()[0])
    assert (entry["level"], entry["event"], entry["module"]) == ("warning", "a device clock is off", "t")


def test_entries_of_libraries_are_entries_like_ours() -> None:
    """Nothing in a log of JSON lines is anything else, tracebacks neither."""
    out = io.StringIO()
    setup_logging("info", "json", out)
    try:
        raise OSError("connection reset")
    except OSError:
        logging.getLogger("lib.net").exception("socket %s", "lost")
    entry = json.loads(out.getvalue())
    assert (entry["level"], entry["module"], entry["said"]) == ("error", "lib.net", "socket lost")
    assert "Traceback" not in out.getvalue()


def test_a_library_that_goes_on_and_on_is_heard_once_a_minute() -> None:
    """Each of its parts by itself, and what was left out is counted; at the level debug nothing is left out."""
    out = io.StringIO()
    setup_logging("info", "json", out)
    [handler] = logging.getLogger().handlers

    def say(name: str, at_s: float) -> None:
        record = logging.LogRecord(name, logging.ERROR, __file__, 1, "no connection", (), None)
        record.created = at_s
        handler.handle(record)

    for at_s in (0.0, 0.1, 30.0, 59.0, 61.0, 62.0, 122.0):
        say("lib.net", 1_795_222_800 + at_s)
    say("lib.cluster", 1_795_222_800 + 122.5)
    entries = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(entry["module"], entry.get("left_out", 0)) for entry in entries] == [("lib.net", 0), ("lib.net", 3), ("lib.net", 1), ("lib.cluster", 0)]
    whole = io.StringIO()
    setup_logging("debug", "json", whole)
    for _ in range(3):
        logging.getLogger("lib.net").error("no connection")
    assert len(whole.getvalue().splitlines()) == 3


def test_a_level_leaves_out_what_is_below_it() -> None:
    """Nothing below the chosen level is written."""
    out = io.StringIO()
    setup_logging("error", "text", out)
    get_logger("t2").warning("quiet")
    get_logger("t2").error("loud")
    assert "quiet" not in out.getvalue()
    assert "loud" in out.getvalue()
