"""A proxy that cuts connections where it is told: real sockets, exact to the byte.

```python
with FaultProxy(server_url) as proxy:
    lane = proxy.lane()
    lane.cut(Cut(end=End.RESET, at=17), Cut(end=End.CLEAN, at=Where.ANSWERED))
    LettaClient(base_url=lane.base_url)
```

A lane is an address of its own at the proxy, with its own cuts: clients that run at once take one each. The cuts meet
the requests that start or resume a turn, in order, and with `reads` also those that ask for runs and messages and
those that make conversations. When they are used up the lane is transparent.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from itertools import count
from types import TracebackType
from urllib.parse import urlsplit

from typing_extensions import Self

from tests.faults.http1 import CHUNKED, LAST_CHUNK, Ended, Head, as_chunk, read_body, read_head

_HARD = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing resets the connection."""


class End(Enum):
    """How a connection is cut."""

    RESET = "RST"
    FIN = "FIN"
    CLEAN = "clean end"  # the HTTP response ends as if it were whole, and the connection stays


class Where(Enum):
    """Where a connection is cut, if not at a byte of the answer's body."""

    UNSENT = "before the request is forwarded"
    SENT = "as soon as the request is forwarded"
    ANSWERED = "before the first byte of the answer"


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One fault. A body that is shorter than `at` is cut at its end."""

    end: End
    at: Where | int

    def __str__(self) -> str:
        return f"{self.end.value} {self.at.value if isinstance(self.at, Where) else f'at byte {self.at}'}"


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request that came and what was passed on of its answer; `status` 0 where nothing was."""

    method: str
    path: str
    status: int
    body: bytes
    cut: Cut | None


class _Hang(Exception):
    """The client's connection is to be closed."""


class Lane:
    """An address at the proxy, with cuts of its own."""

    def __init__(self, base_url: str, *, reads: bool) -> None:
        self.base_url = base_url
        self.exchanges: list[Exchange] = []
        self._cuts: deque[Cut | None] = deque()
        self._reads = reads
        self._past = threading.Event()

    def cut(self, *cuts: Cut | None) -> None:
        """Cut the next requests so, whatever was to be cut before; `None` lets one through."""
        self._cuts = deque(cuts)
        self._past.clear()

    @property
    def left(self) -> list[Cut]:
        """The cuts that no request has met yet."""
        return [cut for cut in self._cuts if cut is not None]

    def wait_for_more(self) -> None:
        """Wait until a request comes after the last cut."""
        assert self._past.wait(30.0), "no request comes after the last cut"

    def next_cut(self, method: str, path: str) -> Cut | None:
        """The cut for a request; used up with it."""
        if not self._cuts:
            self._past.set()
        return self._cuts.popleft() if self._cuts and self._wanted(method, path) else None

    def _wanted(self, method: str, path: str) -> bool:
        path = path.partition("?")[0].rstrip("/")
        if method == "POST":
            return path.endswith(("/messages", "/stream")) or (self._reads and path.endswith("/v1/conversations"))
        return method == "GET" and self._reads and ("/v1/runs" in path or path.endswith("/messages"))


