"""A TCP proxy on the loopback interface that misbehaves on demand: holds bytes, cuts connections, refuses new ones."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Literal, Self

from tests.servers.process import WITHIN_S, free_port

Mode = Literal["pass", "stall", "stall_up", "stall_down", "delay", "refuse"]
_CHUNK = 65_536
_LOOK_S = 0.02


class FaultProxy:
    """Listens on `port` and passes everything to `target`, a port of 127.0.0.1, as `mode` says.

    `stall` holds bytes in both directions (`stall_up`: requests only; `stall_down`: answers only, so a request is applied
    and its answer is not seen), `delay` waits 50 ms per chunk, `refuse` ends new connections at once.
    """

    def __init__(self, target: int = 0, *, port: int = 0) -> None:
        self.port = port or free_port()
        self.target = target
        self.mode: Mode = "pass"
        self.bytes_up = 0
        self.bytes_down = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"fault-proxy-{self.port}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(WITHIN_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(WITHIN_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WITHIN_S)
        self._loop.close()

    def cut(self) -> int:
        """Reset every open connection (RST on both sides); how many connections there were."""
        return asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(WITHIN_S)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._cut()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _cut(self) -> int:
        writers = list(self._writers)
        for writer in writers:
            writer.transport.abort()
        self._writers.clear()
        return len(writers) // 2

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "refuse":
            writer.transport.abort()
            return
        try:
            behind_reader, behind = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, behind}
        await asyncio.gather(self._pump(reader, behind, up=True), self._pump(behind_reader, writer, up=False))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        try:
            while chunk := await reader.read(_CHUNK):
                if self.mode == "delay":
                    await asyncio.sleep(0.05)
                while self.mode in {"stall", "stall_up" if up else "stall_down"}:  # noqa: ASYNC110 - the mode is set by another thread
                    await asyncio.sleep(_LOOK_S)
                writer.write(chunk)
                await writer.drain()
                if up:
                    self.bytes_up += len(chunk)
                else:
                    self.bytes_down += len(chunk)
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()
