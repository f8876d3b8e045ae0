"""Results of tools as the server keeps them: packed, clipped, one message for all calls of a step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from letta_adapters.testing.messages import (
    Denial,
    StoredMessage,
    ToolCall,
    ToolReturn,
    clipped,
    new_id,
    now,
    packed_result,
)
from letta_adapters.testing.server_tools import Outcome, read_arguments

__all__ = ["denied", "other_half", "result_of", "rewritten", "tool_message", "within"]


def other_half(messages: Sequence[StoredMessage]) -> StoredMessage | None:
    """The server's own calls of the step whose client calls were just answered."""
    before = messages[-3] if len(messages) > 2 else None
    return before if before is not None and before.role == "assistant" and before.tool_calls else None


def rewritten(arguments: str) -> str:
    """Arguments as the server writes them back after it read them."""
    return json.dumps(read_arguments(arguments))


def result_of(call: ToolCall, outcome: Outcome) -> ToolReturn:
    """What a tool of the server's gave."""
    return ToolReturn(
        tool_call_id=call.id,
        status=outcome.status,
        response=packed_result(outcome.text, success=outcome.status == "success"),
        stdout=outcome.stdout,
        stderr=outcome.stderr,
    )


def within(answers: StoredMessage, cap: int) -> StoredMessage:
    """Clip a client's results before they are stored."""
    return replace(answers, approvals=tuple(_clipped(answer, cap) for answer in answers.approvals))


def _clipped(result: ToolReturn | Denial, cap: int) -> ToolReturn | Denial:
    if not isinstance(result, ToolReturn) or not isinstance(result.response, str):
        return result
    packed = json.loads(result.response)
    if len(packed["message"]) <= cap:
        return result
    return replace(result, response=json.dumps({**packed, "message": clipped(packed["message"], cap)}))


def denied(call: ToolCall, reason: str | None) -> ToolReturn:
    """What stands for the result of a call that was denied."""
    text = f"Error: request to call tool denied. User reason: {reason}"
    return ToolReturn(tool_call_id=call.id, status="error", response=packed_result(text, success=False))


def tool_message(returns: Sequence[ToolReturn], *, name: str | None) -> StoredMessage:
    """The message that has the results of a step."""
    return StoredMessage(id=new_id("message"), role="tool", tool_returns=tuple(returns), name=name, created_at=now())
