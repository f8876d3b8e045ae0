"""What carries a tool loop: a thread or a task of its own, which nothing that befalls the caller can interrupt.

So a caller that leaves in mid-turn leaves no pending call: the pump goes on to the end, or (`stop`) runs no tool any
more, reads the run in flight to its end and settles what it asked for. Here is what both kinds share.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from letta_adapters.client import AsyncLettaClient, LettaClient
from letta_adapters.errors import LettaError, RequestTimeout
from letta_adapters.events import PendingCall
from letta_adapters.loop.flow import tool_loop
from letta_adapters.loop.runner import Interrupted
from letta_adapters.loop.steps import Decision, LoopEvent, LoopRequest, LoopResult, Read, Send, Step
from letta_adapters.loop.whole_turns import WholeTurn

__all__ = ["EXIT_TIMEOUT", "SETTLE_TIMEOUT", "Listener", "LoopRules", "OnApproval", "Over", "Pump", "left", "too_long"]

_LOG = logging.getLogger("letta_adapters")

SETTLE_TIMEOUT = 10.0
"""Seconds that answering the pending calls may take once a loop is being left."""
EXIT_TIMEOUT = 5.0
"""Seconds that loops in the background have when the process, or their event loop, ends."""

OnApproval = Callable[[PendingCall], Decision | Awaitable[Decision]]


@dataclass(frozen=True, kw_only=True)
class LoopRules:
    """A loop and how its tools are run; the fields are those of `run_turn`."""

    request: LoopRequest
    max_parallel: int = 4
    tool_timeout: float | None = 300.0
    on_approval: OnApproval | None = None
    on_abandon: Literal["finish", "cancel"] = "finish"
    busy_timeout: float | None = None


@dataclass(frozen=True, kw_only=True)
class Over:
    """How a loop ended."""

    result: LoopResult | None = None
    error: BaseException | None = None


Listener = Callable[[LoopEvent | Over], object]
"""Hears every event of a loop where the loop runs, also when nobody asks for them any more, and its end at last."""


def left() -> LettaError:
    """The error for a loop that was left."""
    return LettaError("The loop was left before the turn ended.", accepted=None)


def too_long() -> RequestTimeout:
    """The error for calls that could not be answered in time."""
    return RequestTimeout(f"The pending calls were not answered within {SETTLE_TIMEOUT:g} s.", accepted=None)


class Pump:
    """What both pumps share: where the loop stands."""

    def __init__(
        self, client: LettaClient | AsyncLettaClient, rules: LoopRules, listener: Listener | None = None
    ) -> None:
        self.rules = rules
        self.listener = listener
        self.listened = listener is None  # whether somebody takes the events out of the queue
        self.stopping = False
        self.streaming = False  # a run is in flight at the server
        self.run_id: str | None = None  # that run, once the server named it
        self.whole = WholeTurn(client.base_url, **self.place)
        self.busy_timeout = client.busy_timeout if rules.busy_timeout is None else rules.busy_timeout
        self._flow = tool_loop(rules.request)

    def advance(self, answer: Any, error: BaseException | None) -> Step | Over:
        """Hand over what came of a step and get the next one."""
        try:
            return self._flow.throw(error) if error is not None else self._flow.send(answer)
        except StopIteration as finished:
            return Over(result=finished.value)
        except Interrupted:
            return Over(error=left())
        except BaseException as raised:
            return Over(error=raised)

    def end(self, over: Over) -> None:
        """Let the next turn of the conversation begin before anybody knows of the end and wants that."""
        self.whole.release()
        self.hear(over)

    def hear(self, item: LoopEvent | Over) -> None:
        """Tell the listener, whose errors are no matter of the loop's."""
        if self.listener is not None:
            try:
                self.listener(item)
            except Exception:
                _LOG.exception("The listener of a tool loop failed.")

    def check(self, step: Step) -> None:
        """Check that a step is still wanted: once nobody waits, only what settles pending calls is."""
        if self.stopping and not (isinstance(step, (Send, Read)) and step.settling):
            raise Interrupted

    @property
    def place(self) -> dict[str, Any]:
        """The conversation, as every method of the client takes it."""
        return {"conversation_id": self.rules.request.conversation_id, "agent_id": self.rules.request.agent_id}

    def cancels(self) -> bool:
        """Whether a run in flight is to be cancelled."""
        return self.streaming and self.rules.on_abandon == "cancel"
