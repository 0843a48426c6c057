"""The journal that forgets: what the contract suite compares the others with."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence

from soc.clock import Clock, iso
from soc.errors import NotAllowed
from soc.model.fact import ANY_VERSION, Fact, NewFact, Stored, chained
from soc.model.journal import Append, FactConflict, Head, sole


class MemoryJournal:
    """See `soc.model.journal.Journal`."""

    def __init__(self, *, clock: Clock, read_only: bool = False, stored: Iterable[tuple[str, int, bytes, str]] | None = None) -> None:
        """`stored`: what a backup holds, as `scan` tells it; nothing of it is checked."""
        self._clock = clock
        self._read_only = read_only
        self._lock = threading.Lock()
        self.facts: list[Stored] = []
        self._stored = list(stored) if stored is not None else None

    def append(self, stream: str, expected: int, facts: Sequence[NewFact], *, actor: str, scope: str = "real") -> list[Stored]:
        return sole(self.append_each([Append(stream, expected, tuple(facts))], actor=actor, scope=scope))

    def append_each(self, appends: Sequence[Append], *, actor: str, scope: str = "real") -> list[list[Stored] | FactConflict]:
        if self._read_only:
            raise NotAllowed("the journal is open for reading only", hint="leave out read_only to record something")
        outcomes: list[list[Stored] | FactConflict] = []
        at = iso(self._clock.now_us())
        with self._lock:
            fresh: list[Stored] = []
            for append in appends:
                there = [one for one in (*self.facts, *fresh) if one.fact.stream == append.stream]
                if append.expected not in (ANY_VERSION, len(there)):
                    outcomes.append(FactConflict(append.stream, append.expected, [one.fact for one in there[append.expected :]]))
                    continue
                new = chained(append.stream, len(there), there[-1].hash if there else "", append.facts, actor=actor, at=at, scope=scope)
                fresh += new
                outcomes.append(new)
            self.facts += fresh
        return outcomes

    def read(self, stream: str, after: int = 0) -> list[Stored]:
        return [one for one in self.facts if one.fact.stream == stream and one.fact.sequence > after]

    def read_each(self, streams: Sequence[str]) -> dict[str, list[Stored]]:
        wanted = set(streams)
        found: dict[str, list[Stored]] = {}
        for one in self.facts:
            if one.fact.stream in wanted:
                found.setdefault(one.fact.stream, []).append(one)
        return found

    def under(self, prefix: str) -> Iterator[tuple[str, list[Stored]]]:
        names = sorted({one.fact.stream for one in self.facts if one.fact.stream.startswith(prefix)})
        found = self.read_each(names)
        return ((name, found[name]) for name in names)

    def heads(self, prefix: str = "") -> Iterator[Head]:
        ends = {stream: Head(stream, sequence, found) for stream, sequence, _, found in self.scan() if stream.startswith(prefix)}
        for stream in sorted(ends):
            yield ends[stream]

    def scan(self) -> Iterator[tuple[str, int, bytes, str]]:
        if self._stored is not None:
            yield from self._stored
        for one in self.facts:
            yield one.fact.stream, one.fact.sequence, one.body, one.hash

    def mend_ends(self) -> list[str]:
        return []

    def latest(self, most: int, prefix: str = "") -> list[Fact]:
        return [one.fact for one in reversed(self.facts) if one.fact.stream.startswith(prefix)][:most]

    def close(self) -> None:
        """Nothing to give back."""
