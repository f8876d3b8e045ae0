"""Translation between LangChain messages and the neutral transcript and turn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.content import ContentBlock

from langchain_letta.decisions import decision_of
from langchain_letta.server_calls import server_calls_of
from letta_adapters.transcript import (
    Anchor,
    AssistantEntry,
    Call,
    Content,
    Entry,
    HumanEntry,
    SystemEntry,
    ToolEntry,
    Transcript,
)
from letta_adapters.wire import Base64Image, ImageContent, LettaImage, TextContent, UrlImage

__all__ = ["ANCHOR_KEY", "RUN_KEY", "calls_in", "from_langchain"]

ANCHOR_KEY = "letta"
"""Where an answer's anchor stands in `AIMessage.response_metadata`."""


RUN_KEY = "letta_run"
"""Where the first chunk of an answer says which run gives it, in `AIMessageChunk.response_metadata`."""


def from_langchain(messages: Sequence[BaseMessage]) -> Transcript:
    """Translate a list of messages, each when it is looked at.

    Looking at a message, or at a content part, of a kind that Letta cannot take raises a `ValueError` that says which
    and where.
    """
    return Transcript(messages, _entry)


def _entry(message: BaseMessage, position: int) -> Entry:
    match message:
        case SystemMessage():
            return SystemEntry(text=_only_text(message, position), id=message.id)
        case HumanMessage():
            return HumanEntry(content=_content(message, position), id=message.id, name=message.name)
        case AIMessage():
            return AssistantEntry(
                text=_text(message),
                calls=calls_in(message),
                server_calls=server_calls_of(message),
                anchor=Anchor.from_metadata(message.response_metadata.get(ANCHOR_KEY))
                or Anchor.from_metadata(message.response_metadata.get(RUN_KEY)),
                id=message.id,
                name=message.name,
            )
        case ToolMessage() if (decision := decision_of(message)) is not None:
            return ToolEntry(
                tool_call_id=message.tool_call_id,
                content=decision.reason or "",
                approve=decision.approve,
                name=message.name,
                id=message.id,
            )
        case ToolMessage():
            return ToolEntry(
                tool_call_id=message.tool_call_id,
                content=_result(message, position),
                status=message.status,
                name=message.name,
                id=message.id,
            )
        case FunctionMessage():
            return HumanEntry(content=f"[The function {message.name} answered: {_text(message)}]", id=message.id)
        case ChatMessage():
            return _by_role(message, position)
        case _:
            raise ValueError(f"Message {position} is a {type(message).__name__}, which cannot be sent to Letta.")


def _by_role(message: ChatMessage, position: int) -> Entry:
    match message.role:
        case "user" | "human":
            return HumanEntry(content=_content(message, position), id=message.id, name=message.name)
        case "assistant" | "ai":
            return AssistantEntry(text=_text(message), id=message.id, name=message.name)
        case "system" | "developer":
            return SystemEntry(text=_only_text(message, position), id=message.id)
        case role:
            raise ValueError(f"Message {position} has the role {role!r}, which Letta does not have.")


def _text(message: BaseMessage) -> str:
    return str(message.text)


def _only_text(message: BaseMessage, position: int) -> str:
    if any(not isinstance(part, TextContent) for part in _content(message, position) if not isinstance(part, str)):
        raise ValueError(
            f"A Letta agent takes only text as instructions; message {position} ({message.type}) has an image."
        )
    return _text(message)


def calls_in(message: AIMessage) -> tuple[Call, ...]:
    """The calls of an answer, those that nobody can read last."""
    valid = [
        Call(tool_call_id=call["id"] or "", name=call["name"], arguments=json.dumps(call["args"], ensure_ascii=False))
        for call in message.tool_calls
    ]
    invalid = [
        Call(tool_call_id=call["id"] or "", name=call["name"] or "", arguments=call["args"] or "")
        for call in message.invalid_tool_calls
    ]
    return tuple(valid + invalid)


def _content(message: BaseMessage, position: int) -> Content:
    if isinstance(message.content, str):
        return message.content
    # Standard blocks: LangChain knows how OpenAI, Anthropic and others spell an image.
    return tuple(
        _part(block, f"part {number} of message {position} ({message.type})")
        for number, block in enumerate(message.content_blocks)
    )


def _result(message: ToolMessage, position: int) -> Content:
    """What a tool gave back; a list that is no content is told as JSON, and so is a block of data in one that is.

    A result without any text or image breaks a self-hosted server's conversation for good (measured), so an empty one
    is told as an empty string or an empty list.
    """
    if isinstance(message.content, str):
        return message.content
    if not all((isinstance(block, dict) and "type" in block) or isinstance(block, str) for block in message.content):
        return json.dumps(message.content, ensure_ascii=False)
    parts = tuple(
        _data(block) or _part(block, f"part {number} of message {position} (tool)")
        for number, block in enumerate(message.content_blocks)
    )
    if any(not isinstance(part, TextContent) or part.text for part in parts):
        return parts
    return "" if parts else "[]"


def _data(block: ContentBlock) -> TextContent | None:
    """A block that is data of a kind of its own (`json`, `search_result`), as the agent can read it."""
    if block["type"] != "non_standard":
        return None
    value = block["value"]
    return TextContent(text=json.dumps(value["json"] if value.get("type") == "json" else value, ensure_ascii=False))


def _part(block: ContentBlock, where: str) -> TextContent | ImageContent:
    kind = block["type"]
    fields = cast("dict[str, Any]", block)
    if kind in ("text", "text-plain") and isinstance(fields.get("text"), str):
        return TextContent(text=fields["text"])
    if kind == "image":
        return _image(fields, where)
    if kind == "non_standard":
        kind = fields["value"].get("type", kind)
    raise ValueError(f"A Letta agent takes text and images; {where} is of type {kind!r}.")


def _image(block: dict[str, Any], where: str) -> ImageContent:
    extras: dict[str, Any] = block.get("extras") or {}
    if url := block.get("url"):
        return ImageContent(source=UrlImage(url=url))
    if data := block.get("base64"):
        media_type = block.get("mime_type")
        if not media_type:
            raise ValueError(f"The image of {where} has no `mime_type`.")
        return ImageContent(source=Base64Image(media_type=media_type, data=data, detail=extras.get("detail")))
    if file_id := block.get("file_id"):
        media_type, data, detail = block.get("mime_type"), extras.get("data"), extras.get("detail")
        return ImageContent(source=LettaImage(file_id=file_id, media_type=media_type, data=data, detail=detail))
    raise ValueError(f"The image of {where} has neither `url` nor `base64` nor `file_id`.")
