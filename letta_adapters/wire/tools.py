"""Tool calls and their answers, as they stand inside messages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from letta_adapters.wire.base import WireModel
from letta_adapters.wire.content import ContentPart

__all__ = ["Approval", "ApprovalReturn", "ToolCall", "ToolCallDelta", "ToolReturn"]


class ToolCall(WireModel):
    """A whole tool call; `arguments` is JSON text, as the model wrote it."""

    name: str
    arguments: str
    tool_call_id: str


class ToolCallDelta(WireModel):
    """A piece of a tool call in a token stream: the name comes once, the arguments bit by bit."""

    name: str | None = None
    arguments: str | None = None
    tool_call_id: str | None = None


class ToolReturn(WireModel):
    """The result of a tool that a client ran.

    The reference calls the inner `type` optional; a self-hosted server insists on it, so it is always sent.
    """

    type: Literal["tool"] = "tool"
    tool_call_id: str
    tool_return: str | list[ContentPart]
    status: Literal["success", "error"] = "success"
    stdout: list[str] | None = None
    stderr: list[str] | None = None


class ApprovalReturn(WireModel):
    """A person's (or a policy's) decision on a call; `approve=False` denies it."""

    type: Literal["approval"] = "approval"
    tool_call_id: str
    approve: bool
    reason: str | None = None


Approval = Annotated[ToolReturn | ApprovalReturn, Field(discriminator="type")]
"""The answer to one pending call."""
