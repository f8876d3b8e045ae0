"""A relay between a program and its server that stops everything at a point, says so, and goes on when it is told.

The program that is killed there dies in the middle of an exchange, with the server's next bytes on their way to it.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

from typing_extensions import Self

from tests.faults.http1 import LAST_CHUNK, Ended, as_chunk, read_body, read_head
from tests.faults.proxy import Where

_BROKEN = (Ended, ConnectionError, asyncio.IncompleteReadError)


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where everything stops: at the n-th request (from 0), at a byte of its answer's body or before."""

    request: int
    at: Where | int

    def __str__(self) -> str:
        at = self.at.value if isinstance(self.at, Where) else f"at byte {self.at} of the answer"
        return f"request {self.request}, {at}"


@dataclass(kw_only=True)
class Passed:
    """One exchange, and how much of its answer was passed on."""

    method: str
    path: str
    body: bytes = b""

    @property
    def is_turn(self) -> bool:
        """Whether it sends a turn."""
        return self.method == "POST" and self.path.partition("?")[0].endswith("/messages")

    @property
    def attaches(self) -> bool:
        """Whether it takes up a turn that is there."""
        return self.method == "POST" and self.path.partition("?")[0].endswith("/stream")


Tell = Callable[[str, Passed], None]
"""Is told `request` when one has been forwarded, and `reached` at the point; runs in the relay's thread."""


class Relay:
    """A relay on a free loopback port, in a thread of its own, for one program at a time."""

    def __init__(self, upstream: str, *, tell: Tell) -> None:
        parts = urlsplit(upstream)
        self._upstream = parts.hostname or "", parts.port or 80
        self._tell = tell
        self._point: Point | None = None
        self._passed: list[Passed] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._end = asyncio.Event()
        self._listening = socket.socket(proto=socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle's algorithm on
        self._listening.bind(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def begin(self, point: Point | None = None) -> list[Passed]:
        """Hang up what was held, and pass everything on up to a point; gives the list that tells what is passed."""
        passed: list[Passed] = []
        asyncio.run_coroutine_threadsafe(self._begin(point, passed), self._loop).result()
        return passed

    async def _begin(self, point: Point | None, passed: list[Passed]) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._point, self._passed = point, passed
        self._flows.set()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, sock=self._listening, backlog=64)
        self._flows.set()
        await self._end.wait()
        server.close()
        await self._begin(None, [])

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served in a task"
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        writer.transport.set_write_buffer_limits(0)  # what is drained has left this process
        try:
            while True:
                await self._exchange(reader, writer)
        except (*_BROKEN, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        body = b"".join([piece async for piece in read_body(head, reader)])
        await self._flows.wait()
        method, path, _ = head.start.decode().split()
        passed = Passed(method=method, path=path)
        self._passed.append(passed)
        here = len(self._passed) - 1
        stop = self._point.at if self._point and self._point.request == here else None
        await self._stop_if(stop is Where.UNSENT, passed)
        up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        try:
            up_writer.write(head.wire() + body)
            await up_writer.drain()
            self._tell("request", passed)
            await self._stop_if(stop is Where.SENT, passed)
            answer = await read_head(up_reader)
            await self._stop_if(stop is Where.ANSWERED, passed)
            if answer.start.split()[1] == b"204":
                await self._write(writer, answer.wire())
            else:
                await self._write(writer, answer.wire_chunked())
                await self._body(passed, read_body(answer, up_reader, to_end=True), writer, stop)
        finally:
            up_writer.close()

    async def _body(
        self, passed: Passed, pieces: AsyncIterator[bytes], writer: asyncio.StreamWriter, stop: Where | int | None
    ) -> None:
        room = stop if isinstance(stop, int) else None
        async for piece in pieces:
            part = piece if room is None else piece[:room]
            passed.body += part
            await self._write(writer, as_chunk(part))
            if room is not None:
                room -= len(part)
                await self._stop_if(room == 0, passed)
        await self._stop_if(room is not None, passed)  # the answer is shorter this time
        await self._write(writer, LAST_CHUNK)

    async def _stop_if(self, here: bool, passed: Passed) -> None:
        if here:
            self._flows.clear()
            self._tell("reached", passed)
            await self._end.wait()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        await self._flows.wait()
        writer.write(data)
        await writer.drain()
