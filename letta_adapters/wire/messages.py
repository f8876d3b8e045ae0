"""The message types that a conversation stores."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, WrapValidator

from letta_adapters.wire.base import Id, Unknown, WireModel, keep_unknown
from letta_adapters.wire.content import ContentPart
from letta_adapters.wire.tools import Approval, ToolCall, ToolCallDelta, ToolReturn

__all__ = [
    "ApprovalRequestMessage",
    "ApprovalResponseMessage",
    "AssistantMessage",
    "CompactionStats",
    "Date",
    "EventMessage",
    "HiddenReasoningMessage",
    "KnownMessage",
    "Message",
    "MessageType",
    "ReasoningMessage",
    "SummaryMessage",
    "SystemMessage",
    "ToolCallMessage",
    "ToolReturnMessage",
    "UserMessage",
    "calls_of",
    "parse_messages",
    "returns_of",
]

MessageType = Literal[
    "system_message",
    "user_message",
    "assistant_message",
    "reasoning_message",
    "hidden_reasoning_message",
    "tool_call_message",
    "tool_return_message",
    "approval_request_message",
    "approval_response_message",
    "summary_message",
    "event_message",
]


Date = Annotated[datetime | str | None, Field(union_mode="left_to_right")]
"""A time; one that cannot be read stays text, which is better than losing the message."""


Content = Annotated[str | list[ContentPart], Field(union_mode="left_to_right")]
"""Text, or parts; what is text is not tried as parts."""


class _Stored(WireModel):
    """What every stored message carries; rows of one step share `id`."""

    id: str
    date: Date = None
    name: str | None = None
    otid: str | None = None
    sender_id: str | None = None
    step_id: str | None = None
    is_err: bool | None = None
    seq_id: int | None = None
    run_id: Id | None = None


class SystemMessage(_Stored):
    """A system prompt; the first row of a conversation is the compiled one, memory blocks included."""

    message_type: Literal["system_message"] = "system_message"
    content: str


class UserMessage(_Stored):
    """What the user said."""

    message_type: Literal["user_message"] = "user_message"
    content: Content


class AssistantMessage(_Stored):
    """What the agent said; in a token stream, a piece of it."""

    message_type: Literal["assistant_message"] = "assistant_message"
    content: Content


class ReasoningMessage(_Stored):
    """What the agent thought; in a token stream, a piece of it."""

    message_type: Literal["reasoning_message"] = "reasoning_message"
    reasoning: str
    source: Literal["reasoner_model", "non_reasoner_model"] | str = "non_reasoner_model"
    signature: str | None = None


class HiddenReasoningMessage(_Stored):
    """Reasoning that the provider or the server does not show."""

    message_type: Literal["hidden_reasoning_message"] = "hidden_reasoning_message"
    state: Literal["redacted", "omitted"]
    hidden_reasoning: str | None = None


class _WithCalls(_Stored):
    """A message with tool calls.

    Whole messages have a list in `tool_calls` and its first in `tool_call`; in a token stream both are the same
    single delta object.
    """

    tool_call: Annotated[ToolCall | ToolCallDelta | None, Field(union_mode="left_to_right")] = None
    tool_calls: list[ToolCall] | ToolCallDelta | None = None


class ToolCallMessage(_WithCalls):
    """Calls to tools that the server runs."""

    message_type: Literal["tool_call_message"] = "tool_call_message"


class ApprovalRequestMessage(_WithCalls):
    """Calls that wait: for the client to run its tools, or for a person's decision."""

    message_type: Literal["approval_request_message"] = "approval_request_message"


class ToolReturnMessage(_Stored):
    """Results of tools.

    The fields at the top are those of the first result; `tool_returns` has all of them.
    """

    message_type: Literal["tool_return_message"] = "tool_return_message"
    tool_call_id: str
    tool_return: str
    status: Literal["success", "error"]
    stdout: list[str] | None = None
    stderr: list[str] | None = None
    tool_returns: list[ToolReturn] | None = None


class ApprovalResponseMessage(_Stored):
    """The answers that were given to pending calls."""

    message_type: Literal["approval_response_message"] = "approval_response_message"
    approvals: list[Approval] | None = None
    approve: bool | None = None
    approval_request_id: str | None = None
    reason: str | None = None


class CompactionStats(WireModel):
    """What a compaction did; sizes in tokens and messages."""

    trigger: str
    context_window: int
    messages_count_before: int
    messages_count_after: int
    context_tokens_before: int | None = None
    context_tokens_after: int | None = None


class SummaryMessage(_Stored):
    """What stands for messages that a compaction took out of the context; `summary` is the older spelling."""

    message_type: Literal["summary_message", "summary"] = "summary_message"
    summary: str
    compaction_stats: CompactionStats | None = None


class EventMessage(_Stored):
    """A note to the developer that is not in the context; `event` is the older spelling."""

    message_type: Literal["event_message", "event"] = "event_message"
    event_type: str
    event_data: dict[str, Any]


KnownMessage = (
    SystemMessage
    | UserMessage
    | AssistantMessage
    | ReasoningMessage
    | HiddenReasoningMessage
    | ToolCallMessage
    | ToolReturnMessage
    | ApprovalRequestMessage
    | ApprovalResponseMessage
    | SummaryMessage
    | EventMessage
)
"""The 11 stored types."""

Message = Annotated[Annotated[KnownMessage, Field(discriminator="message_type")] | Unknown, WrapValidator(keep_unknown)]
"""Any stored message; one of a type that is not known is kept as `Unknown`."""

_PAGE: TypeAdapter[list[KnownMessage | Unknown]] = TypeAdapter(list[Message])


def parse_messages(data: bytes) -> list[KnownMessage | Unknown]:
    """Read a page of stored messages, as `GET …/messages` answers it."""
    return _PAGE.validate_json(data)


def calls_of(message: ToolCallMessage | ApprovalRequestMessage) -> Sequence[ToolCall | ToolCallDelta]:
    """Give the calls of a message, whichever of the wire's shapes they came in."""
    if isinstance(message.tool_calls, list):
        return message.tool_calls
    one = message.tool_calls or message.tool_call
    return [one] if one is not None else []


def returns_of(message: ToolReturnMessage) -> Sequence[ToolReturn]:
    """Give all results of a message, also of one from a server that sends only the fields at the top."""
    if message.tool_returns:
        return message.tool_returns
    return [
        ToolReturn(
            tool_call_id=message.tool_call_id,
            tool_return=message.tool_return,
            status=message.status,
            stdout=message.stdout,
            stderr=message.stderr,
        )
    ]
