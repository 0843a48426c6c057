"""`soc audit` as people call it."""

from __future__ import annotations

import json
import re
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from soc.cli import _words
from tests.cli.conftest import Run


def test_checkpoint_verify_and_log(soc: Run, tmp_path: Path) -> None:
    """A key is made for its owner only, a checkpoint is signed, and verify holds against the anchor."""
    store, anchor = str(tmp_path / "s"), str(tmp_path / "anchor.json")
    made = soc("audit", "checkpoint", "--anchor", anchor, "--store", store)
    assert made.code == 0
    assert "checkpoint 1" in made.out
    [file] = (tmp_path / "s" / "keys").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    verdict = json.loads(soc("audit", "verify", "--json", "--anchor", anchor, "--store", store).out)
    assert set(verdict) == {"ok", "streams", "facts", "checkpoints", "head", "problems"}
    assert (verdict["ok"], verdict["facts"], verdict["checkpoints"]) == (True, 2, 1)
    log = json.loads(soc("audit", "log", "--json", "--store", store).out)
    assert [item["kind"] for item in log["items"]] == ["CheckpointSigned", "SigningKeyAdded"]
    assert soc("audit", "log", "journal/keys", "--jsonl", "--store", store).out.count("\n") == 1
    again = soc("audit", "checkpoint", "--anchor", anchor, "--store", store)
    assert again.code == 5
    assert "exists already" in again.err


def test_verify_names_what_was_changed(soc: Run, tmp_path: Path) -> None:
    """A changed fact is named, the exit code is 1, and people are told what to do."""
    store = tmp_path / "s"
    soc("audit", "checkpoint", "--store", str(store))
    with closing(sqlite3.connect(store / "journal.db")) as db:
        db.execute("UPDATE fact SET body = CAST(replace(body, 'SigningKeyAdded', 'SigningKeyadded') AS BLOB)")
        db.commit()
    told = soc("audit", "verify", "--store", str(store))
    assert told.code == 1
    assert "journal/keys #1" in told.out
    assert "backup" in told.err
    verdict = json.loads(soc("audit", "verify", "--json", "--store", str(store)).out)
    assert {"stream": "journal/keys", "sequence": 1, "kind": "hash"} in verdict["problems"]


def test_key_is_rotated_and_kept(soc: Run, tmp_path: Path) -> None:
    """Rotation is a fact, the old key stays beside the new one, and everything still holds."""
    store = str(tmp_path / "s")
    first = json.loads(soc("audit", "key", "--json", "--store", store).out)["key"]
    soc("audit", "checkpoint", "--store", store)
    second = json.loads(soc("audit", "key", "--rotate", "--reason", "yearly", "--json", "--store", store).out)["key"]
    assert first != second
    assert (tmp_path / "s" / "keys" / f"journal-key-{first}.pem").exists()
    soc("audit", "checkpoint", "--store", store)
    assert soc("audit", "verify", "--store", store).code == 0


def test_key_that_others_may_read_is_refused(soc: Run, tmp_path: Path) -> None:
    """A key file open to others signs nothing."""
    store = str(tmp_path / "s")
    soc("audit", "key", "--store", store)
    (tmp_path / "s" / "keys" / "journal-key.pem").chmod(0o644)
    told = soc("audit", "checkpoint", "--store", store)
    assert told.code == 5
    assert "chmod 600" in told.err


def test_export_and_bad_anchor(soc: Run, tmp_path: Path) -> None:
    """Every fact is one JSON line with its hash; a file that is no anchor is named."""
    store = str(tmp_path / "s")
    soc("audit", "checkpoint", "--store", store)
    target = tmp_path / "facts.ndjson"
    assert soc("audit", "export", str(target), "--store", store).code == 0
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [line["fact"]["kind"] for line in lines] == ["SigningKeyAdded", "CheckpointSigned"]
    assert all(len(line["hash"]) == 64 for line in lines)
    (tmp_path / "a.json").write_text('{"x":1}')
    told = soc("audit", "verify", "--anchor", str(tmp_path / "a.json"), "--store", store)
    assert told.code == 3
    assert "a.json" in told.err
    assert soc("audit", "verify", "--anchor", str(tmp_path / "none.json"), "--store", store).code == 1


def test_facts_are_told_in_words(soc: Run, tmp_path: Path) -> None:
    """What can be recorded has a word in both languages; programs get the kind as it is recorded."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in Path(_words.__file__).parents[1].rglob("*.py"))
    kinds = set(re.findall(r'NewFact\(\s*"([A-Z]\w+)"', source))
    assert len(kinds) > 50
    assert [kind for kind in sorted(kinds) if _words.fact(kind) == kind] == []
    store = ("--store", str(tmp_path / "s"))
    soc("incidents", "new", "x", *store)
    assert "mở sự cố" in soc("--lang", "vi", "audit", "log", *store).out
    assert json.loads(soc("audit", "log", "--json", *store).out)["items"][0]["kind"] == "IncidentOpened"


def test_the_log_on_a_narrow_terminal(soc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fact is one line, whole words of it on the next where it is longer."""
    store = ("--store", str(tmp_path / "s"))
    soc("incidents", "new", "x", "--on-behalf", "Chị Hoa", "--reason", "gọi lúc đêm", *store)
    monkeypatch.setattr("soc.cli._io.is_terminal", lambda _stream: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    lines = soc("audit", "log", *store).out.splitlines()
    assert len(lines) == 2
    assert "on behalf of Chị Hoa  incident opened" in " ".join(lines)
