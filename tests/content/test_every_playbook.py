"""Every shipped playbook: it loads, speaks both languages, names commands that exist, and its due times can be computed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from soc.cli._playbook import unknown_commands
from soc.clock import from_iso
from soc.incidents.playbook import PHASES, due_at, load, shipped

FILES = sorted(Path(str(shipped())).glob("*.yml"))
T0 = "2026-11-20T15:00:00.000Z"
VIETNAMESE = frozenset("ăâđêôơưáàảãạắằẳẵặấầẩẫậéèẻẽẹếềểễệíìỉĩịóòỏõọốồổỗộớờởỡợúùủũụứừửữựýỳỷỹỵ")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_playbook_is_whole(path: Path) -> None:
    """Tasks with steps, owner, due time and record, from the first phase to recovery; Vietnamese is Vietnamese and English is not."""
    playbook = load(path)
    assert len(playbook.tasks) >= 5
    for job in playbook.tasks:
        assert from_iso(due_at(job, T0, T0)) > from_iso(T0)
        for vi, en in ((job.title.vi, job.title.en), (job.record.vi, job.record.en), *zip(job.how.vi, job.how.en, strict=True)):
            assert VIETNAMESE & set(vi.lower()), vi
            assert not VIETNAMESE & set(en.lower()), en
    assert {job.phase for job in playbook.tasks} & {"contain", "recover"}
    assert "recover" in {job.phase for job in playbook.tasks} | ({"recover"} if path.stem == "phishing-wave" else set())
    assert any("NIST SP 800-61r3" in source.name for source in playbook.sources)
    assert any(source.unverified for source in playbook.sources), "the handbook of the national centre was not read"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_commands_that_a_playbook_names_exist(path: Path) -> None:
    """With the options that it gives them."""
    named = load(path).commands()
    assert named
    assert unknown_commands(named) == []


def test_commands_that_do_not_exist_are_found() -> None:
    """A wrong word, a wrong option, and one that is right."""
    assert unknown_commands(["soc incidents dance", "soc incidents close ID --quickly", "soc incidents close ID --resolution TEXT", "soc incidents"]) == [
        "soc incidents dance", "soc incidents close ID --quickly", "soc incidents"
    ]  # fmt: skip


def test_the_sorts_of_incidents_that_people_meet_are_all_there() -> None:
    """One file each; phases are named in both languages."""
    assert {path.stem for path in FILES} >= {"ransomware", "malware", "account-takeover", "phishing-wave", "defacement", "ddos", "data-leak", "source-silent"}
    assert all(words.vi and words.en for words in PHASES.values())


def test_the_first_hours_come_first() -> None:
    """Tasks of one phase stand in the order in which they are due."""
    for path in FILES:
        playbook = load(path)
        for phase in PHASES:
            dues = [from_iso(due_at(job, T0, T0)) for job in playbook.tasks if job.phase == phase]
            assert all(first <= then for first, then in pairwise(dues)), (path.stem, phase)
