"""What the server stores: messages with their parts, tool calls and answers, independent of how they are shown."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Literal, cast

__all__ = [
    "Denial",
    "Role",
    "StoredMessage",
    "ToolCall",
    "ToolReturn",
    "clipped",
    "minus_one",
    "new_id",
    "now",
    "numbered_otid",
    "packed_result",
    "plain_text",
    "without_nulls",
]

Role = Literal["system", "user", "assistant", "tool", "approval"]
Part = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A tool call that the model made."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True)
class ToolReturn:
    """The result of a tool call; `response` is what the model sees."""

    tool_call_id: str
    status: Literal["success", "error"]
    response: str | list[Part]
    stdout: list[str] | None = None
    stderr: list[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Denial:
    """A yes or no to a tool call that waits for approval."""

    tool_call_id: str
    approve: bool
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class StoredMessage:
    """One stored message; a list shows it as one or more wire messages."""

    id: str
    role: Role
    content: tuple[Part, ...] = ()
    tool_calls: tuple[ToolCall, ...] | None = None
    tool_returns: tuple[ToolReturn, ...] = ()
    approvals: tuple[ToolReturn | Denial, ...] = ()
    name: str | None = None
    otid: str | None = None
    sender_id: str | None = None
    group_id: str | None = None
    step_id: str | None = None
    run_id: str | None = None
    conversation_id: str | None = None
    created_at: datetime
    sequence: int = 0

    @property
    def is_approval_request(self) -> bool:
        """Whether the calls in it wait for an answer."""
        return self.role == "approval" and bool(self.tool_calls)

    @property
    def is_approval_response(self) -> bool:
        """Whether it answers an approval request."""
        return self.role == "approval" and self.tool_calls is None


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(timezone.utc)


def new_id(prefix: str) -> str:
    """Make an id such as `message-<uuid4>`."""
    return f"{prefix}-{uuid.uuid4()}"


def minus_one(message_id: str) -> str:
    """Give the id just below: where the server puts the approval request of a step."""
    number = uuid.UUID(message_id.removeprefix("message-")).int - 1
    return f"message-{uuid.UUID(int=number)}"


def numbered_otid(message_id: str, index: int) -> str:
    """Give the otid of a message's part: the message's uuid with the part's number in its last seven bits."""
    number = uuid.UUID(message_id.removeprefix("message-")).int
    return str(uuid.UUID(int=(number & ~0x7F) | index))


def packed_result(text: Any, *, success: bool) -> str:
    """Pack a tool's result as the model sees it."""
    packed = {
        "status": "OK" if success else "Failed",
        "message": without_nulls(text),
        "time": now().strftime("%Y-%m-%d %I:%M:%S %p %Z%z"),
    }
    return json.dumps(packed, indent=2, ensure_ascii=False)


def without_nulls(value: Any) -> Any:
    """Leave out the null characters of all texts, which the server's database does not take."""
    match value:
        case str():
            return value.replace("\0", "")
        case list():
            return [without_nulls(part) for part in cast("list[Any]", value)]
        case tuple():
            return tuple(without_nulls(part) for part in cast("tuple[Any, ...]", value))
        case dict():
            return {name: without_nulls(part) for name, part in cast("dict[str, Any]", value).items()}
        case Denial():
            return replace(value, reason=without_nulls(value.reason))
        case _:
            return value


def clipped(text: str, cap: int) -> str:
    """Cut a text that is longer than `cap`, and say so."""
    return text if len(text) <= cap else f"{text[:cap]}... [truncated {len(text) - cap} chars]"


def plain_text(response: str | list[Part]) -> str:
    """Give a tool's result as text, with placeholders for images."""
    if isinstance(response, str):
        return response
    text = "\n".join(part["text"] for part in response if part.get("type") == "text" and part.get("text"))
    images = sum(1 for part in response if part.get("type") == "image")
    if not images:
        return text
    placeholder = "[Image omitted]" if images == 1 else f"[{images} images omitted]"
    return f"{text} {placeholder}" if text else placeholder
