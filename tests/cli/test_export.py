"""Files that appear only when they are whole, and files that must not have been there before."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from soc.cli._export import new_file, text_file
from soc.errors import NotAllowed


def test_a_new_file_is_whole_and_private(tmp_path: Path) -> None:
    """What was written stands there, for its owner only unless said otherwise."""
    for name, mode in (("a", 0o600), ("b", 0o640)):
        with new_file(tmp_path / name, mode=mode) as file:
            file.write(b"x")
        assert (tmp_path / name).read_bytes() == b"x"
        assert (tmp_path / name).stat().st_mode & 0o777 == mode & ~_umask()


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def test_what_is_there_stays(tmp_path: Path) -> None:
    """An existing file is not touched, nor what a link leads to; the hint says what to do."""
    (tmp_path / "a").write_text("mine", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("a", "link"):
        with pytest.raises(NotAllowed) as told, new_file(tmp_path / name, hint="give an empty folder"):
            raise AssertionError
        assert told.value.hint == "give an empty folder"
    assert (tmp_path / "a").read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "elsewhere").exists()


def test_after_an_error_nothing_is_left(tmp_path: Path) -> None:
    """Whatever went wrong while writing: no half file stands in the way of the next try."""
    with pytest.raises(ZeroDivisionError), new_file(tmp_path / "a") as file:
        file.write(b"half" * (1 // 0))
    with pytest.raises(NotAllowed, match="cannot be written: No space"), new_file(tmp_path / "a"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotAllowed, match="cannot be written"), new_file(tmp_path / "no" / "a"):
        raise AssertionError


def test_what_is_no_file_is_written_to_and_never_replaced(tmp_path: Path) -> None:
    """A pipe or a device gets the text and stays what it is: `--to /dev/stdout` must not put a file in its place."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text(encoding="utf-8")))
    reader.start()
    with text_file(pipe) as write:
        write("đăng\n")
    reader.join(150)
    assert read == ["đăng\n"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_link_stays_one(tmp_path: Path) -> None:
    """What a link leads to is replaced, not the link."""
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "there" / "real.csv")
    for text in ("one", "two"):
        with text_file(link) as write:
            write(text)
    assert link.is_symlink()
    assert [file.read_text(encoding="utf-8") for file in (tmp_path / "there").iterdir()] == ["two"]
