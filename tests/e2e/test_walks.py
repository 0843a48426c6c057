"""The five walks through an incident, followed literally: every command leaves what its page says, and the mail server gets the mails."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.adapters.smtp.server import running
from tests.e2e.walks import ROOT, WALKS, follow, mail_settings, missing, steps
from tests.servers.process import WITHIN_S

MAILS = {"ransomware-by-telephone": 2, "spam-wave": 47, "account-taken-over": 0, "gateway-silent": 0, "wrong-rule": 0}
"""How many mails a walk sends."""


def test_there_are_five_walks() -> None:
    """None is left out."""
    assert sorted(page.stem for page in WALKS) == sorted(MAILS)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", WALKS, ids=lambda page: page.stem)
def test_a_walk_goes_as_its_page_says(page: Path, tmp_path: Path) -> None:
    """Exit codes and lines; mails, each once."""
    with running() as server:
        for done in follow(page, tmp_path / "walk", mail_settings(server)):
            assert done.code == done.step.code, (done.step.command, done.out)
            assert missing(done) is None, (missing(done), done.step.command, done.out)
        assert len(server.mails) == len(server.ids) == MAILS[page.stem]
    assert len(steps(page)) > 8


@pytest.mark.slow
def test_a_page_that_says_something_else_is_found(tmp_path: Path) -> None:
    """The runner sees a line that is not printed, and an exit code."""
    page = tmp_path / "page.md"
    page.write_text("```console\n$ echo one two\none …\n$ cat <<'END'\n> a\n> END\na\n$ echo three\nfour\n$ false\n```\n", encoding="utf-8")
    done = list(follow(page, tmp_path / "walk"))
    assert [missing(one) for one in done] == [None, None, "four", None]
    assert [one.code for one in done] == [0, 0, 0, 1]


def _soc(folder: Path, *words: str) -> str:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8", "LANGUAGE": "en"}
    done = subprocess.run([ROOT / "bin/soc", *words, "--store", str(folder / "s")], env=env, capture_output=True, text=True, check=False, timeout=WITHIN_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_call_becomes_an_incident_in_few_strokes(tmp_path: Path) -> None:
    """Counted: one line of less than 200 characters registers what a caller says, and its clocks run from T0."""
    words = ("incidents", "new", "Máy bị mã hóa", "--detected", "20m", "--reported-by", "Chị Hoa 0912 345 678", "--channel", "telephone")
    assert len("soc " + " ".join(words)) < 120
    item = json.loads(_soc(tmp_path, *words, "--json"))["item"]
    assert item["next_due_at"] > item["detected_at"]
