"""What the scenarios share: tools, ways to run, what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import uuid4

from llama_index.core.agent.workflow import AgentOutput, AgentStream
from llama_index.core.workflow import Context
from workflows.events import Event
from workflows.handler import WorkflowHandler

ADD = '[[call add {"a": 1, "b": 2}]]'
MULTIPLY = '[[call multiply {"a": 3, "b": 4}]]'
IN_SEQUENCE = f"{ADD} [[next]] {MULTIPLY} [[next]] [[say It is 3 and 12]]"

MakeAgent = Callable[..., Any]
"""Makes `LettaAgent`s; what awaiting a run gives has no type in LlamaIndex."""

Line = tuple[str, str]
E = TypeVar("E", bound=Event)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


def new_gate() -> str:
    return f"gate-{uuid4().hex}"


def letta(output: AgentOutput) -> dict[str, Any]:
    """What an answer tells of the server."""
    return output.response.additional_kwargs["letta"]


def conversation_of(output: AgentOutput) -> str:
    return letta(output)["conversation_id"]


def said(*texts: str) -> list[Line]:
    """The story of user messages that are echoed."""
    return [line for text in texts for line in (("user", text), ("assistant", f"You said: {text}"))]


async def events_of(handler: WorkflowHandler) -> list[Event]:
    """Every event of a run that comes to its end, in order."""
    events = [event async for event in handler.stream_events()]
    await handler
    return events


def of_type(events: Sequence[Event], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


async def until(handler: WorkflowHandler, happened: Callable[[Event], bool]) -> Event:
    """The first event for which something is so; the run goes on."""
    async for event in handler.stream_events():
        if happened(event):
            return event
    raise AssertionError("the run ended before")


def streams(text: str) -> Callable[[Event], bool]:
    """Whether an answer was streamed so far."""
    return lambda event: isinstance(event, AgentStream) and text in event.response


def saved(handler: WorkflowHandler) -> dict[str, Any]:
    """The context of a run as another process gets it."""
    return json.loads(json.dumps(handler.ctx.to_dict()))


def restored(workflow: Any, data: dict[str, Any]) -> Context[Any]:
    return Context.from_dict(workflow, json.loads(json.dumps(data)))
