"""What the scenarios send: messages, answers to calls, tools."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.contract.wire import Json

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A PNG of one pixel, base64."""

ADD: Json = {
    "name": "add",
    "description": "Add two numbers.",
    "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}},
}
MULTIPLY: Json = {**ADD, "name": "multiply", "description": "Multiply two numbers."}
CLIENT_TOOLS: list[Json] = [ADD, MULTIPLY]


def new_otid() -> str:
    return str(uuid4())


def new_gate() -> str:
    return f"gate-{uuid4().hex}"


def message(role: str, content: Any, otid: str | None = None) -> Json:
    return {"type": "message", "role": role, "content": content, "otid": otid or new_otid()}


def user(content: Any, otid: str | None = None) -> Json:
    return message("user", content, otid)


def system(content: str) -> Json:
    return message("system", content)


def assistant(content: str) -> Json:
    return message("assistant", content)


def result(call_id: str, value: Any, **fields: Any) -> Json:
    """The inner part of an approval message that carries a client tool's result."""
    return {"type": "tool", "tool_call_id": call_id, "tool_return": value, "status": "success", **fields}


def denial(call_id: str, reason: str) -> Json:
    return {"type": "approval", "tool_call_id": call_id, "approve": False, "reason": reason}


def consent(call_id: str) -> Json:
    return {"type": "approval", "tool_call_id": call_id, "approve": True}


def answers(*parts: Json, otid: str | None = None) -> Json:
    """The one message that answers pending calls."""
    return {"type": "approval", "approvals": list(parts), "otid": otid or new_otid()}
