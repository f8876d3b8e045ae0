"""Parts of a turn as LangChain's standard content blocks and tool calls: the same in chunks, messages and events."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, cast

from langchain_core.messages import InvalidToolCall, ToolCall
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.utils.json import parse_partial_json
from typing_extensions import assert_never

from letta_adapters.events import (
    HiddenReasoning,
    Notice,
    PendingCall,
    Reasoning,
    ServerToolCall,
    ServerToolResult,
    Text,
    TurnPart,
)
from letta_adapters.wire import EventMessage, SummaryMessage, Unknown

__all__ = [
    "WAITS",
    "Block",
    "Bound",
    "arguments_in",
    "block_of",
    "call_chunk",
    "call_of",
    "invalid_call_of",
    "is_ours",
    "legible",
    "reasoning_block",
]

Block = dict[str, Any]
"""A standard content block; `langchain_core` has a type for each kind, and its messages take plain dicts."""

Bound = Collection[str] | None
"""Names of the tools that the program runs; `None` where every call that waits is one of theirs."""

WAITS = "requires_approval"
"""Marks, among a block's extras, a call that the server runs itself once a person agrees."""


def is_ours(call: PendingCall, bound: Bound) -> bool:
    """Whether a call that waits is one of the program's own tools: both kinds look alike on the wire (measured)."""
    return bound is None or call.name in bound


def block_of(part: TurnPart) -> Block:
    """The block of a part; a pending call becomes that of a server's call that waits for a person."""
    match part:
        case Text():
            return {"type": "text", "text": part.text, "index": part.index}
        case Reasoning():
            return reasoning_block(part.index, part.text, part.signature)
        case HiddenReasoning():
            extras = {"state": part.state, "hidden_reasoning": part.text}
            return {"type": "reasoning", "reasoning": "", "extras": extras, "index": part.index}
        case ServerToolCall():
            return _server_call(part)
        case PendingCall():
            return _server_call(part, waits=True)
        case ServerToolResult():
            return _server_result(part)
        case Notice():
            return {"type": "non_standard", "value": _note(part.message), "index": part.index}
        case _:
            assert_never(part)


def arguments_in(block: Block) -> str:
    """The arguments of a server's call as JSON text, or as the text that is no JSON."""
    extras: Any = block.get("extras") or {}
    return extras.get("arguments") or json.dumps(block.get("args") or {}, ensure_ascii=False, default=str)


def _note(message: SummaryMessage | EventMessage | Unknown) -> Any:
    value = message.model_dump(mode="json", exclude_none=True)
    # What an event tells may be null, and is no field of ours to leave out.
    return {**value, "event_data": message.event_data} if isinstance(message, EventMessage) else value


def reasoning_block(index: int, text: str, signature: str | None) -> Block:
    """The block of a piece of reasoning."""
    block: Block = {"type": "reasoning", "reasoning": text, "index": index}
    if signature:
        block["extras"] = {"signature": signature}
    return block


def call_of(call: PendingCall) -> ToolCall | None:
    """A call of one of the program's tools; `None` where its arguments are no JSON object."""
    arguments = _json_object(call.arguments)
    if arguments is None:
        return None
    return ToolCall(type="tool_call", id=call.tool_call_id, name=call.name, args=arguments)


def invalid_call_of(call: PendingCall) -> InvalidToolCall:
    """A call of one of the program's tools whose arguments nobody can read."""
    return InvalidToolCall(
        type="invalid_tool_call",
        id=call.tool_call_id,
        name=call.name,
        args=_unrepairable(call.arguments),
        error="The arguments are not a JSON object.",
    )


def legible(arguments: str) -> str:
    """The arguments of a call as the agent wrote them, which a call that nobody can read may have as a JSON string."""
    try:
        inner: Any = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return inner if isinstance(inner, str) and _unrepairable(inner) == arguments else arguments


def call_chunk(call: PendingCall) -> ToolCallChunk:
    """A call of one of the program's tools, as a stream tells it."""
    broken = _json_object(call.arguments) is None
    arguments = _unrepairable(call.arguments) if broken else call.arguments
    # The index is the part's: LangChain joins blocks and calls by it alike.
    return tool_call_chunk(name=call.name, args=arguments, id=call.tool_call_id, index=call.index)


def _server_call(part: ServerToolCall | PendingCall, *, waits: bool = False) -> Block:
    arguments = _json_object(part.arguments)
    extras: Block = {WAITS: True} if waits else {}
    if arguments is None:
        extras["arguments"] = part.arguments
    block: Block = {
        "type": "server_tool_call",
        "id": part.tool_call_id,
        "name": part.name,
        "args": arguments or {},
        "index": part.index,
    }
    return {**block, "extras": extras} if extras else block


def _server_result(part: ServerToolResult) -> Block:
    logs = {name: lines for name, lines in (("stdout", part.stdout), ("stderr", part.stderr)) if lines}
    content = part.content
    block: Block = {
        "type": "server_tool_result",
        "tool_call_id": part.tool_call_id,
        "status": part.status,
        "output": content
        if isinstance(content, str)
        else [item.model_dump(mode="json", exclude_none=True) for item in content],
        "index": part.index,
    }
    return {**block, "extras": logs} if logs else block


def _json_object(text: str) -> dict[str, Any] | None:
    """Parse arguments; none at all are an empty object, broken ones are `None`."""
    if not text.strip():
        return {}
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _unrepairable(arguments: str) -> str:
    """Broken arguments that stay broken: LangChain mends what was cut off, and a tool would run with half of them.

    As a JSON string they are still legible, and no object.
    """
    try:
        mended = parse_partial_json(arguments)
    except ValueError:
        return arguments
    return json.dumps(arguments, ensure_ascii=False) if isinstance(mended, dict) else arguments
