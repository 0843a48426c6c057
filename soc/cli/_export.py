"""Writing a file that appears only when it is whole."""

from __future__ import annotations

import gzip
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from soc.errors import NotAllowed, StoreFull


@contextmanager
def text_file(target: Path | None) -> Iterator[Callable[[str], object]]:
    """A function that writes text to `target` (gzip when it ends in `.gz`), or to stdout without one.

    The file is written beside its place, synced and renamed; after an error nothing of it is left.
    Raises: NotAllowed, StoreFull.
    """
    if target is None:
        yield sys.stdout.write
        sys.stdout.flush()
        return
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as raw:
            os.fchmod(raw.fileno(), 0o600)
            packed = gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) if target.suffix == ".gz" else None
            with io.TextIOWrapper(packed or raw, encoding="utf-8", newline="") as text:
                yield text.write
                text.flush()
                if packed is not None:
                    packed.close()
                raw.flush()
                os.fsync(raw.fileno())
        part.replace(target)
    except OSError as error:
        raise (StoreFull if error.errno == 28 else NotAllowed)(f"{target} cannot be written: {error.strerror}") from error  # noqa: PLR2004 - ENOSPC
    finally:
        part.unlink(missing_ok=True)
