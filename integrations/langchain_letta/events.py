"""Turn events as LangChain chunks, and a finished turn as one `AIMessage`.

A turn that is only text has a plain string as its content; otherwise the content is standard blocks in order. In a
stream the first text goes out as plain strings, before it is known whether anything else follows: LangChain joins
strings and blocks, and the joined chunks have the same `content_blocks`, calls, usage and metadata as the message.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.utils.json import parse_partial_json
from typing_extensions import assert_never

from langchain_letta.messages import ANCHOR_KEY, RUN_KEY
from letta_adapters.delivery_steps import Delivered
from letta_adapters.events import (
    AnswerStarted,
    FinishedTurn,
    HiddenReasoning,
    Notice,
    PendingCall,
    Reasoning,
    ReasoningDelta,
    ServerToolCall,
    ServerToolResult,
    Text,
    TextDelta,
    TurnDelta,
    TurnEvent,
    TurnPart,
    TurnStarted,
)
from letta_adapters.transcript import Anchor
from letta_adapters.wire import UsageStatistics

__all__ = ["Begun", "Chunks", "message_from"]

Begun = Callable[[str, str | None], Anchor]
"""Makes the anchor of an answer that has only begun, out of its conversation and its run."""

Block = dict[str, Any]

_FINISH_REASONS = {"end_turn": "stop", "requires_approval": "tool_calls", "max_tokens_exceeded": "length"}


class Chunks:
    """Turns the events of one turn into chunks.

    Args:
        begun: Makes the anchor that a part of the answer is known by, should no more of it be seen.
    """

    def __init__(self, begun: Begun) -> None:
        self._begun = begun
        self._plain: int | None = None  # the part whose text goes out as plain strings
        self._any = False
        self._id: str | None = None
        self._started: dict[str, Any] = {}  # rides on the next chunk; one of its own would put an empty text first

    def from_event(self, event: TurnEvent) -> AIMessageChunk | None:
        """The chunk that tells an event; `None` when it goes out with the next one."""
        match event:
            case TurnStarted():
                self._started = {RUN_KEY: _run(self._begun(event.conversation_id, event.run_id), event.otids)}
                return None
            case AnswerStarted():
                self._id = event.message_id
                return None
            case _:
                chunk = self._content(event)
                chunk.id = self._id
                if self._started:
                    chunk.response_metadata, self._started = self._started, {}
                return chunk

    def _content(self, event: TurnDelta) -> AIMessageChunk:
        match event:
            case TextDelta():
                return self._text(event)
            case ReasoningDelta():
                return self._blocks(_reasoning(event.index, event.text, event.signature))
            case PendingCall():
                return AIMessageChunk(content="", tool_call_chunks=[_call_chunk(event)])
            case HiddenReasoning() | ServerToolCall() | ServerToolResult() | Notice():
                return self._blocks(_block(event))
            case _:
                assert_never(event)

    def last(self, delivered: Delivered, *, model_name: str) -> AIMessageChunk:
        """The chunk that ends a turn: the message's id, the usage and the anchor, each once."""
        return AIMessageChunk(
            content="",
            id=_message_id(delivered.turn),
            usage_metadata=_usage(delivered.turn.usage),
            response_metadata={**self._started, **_metadata(delivered, model_name)},
            chunk_position="last",
        )

    def _text(self, event: TextDelta) -> AIMessageChunk:
        if not self._any:
            self._plain = event.index
        self._any = True
        if event.index == self._plain:
            return AIMessageChunk(content=event.text)
        return self._blocks({"type": "text", "text": event.text, "index": event.index})

    def _blocks(self, block: Block) -> AIMessageChunk:
        self._any = True
        return AIMessageChunk(content=[block])


def message_from(delivered: Delivered, begun: Begun, *, model_name: str) -> AIMessage:
    """The message of a finished turn, the same as its chunks joined."""
    turn = delivered.turn
    tool_calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for call in turn.pending:
        arguments = _json_object(call.arguments)
        if arguments is None:
            invalid.append(
                InvalidToolCall(
                    type="invalid_tool_call",
                    id=call.tool_call_id,
                    name=call.name,
                    args=_unrepairable(call.arguments),
                    error="The arguments are not a JSON object.",
                )
            )
        else:
            tool_calls.append(ToolCall(type="tool_call", id=call.tool_call_id, name=call.name, args=arguments))
    run = _run(begun(turn.conversation_id, turn.run_id), turn.otids)
    return AIMessage(
        content=cast("str | list[str | dict[Any, Any]]", _content(turn)),
        id=_message_id(turn),
        tool_calls=tool_calls,
        invalid_tool_calls=invalid,
        usage_metadata=_usage(turn.usage),
        response_metadata={RUN_KEY: run, **_metadata(delivered, model_name)},
    )


