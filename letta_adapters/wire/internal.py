"""A message as the server keeps it, before it is shown as rows; some of the API's endpoints answer with it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from letta_adapters.wire.base import WireModel
from letta_adapters.wire.content import ContentPart
from letta_adapters.wire.tools import ApprovalReturn

__all__ = ["FunctionCall", "InternalMessage", "InternalToolCall", "InternalToolReturn", "MessageRole"]

MessageRole = Literal["assistant", "user", "tool", "function", "system", "approval", "summary"]


class FunctionCall(WireModel):
    """The function of a call; `arguments` is JSON text."""

    name: str
    arguments: str


class InternalToolCall(WireModel):
    """A tool call as OpenAI spells it."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class InternalToolReturn(WireModel):
    """A tool's result."""

    status: Literal["success", "error"]
    tool_call_id: Any = None
    func_response: str | list[ContentPart] | None = None
    stdout: list[str] | None = None
    stderr: list[str] | None = None


class InternalMessage(WireModel):
    """A stored message in one piece: its content parts, its calls, its results and the answers to its calls."""

    id: str
    role: MessageRole
    agent_id: str | None = None
    conversation_id: str | None = None
    run_id: str | None = None
    step_id: str | None = None
    group_id: str | None = None
    batch_item_id: str | None = None
    sender_id: str | None = None
    otid: str | None = None
    name: str | None = None
    model: str | None = None
    content: list[ContentPart] | None = None
    tool_calls: list[InternalToolCall] | None = None
    tool_call_id: str | None = None
    tool_returns: list[InternalToolReturn] | None = None
    approvals: list[ApprovalReturn | InternalToolReturn] | None = None
    approve: bool | None = None
    approval_request_id: str | None = None
    denial_reason: str | None = None
    is_err: bool | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    created_by_id: str | None = None
    last_updated_by_id: str | None = None
