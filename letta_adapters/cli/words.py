"""What a stored message says, for people: who, and in which words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from typing_extensions import assert_never

from letta_adapters.matching import Row
from letta_adapters.wire import (
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    ApprovalReturn,
    AssistantMessage,
    EventMessage,
    HiddenReasoningMessage,
    ReasoningMessage,
    SummaryMessage,
    SystemMessage,
    ToolCallMessage,
    ToolReturnMessage,
    Unknown,
    UserMessage,
    calls_of,
    returns_of,
    text_of,
)

__all__ = ["STYLES", "Said", "Speaker", "said", "time_of"]

Speaker = Literal["system", "user", "agent", "thought", "call", "decision", "result", "note"]

STYLES: dict[Speaker, str] = {
    "system": "dim",
    "user": "cyan",
    "agent": "green",
    "thought": "dim italic",
    "call": "yellow",
    "decision": "yellow",
    "result": "magenta",
    "note": "dim",
}


@dataclass(frozen=True, kw_only=True)
class Said:
    """What one row says.

    Args:
        speaker: Who, or what.
        text: The words; calls are a name and their JSON arguments, one a line.
    """

    speaker: Speaker
    text: str


def said(row: Row) -> Said:
    """Put a row into words."""
    match row:
        case SystemMessage() | UserMessage() | AssistantMessage():
            return _spoken(row)
        case ReasoningMessage():
            return Said(speaker="thought", text=row.reasoning)
        case HiddenReasoningMessage():
            return Said(speaker="thought", text=row.hidden_reasoning or f"({row.state})")
        case ToolCallMessage() | ApprovalRequestMessage():
            calls = [f"{call.name or ''} {call.arguments or ''}".strip() for call in calls_of(row)]
            return Said(speaker="call", text="\n".join(calls))
        case ApprovalResponseMessage():
            return Said(speaker="decision", text=_decisions(row))
        case ToolReturnMessage():
            return Said(speaker="result", text="\n".join(text_of(one.tool_return) for one in returns_of(row)))
        case SummaryMessage() | EventMessage() | Unknown():
            return Said(speaker="note", text=_note(row))
        case _:
            assert_never(row)


def _spoken(row: SystemMessage | UserMessage | AssistantMessage) -> Said:
    match row:
        case SystemMessage():
            return Said(speaker="system", text=row.content)
        case UserMessage():
            return Said(speaker="user", text=text_of(row.content))
        case AssistantMessage():
            return Said(speaker="agent", text=text_of(row.content))


def _note(row: SummaryMessage | EventMessage | Unknown) -> str:
    match row:
        case SummaryMessage():
            return row.summary
        case EventMessage():
            return row.event_type
        case Unknown():
            return f"({row.message_type})"


def _decisions(row: ApprovalResponseMessage) -> str:
    told: list[str] = []
    for answer in row.approvals or ():
        if not isinstance(answer, ApprovalReturn):
            told.append(f"{answer.tool_call_id}: {answer.status}")
        elif answer.approve:
            told.append(f"{answer.tool_call_id}: approved")
        else:
            told.append(f"{answer.tool_call_id}: denied" + (f", {answer.reason}" if answer.reason else ""))
    return "\n".join(told)


def time_of(row: Row) -> datetime | None:
    """When a row was stored, where that can be read."""
    return row.date if not isinstance(row, Unknown) and isinstance(row.date, datetime) else None
