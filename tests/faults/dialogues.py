"""The dialogues that are cut, and what must come of every one of them: at the caller and at the server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from letta_adapters.events import (
    AnswerStarted,
    FinishedTurn,
    PendingCall,
    Reasoning,
    ReasoningDelta,
    Text,
    TextDelta,
    TurnEvent,
    TurnPart,
    TurnStarted,
)
from letta_adapters.testing.script import COMPLETION_TOKENS, PROMPT_TOKENS
from letta_adapters.wire import ApprovalCreate, ClientTool, ToolReturn
from tests.contract.build import ADD

RESULT = "42"
"""What the tool gives."""
ARGUMENTS = '{"a": 19, "b": 23}'
_TOOLS = [ClientTool(**ADD)]

Story = list[tuple[str, str]]
"""The (type, text) of the rows of a conversation."""


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """A user message, and one result where the agent asks for it: one turn or two.

    Args:
        name: For the reports.
        asked: What the user says.
        turns: The parts of each turn's answer; the ids of calls are left out.
        rows: The rows that each turn leaves at the server, no more and no less.
    """

    name: str
    asked: str
    turns: tuple[tuple[TurnPart, ...], ...]
    rows: tuple[Story, ...]

    def story(self, turns: int) -> Story:
        """What the server holds after so many turns."""
        return [row for rows in self.rows[:turns] for row in rows]

    def ask(self, before: FinishedTurn | None) -> dict[str, Any]:
        """What to send: the user's message, or the result of the call that the turn before ended with."""
        if before is None:
            return {"input": self.asked, "client_tools": _TOOLS}
        (call,) = before.pending
        result = ToolReturn(tool_call_id=call.tool_call_id, tool_return=RESULT)
        return {"messages": [ApprovalCreate(approvals=[result])], "client_tools": _TOOLS}


TEXT = Dialogue(
    name="text",
    asked="hello there",
    turns=((Text(index=0, text="You said: hello there"),),),
    rows=([("user_message", "hello there"), ("assistant_message", "You said: hello there")],),
)

REASONING = Dialogue(
    name="reasoning",
    asked="[[think let me see]] [[say it is so]]",
    turns=((Reasoning(index=0, text="let me see"), Text(index=1, text="it is so")),),
    rows=(
        [
            ("user_message", "[[think let me see]] [[say it is so]]"),
            ("reasoning_message", "let me see"),
            ("assistant_message", "it is so"),
        ],
    ),
)

TOOL = Dialogue(
    name="tool",
    asked=f"[[call add {ARGUMENTS}]]",
    turns=(
        (PendingCall(index=0, tool_call_id="", name="add", arguments=ARGUMENTS),),
        (Text(index=0, text=f"The tools answered: {RESULT}"),),
    ),
    rows=(
        [("user_message", f"[[call add {ARGUMENTS}]]"), ("approval_request_message", "add")],
        [
            ("approval_response_message", ""),
            ("tool_return_message", RESULT),
            ("assistant_message", f"The tools answered: {RESULT}"),
        ],
    ),
)

DIALOGUES = (TEXT, REASONING, TOOL)


def faults_of(turn: FinishedTurn, events: Sequence[TurnEvent], expected: tuple[TurnPart, ...]) -> list[str]:
    """What is wrong with what the caller got."""
    wrong: list[str] = []
    parts = _nameless(turn.parts)
    if parts != expected:
        wrong.append(f"the caller got {parts}")
    if joined(events) != turn.parts:
        wrong.append(f"the events say {joined(events)}")
    if sum(isinstance(event, TurnStarted) for event in events) != 1:
        wrong.append("the turn did not begin once")
    stop = "requires_approval" if turn.pending else "end_turn"
    if turn.stop_reason != stop:
        wrong.append(f"it stopped with {turn.stop_reason}")
    counted = (turn.usage.prompt_tokens, turn.usage.completion_tokens) if turn.usage else None
    if counted != (PROMPT_TOKENS, COMPLETION_TOKENS):
        wrong.append(f"the usage is {turn.usage}")
    return wrong


def joined(events: Iterable[TurnEvent]) -> tuple[TurnPart, ...]:
    """The parts that the events of a turn make up."""
    parts: dict[int, TurnPart] = {}
    for event in events:
        match event:
            case TurnStarted() | AnswerStarted():
                pass
            case TextDelta():
                before = parts.get(event.index, Text(index=event.index, text=""))
                assert isinstance(before, Text)
                parts[event.index] = replace(before, text=before.text + event.text)
            case ReasoningDelta():
                before = parts.get(event.index, Reasoning(index=event.index, text=""))
                assert isinstance(before, Reasoning)
                signature = event.signature or before.signature
                parts[event.index] = replace(before, text=before.text + event.text, signature=signature)
            case _:
                assert event.index not in parts, "what comes whole comes once"
                parts[event.index] = event
    return tuple(parts[index] for index in sorted(parts))


def _nameless(parts: tuple[TurnPart, ...]) -> tuple[TurnPart, ...]:
    """The parts without the ids that differ from turn to turn."""
    return tuple(replace(part, tool_call_id="") if isinstance(part, PendingCall) else part for part in parts)
