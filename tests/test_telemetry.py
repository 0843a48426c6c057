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


def test_a_level_leaves_out_what_is_below_it() -> None:
    """Nothing below the chosen level is written."""
    out = io.StringIO()
    setup_logging("error", "text", out)
    get_logger("t2").warning("quiet")
    get_logger("t2").error("loud")
    assert "quiet" not in out.getvalue()
    assert "loud" in out.getvalue()
