"""The neutral transcript: what a framework passes on every call, and the anchor that says where the server stands.

Frameworks hand over the whole dialogue each time. An `Anchor` rides in the metadata of every answer, so that the next
call can tell what the server has already.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeVar, overload

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

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
    "ServerCall",
    "SystemEntry",
    "ToolEntry",
    "Transcript",
    "anchor_of",
    "sendable",
    "trusted",
    "without_anchors",
]

M = TypeVar("M")

Content = str | tuple[TextContent | ImageContent, ...]
"""What people and tools say: text, or text and images."""


_ID = re.compile(r"default|(agent|conv|run|message)-[A-Za-z0-9_.-]+")


def sendable(text: str) -> str:
    """The text without lone surrogates, which no server takes; programs read them from broken output."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


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
        transcript_length: How many messages the transcript had that was answered, after its leading system messages.
        transcript_digest: The sum of their digests.
        asked_at: Where in the transcript, after its leading system messages, the last words of a person stood.
        nudged: Whether the answer was asked for by naming tools that had to be called.
        ephemeral: Whether the conversation is deleted when the turn has ended for good.
        signature: What proves that nobody made it up, where anchors are signed.
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
    transcript_length: int | None = None
    transcript_digest: Annotated[str | None, Field(pattern="^[0-9a-f]{16}$")] = None
    asked_at: Annotated[int, Field(ge=0)] | None = None
    nudged: bool = False
    ephemeral: bool = False
    signature: str | None = None

    def to_metadata(self) -> dict[str, Any]:
        """The anchor as plain JSON data."""
        unsaid = {name for name in ("nudged", "ephemeral", "signature") if not getattr(self, name)}
        return self.model_dump(mode="json", exclude=unsaid)

    @property
    def is_over(self) -> bool:
        """Whether its conversation was deleted with the end of the turn."""
        return self.ephemeral and not self.pending

    @property
    def is_partial(self) -> bool:
        """Whether it is of an answer whose end was not seen: its run is known, its last message is not."""
        return self.message_id is None and self.run_id is not None

    def signed(self, key: str) -> Anchor:
        """The anchor with a signature (HMAC-SHA256 of everything else in it)."""
        return self.model_copy(update={"signature": self._signature(key)})

    def is_signed(self, key: str) -> bool:
        """Whether its signature was made with this key and nothing was changed since."""
        return self.signature is not None and hmac.compare_digest(self.signature, self._signature(key))

    def _signature(self, key: str) -> str:
        # Without defaults, so that anchors that were signed before a field was added stay valid.
        body = json.dumps(self.model_dump(mode="json", exclude={"signature"}, exclude_defaults=True), sort_keys=True)
        return hmac.new(key.encode(), body.encode(), hashlib.sha256).hexdigest()

    @classmethod
    def from_metadata(cls, data: object) -> Anchor | None:
        """Read an anchor back; anything else than one gives `None`."""
        if not isinstance(data, Mapping):
            return None
        try:
            anchor = cls.model_validate(data)
        except ValidationError:
            return None
        ids = (anchor.agent_id, anchor.conversation_id, anchor.run_id, anchor.message_id)
        return anchor if all(one is None or _ID.fullmatch(one) for one in ids) else None


def anchor_of(
    turn: FinishedTurn,
    *,
    system_hash: str | None,
    transcript_length: int | None = None,
    transcript_digest: str | None = None,
    asked_at: int | None = None,
    nudged: bool = False,
    ephemeral: bool = False,
) -> Anchor:
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
        transcript_length=transcript_length,
        transcript_digest=transcript_digest,
        asked_at=asked_at,
        nudged=nudged,
        ephemeral=ephemeral,
    )


@dataclass(frozen=True, kw_only=True)
class Call:
    """A tool call in a transcript; `arguments` is JSON text."""

    tool_call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True)
class ServerCall:
    """A call that a model's own server runs, and what came of it as far as it is known.

    Args:
        call: The call.
        result: What the tool gave back.
        status: Whether it was a result.
        waits: Whether it waits for a person's decision.
    """

    call: Call
    result: str | None = None
    status: Literal["success", "error"] = "success"
    waits: bool = False


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
    """What a model said, ours or another's; `calls` are the program's to answer, `server_calls` are not."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    server_calls: tuple[ServerCall, ...] = ()
    anchor: Anchor | None = None
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class ToolEntry:
    """What a tool gave back; with `approve`, what a person decided on a call that the server runs, and why."""

    tool_call_id: str
    content: Content
    status: Literal["success", "error"] = "success"
    approve: bool | None = None
    name: str | None = None
    id: str | None = None


Entry = SystemEntry | HumanEntry | AssistantEntry | ToolEntry
"""One message of a transcript."""


class Transcript(Sequence[Entry]):
    """A transcript whose messages are translated when they are looked at, once each.

    What a conversation knows already is not looked at, so a turn costs the same however long the dialogue is.

    Args:
        messages: The messages of a framework.
        translate: Makes an entry out of a message and its position; may raise `ValueError`.
    """

    def __init__(self, messages: Sequence[M], translate: Callable[[M, int], Entry]) -> None:
        self._entries: dict[int, Entry] = {}
        self._length = len(messages)

        def at(position: int) -> Entry:
            return translate(messages[position], position)

        self._translate = at

    def __len__(self) -> int:
        """How many messages there are."""
        return self._length

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        """The entry at a position, or those of a slice."""
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(self._length))]
        position = range(self._length)[index]
        if position not in self._entries:
            self._entries[position] = self._translate(position)
        return self._entries[position]


def without_anchors(transcript: Sequence[Entry], unwanted: Callable[[Anchor], bool]) -> Transcript:
    """The transcript without certain anchors: their answers are then told like anybody's."""

    def checked(entry: Entry, _: int) -> Entry:
        anchored = isinstance(entry, AssistantEntry) and entry.anchor is not None and unwanted(entry.anchor)
        return replace(entry, anchor=None) if anchored else entry

    return Transcript(transcript, checked)


def trusted(transcript: Sequence[Entry], key: str) -> Transcript:
    """The transcript without anchors that were not signed with this key."""
    return without_anchors(transcript, lambda anchor: not anchor.is_signed(key))
