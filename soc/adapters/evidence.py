"""Evidence as files of a folder, `sha256/ab/ab12…`: named by their content, read-only, written beside their place and renamed.

What a file was called is never used for a path: it is a fact of the journal. Links, devices, pipes and files that change while
they are read are refused.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256 as new_sha256
from pathlib import Path
from tempfile import mkstemp

from soc.errors import NotAllowed, Phrase, StoreCorrupt, StoreFull, UsageError
from soc.model.evidence import Kept, State

_PIECE = 1_048_576
# Reference: FIPS 180-4, 256 bits in hexadecimal
_HASH = re.compile(r"[0-9a-f]{64}")
_FULL = (errno.ENOSPC, errno.EDQUOT)


class FolderOfEvidence:
    """See `soc.model.evidence.EvidenceFiles`."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self._folder = folder
        self._read_only = read_only

    def add(self, source: Path) -> Kept:
        with _opened(source) as (descriptor, size), self._writing() as (part, out):
            kept = _measured(source, descriptor, size, out)
            self._place(part, out, kept.sha256)
        return kept

    def put(self, data: bytes) -> Kept:
        kept = Kept(new_sha256(data).hexdigest(), len(data))
        with self._writing() as (part, out):
            _write(out, data)
            self._place(part, out, kept.sha256)
        return kept

    def measure(self, source: Path) -> Kept:
        with _opened(source) as (descriptor, size):
            return _measured(source, descriptor, size, -1)

    def read(self, sha256: str) -> Iterator[bytes]:
        try:
            with self._path(sha256).open("rb") as file:
                while piece := file.read(_PIECE):
                    yield piece
        except FileNotFoundError:
            raise StoreCorrupt(
                Phrase("the file of the evidence {hash} is gone", hash=sha256),
                hint="restore the folder evidence from a backup: its files are named by their hash",
            ) from None
        except OSError as error:
            raise NotAllowed(Phrase("{path} cannot be read: {strerror}", path=self._path(sha256), strerror=error.strerror)) from error

    def each(self) -> Iterator[Path]:
        for path in sorted((self._folder / "sha256").glob("*/*")):
            if _HASH.fullmatch(path.name):
                yield path

    def check(self, sha256: str) -> State:
        digest = new_sha256()
        try:
            for piece in self.read(sha256):
                digest.update(piece)
        except StoreCorrupt:
            return "missing"
        return "ok" if digest.hexdigest() == sha256 else "changed"

    def _path(self, sha256: str) -> Path:
        if not _HASH.fullmatch(sha256):
            raise UsageError(Phrase("{value} is no SHA-256", value=sha256[:80]), hint="64 hexadecimal digits")
        return self._folder / "sha256" / sha256[:2] / sha256

    @contextmanager
    def _writing(self) -> Iterator[tuple[Path, int]]:
        """A new file beside the others, gone again unless it was put into its place."""
        if self._read_only:
            raise NotAllowed("this is read-only", hint="set read_only = false")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            out, name = mkstemp(prefix=".", suffix=".part", dir=self._folder)
            part = Path(name)
        except OSError as error:
            raise _refused(self._folder, error) from error
        try:
            yield part, out
        except OSError as error:
            raise _refused(self._folder, error) from error
        finally:
            os.close(out)
            part.unlink(missing_ok=True)

    def _place(self, part: Path, out: int, sha256: str) -> None:
        """Give a whole file its name, durably; one that has the name already must have the content."""
        target = self._path(sha256)
        if target.exists():
            if self.check(sha256) != "ok":
                raise StoreCorrupt(
                    Phrase("the file of the evidence {hash} was changed", hash=sha256),
                    hint="keep it as it is, find out who could write there, restore a backup",
                )
            return
        os.fchmod(out, 0o400)
        os.fsync(out)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part.rename(target)
        for folder in (target.parent, target.parent.parent, self._folder):
            _sync(folder)


def _refused(place: Path, error: OSError) -> StoreFull | NotAllowed:
    if error.errno in _FULL:
        return StoreFull(Phrase("{path} cannot be written: {strerror}", path=place, strerror=error.strerror), hint="make room; nothing was recorded")
    return NotAllowed(Phrase("{path} cannot be written: {strerror}", path=place, strerror=error.strerror), hint="check the rights on the folder")


@contextmanager
def _opened(source: Path) -> Iterator[tuple[int, int]]:
    """A plain file, opened for reading, and its size."""
    try:
        # Without waiting: the other end of a pipe may never come.
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UsageError(Phrase("{path} is a link, not a file", path=source), hint="name the file that it leads to") from error
        raise UsageError(Phrase("{path} cannot be read: {strerror}", path=source, strerror=error.strerror)) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(Phrase("{path} is no plain file", path=source), hint="pack folders first; of a device make an image, then: soc evidence register")
        yield descriptor, found.st_size
    finally:
        os.close(descriptor)


def _measured(source: Path, descriptor: int, size: int, out: int) -> Kept:
    """Read a file to its end, copying to `out` (-1 = nowhere); it must be the same file all the time."""
    before = os.fstat(descriptor)
    digest, seen = new_sha256(), 0
    while piece := os.read(descriptor, _PIECE):
        seen += len(piece)
        if seen > size:
            break
        digest.update(piece)
        if out >= 0:
            _write(out, piece)
    after = os.fstat(descriptor)
    if seen != size or (after.st_size, after.st_mtime_ns, after.st_ino) != (before.st_size, before.st_mtime_ns, before.st_ino):
        raise UsageError(Phrase("{path} changed while it was read", path=source), hint="stop what writes to it, or copy it first")
    return Kept(digest.hexdigest(), seen)


def _write(out: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
