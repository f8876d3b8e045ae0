"""What the scenarios share: tools, scripts, both ways to run a turn, and what must be true of every conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

from typing_extensions import Unpack

from letta_adapters import AsyncLettaClient, LettaClient
from letta_adapters.loop import LoopEvent, LoopOptions, LoopResult, arun_turn, run_turn
from letta_adapters.wire import InputPart
from tests.contract.wire import Json, Wire

ADD = '[[call add {"a": 1, "b": 2}]]'
MULTIPLY = '[[call multiply {"a": 3, "b": 4}]]'
IN_SEQUENCE = f"{ADD} [[next]] {MULTIPLY} [[next]] [[say It is 3 and 12]]"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


class RunTurn(Protocol):
    """`run_turn`, or `arun_turn` in an event loop of its own."""

    def __call__(
        self,
        conversation_id: str,
        input: str | Sequence[InputPart] | None = None,
        *,
        on_event: OnEvent | None = None,
        **options: Unpack[LoopOptions],
    ) -> LoopResult: ...


class OnEvent(Protocol):
    def __call__(self, event: LoopEvent, /) -> object: ...


@dataclass(frozen=True)
class Blocking:
    base_url: str

    def __call__(
        self,
        conversation_id: str,
        input: str | Sequence[InputPart] | None = None,
        *,
        on_event: OnEvent | None = None,
        **options: Unpack[LoopOptions],
    ) -> LoopResult:
        with LettaClient(base_url=self.base_url) as client:
            return run_turn(client, conversation_id, input, on_event=on_event, **options)


@dataclass(frozen=True)
class InTasks:
    base_url: str

    def __call__(
        self,
        conversation_id: str,
        input: str | Sequence[InputPart] | None = None,
        *,
        on_event: OnEvent | None = None,
        **options: Unpack[LoopOptions],
    ) -> LoopResult:
        async def run() -> LoopResult:
            async with AsyncLettaClient(base_url=self.base_url) as client:
                return await arun_turn(client, conversation_id, input, on_event=on_event, **options)

        return asyncio.run(run())


def new_gate() -> str:
    return f"gate-{uuid4().hex}"


def answers(wire: Wire, conversation_id: str, **query: str) -> list[Json]:
    """What was answered to calls, in order; each call once, and none is left."""
    rows = wire.stored(conversation_id, **query)
    asked = [call["tool_call_id"] for row in rows for call in _calls(row)]
    given = [one for row in rows if row["message_type"] == "approval_response_message" for one in row["approvals"]]
    assert [one["tool_call_id"] for one in given] == asked
    assert rows[-1]["message_type"] != "approval_request_message"
    return given


def results(wire: Wire, conversation_id: str, **query: str) -> list[tuple[str, str]]:
    """The (status, result) of every call; `("denied", reason)` where it was denied."""
    return [_told(one) for one in answers(wire, conversation_id, **query)]


def _calls(row: Json) -> list[Json]:
    return row["tool_calls"] if row["message_type"] == "approval_request_message" else []


def _told(answer: Json) -> tuple[str, str]:
    if answer["type"] == "approval":
        return ("approved" if answer["approve"] else "denied"), answer["reason"] or ""
    return answer["status"], answer["tool_return"]


def next_turn_works(wire: Wire, conversation_id: str) -> bool:
    """Whether the conversation takes a new message, from somebody without any tools."""
    turn = wire.post(conversation_id, {"role": "user", "content": "[[say still here]]", "otid": str(uuid4())})
    return turn.text == "still here"
