"""The turns of agents in workflows: from their message until the results of their calls were sent.

A workflow runs the tools between two steps of the agent. Until then other loops of this process wait, as they do for
one another. A run may end anywhere in between; who watches it lets the next turn begin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from llama_index_instrumentation.dispatcher import active_instrument_tags
from workflows import Workflow

from letta_adapters.loop import WholeTurn
from llama_index_letta.agent_state import RUN_ID

__all__ = ["begin", "enter", "keep", "let_go", "step_of"]


@dataclass(frozen=True, kw_only=True)
class _Held:
    turn: WholeTurn
    run_id: str | None


_held: dict[str, _Held] = {}
"""The turns that are under way, by the keys of their contexts: a run that was saved and taken up is the same turn."""

_watched: dict[str, asyncio.Task[Any]] = {}


async def begin(key: str, turn: WholeTurn | None, patience: float) -> None:
    """Wait for other turns of a conversation, unless this one is under way there.

    Args:
        key: The key of the context.
        turn: The right to a turn there; `None` where the conversation is not known yet, and so nobody else's.
        patience: Seconds to wait.

    Raises:
        ConversationBusy: Others took too long, or this very code is run by one of them.
    """
    held = _held.get(key)
    if held is not None and turn is not None and held.turn.is_of(turn):
        _held[key] = _Held(turn=held.turn, run_id=_run_id())
        return
    let_go(key)
    if turn is not None:
        await turn.acquire_async(patience)
        _held[key] = _Held(turn=turn, run_id=_run_id())


async def keep(key: str, turn: WholeTurn | None, patience: float, workflow: Workflow) -> None:
    """Keep others away while the workflow runs tools; where nobody could tell that it has ended, they are not."""
    run_id = _run_id()
    if run_id is None or not _watch(run_id, workflow):
        let_go(key)
        return
    await begin(key, turn, patience)


@contextmanager
def step_of(key: str) -> Generator[None]:
    """Let the next turn begin where a step fails."""
    try:
        yield
    except BaseException:
        let_go(key)
        raise


def let_go(key: str) -> None:
    """Let the next turn begin."""
    held = _held.pop(key, None)
    if held is not None:
        held.turn.release()


def enter(key: str) -> None:
    """Note that the code that runs here is a tool of the turn."""
    held = _held.get(key)
    if held is not None:
        held.turn.enter()


def _run_id() -> str | None:
    return active_instrument_tags.get().get(RUN_ID)


def _watch(run_id: str, workflow: Workflow) -> bool:
    """See to it that the end of a run is noticed; tell whether that can be done."""
    if run_id not in _watched:
        try:
            run = workflow.runtime.get_external_adapter(run_id)
        except (RuntimeError, KeyError, NotImplementedError):
            return False
        # The task refers to the run no longer than it lasts: its id may be used for another one at once.
        _watched[run_id] = asyncio.get_running_loop().create_task(run.get_result(), name="letta-watch")
        _watched[run_id].add_done_callback(partial(_over, run_id))
    return True


def _over(run_id: str, run: asyncio.Task[Any]) -> None:
    if not run.cancelled():
        run.exception()  # that is its caller's matter
    del _watched[run_id]
    for key, held in list(_held.items()):
        if held.run_id == run_id:
            let_go(key)
