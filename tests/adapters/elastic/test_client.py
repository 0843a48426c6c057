"""Errors of the cluster in words, and which of them pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from soc.adapters.elastic.client import Budget, connect, is_passing, reason, refused
from soc.clock import FrozenClock
from soc.config import StoreSettings
from soc.errors import AccessDenied, ConfigError, Conflict, SocError, StoreFull, StoreRefused

FLOOD = {"error": {"type": "cluster_block_exception", "reason": "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark];"}}


@pytest.mark.parametrize(
    ("status", "body", "error", "code"),
    [
        (401, "<html><h1>401 Authorization Required</h1></html>", AccessDenied, 5),
        (403, {"error": {"type": "security_exception", "reason": "no"}}, AccessDenied, 5),
        (409, {"error": {"type": "version_conflict_engine_exception", "reason": "x"}}, Conflict, 6),
        (413, "<html>too large</html>", StoreRefused, 7),
        (429, FLOOD, StoreFull, 7),
        (400, {"error": {"type": "parsing_exception", "reason": "x"}}, StoreRefused, 7),
    ],
)
def test_refusals_have_their_error_and_exit_code(status: int, body: Any, error: type[SocError], code: int) -> None:
    """Each status becomes the error that says what to do."""
    made = refused(status, body, "POST /_bulk")
    assert (type(made), made.exit_code) == (error, code)


def test_a_full_queue_passes_and_a_full_disk_does_not() -> None:
    """Both answer 429; only the word tells them apart. An index closed by a migration opens again."""
    assert is_passing(429, "es_rejected_execution_exception")
    assert is_passing(503, "unavailable_shards_exception")
    assert not is_passing(429, "cluster_block_exception", FLOOD["error"]["reason"])
    assert is_passing(403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/8/index write (api)];")
    assert not is_passing(403, "security_exception")


def test_reasons_are_one_line_from_json_and_from_html() -> None:
    """The root cause of Elasticsearch, or the words of a proxy's page."""
    body = {
        "error": {"type": "search_phase_execution_exception", "reason": "all shards failed", "root_cause": [{"type": "query_shard_exception", "reason": "why"}]}
    }
    assert reason(body) == "query_shard_exception: why"
    assert reason("<html>\n<h1>502 Bad   Gateway</h1></html>") == "502 Bad Gateway"
    assert reason(b"<b>x\xff</b>") == "x\ufffd"


def test_a_budget_ends() -> None:
    """Pauses double up to five seconds, and stop before the time is up."""
    clock = FrozenClock(0)
    budget = Budget(clock, 20)
    tries = 0
    while budget.wait():
        tries += 1
    assert 8 <= tries <= 12
    assert 10 <= clock.monotonic() <= 20


def test_settings_that_cannot_be_used_are_configuration_errors(tmp_path: Path) -> None:
    """A missing CA file and a host that is no URL are said before anything is sent."""
    for changes in ({"ca_file": tmp_path / "none.pem"}, {"hosts": ["es1.example.vn"]}):
        with pytest.raises(ConfigError):
            connect(StoreSettings(**changes))
