"""A person's decision on a call that the server runs itself: how a program is asked for it, and how it answers.

A tool of the server's may wait for a person (`requires_approval` on the agent's tool). Its call is content of the
answer, a `server_tool_call` block, and never one of the `tool_calls` that a framework would run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, cast

from langchain_core.messages import BaseMessage, ToolMessage

from langchain_letta.blocks import WAITS

__all__ = [
    "ApprovalRequest",
    "Decision",
    "approval_requests",
    "approval_result",
    "decision_kwargs",
    "decision_of",
    "waiting_blocks",
]

_KEY = "letta_approval"
"""Where a decision stands in `ToolMessage.additional_kwargs`."""


class ApprovalRequest(TypedDict):
    """A call that waits for a person: plain data, fit for a LangGraph `interrupt`."""

    tool_call_id: str
    name: str
    args: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person decided, and why."""

    approve: bool
    reason: str | None = None


def approval_requests(message: BaseMessage) -> list[ApprovalRequest]:
    """The calls in an answer that wait for a person's decision; the server runs those that are approved.

    Example:
        ```python
        from langchain_core.messages import AIMessage
        from langchain_letta import approval_requests

        block = {"type": "server_tool_call", "id": "call_1", "name": "send_mail", "args": {"to": "ann@example.com"}}
        answer = AIMessage([{**block, "extras": {"requires_approval": True}}])
        print(approval_requests(answer))
        ```
    """
    return [
        ApprovalRequest(tool_call_id=block["id"], name=block["name"], args=block["args"])
        for block in waiting_blocks(message)
    ]


def waiting_blocks(message: BaseMessage) -> list[dict[str, Any]]:
    """The blocks of these calls."""
    if isinstance(message.content, str):
        return []
    blocks = [cast("dict[str, Any]", block) for block in message.content_blocks if block["type"] == "server_tool_call"]
    return [block for block in blocks if WAITS in (block.get("extras") or ())]


def approval_result(tool_call_id: str, approve: bool, reason: str | None = None) -> ToolMessage:
    """The message that carries a person's decision on a call of the server's own tools.

    Pass it like a tool's result: after the answer that asked. The decisions on all its calls, and the results of the
    program's own tools, go out together. Only calls that `approval_requests` lists can be approved.

    Args:
        tool_call_id: The call.
        approve: Whether the server may run it.
        reason: Why; the agent is told the reason of a denial.

    Example:
        ```python
        from langchain_letta import approval_result

        print(approval_result("call_1", False, "Not on a Sunday.").text)
        ```
    """
    said = "Approved" if approve else "Denied"
    return ToolMessage(
        content=f"{said}: {reason}" if reason else f"{said}.",
        tool_call_id=tool_call_id,
        status="success" if approve else "error",
        additional_kwargs=decision_kwargs(approve=approve, reason=reason),
    )


def decision_kwargs(*, approve: bool, reason: str | None) -> dict[str, Any]:
    """What marks a message as a decision, in its `additional_kwargs`."""
    return {_KEY: {"approve": approve, "reason": reason}}


def decision_of(message: ToolMessage) -> Decision | None:
    """The decision that a message carries; `None` where it is a tool's result."""
    data: object = message.additional_kwargs.get(_KEY)
    if not isinstance(data, Mapping):
        return None
    fields = cast("Mapping[str, object]", data)
    approve, reason = fields.get("approve"), fields.get("reason")
    if not isinstance(approve, bool):
        return None
    return Decision(approve=approve, reason=reason if isinstance(reason, str) else None)
