"""One turn in flight per conversation: a lock that threads and tasks share.

Letta refuses a second turn only where it has Redis, and only once it accepted the first. Until then, and always on a
server without Redis, this process keeps its own turns apart.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout  # not the built-in one before Python 3.11
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    import asyncio

__all__ = ["ConversationLock", "Hold", "InFlight", "Patience", "conversation_lock"]


class Patience:
    """Seconds to wait, in all, for other turns of a conversation, whoever they belong to.

    Args:
        seconds: How many; they begin when they are first asked for.
        clock: Tells seconds.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._until: float | None = None

    def again(self, seconds: float) -> Patience:
        """Other seconds by the same clock."""
        return Patience(seconds, clock=self._clock)

    def left(self) -> float:
        """Seconds that are left, never negative."""
        now = self._clock()
        if self._until is None:
            self._until = now + self.seconds
        return max(0.0, self._until - now)


@dataclass(frozen=True, kw_only=True)
class InFlight:
    """A turn that may be under way at the server.

    Args:
        run_id: Its run, once that has a name.
        otids: What it sent.
    """

    run_id: str | None
    otids: tuple[str, ...]


class ConversationLock:
    """A lock for threads and tasks of any event loop; whoever waits longest is next.

    It is given back when the server has accepted a turn; which that is stands in `in_flight` while it goes on.
    """

    def __init__(self) -> None:
        self.in_flight: InFlight | None = None
        self._mutex = threading.Lock()
        self._held = False
        self._waiting: deque[tuple[Future[None], asyncio.AbstractEventLoop | None]] = deque()

    def acquire(self, timeout: float) -> bool:
        """Take the lock, waiting at most `timeout` seconds; tell whether it was taken."""
        return self.wait(self.queue(), timeout)

    async def acquire_async(self, timeout: float) -> bool:
        """Take the lock, waiting at most `timeout` seconds; tell whether it was taken."""
        import asyncio

        return await self.wait_async(self.queue(asyncio.get_running_loop()), timeout)

    def queue(self, loop: asyncio.AbstractEventLoop | None = None) -> Future[None]:
        """Get in line, for a task of `loop` or for a thread; cancelling what this gives is leaving the line."""
        turn: Future[None] = Future()
        with self._mutex:
            if self._held:
                self._waiting.append((turn, loop))
            else:
                self._held = True
                turn.set_result(None)
        return turn

    def wait(self, turn: Future[None], timeout: float) -> bool:
        """Wait in line, at most `timeout` seconds; tell whether the lock was taken."""
        try:
            turn.result(timeout)
        except FutureTimeout:
            return not turn.cancel()
        except CancelledError:
            return False
        except BaseException:
            self._give_up(turn)
            raise
        return True

    async def wait_async(self, turn: Future[None], timeout: float) -> bool:
        """Wait in line, at most `timeout` seconds; tell whether the lock was taken."""
        import asyncio

        try:
            # Not `wait_for`: before Python 3.12 it can swallow a cancellation that comes with the result.
            done, _ = await asyncio.wait({asyncio.wrap_future(turn)}, timeout=timeout)
        except BaseException:
            self._give_up(turn)
            raise
        return not turn.cancelled() if done else not turn.cancel()

    def release(self) -> None:
        """Hand the lock to the next in the queue."""
        with self._mutex:
            while self._waiting:
                turn, loop = self._waiting.popleft()
                if (loop is None or not loop.is_closed()) and turn.set_running_or_notify_cancel():
                    turn.set_result(None)
                    return
            self._held = False

    def _give_up(self, turn: Future[None]) -> None:
        if not turn.cancel():  # it was our turn already
            self.release()


class Hold:
    """One turn's side of a lock: taken once, given back once, by whoever comes first to do it."""

    def __init__(self, lock: ConversationLock) -> None:
        self._lock = lock
        self._held = False
        self._sent: InFlight | None = None
        self._turn: Future[None] | None = None
        self.given_up = False

    @property
    def held(self) -> bool:
        """Whether the lock is taken."""
        return self._held

    def acquire(self, timeout: float) -> bool:
        """Take the lock unless it is taken already, waiting at most `timeout` seconds; tell whether it is taken."""
        self._held = self._held or self._lock.wait(self._queue(), timeout)
        return self._held

    async def acquire_async(self, timeout: float) -> bool:
        """Take the lock unless it is taken already, waiting at most `timeout` seconds; tell whether it is taken."""
        if not self._held:
            import asyncio

            self._held = await self._lock.wait_async(self._queue(asyncio.get_running_loop()), timeout)
        return self._held

    def give_up(self) -> None:
        """Stop waiting, from any thread; so does whoever begins to wait afterwards."""
        self.given_up = True
        if self._turn is not None:
            self._turn.cancel()

    def _queue(self, loop: asyncio.AbstractEventLoop | None = None) -> Future[None]:
        self._turn = turn = self._lock.queue(loop)
        if self.given_up:  # whoever gave up did not see the place in line, or cancelled it, too
            turn.cancel()
        return turn

    def hand_over(self) -> Hold:
        """A hold that has the lock in the place of this one."""
        successor = Hold(self._lock)
        successor._held, self._held = self._held, False
        return successor

    @property
    def in_flight(self) -> InFlight | None:
        """Another turn of this process that was sent and whose end was not seen."""
        return self._lock.in_flight

    def accepted(self, turn: InFlight) -> None:
        """Give the lock back to the next turn, which the server tells from now on that this one is in flight."""
        self._sent = self._lock.in_flight = turn
        self._give_back()

    def release(self, *, goes_on: InFlight | None = None) -> None:
        """Give the lock back, if it is taken.

        Args:
            goes_on: The turn, where it may go on at the server without us.
        """
        sent, self._sent = self._sent, None
        if goes_on is not None:
            self._lock.in_flight = goes_on
            _keep(self._lock)
        elif sent is not None and self._lock.in_flight == sent:
            _forget(self._lock)
        self._give_back()

    def _give_back(self) -> None:
        if self._held:
            self._held = False
            self._lock.release()


_MAX_LEFT = 1000
_left: OrderedDict[ConversationLock, None] = OrderedDict()
"""Locks of conversations with a run that its caller left: nobody else refers to them."""


def _keep(lock: ConversationLock) -> None:
    with _registry:
        _left[lock] = None
        while len(_left) > _MAX_LEFT:
            _left.popitem(last=False)


def _forget(lock: ConversationLock) -> None:
    lock.in_flight = None
    with _registry:
        _left.pop(lock, None)


_locks: WeakValueDictionary[tuple[str, ...], ConversationLock] = WeakValueDictionary()
_registry = threading.Lock()


def conversation_lock(*key: str) -> ConversationLock:
    """The lock of a conversation, the same for everybody in this process; it lives as long as somebody holds it.

    Args:
        key: What tells the conversation from all others: the server's URL, its id, and for `default` the agent's.
    """
    with _registry:
        lock = _locks.get(key)
        if lock is None:
            lock = _locks[key] = ConversationLock()
        return lock


def _forget_after_fork() -> None:
    # A child process has none of the threads that hold these locks.
    global _registry
    _registry = threading.Lock()
    _locks.clear()
    _left.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
