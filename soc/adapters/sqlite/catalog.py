"""The event files of a store's folder: which there are, which are open, and which the next events go to."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from soc.adapters.sqlite.database import guarded
from soc.adapters.sqlite.events import EventFile, Name, parse_name
from soc.adapters.sqlite.order import Month

_MOST_READ = 48
"""Kept open at a time besides those that are written: more than the files of half a year, fewer than any limit on descriptors allows."""
_MOST_READ_BESIDE = 1
"""Likewise of a process that writes, which seldom looks back; each takes up to a megabyte."""


class Catalog:
    """The event files of a folder, opened when first needed; safe for several threads.

    `layout` says which folder counts at the moment, and which of its files are being removed.

    A file once handed out stays usable: those closed to make room are closed when nobody holds them any more.
    """

    def __init__(self, layout: Callable[[], tuple[Path, Collection[str]]], *, read_only: bool, events_per_file: int) -> None:
        self._layout = layout
        self.folder = layout()[0]
        self._read_only = read_only
        self._events_per_file = events_per_file
        self._open: OrderedDict[str, EventFile] = OrderedDict()
        self._at_hand: dict[str, EventFile] = {}
        """Those that the batch at hand goes to."""
        self._newest: dict[tuple[str, str], Name] = {}
        self._written: dict[str, str] = {}
        """By kind the file that was written last."""
        self._looking_back = 0
        self._lock = threading.RLock()

    def move(self, folder: Path) -> None:
        """From now on the files are those of another folder (a new generation)."""
        with self._lock:
            if folder != self.folder:
                self.close()
                self.folder = folder

    def names(self) -> list[Name]:
        """All event files there are, by kind, month and number."""
        folder, removing = self._layout()
        self.move(folder)
        if not folder.exists():
            return []
        with guarded(folder, "listing"):
            found = [parse_name(entry.name) for entry in folder.iterdir() if entry.name not in removing]
        return sorted(name for name in found if name is not None)

    def newest_first(self) -> list[Name]:
        """All event files there are, those of the newest month and number first: what is looked for is mostly late."""
        return sorted(self.names(), key=lambda name: (-name.month.begin_ms, -name.number))

    def get(self, name: Name) -> EventFile:
        """The file of that name, open."""
        with self._lock:
            known = self._open.get(name.file)
            if known is not None:
                self._open.move_to_end(name.file)
                return known
            file = EventFile(self.folder, name, read_only=self._read_only)
            self._open[name.file] = file
            self._close_longest_unused()
            return file

    def _close_longest_unused(self) -> None:
        written = {*self._written.values(), *self._at_hand}
        read = [file for file in self._open if file not in written]
        for file in read[: max(0, len(read) - (_MOST_READ_BESIDE if written and not self._looking_back else _MOST_READ))]:
            del self._open[file]  # closed by its last holder's letting go

    @contextmanager
    def looking_back(self) -> Iterator[None]:
        """Meanwhile what is read stays open also beside what is written: many events may be looked for, one by one, through many files."""
        with self._lock:
            self._looking_back += 1
        try:
            yield
        finally:
            with self._lock:
                self._looking_back -= 1
                self._close_longest_unused()

    def take_in_hand(self, files: Collection[EventFile]) -> None:
        """Files of a batch that is yet to be written: until the next one, who opens any of them gets this one; another would not know what is added."""
        with self._lock:
            self._at_hand = {file.name.file: file for file in files}
            self._open.update(self._at_hand)
            self._close_longest_unused()

    def all(self) -> Iterator[EventFile]:
        """All files, opened one after another."""
        for name in self.names():
            yield self.get(name)

    def writable(self, kind: str, month: Month) -> EventFile:
        """The file that the next events of a kind and month go to: the newest, or one after it when that is full."""
        at = (kind, month.name)
        name = known = self._newest.get(at)
        if name is None:
            with guarded(self.folder, "creating the folder"):
                self.folder.mkdir(mode=0o700, exist_ok=True)
            name = max((one for one in self.names() if (one.kind, one.month.name) == at), default=Name(kind, month, 1))
        file = self.get(name)
        if file.next > self._events_per_file:
            name = Name(kind, month, name.number + 1)
            file = self.get(name)
        self._written[kind] = name.file
        if name != known:
            self._newest[at] = name
            self._rest(file)
        return file

    def _rest(self, begun: EventFile) -> None:
        """Let the files before a newly begun one go, or every file that was ever written would keep its share of memory; who holds one may go on with it."""
        with self._lock:
            files = [file for file in self._open.values() if file.name.kind == begun.name.kind and file is not begun]
            for file in files:
                del self._open[file.name.file]
        for file in files:
            file.rest()

    def forget(self, name: Name) -> None:
        """Close a file and forget it: it was removed or replaced."""
        with self._lock:
            file = self._open.pop(name.file, None)
            self._at_hand.pop(name.file, None)
            self._newest.pop((name.kind, name.month.name), None)
        if file is not None:
            file.close()

    def close(self) -> None:
        """Close everything; idempotent."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()
            self._at_hand.clear()
            self._newest.clear()
            self._written.clear()
