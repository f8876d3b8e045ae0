"""Count what a block of code leaves behind: connections, tasks, threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol


class Counter(Protocol):
    """Something that counts connections."""

    @property
    def open(self) -> int:
        """Connections that are open."""
        ...

    def wait_until(self, condition: Callable[[int], bool]) -> bool:
        """Wait until the number of open connections is right; false when it never is."""
        ...


@contextmanager
def leaving_nothing(counter: Counter) -> Generator[None, None, None]:
    """No connection and no thread is left when the block is over."""
    before = set(threading.enumerate())
    yield
    assert counter.wait_until(lambda count: count == 0), f"{counter.open} connections are left"
    assert {thread for thread in threading.enumerate() if not _of_a_loop(thread)} <= before


@asynccontextmanager
async def aleaving_nothing(counter: Counter) -> AsyncGenerator[None, None]:
    """No connection, no task and no thread is left when the block is over."""
    tasks = asyncio.all_tasks()
    with leaving_nothing(counter):
        yield
        assert asyncio.all_tasks() == tasks


def _of_a_loop(thread: threading.Thread) -> bool:
    """Whether it belongs to the pool of the test's event loop, which grows as it likes and ends with the loop."""
    return thread.name.startswith("asyncio_")
