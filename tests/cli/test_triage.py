"""`soc alerts ack|assign|close|reopen|undo` and `soc suppressions` as people call them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.test_rule_life import ID, Desk, that_day

__all__ = ["that_day"]

RULE = f"""\
title: Signature of an attack
id: {ID}
name: attack
logsource: {{category: firewall}}
detection: {{sel: {{fortinet.firewall.action: detected}}, condition: sel}}
level: medium
soc: {{group_by: [source.ip]}}
"""


@pytest.fixture
def desk(soc: Run, tmp_path: Path) -> Desk:
    """Three groups of one alert each."""
    found = Desk(soc, tmp_path)
    (found.rules / "attack.yml").write_text(RULE)
    found.ingest(1, 2, 3)
    return found


def ids(desk: Desk, *more: str) -> list[str]:
    """The ids of the groups of a list."""
    return [item["id"] for item in desk.items("alerts", "list", *more)]


def states(desk: Desk, *more: str) -> dict[str, str]:
    """By the last number of the address the state of each group."""
    return {item["key"]["source.ip"][-1]: item["state"] for item in desk.items("alerts", "list", "--state", "all", *more)}


def as_other(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Go on as somebody else."""
    monkeypatch.setattr("soc.cli._session.actor_name", lambda: name)


def test_a_group_goes_from_open_to_closed_and_back(desk: Desk) -> None:
    """Each step shows in the list; closed ones leave it; a step that does not fit is refused before anything is written."""
    third, second, first = ids(desk)
    assert desk("alerts", "ack", first).code == 0
    assert desk("alerts", "assign", first[:10], "--to", "bình").code == 0
    item = next(one for one in desk.items("alerts", "list") if one["id"] == first)
    assert (item["state"], item["owner"], item["verdict"], item["generation"]) == ("acknowledged", "bình", "", 1)
    done = desk("alerts", "close", first, second, "--verdict", "benign", "--note", "máy quét của ta", "--json")
    told = json.loads(done.out)
    assert [(one["state"], one["verdict"]) for one in told["items"]] == [("closed", "benign")] * 2
    assert ids(desk) == [third]
    assert ids(desk, "--state", "closed") == [second, first]
    assert len(ids(desk, "--state", "all")) == 3
    refused = desk("alerts", "close", third, first, "--verdict", "test")
    assert refused.code == 6
    assert ids(desk) == [third]
    assert desk("alerts", "reopen", first).code == 0
    assert ids(desk) == [third, first]
    shown = json.loads(desk("alerts", "get", second, "--json").out)
    assert (shown["state"], shown["note"]) == ("closed", "máy quét của ta")
    assert json.loads(desk("audit", "verify", "--json").out)["ok"] is True


def test_a_newer_alert_opens_the_next_generation(desk: Desk) -> None:
    """A closed group is open again when something came after it, with what it counted since."""
    (group,) = [item["id"] for item in desk.items("alerts", "list") if item["key"]["source.ip"].endswith(".1")]
    assert desk("alerts", "close", group, "--verdict", "false-positive").code == 0
    assert group not in ids(desk)
    desk.ingest_at(1, minute=59)
    item = next(one for one in desk.items("alerts", "list") if one["id"] == group)
    assert (item["state"], item["verdict"], item["previous_verdict"], item["generation"]) == ("open", "", "false-positive", 2)
    assert (item["count"], item["count_since"]) == (2, 1)
    assert "again (2)" in desk("alerts", "list").out
    assert desk("alerts", "close", group, "--verdict", "true-positive").code == 0
    assert group not in ids(desk)
    (stats,) = desk.items("rules", "stats")
    assert stats["verdicts"] == {"true-positive": 1}


def test_all_that_match_are_closed_by_one_command(desk: Desk) -> None:
    """The number is shown; without an answer nothing is done; undo takes all of it back, step by step."""
    asked = desk("alerts", "close", "--all-matching", "--rule", ID, "--verdict", "test")
    assert (asked.code, "3 groups fit" in asked.err) == (2, True)
    assert len(ids(desk)) == 3
    assert desk("alerts", "close", "--verdict", "test").code == 2
    assert desk("alerts", "close", ids(desk)[0], "--rule", ID, "--verdict", "test").code == 2
    assert desk("alerts", "ack", "--all-matching", "--yes").code == 0
    assert desk("alerts", "close", "--all-matching", "--rule", ID, "--verdict", "test", "--yes").code == 0
    assert ids(desk) == []
    assert desk("alerts", "undo", "--all-matching", "--yes").code == 0
    assert set(states(desk).values()) == {"acknowledged"}
    assert desk("alerts", "undo", "--all-matching", "--yes").code == 0
    assert set(states(desk).values()) == {"open"}
    again = desk("alerts", "undo", "--all-matching", "--yes")
    assert (again.code, "nothing was changed" in again.err) == (0, True)
    assert desk("alerts", "undo", ids(desk)[0]).code == 2


