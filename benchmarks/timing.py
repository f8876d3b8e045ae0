"""Times of several functions, taken in turns so that noise meets all of them."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import closing, contextmanager
from typing import Any


def children_time() -> float:
    """Processor time of the child processes that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def in_loop() -> Generator[Callable[[Coroutine[Any, Any, Any]], Any], None, None]:
    """An event loop that outlives its coroutines; gives what runs one."""
    with closing(asyncio.new_event_loop()) as loop:
        yield loop.run_until_complete
        loop.run_until_complete(loop.shutdown_asyncgens())


def fastest(
    functions: Sequence[Callable[[], object]], *, rounds: int = 5, clock: Callable[[], float] = time.process_time
) -> list[float]:
    """The shortest time of each function, in seconds, out of `rounds` interleaved ones after one to warm up.

    Processor time unless another clock is given: what other processes do disturbs it least.
    """
    times = [float("inf")] * len(functions)
    gc.collect()
    gc.freeze()  # the frameworks' own objects: looking through them costs more than what is measured
    for number in range(rounds + 1):
        for index, function in enumerate(functions):
            gc.collect()
            began = clock()
            function()
            elapsed = clock() - began
            if number:
                times[index] = min(times[index], elapsed)
    gc.unfreeze()
    return times
