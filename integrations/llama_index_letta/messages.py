"""Translation between LlamaIndex messages and the neutral transcript, content and turn."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from typing import Any, cast

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    ContentBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from typing_extensions import assert_never

from letta_adapters.events import (
    FinishedTurn,
    HiddenReasoning,
    Notice,
    PendingCall,
    Reasoning,
    ServerToolCall,
    ServerToolResult,
    Text,
    TurnPart,
)
from letta_adapters.transcript import (
    Anchor,
    AssistantEntry,
    Call,
    Content,
    Entry,
    HumanEntry,
    ServerCall,
    SystemEntry,
    ToolEntry,
    Transcript,
    anchor_of,
    sendable,
)
from letta_adapters.wire import (
    ContentPart,
    ImageContent,
    InputPart,
    OmittedReasoningContent,
    ReasoningContent,
    RedactedReasoningContent,
    SummarizedReasoningContent,
    TextContent,
    ToolCallContent,
    ToolReturnContent,
    Unknown,
)
from llama_index_letta.images import CannotRead, image_block, image_content
from llama_index_letta.token_data import aside_of

__all__ = [
    "DECISION_KEY",
    "LETTA_KEY",
    "WAITS_KEY",
    "Message",
    "arguments_in",
    "blocks_from_content",
    "blocks_from_turn",
    "from_llama_index",
    "letta_of",
    "message_from_turns",
    "tool_kwargs",
    "user_input",
]

LETTA_KEY = "letta"
"""Where a message says what it was made of, in `ChatMessage.additional_kwargs`."""

WAITS_KEY = "waits"
"""Where it says there which calls the server runs once a person agrees: their ids."""

DECISION_KEY = "letta_approve"
"""Where a tool message says what a person decided, in `ChatMessage.additional_kwargs`."""

Message = str | ChatMessage | Sequence[ContentBlock]
"""What a user says: a text, a message, or the blocks of one."""

_OURS = "A Letta agent takes text and images"


# What is sent.


def user_input(message: Message) -> str | list[InputPart]:
    """Translate what a user says into what the API takes: a text, or texts and images in order.

    Raises:
        TypeError: It is none of the three.
        ValueError: It is empty, it is not a user's, or a block is of a kind that Letta does not take; the error names
            the block's type and position.
    """
    if isinstance(message, ChatMessage) and message.role is not MessageRole.USER:
        raise ValueError(f"A chat engine sends what a user says; this message has the role {message.role.value!r}.")
    content = message if isinstance(message, str) else _content(_blocks(message), "the message")
    if not content or (not isinstance(content, str) and not any(_says(part) for part in content)):
        raise ValueError("There is nothing to send: the message is empty.")
    return sendable(content) if isinstance(content, str) else list(content)


def from_llama_index(messages: Sequence[ChatMessage]) -> Transcript:
    """Translate a list of messages, each when it is looked at.

    Looking at a message, or at a block, of a kind that Letta cannot take raises a `ValueError` that says which and
    where.
    """
    return Transcript(messages, _entry)


def _entry(message: ChatMessage, position: int) -> Entry:
    where = f"message {position} ({message.role.value})"
    match message.role:
        case MessageRole.SYSTEM | MessageRole.DEVELOPER:
            return SystemEntry(text=_only_text(message, where))
        case MessageRole.USER:
            return HumanEntry(content=_content(message.blocks, where))
        case MessageRole.ASSISTANT | MessageRole.CHATBOT | MessageRole.MODEL:
            letta = letta_of(message)
            waits: Collection[object] = (letta or {}).get(WAITS_KEY) or ()
            calls = _calls(message)
            return AssistantEntry(
                text=message.content or "",
                calls=tuple(call for call in calls if call.tool_call_id not in waits),
                server_calls=tuple(ServerCall(call=call, waits=True) for call in calls if call.tool_call_id in waits),
                anchor=Anchor.from_metadata(letta),
            )
        case MessageRole.TOOL | MessageRole.FUNCTION:
            return _result(message, where)
        case _:
            assert_never(message.role)


def _result(message: ChatMessage, where: str) -> Entry:
    kwargs = message.additional_kwargs
    name = kwargs.get("name")
    call_id = kwargs.get("tool_call_id")
    if not isinstance(call_id, str) or not call_id:
        return HumanEntry(content=f"[A tool{f' ({name})' if name else ''} answered: {message.content or ''}]")
    return ToolEntry(
        tool_call_id=call_id,
        content=_content(message.blocks, where),
        status="error" if kwargs.get("is_error") else "success",
        approve=kwargs.get(DECISION_KEY),
        name=name if isinstance(name, str) else None,
    )


def _calls(message: ChatMessage) -> tuple[Call, ...]:
    return tuple(
        Call(
            tool_call_id=block.tool_call_id or "",
            name=block.tool_name,
            arguments=arguments_in(block),
        )
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    )


def arguments_in(block: ToolCallBlock) -> str:
    """The arguments of a call as JSON text, or as the text that is none."""
    kwargs = block.tool_kwargs
    return kwargs if isinstance(kwargs, str) else json.dumps(kwargs, ensure_ascii=False)


def _only_text(message: ChatMessage, where: str) -> str:
    content = _content(message.blocks, where)
    if not isinstance(content, str):
        raise ValueError(f"Instructions are text; {where} has an image.")
    return content


def _blocks(message: object) -> Sequence[ContentBlock]:
    if isinstance(message, ChatMessage):
        return message.blocks
    if not isinstance(message, Sequence):
        raise TypeError(f"A message is a text, a ChatMessage or a list of blocks, not {type(message).__name__}.")
    blocks: list[Any] = [TextBlock(text=one) if isinstance(one, str) else one for one in cast("Sequence[Any]", message)]
    return blocks


def _content(blocks: Sequence[ContentBlock], where: str) -> Content:
    """Blocks as content: texts alone as one text, as LlamaIndex joins them."""
    parts = [
        _part(block, f"block {number} of {where}")
        for number, block in enumerate(blocks)
        if not isinstance(block, CachePoint)
    ]
    texts = [part.text for part in parts if isinstance(part, TextContent)]
    return "\n".join(texts) if len(texts) == len(parts) else tuple(parts)


def _part(block: object, where: str) -> TextContent | ImageContent:
    if isinstance(block, TextBlock):
        return TextContent(text=sendable(block.text))
    kind = getattr(block, "block_type", type(block).__name__)
    try:
        part = image_content(block)
    except CannotRead as error:
        raise ValueError(f"The image in {where} cannot be sent: {error}") from error
    if part is None:
        raise ValueError(f"{_OURS}; {where} is of type {kind!r}.")
    return part


def _says(part: TextContent | ImageContent) -> bool:
    return isinstance(part, ImageContent) or bool(part.text)


# What comes back.


def letta_of(message: ChatMessage) -> dict[str, Any] | None:
    """What a message was made of, if it came from a Letta server."""
    found = message.additional_kwargs.get(LETTA_KEY)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def message_from_turns(turns: Sequence[FinishedTurn], *, direct: str | None = None) -> ChatMessage:
    """One message of an answer, however many rounds it took.

    Its blocks are thoughts, calls and texts in the order in which they came. `additional_kwargs["letta"]` has the ids
    of the last round (an anchor), under `parts` everything that came, results of the server's tools included, and what
    `aside_of` tells.

    Args:
        turns: The rounds, at least one.
        direct: The text of tools whose result is the answer.
    """
    blocks = [block for turn in turns for block in blocks_from_turn(turn)]
    if direct is not None:
        blocks.append(TextBlock(text=direct))
    anchor = anchor_of(turns[-1], system_hash=None).model_dump(mode="json", exclude_defaults=True)
    parts = [_told(part) for turn in turns for part in turn.parts]
    letta = {**anchor, "parts": parts, **aside_of(turns)}
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs={LETTA_KEY: letta})


def blocks_from_turn(turn: FinishedTurn) -> list[ContentBlock]:
    """What of a turn LlamaIndex has blocks for."""
    return [block for part in turn.parts if (block := _block_of_part(part)) is not None]


def _block_of_part(part: TurnPart) -> ContentBlock | None:
    match part:
        case Text():
            return TextBlock(text=part.text)
        case Reasoning():
            return ThinkingBlock(content=part.text, additional_information=_known(signature=part.signature))
        case HiddenReasoning():
            return ThinkingBlock(additional_information=_known(state=part.state, data=part.text))
        case ServerToolCall() | PendingCall():
            return ToolCallBlock(
                tool_call_id=part.tool_call_id, tool_name=part.name, tool_kwargs=tool_kwargs(part.arguments)
            )
        case ServerToolResult() | Notice():
            return None
        case _:
            assert_never(part)


def _told(part: TurnPart) -> dict[str, Any]:
    """A part as JSON."""
    kind = type(part).__name__
    if isinstance(part, Notice):
        raw = part.message.model_dump(mode="json", exclude_unset=True)
        # A summary that a server packed has its type from us, so nobody set it.
        known = {} if isinstance(part.message, Unknown) else {"message_type": part.message.message_type}
        return {"kind": kind, "message": {**raw, **known}}
    told: dict[str, Any] = {"kind": kind, **_known(**asdict(part))}
    del told["index"]
    if isinstance(part, ServerToolResult) and not isinstance(part.content, str):
        told["content"] = [one.model_dump(mode="json", exclude_none=True) for one in part.content]
    return told


def tool_kwargs(arguments: str) -> dict[str, Any] | str:
    """The arguments of a call as LlamaIndex keeps them: an object, else the text that is none."""
    try:
        value: Any = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments
    return cast("dict[str, Any]", value) if isinstance(value, dict) else arguments


def blocks_from_content(content: str | Iterable[ContentPart | Unknown]) -> list[ContentBlock]:
    """Translate a stored content; a part of a type that is not known has no block."""
    if isinstance(content, str):
        return [TextBlock(text=content)]
    return [block for part in content if (block := _block(part)) is not None]


def _block(part: ContentPart | Unknown) -> ContentBlock | None:
    match part:
        case TextContent():
            return TextBlock(text=part.text)
        case ImageContent():
            return image_block(part)
        case ReasoningContent():
            return ThinkingBlock(content=part.reasoning, additional_information=_known(signature=part.signature))
        case RedactedReasoningContent():
            return ThinkingBlock(additional_information={"state": "redacted", "data": part.data})
        case OmittedReasoningContent():
            return ThinkingBlock(additional_information=_known(state="omitted", signature=part.signature))
        case SummarizedReasoningContent():
            return ThinkingBlock(content="\n".join(one.text for one in part.summary))
        case ToolCallContent():
            return ToolCallBlock(tool_call_id=part.id, tool_name=part.name, tool_kwargs=part.input)
        case ToolReturnContent():
            return TextBlock(text=part.content)
        case Unknown():
            return None
        case _:
            assert_never(part)


def _known(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
