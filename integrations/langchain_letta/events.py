"""Turn events as LangChain chunks, and a finished turn as one `AIMessage`.

A turn that is only text has a plain string as its content; otherwise the content is standard blocks in order. In a
stream the first text goes out as plain strings, before it is known whether anything else follows: LangChain joins
strings and blocks, and the joined chunks have the same `content_blocks`, calls, usage and metadata as the message.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall
from langchain_core.outputs import ChatGenerationChunk
from typing_extensions import assert_never

from langchain_letta.answer_metadata import Begun, message_id_of, metadata_of, run_metadata, usage_of
from langchain_letta.blocks import (
    Block,
    Bound,
    block_of,
    call_chunk,
    call_of,
    invalid_call_of,
    is_ours,
    reasoning_block,
)
from langchain_letta.messages import RUN_KEY
from langchain_letta.text_chunks import text_chunk
from letta_adapters.delivery_steps import Delivered
from letta_adapters.events import (
    AnswerStarted,
    FinishedTurn,
    HiddenReasoning,
    Notice,
    PendingCall,
    ReasoningDelta,
    ServerToolCall,
    ServerToolResult,
    Text,
    TextDelta,
    TurnDelta,
    TurnEvent,
    TurnStarted,
)

__all__ = ["Begun", "Chunks", "message_from"]


class Chunks:
    """Turns the events of one turn into chunks.

    Args:
        begun: Makes the anchor that a part of the answer is known by, should no more of it be seen.
        bound: Names of the tools that the program runs. A call of any other tool waits for a person; it is content.
        model_name: The name to report.
        output_version: That of the model. In `v1` LangChain reads each chunk anew, and keeps the indexes of blocks
            that are no standard ones only where it is told that they are of that version.
    """

    def __init__(
        self, begun: Begun, *, bound: Bound = None, model_name: str, output_version: str | None = None
    ) -> None:
        self._begun = begun
        self._model_name = model_name
        self._bound = bound
        self._is_v1 = output_version == "v1"
        self._in_order = _InOrder()
        self._plain: int | None = None  # the part whose text goes out as plain strings
        self._any = False
        self._id: str | None = None
        self._started: dict[str, Any] = {}  # rides on the next chunk; one of its own would put an empty text first
        self._calls: list[PendingCall] = []  # before any content; told last, since there may be some
        self._signatures: dict[int, str] = {}  # told last: joining chunks would double one that is sent twice

    def from_event(self, event: TurnEvent | Delivered) -> ChatGenerationChunk | None:
        """The chunk that tells an event; `None` when it goes out with a later one."""
        if isinstance(event, TextDelta) and event.index == self._plain and not self._started:
            return text_chunk(event.text, self._id)  # the next token, as nearly everything is
        message = self._last(event) if isinstance(event, Delivered) else self._message(event)
        return ChatGenerationChunk(message=message) if message is not None else None

    def _message(self, event: TurnEvent) -> AIMessageChunk | None:
        match event:
            case TurnStarted():
                run = run_metadata(self._begun(event.conversation_id, event.run_id), event.otids)
                self._started = {RUN_KEY: run}
                return None
            case AnswerStarted():
                self._id = event.message_id
                return None
            case PendingCall() if is_ours(event, self._bound) and not self._any:
                # LangChain puts an empty text before content that joins a chunk of calls alone.
                self._calls.append(event)
                return None
            case _:
                return self._delta(event)

    def _last(self, delivered: Delivered) -> AIMessageChunk:
        """The chunk that ends a turn: the message's id, the usage and the anchor, each once."""
        held = [self._content(event) for event in [*self._in_order.rest(), *self._calls]]
        signed = [
            AIMessageChunk(content=[reasoning_block(index, "", signature)])
            for index, signature in self._signatures.items()
        ]
        end = AIMessageChunk(
            content="",
            id=message_id_of(delivered.turn),
            usage_metadata=usage_of(delivered.turn.usage),
            response_metadata={
                **self._started,
                **metadata_of(delivered, model_name=self._model_name, bound=self._bound),
            },
            chunk_position="last",
        )
        return _joined([*held, *signed, end])

    def _delta(self, event: TurnDelta) -> AIMessageChunk | None:
        ready = self._in_order.take(event)
        if not ready:
            return None
        chunk = _joined([self._content(event) for event in ready])
        chunk.id = self._id
        if self._started:
            chunk.response_metadata.update(self._started)
            self._started = {}
        return chunk

    def _content(self, event: TurnDelta) -> AIMessageChunk:
        match event:
            case TextDelta():
                return self._text(event)
            case ReasoningDelta():
                if event.signature:
                    self._signatures[event.index] = event.signature
                return self._block(reasoning_block(event.index, event.text, None))
            case PendingCall() if is_ours(event, self._bound):
                return AIMessageChunk(content="", tool_call_chunks=[call_chunk(event)])
            case Notice():
                chunk = self._block(block_of(event))
                chunk.response_metadata = {"output_version": "v1"} if self._is_v1 else {}
                return chunk
            case HiddenReasoning() | ServerToolCall() | ServerToolResult() | PendingCall():
                return self._block(block_of(event))
            case _:
                assert_never(event)

    def _text(self, event: TextDelta) -> AIMessageChunk:
        if not self._any:
            self._plain = event.index
        self._any = True
        if event.index == self._plain:
            return AIMessageChunk(content=event.text)
        return self._block({"type": "text", "text": event.text, "index": event.index})

    def _block(self, block: Block) -> AIMessageChunk:
        self._any = True
        return AIMessageChunk(content=[block])


