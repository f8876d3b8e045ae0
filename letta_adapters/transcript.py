"""The neutral transcript: what a framework passes on every call, and the anchor that says where the server stands.

Frameworks hand over the whole dialogue each time. An `Anchor` rides in the metadata of every answer, so that the next
call can tell what the server has already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from letta_adapters.events import FinishedTurn
from letta_adapters.wire import ImageContent, TextContent

__all__ = [
    "Anchor",
    "AssistantEntry",
    "Call",
    "Content",
    "Entry",
    "HumanEntry",
    "PendingRef",
    "SystemEntry",
    "ToolEntry",
    "anchor_of",
]

Content = str | tuple[TextContent | ImageContent, ...]
"""What people and tools say: text, or text and images."""


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


class PendingRef(BaseModel):
    """A call that the server waits for."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tool_call_id: str
    name: str


class Anchor(BaseModel):
    """Where a conversation stood when an answer was given.

    Args:
        agent_id: The agent; `None` where only the conversation was known.
        conversation_id: The conversation, `default` for the agent's default one.
        run_id: The run that answered.
        message_id: The last message of the turn; what comes after it is new.
        message_ids: All messages of the turn.
        stop_reason: Why the turn ended.
        pending: The calls that the server waits for.
        system_hash: Digest of the leading system text that the conversation has been told.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    agent_id: str | None = None
    conversation_id: str
    run_id: str | None = None
    message_id: str | None = None
    message_ids: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()
    stop_reason: str | None = None
    pending: Annotated[tuple[PendingRef, ...], BeforeValidator(_as_tuple)] = ()
    system_hash: str | None = None

    def to_metadata(self) -> dict[str, Any]:
        """The anchor as plain JSON data."""
        return self.model_dump(mode="json")

    @classmethod
    def from_metadata(cls, data: object) -> Anchor | None:
        """Read an anchor back; anything else than one gives `None`."""
        if not isinstance(data, Mapping):
            return None
        try:
            return cls.model_validate(data)
        except ValidationError:
            return None


def anchor_of(turn: FinishedTurn, *, system_hash: str | None) -> Anchor:
    """The anchor that belongs to an answer."""
    return Anchor(
        agent_id=turn.agent_id,
        conversation_id=turn.conversation_id,
        run_id=turn.run_id,
        message_id=turn.message_ids[-1] if turn.message_ids else None,
        message_ids=turn.message_ids,
        stop_reason=turn.stop_reason,
        pending=tuple(PendingRef(tool_call_id=call.tool_call_id, name=call.name) for call in turn.pending),
        system_hash=system_hash,
    )


@dataclass(frozen=True, kw_only=True)
class Call:
    """A tool call in a transcript; `arguments` is JSON text."""

    tool_call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True)
class SystemEntry:
    """Instructions."""

    text: str
    id: str | None = None


@dataclass(frozen=True, kw_only=True)
class HumanEntry:
    """What the user said."""

    content: Content
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class AssistantEntry:
    """What a model said, ours or another's."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    anchor: Anchor | None = None
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class ToolEntry:
    """What a tool gave back."""

    tool_call_id: str
    content: Content
    status: Literal["success", "error"] = "success"
    name: str | None = None
    id: str | None = None


Entry = SystemEntry | HumanEntry | AssistantEntry | ToolEntry
"""One message of a transcript."""
