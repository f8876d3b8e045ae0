"""Gates: where a scripted model waits in mid-turn until a test lets it go on."""

from __future__ import annotations

import asyncio
import threading

__all__ = ["GateClosed", "Gates"]


class GateClosed(Exception):
    """The server stops while a model waits."""


class Gates:
    """Named gates between a test's thread and the server's loop; an opened gate stays open."""

    def __init__(self) -> None:
        """Start with every gate shut and nobody waiting."""
        self._condition = threading.Condition()
        self._open: set[str] = set()
        self._reached: set[str] = set()
        self._waiters: list[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._closed = False

    async def pass_through(self, name: str) -> None:
        """Wait in the server's loop until the gate is open.

        Raises:
            GateClosed: if the server stops first.
        """
        event = asyncio.Event()
        with self._condition:
            if name in self._open:
                return
            if self._closed:
                raise GateClosed(name)
            self._waiters.append((name, asyncio.get_running_loop(), event))
            self._reached.add(name)
            self._condition.notify_all()
        await event.wait()
        with self._condition:
            if name not in self._open:
                raise GateClosed(name)

    def open(self, name: str) -> None:
        """Open a gate for all who wait and all who come."""
        with self._condition:
            self._open.add(name)
            self._wake([waiter for waiter in self._waiters if waiter[0] == name])

    def wait_until_reached(self, name: str, timeout: float) -> bool:
        """Block until a model waits, or has waited, at the gate; false when the time is over."""
        with self._condition:
            return self._condition.wait_for(lambda: name in self._reached, timeout)

    def close(self) -> None:
        """Send everybody home: whoever waits gets `GateClosed`."""
        with self._condition:
            self._closed = True
            self._wake(list(self._waiters))

    def _wake(self, waiters: list[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
        for waiter in waiters:
            self._waiters.remove(waiter)
            _, loop, event = waiter
            loop.call_soon_threadsafe(event.set)