class _InOrder:
    """Lets parts begin in the order of their indexes.

    A call that the server runs is told once its arguments are whole; what was said meanwhile has a later place in the
    message, and joined chunks stand in the order in which they came.
    """

    def __init__(self) -> None:
        self._begun = 0
        self._held: list[TurnDelta] = []

    def take(self, event: TurnDelta) -> list[TurnDelta]:
        """What can be told now."""
        if not self._held and event.index < self._begun:  # more of a part that was begun
            return [event]
        waiting = [event] if not self._held else sorted([*self._held, event], key=lambda one: one.index)
        ready: list[TurnDelta] = []
        for one in waiting:
            if one.index > self._begun:
                break
            self._begun = max(self._begun, one.index + 1)
            ready.append(one)
        self._held = waiting[len(ready) :]
        return ready

    def rest(self) -> list[TurnDelta]:
        """What was still held when the turn ended."""
        held, self._held = self._held, []
        return held


def _joined(chunks: Iterable[AIMessageChunk]) -> AIMessageChunk:
    return reduce(add, chunks)


def message_from(delivered: Delivered, begun: Begun, *, model_name: str, bound: Bound = None) -> AIMessage:
    """The message of a finished turn, the same as its chunks joined.

    Args:
        delivered: The turn.
        begun: Makes the anchor of an answer that has only begun.
        model_name: The name to report.
        bound: Names of the tools that the program runs. A call of any other tool waits for a person; it is content.
    """
    turn = delivered.turn
    tool_calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for pending in turn.pending:
        if is_ours(pending, bound):
            if call := call_of(pending):
                tool_calls.append(call)
            else:
                invalid.append(invalid_call_of(pending))
    run = run_metadata(begun(turn.conversation_id, turn.run_id), turn.otids)
    return AIMessage(
        content=cast("str | list[str | dict[Any, Any]]", _content(turn, bound)),
        id=message_id_of(turn),
        tool_calls=tool_calls,
        invalid_tool_calls=invalid,
        usage_metadata=usage_of(turn.usage),
        response_metadata={RUN_KEY: run, **metadata_of(delivered, model_name=model_name, bound=bound)},
    )


def _content(turn: FinishedTurn, bound: Bound) -> str | list[Block]:
    shown = [part for part in turn.parts if not (isinstance(part, PendingCall) and is_ours(part, bound))]
    if not shown:
        return ""
    first, *others = shown
    if isinstance(first, Text):
        return [{"type": "text", "text": first.text}, *map(block_of, others)] if others else first.text
    return [block_of(part) for part in shown]
