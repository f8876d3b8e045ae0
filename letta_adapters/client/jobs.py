"""Runs that nobody streams, until they end. Generators without I/O."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from letta_adapters.client.calls import Endpoint
from letta_adapters.client.run_endpoints import retrieve_run
from letta_adapters.errors import RequestTimeout
from letta_adapters.locks import Patience
from letta_adapters.reading import Pause
from letta_adapters.wire import Run

__all__ = ["OnProgress", "Progress", "progress_of"]

OnProgress = Callable[[Run], None]
"""Told whenever the record of a run has changed."""

Progress = Generator["Endpoint[Run] | Pause | Run", Any, None]

_SHORTEST = 0.1
_LONGEST = 2.0
"""Seconds between two looks at a run: short ones first, since many runs are."""


def progress_of(run_id: str, patience: Patience) -> Progress:
    """Yield what is to be asked for, the pauses between, and the record of the run whenever it has changed.

    The last record is that of a run that has ended.

    Args:
        run_id: The run.
        patience: How long to wait for its end.

    Raises:
        NotFound: There is none of this id.
        RequestTimeout: It did not end in time; it goes on at the server.
    """
    patience.left()  # the time begins
    pause, known = _SHORTEST, None
    while True:
        run: Run = yield retrieve_run(run_id)
        if run != known:
            known = run
            yield run
        if not run.in_flight:
            return
        left = patience.left()
        if left <= 0:
            raise RequestTimeout(
                f"The run did not end within {patience.seconds:g} s.",
                hint="It goes on at the server: wait again, or cancel it.",
                accepted=True,
                run_id=run_id,
                agent_id=run.agent_id,
                conversation_id=run.conversation_id,
            )
        yield Pause(seconds=min(pause, left), reason="the run has not ended")
        pause = min(2 * pause, _LONGEST)
