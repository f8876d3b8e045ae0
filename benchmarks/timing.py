"""Times of several functions, taken in turns so that noise meets all of them."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable, Sequence


def children_time() -> float:
    """Processor time of the child processes that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fastest(
    functions: Sequence[Callable[[], object]], *, rounds: int = 5, clock: Callable[[], float] = time.process_time
) -> list[float]:
    """The shortest time of each function, in seconds, out of `rounds` interleaved ones after one to warm up.

    Processor time unless another clock is given: what other processes do disturbs it least.
    """
    times = [float("inf")] * len(functions)
    for number in range(rounds + 1):
        for index, function in enumerate(functions):
            gc.collect()
            began = clock()
            function()
            elapsed = clock() - began
            if number:
                times[index] = min(times[index], elapsed)
    return times
