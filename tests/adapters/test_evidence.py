"""Evidence stays what it was: named by its content, read-only, and nothing but plain files gets in."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soc.adapters.evidence import FolderOfEvidence
from soc.errors import NotAllowed, StoreCorrupt, UsageError


@pytest.fixture
def kept(tmp_path: Path) -> FolderOfEvidence:
    """An empty folder of evidence."""
    return FolderOfEvidence(tmp_path / "evidence")


def files_of(folder: Path) -> list[Path]:
    """Everything in a folder that is no folder."""
    return sorted(path for path in folder.rglob("*") if not path.is_dir())


def test_a_file_is_kept_under_its_hash_and_can_only_be_read(kept: FolderOfEvidence, tmp_path: Path) -> None:
    """Mode 0400 below `sha256/ab/`, the same bytes, nothing left beside it; a second time nothing is added."""
    source = tmp_path / "thư gốc.eml"
    source.write_bytes(b"From: a\r\n\r\nbody\x00" * 100_000)
    found = kept.add(source)
    digest = sha256(source.read_bytes()).hexdigest()
    assert found == (digest, source.stat().st_size)
    place = tmp_path / "evidence" / "sha256" / digest[:2] / digest
    assert stat.S_IMODE(place.stat().st_mode) == 0o400
    assert b"".join(kept.read(digest)) == source.read_bytes()
    assert (kept.add(source), kept.put(source.read_bytes()), kept.measure(source)) == (found, found, found)
    assert files_of(tmp_path / "evidence") == [place]
    assert kept.check(digest) == "ok"


def test_links_devices_pipes_and_folders_are_refused(kept: FolderOfEvidence, tmp_path: Path) -> None:
    """What is no plain file is told so, and nothing is written."""
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path / "link", tmp_path / "pipe", tmp_path, Path("/dev/zero"), tmp_path / "absent"):
        with pytest.raises(UsageError):
            kept.add(name)
        with pytest.raises(UsageError):
            kept.measure(name)
    assert files_of(tmp_path / "evidence") == []


@pytest.mark.parametrize("which", ["first", "last"])
def test_a_file_that_grows_while_it_is_read_is_refused(kept: FolderOfEvidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    """A log that somebody still writes to is no evidence of any moment, whether that one writes early or at the very end."""
    source = tmp_path / "growing.log"
    source.write_bytes(b"x" * 8_388_608)
    read, inode = os.read, source.stat().st_ino
    pieces: list[int] = []

    def then_grow(descriptor: int, most: int) -> bytes:
        piece = read(descriptor, most)
        if os.fstat(descriptor).st_ino != inode:
            return piece
        if (not pieces) if which == "first" else (not piece):
            with source.open("ab") as out:
                out.write(b"y" * 10)
        pieces.append(len(piece))
        return piece

    monkeypatch.setattr(os, "read", then_grow)
    with pytest.raises(UsageError, match="changed while"):
        kept.add(source)
    assert len(pieces) > 2
    assert files_of(tmp_path / "evidence") == []


def test_what_was_changed_or_removed_is_noticed(kept: FolderOfEvidence, tmp_path: Path) -> None:
    """One changed byte, and a file that is gone; a changed one is not written over."""
    found = kept.put(b"evidence")
    place = tmp_path / "evidence" / "sha256" / found.sha256[:2] / found.sha256
    place.chmod(0o600)
    place.write_bytes(b"evidencf")
    assert kept.check(found.sha256) == "changed"
    with pytest.raises(StoreCorrupt):
        kept.put(b"evidence")
    assert place.read_bytes() == b"evidencf"
    place.unlink()
    assert kept.check(found.sha256) == "missing"
    with pytest.raises(StoreCorrupt):
        list(kept.read(found.sha256))


@pytest.mark.parametrize("hostile", ["../../etc/passwd", "", "A" * 64, "0" * 63, "0" * 64 + "/x"])
def test_only_a_hash_names_a_file(kept: FolderOfEvidence, hostile: str) -> None:
    """Nothing else ever becomes a path."""
    with pytest.raises(UsageError):
        list(kept.read(hostile))


def test_read_only_keeps_nothing(tmp_path: Path) -> None:
    """No folder is made, nothing is written."""
    with pytest.raises(NotAllowed):
        FolderOfEvidence(tmp_path / "evidence", read_only=True).put(b"x")
    assert not (tmp_path / "evidence").exists()


@given(st.lists(st.binary(max_size=200), max_size=8))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_bytes_come_back_as_they_were(tmp_path: Path, pieces: list[bytes]) -> None:
    """As many files as there are different contents, each the same again."""
    kept = FolderOfEvidence(tmp_path / "evidence")
    for data in pieces:
        assert b"".join(kept.read(kept.put(data).sha256)) == data