def test_what_somebody_said_since_is_not_undone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The conflict shows what the other one did; nothing is changed; the other one can undo it."""
    group = ids(desk)[0]
    as_other(monkeypatch, "an")
    desk("alerts", "ack", group)
    as_other(monkeypatch, "bình")
    desk("alerts", "close", group, "--verdict", "benign")
    as_other(monkeypatch, "an")
    told = desk("alerts", "undo", group)
    assert told.code == 6
    assert "bình  group closed" in told.err
    assert group not in ids(desk)
    as_other(monkeypatch, "bình")
    assert desk("alerts", "undo", group).code == 0
    item = next(one for one in desk.items("alerts", "list") if one["id"] == group)
    assert (item["state"], item["owner"]) == ("acknowledged", "an")


@pytest.mark.parametrize("words", [("--each",), ("--shadow",), ("--retracted",), ("--group", "g-1")])
def test_states_are_those_of_groups_that_count(desk: Desk, words: tuple[str, ...]) -> None:
    """An option that would change nothing is refused instead of being left unheard."""
    assert desk("alerts", "list", *words).code == 0
    assert desk("alerts", "list", *words, "--state", "closed").code == 2
    assert desk("alerts", "list", *words, "--suppressed").code == 2


def test_closing_an_incident_closes_no_group(desk: Desk) -> None:
    """They are decided apart: the group that the incident came from waits as before."""
    group = ids(desk)[0]
    assert desk("incidents", "new", "Tấn công", "--alert", group).code == 0
    assert desk("incidents", "reject", "1", "--reason", "diễn tập").code == 0
    assert group in ids(desk)
    assert desk("alerts", "close", group, "--verdict", "test").code == 0
    assert desk.items("incidents", "list", "--all")[0]["state"] == "rejected"


def test_the_queue_speaks_vietnamese(desk: Desk) -> None:
    """States and questions have Vietnamese words."""
    group = ids(desk)[0]
    desk("alerts", "ack", group)
    assert "đã tiếp nhận" in desk("--lang", "vi", "alerts", "list").out
    assert "nhóm khớp" in desk("--lang", "vi", "alerts", "close", "--all-matching", "--verdict", "test").err


def test_a_suppression_is_previewed_hides_and_ends(desk: Desk) -> None:
    """What it would have hidden is shown first; what it hides stays stored, counted and listed apart."""
    words = (
        "suppressions",
        "add",
        "--field",
        f"rule={ID}",
        "--field",
        "source.ip=203.0.113.2",
        "--expires",
        "7d",
        "--reason",
        "máy quét",
        "--from",
        "2026-11-01",
    )
    preview = desk(*words)
    assert preview.code == 0
    assert desk.items("suppressions", "list") == []
    made: dict[str, Any] = json.loads(desk(*words, "--yes", "--json").out)
    assert (made["recorded"], made["item"]["state"], made["item"]["fields"]) == (True, "in force", {"rule": ID, "source.ip": "203.0.113.2"})
    listed = json.loads(desk("alerts", "list", "--json").out)
    assert (listed["total"], listed["suppressed"]) == (2, 1)
    assert "--suppressed" in desk("alerts", "list").err
    (apart,) = desk.items("alerts", "list", "--suppressed")
    assert (apart["key"]["source.ip"], apart["suppressed"], apart["count"]) == ("203.0.113.2", made["item"]["id"], 1)
    assert len(desk.items("alerts", "list", "--each")) == 3
    assert desk("suppressions", "end", "1").code == 0
    assert desk("suppressions", "end", "1").code == 6
    assert desk.items("suppressions", "list") == []
    assert [one["state"] for one in desk.items("suppressions", "list", "--all")] == ["ended"]


@pytest.mark.parametrize(
    ("change", "said"),
    [(("--field", "nothing"), "NAME=VALUE"), (("--field", "a="), "a value"), (("--expires", "2020-01-01"), "future"), (("--reason", " "), "reason")],
)
def test_suppressions_that_cannot_be_are_refused(desk: Desk, change: tuple[str, str], said: str) -> None:
    """The message names what is wrong; nothing is recorded."""
    given = {"--field": "rule=x", "--expires": "7d", "--reason": "r"} | dict([change])
    told = desk("suppressions", "add", *(word for pair in given.items() for word in pair), "--yes")
    assert (told.code, said in told.err) == (2, True), told
    before = desk("suppressions", "add", *(word for pair in given.items() for word in pair))
    assert (before.code, said in before.err, "would have hidden" in before.err) == (2, True, False), before  # no preview of what cannot be
    assert desk.items("suppressions", "list", "--all") == []


def test_verdicts_stand_in_the_words_of_the_reader() -> None:
    """The code is what is typed and what programs read; people read a word."""
    from soc import i18n
    from soc.cli._words import verdict

    codes = ["true-positive", "false-positive", "benign", "duplicate", "test"]
    try:
        i18n.use("vi")
        words = [verdict(code) for code in codes]
        assert len(set(words)) == len(codes)
        assert set(words).isdisjoint(codes)
        assert verdict("") == ""
    finally:
        i18n.use("en")
    assert [verdict(code) for code in codes] == codes