class FaultProxy:
    """A proxy in front of a server, in a thread of its own, on a free loopback port."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        parts = urlsplit(upstream)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._lanes: dict[str, Lane] = {}
        self._names = count(1)
        self._change = threading.Condition()
        self._open = 0
        self._accepted = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        # Only a socket that says that it is TCP gets TCP_NODELAY from asyncio.
        self._listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._listening.bind(("127.0.0.1", 0))
        self._base_url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def lane(self, *, reads: bool = False) -> Lane:
        """A new address; with `reads`, requests for runs, messages and new conversations are cut as well."""
        name = f"lane-{next(self._names)}"
        lane = self._lanes[name] = Lane(f"{self._base_url}/{name}", reads=reads)
        return lane

    @property
    def accepted(self) -> int:
        """Connections that clients opened, ever."""
        return self._accepted

    @property
    def open(self) -> int:
        """Connections of clients that are open."""
        return self._open

    def wait_until(self, condition: Callable[[int], bool], timeout: float = 30.0) -> bool:
        """Wait until the number of open connections is right; false when it never is."""
        with self._change:
            return self._change.wait_for(lambda: condition(self._open), timeout)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, sock=self._listening, backlog=512)
        await self._end.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _count(self, change: int) -> None:
        with self._change:
            self._open += change
            self._accepted += max(0, change)
            self._change.notify_all()

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served in a task"
        self._keep(task)
        self._count(1)
        writer.transport.set_write_buffer_limits(0)  # what is drained has left this process
        try:
            while True:
                await self._exchange(reader, writer)
        except (_Hang, Ended, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._count(-1)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        body = b"".join([piece async for piece in read_body(head, reader)])
        method, target, version = head.start.decode().split()
        _, name, path = target.split("/", 2)
        relay = _Relay(self._lanes[name], method, f"/{path}", writer)
        if relay.cut is not None and relay.cut.at is Where.UNSENT:
            return await relay.hang_up(relay.cut)
        up_reader, up_writer = await asyncio.open_connection(self._host, self._port)
        try:
            start = f"{method} /{path} {version}\r\n".encode()
            up_writer.write(head.wire(start=start) + (as_chunk(body) + LAST_CHUNK if head.chunked else body))
            if relay.cut is not None and relay.cut.at is Where.SENT:
                self._keep(asyncio.ensure_future(_drained(up_reader, up_writer)))
                return await relay.hang_up(relay.cut)
            await relay.answer(await read_head(up_reader), up_reader)
        finally:
            if relay.cut is None or relay.cut.at is not Where.SENT:
                up_writer.close()


async def _drained(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read an answer that nobody waits for any more to its end."""
    with contextlib.suppress(Ended, ConnectionError, asyncio.IncompleteReadError):
        async for _ in read_body(await read_head(reader), reader, to_end=True):
            pass
    writer.close()


class _Relay:
    """One exchange: passes the answer on, as far as its cut allows."""

    def __init__(self, lane: Lane, method: str, path: str, writer: asyncio.StreamWriter) -> None:
        self._lane = lane
        self._method, self._path = method, path
        self._writer = writer
        self._status = 0
        self._passed: list[bytes] = []
        self.cut = lane.next_cut(method, path)

    async def answer(self, head: Head, reader: asyncio.StreamReader) -> None:
        if self.cut is not None and self.cut.at is Where.ANSWERED:
            return await self.hang_up(self.cut)
        self._status = int(head.start.split()[1])
        if self._status in (204, 304):
            self._note()
            return await self._write(head.wire())
        await self._write(head.wire_chunked())
        room = self.cut.at if self.cut is not None and isinstance(self.cut.at, int) else None
        if room == 0:
            return await self._cut_short()
        async for piece in read_body(head, reader, to_end=True):
            part = piece if room is None else piece[:room]
            self._passed.append(part)
            await self._write(as_chunk(part))
            if room is not None and (room := room - len(part)) == 0:
                return await self._cut_short()
        if self.cut is not None:
            return await self._cut_short()
        self._note()
        await self._write(LAST_CHUNK)

    async def hang_up(self, cut: Cut) -> None:
        """Cut before any byte of the answer; where that is to be clean, an empty answer is made up."""
        if cut.end is End.CLEAN:
            self._status = 200
            await self._write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n" + CHUNKED + b"\r\n")
        await self._cut_short()

    async def _cut_short(self) -> None:
        assert self.cut is not None, "only what is to be cut is"
        self._note()
        if self.cut.end is End.CLEAN:
            return await self._write(LAST_CHUNK)
        if self.cut.end is End.RESET:
            connection: socket.socket = self._writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _HARD)
            self._writer.transport.abort()
        raise _Hang

    def _note(self) -> None:
        """Keep what was done; before the client can see its end, so that a test may ask at once."""
        self._lane.exchanges.append(
            Exchange(
                method=self._method,
                path=self._path,
                status=self._status,
                body=b"".join(self._passed),
                cut=self.cut,
            )
        )

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
