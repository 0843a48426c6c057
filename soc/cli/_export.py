"""Writing files: one that appears only when it is whole, and one that must not have been there before."""

from __future__ import annotations

import errno
import gzip
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from soc.errors import NotAllowed, Phrase, StoreFull


@contextmanager
def text_file(target: Path | None) -> Iterator[Callable[[str], object]]:
    """A function that writes text to `target` (gzip when it ends in `.gz`), or to stdout without one.

    The file is written beside its place, synced and renamed; after an error nothing of it is left. What is no file (`/dev/stdout`,
    a pipe) is written to, never replaced.
    Raises: NotAllowed, StoreFull.
    """
    if target is None:
        yield sys.stdout.write
        sys.stdout.flush()
        return
    place = Path(os.path.realpath(target))
    stream = place.exists() and not place.is_file()
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        with place.open("wb") if stream else part.open("xb") as raw:
            if not stream:
                os.fchmod(raw.fileno(), 0o600)
            packed = gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) if target.suffix == ".gz" else None
            with io.TextIOWrapper(packed or raw, encoding="utf-8", newline="") as text:
                yield text.write
                text.flush()
                if packed is not None:
                    packed.close()
                raw.flush()
                if not stream:
                    os.fsync(raw.fileno())
        if not stream:
            part.replace(place)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise  # who read it has gone
        raise (StoreFull if error.errno == errno.ENOSPC else NotAllowed)(
            Phrase("{path} cannot be written: {strerror}", path=target, strerror=error.strerror)
        ) from error
    finally:
        if not stream:
            part.unlink(missing_ok=True)


@contextmanager
def new_file(path: Path, *, hint: str = "give a new name", mode: int = 0o600) -> Iterator[BinaryIO]:
    """A file that was not there before, synced at the end; after an error nothing of it is left.

    Raises: NotAllowed when it exists (`hint` says what to do), or cannot be written.
    """
    try:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise NotAllowed(Phrase("{path} exists already", path=path), hint=hint) from None
    except OSError as error:
        raise NotAllowed(Phrase("{path} cannot be written: {strerror}", path=path, strerror=error.strerror)) from error
    try:
        with os.fdopen(opened, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise NotAllowed(Phrase("{path} cannot be written: {strerror}", path=path, strerror=error.strerror)) from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise
