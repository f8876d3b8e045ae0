"""One client for each event loop, which is closed in its loop: with it, or when nobody needs it any more."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["LoopClients"]


class _Closable(Protocol):
    async def aclose(self) -> None:
        """Close all connections."""
        ...


C = TypeVar("C", bound=_Closable)


@dataclass(frozen=True, kw_only=True)
class _LoopClient(Generic[C]):
    """The client of one event loop, and what closes it."""

    client: C
    lifetime: AsyncGenerator[None, None]


_LIFETIMES: dict[_Closable, AsyncGenerator[None, None]] = {}
"""What closes the clients, until it has. A loop refers to its generators weakly: it leaves one that is collected to a
task, and cancels that task if it ends just then."""

_TASKS: dict[_Closable, asyncio.Task[None]] = {}
"""Those that close a client before its loop ends."""


class LoopClients(Generic[C]):
    """The clients of any number of event loops; connections belong to the loop that opened them.

    Args:
        make: Makes a client.
    """

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopClient[C]] = (
            weakref.WeakKeyDictionary()
        )
        self._mutex = threading.Lock()

    async def get(self) -> C:
        """The client of this event loop."""
        loop = asyncio.get_running_loop()
        with self._mutex:
            known = self._by_loop.get(loop)
            if known is None:
                client = self._make()
                lifetime = _closed_with_loop(client, weakref.ref(self))
                _LIFETIMES[client] = lifetime
                known = self._by_loop[loop] = _LoopClient(client=client, lifetime=lifetime)
                started = False
            else:
                started = True
        if not started:
            await known.lifetime.__anext__()
        return known.client

    async def close(self) -> None:
        """Close the client of this event loop."""
        if (known := self.pop(asyncio.get_running_loop())) is not None:
            await known.lifetime.aclose()

    def pop(self, loop: asyncio.AbstractEventLoop) -> _LoopClient[C] | None:
        """Forget the client of an event loop."""
        with self._mutex:
            return self._by_loop.pop(loop, None)

    def close_all(self) -> None:
        """Close the clients soon, each in its event loop; from any thread. Nobody may use them any more."""
        for loop, known in list(self._by_loop.items()):
            try:
                loop.call_soon_threadsafe(_close_soon, known.client)
            except RuntimeError:  # the loop was closed without ado
                _LIFETIMES.pop(known.client, None)


async def _closed_with_loop(client: _Closable, clients: weakref.ref[LoopClients[Any]]) -> AsyncGenerator[None, None]:
    """Close a client when its event loop shuts down, or before.

    A loop closes the asynchronous generators that were begun in it; there is no other hook for its end. The entry of
    the loop goes too, since a generator refers to its loop.
    """
    try:
        yield
    finally:
        _LIFETIMES.pop(client, None)
        task = _TASKS.get(client)
        if task is not None and task is not asyncio.current_task():
            await asyncio.wait({task})
        if task is None or task.cancelled():  # perhaps before it began
            await _ToItsEnd(client.aclose())
        if (known := clients()) is not None:
            known.pop(asyncio.get_running_loop())


class _ToItsEnd:
    """Work that is not left in its middle, whatever cancels its task: half of the connections would stay open."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = work

    def __await__(self) -> Generator[Any, None, None]:
        cancelled: asyncio.CancelledError | None = None
        for waiting in self._work.__await__():
            try:
                yield waiting
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled


def _close_soon(client: _Closable) -> None:
    task = _TASKS[client] = asyncio.ensure_future(_close(client))
    task.add_done_callback(lambda _: _TASKS.pop(client))


async def _close(client: _Closable) -> None:
    await _ToItsEnd(client.aclose())
    if (lifetime := _LIFETIMES.get(client)) is not None:
        await lifetime.aclose()