def _content(turn: FinishedTurn) -> str | list[Block]:
    shown = [part for part in turn.parts if not isinstance(part, PendingCall)]
    if not shown:
        return ""
    first, *others = shown
    if isinstance(first, Text):
        return [{"type": "text", "text": first.text}, *map(_block, others)] if others else first.text
    return [_block(part) for part in shown]


def _block(part: TurnPart) -> Block:
    match part:
        case Text():
            return {"type": "text", "text": part.text, "index": part.index}
        case Reasoning():
            return _reasoning(part.index, part.text, part.signature)
        case HiddenReasoning():
            extras = {"state": part.state, "hidden_reasoning": part.text}
            return {"type": "reasoning", "reasoning": "", "extras": extras, "index": part.index}
        case ServerToolCall():
            return _server_call(part)
        case ServerToolResult():
            return {
                "type": "server_tool_result",
                "tool_call_id": part.tool_call_id,
                "status": part.status,
                "output": _output(part),
                "index": part.index,
                **_logs(part),
            }
        case Notice():
            value = part.message.model_dump(mode="json", exclude_none=True)
            return {"type": "non_standard", "value": value, "index": part.index}
        case PendingCall():
            raise AssertionError("a pending call is a tool call, not content")
        case _:
            assert_never(part)


def _reasoning(index: int, text: str, signature: str | None) -> Block:
    block: Block = {"type": "reasoning", "reasoning": text, "index": index}
    if signature:
        block["extras"] = {"signature": signature}
    return block


def _server_call(part: ServerToolCall) -> Block:
    arguments = _json_object(part.arguments)
    block: Block = {
        "type": "server_tool_call",
        "id": part.tool_call_id,
        "name": part.name,
        "args": arguments or {},
        "index": part.index,
    }
    if arguments is None:
        block["extras"] = {"arguments": part.arguments}
    return block


def _output(part: ServerToolResult) -> Any:
    if isinstance(part.content, str):
        return part.content
    return [item.model_dump(mode="json", exclude_none=True) for item in part.content]


def _logs(part: ServerToolResult) -> Block:
    logs = {name: lines for name, lines in (("stdout", part.stdout), ("stderr", part.stderr)) if lines}
    return {"extras": logs} if logs else {}


def _json_object(text: str) -> dict[str, Any] | None:
    """Parse arguments; none at all are an empty object, broken ones are `None`."""
    if not text.strip():
        return {}
    try:
        value: Any = json.loads(text)
    except ValueError:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _call_chunk(call: PendingCall) -> ToolCallChunk:
    broken = _json_object(call.arguments) is None
    arguments = _unrepairable(call.arguments) if broken else call.arguments
    # The index is the part's: LangChain joins blocks and calls by it alike.
    return tool_call_chunk(name=call.name, args=arguments, id=call.tool_call_id, index=call.index)


def _unrepairable(arguments: str) -> str:
    """Broken arguments that stay broken: LangChain mends what was cut off, and a tool would run with half of them.

    As a JSON string they are still legible, and no object.
    """
    try:
        mended = parse_partial_json(arguments)
    except ValueError:
        return arguments
    return json.dumps(arguments, ensure_ascii=False) if isinstance(mended, dict) else arguments


def _run(anchor: Anchor, otids: Sequence[str]) -> dict[str, Any]:
    return {
        **anchor.model_dump(
            mode="json", include={"agent_id", "conversation_id", "run_id", "signature"}, exclude_none=True
        ),
        "otids": list(otids),
    }


def _message_id(turn: FinishedTurn) -> str | None:
    return turn.answer_id or turn.run_id


def _metadata(delivered: Delivered, model_name: str) -> dict[str, Any]:
    turn = delivered.turn
    letta = delivered.anchor.to_metadata()
    if turn.usage is not None:
        letta["step_count"] = turn.usage.step_count
        letta["context_tokens"] = turn.usage.context_tokens
    return {
        "model_provider": "letta",
        "model_name": model_name,
        "finish_reason": _FINISH_REASONS.get(turn.stop_reason, turn.stop_reason),
        ANCHOR_KEY: letta,
    }


def _usage(usage: UsageStatistics | None) -> UsageMetadata | None:
    """Tokens of the whole turn: Letta sums them over the steps that it ran."""
    if usage is None:
        return None
    metadata = UsageMetadata(
        input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens, total_tokens=usage.total_tokens
    )
    cache = _known({"cache_read": usage.cached_input_tokens, "cache_creation": usage.cache_write_tokens})
    if cache:
        metadata["input_token_details"] = cast("InputTokenDetails", cache)
    reasoning = _known({"reasoning": usage.reasoning_tokens})
    if reasoning:
        metadata["output_token_details"] = cast("OutputTokenDetails", reasoning)
    return metadata


def _known(details: dict[str, int | None]) -> dict[str, int]:
    pairs: Iterable[tuple[str, int | None]] = details.items()
    return {name: value for name, value in pairs if value is not None}
