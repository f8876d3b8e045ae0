"""What a stream carries beside stored messages, and how one `data:` line is read."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from letta_adapters.wire.base import Explanation, Id, Unknown, WireModel
from letta_adapters.wire.messages import Date, KnownMessage

__all__ = [
    "Count",
    "ErrorMessage",
    "Ping",
    "ResponseState",
    "StopReason",
    "StopReasonType",
    "StreamEvent",
    "UsageStatistics",
    "parse_event",
]

StopReasonType = Literal[
    "end_turn",
    "error",
    "llm_api_error",
    "invalid_llm_response",
    "invalid_tool_call",
    "max_steps",
    "max_tokens_exceeded",
    "no_tool_call",
    "tool_rule",
    "cancelled",
    "insufficient_credits",
    "requires_approval",
    "context_window_overflow_in_system_prompt",
]
"""The stop reasons of the reference; a server may send others, which are kept as they are."""


class Ping(WireModel):
    """A sign of life; the first one names the run."""

    message_type: Literal["ping"] = "ping"
    id: str | None = None
    date: Date = None
    name: str | None = None
    otid: str | None = None
    sender_id: str | None = None
    step_id: str | None = None
    is_err: bool | None = None
    run_id: Id | None = None
    seq_id: int | None = None


class ErrorMessage(WireModel):
    """An error in mid-stream; `message` is generic, `detail` has the cause."""

    message_type: Literal["error_message"] = "error_message"
    error_type: Explanation = "unknown"
    message: Explanation = ""
    detail: Explanation | None = None
    run_id: Id | None = None
    seq_id: int | None = None


class ResponseState(WireModel):
    """A mark of Letta Cloud's own cache, at the end of a turn that waits for calls; it tells nothing of the turn."""

    message_type: Literal["response_state"] = "response_state"
    cache_scope: str | None = None
    response_id: str | None = None
    run_id: Id | None = None
    seq_id: int | None = None


class StopReason(WireModel):
    """Why the turn ended; the only proof that it did."""

    message_type: Literal["stop_reason"] = "stop_reason"
    stop_reason: StopReasonType | Explanation
    run_id: Id | None = None
    seq_id: int | None = None


Count = Annotated[int, BeforeValidator(lambda value: 0 if value is None else value)]
"""A number that some providers leave out as null."""


class UsageStatistics(WireModel):
    """Tokens of one request, summed over its steps; `context_tokens` is the size of the context at the end."""

    message_type: Literal["usage_statistics"] = "usage_statistics"
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    total_tokens: Count = 0
    step_count: Count = 0
    run_ids: list[str] | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    context_tokens: int | None = None
    run_id: Id | None = None
    seq_id: int | None = None


KnownEvent = KnownMessage | Ping | ErrorMessage | StopReason | UsageStatistics | ResponseState

StreamEvent = KnownEvent | Unknown
"""Anything that one `data:` line of a stream can be."""

_EVENT: TypeAdapter[KnownEvent] = TypeAdapter(Annotated[KnownEvent, Field(discriminator="message_type")])
_validated = _EVENT.validator.validate_json  # of each event: what the adapter does besides takes as long again


def parse_event(data: bytes | bytearray) -> StreamEvent:
    """Read the JSON of one `data:` line.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        return _validated(data)
    except ValidationError as error:
        if error.errors(include_url=False, include_context=False, include_input=False)[0]["type"] == "json_invalid":
            raise ValueError("not JSON") from None
        raw: Any = json.loads(data)
        return Unknown(raw=raw)
