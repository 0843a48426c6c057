"""Groups of records on their way into the sink, one group at a time, from an event loop.

While one group is being synced the next one gathers. When the sink refuses (full, unreachable), the group is tried
again until it goes through: connections wait for it, datagrams beyond a bound are dropped and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from soc.errors import SocError
from soc.ports import RecordSink
from soc.telemetry import get_logger

log = get_logger(__name__)

Entry = tuple[bytes, int, str, int]
GROUP = 512
"""Records that are written at once without waiting for more."""
GATHER_S = 0.01
"""How long a smaller group waits for company: far below what a person or a sender notices, and one sync for many."""
MOST_WAITING = 65_536
"""Datagrams kept in memory while the sink refuses."""
_RETRY_S = 0.25


class Writer:
    """Appends to one stream of a sink. All methods but the constructor run on the event loop."""

    def __init__(self, sink: RecordSink, stream: str) -> None:
        self._sink = sink
        self._stream = stream
        self._pending: list[Entry] = []
        self._durable: asyncio.Future[None] | None = None
        self._wake = asyncio.Event()
        self._many = asyncio.Event()
        self._closing = False
        self._refused = ""
        self.dropped = 0
        """Datagrams that found no room."""

    async def put(self, entries: Iterable[Entry]) -> None:
        """Add records and return when they are durable."""
        future = self._add(entries)
        await asyncio.shield(future)

    def put_datagrams(self, entries: list[Entry]) -> None:
        """Add records without waiting; those without room are dropped and counted."""
        room = MOST_WAITING - len(self._pending)
        if room < len(entries):
            self.dropped += len(entries) - max(0, room)
            entries = entries[: max(0, room)]
        if entries:
            self._add(entries)

    def _add(self, entries: Iterable[Entry]) -> asyncio.Future[None]:
        self._pending.extend(entries)
        if self._durable is None:
            self._durable = asyncio.get_running_loop().create_future()
        self._wake.set()
        if len(self._pending) >= GROUP:
            self._many.set()
        return self._durable

    async def run(self) -> None:
        """Write until `close`, then what is left."""
        with ThreadPoolExecutor(1, thread_name_prefix=f"spool-{self._stream}") as executor:
            while not (self._closing and not self._pending):
                await self._wake.wait()
                self._wake.clear()
                if self._pending and not self._closing and len(self._pending) < GROUP:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._many.wait(), GATHER_S)
                self._many.clear()
                if self._pending:
                    await self._write(executor)

    async def _write(self, executor: ThreadPoolExecutor) -> None:
        group, future = self._pending, self._durable
        self._pending, self._durable = [], None
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.run_in_executor(executor, self._sink.append, self._stream, group)
            except SocError as error:
                if self._refused != error.message:
                    log.error("received lines cannot be kept", source=self._stream, error=error.message, hint=error.hint)
                    self._refused = error.message
                if self._closing:
                    self.dropped += len(group)
                    if future is not None:
                        future.cancel()
                    return
                await asyncio.sleep(_RETRY_S)
                continue
            self._refused = ""
            if future is not None and not future.done():
                future.set_result(None)
            return

    def close(self) -> None:
        """Write what is there without gathering more, and end; what the sink still refuses then is dropped and counted."""
        self._closing = True
        self._wake.set()
        self._many.set()
