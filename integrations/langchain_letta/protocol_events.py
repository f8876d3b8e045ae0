"""Turn events as the events of LangChain's streaming protocol (`stream_events(version="v3")`).

    message-start
      -> content-block-start -> content-block-delta* -> content-block-finish      for each part
    -> message-finish

LangChain would make these out of the chunks, and put an id of its own in the place of the server's. Blocks have the
indexes of the turn's parts. A block ends when the next one begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_protocol.protocol import MessagesData
from typing_extensions import assert_never

from langchain_letta.answer_metadata import PROVIDER, Begun, message_id_of, metadata_of, run_metadata, usage_of
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
from letta_adapters.delivery_steps import Delivered
from letta_adapters.events import (
    AnswerStarted,
    HiddenReasoning,
    Notice,
    PendingCall,
    ReasoningDelta,
    ServerToolCall,
    ServerToolResult,
    TextDelta,
    TurnDelta,
    TurnEvent,
    TurnStarted,
)

__all__ = ["ProtocolEvents", "error_event"]


@dataclass(kw_only=True)
class _Told:
    """A text or a piece of reasoning, as far as it was told."""

    kind: type[TextDelta] | type[ReasoningDelta]
    pieces: list[str] = field(default_factory=list[str])
    signature: str | None = None

    def block(self, index: int) -> Block:
        text = "".join(self.pieces)
        if self.kind is TextDelta:
            return {"type": "text", "text": text, "index": index}
        return reasoning_block(index, text, self.signature)


class ProtocolEvents:
    """Turns the events of one turn into protocol events.

    Args:
        begun: Makes the anchor that a part of the answer is known by, should no more of it be seen.
        model_name: The name to report.
        bound: Names of the tools that the program runs. A call of any other tool waits for a person; it is content.
    """

    def __init__(self, begun: Begun, *, model_name: str, bound: Bound = None) -> None:
        self._begun = begun
        self._model_name = model_name
        self._bound = bound
        self._run: dict[str, str] = {}
        self._early: list[TurnDelta] = []  # came before the id of the message was known
        self._told: dict[int, _Told] = {}
        self._unfinished: dict[int, None] = {}
        self.started = False
        """Whether anything was told."""

    def from_event(self, event: TurnEvent | Delivered) -> Iterator[MessagesData]:
        """The events that tell an event of the turn, or its end."""
        match event:
            case Delivered():
                yield from self._end(event)
            case TurnStarted():
                self._run = {"letta_run_id": event.run_id, "letta_conversation_id": event.conversation_id}
            case AnswerStarted():
                yield from self._start(event.message_id)
            case _ if not self.started:
                self._early.append(event)
            case _:
                yield from self._part(event)

    def _start(self, message_id: str | None) -> Iterator[MessagesData]:
        if self.started:
            return
        self.started = True
        metadata = {"provider": PROVIDER, "model": self._model_name, **self._run}
        yield _event("message-start", role="ai", id=message_id or "", metadata=metadata)
        for event in self._early:
            yield from self._part(event)

    def _end(self, delivered: Delivered) -> Iterator[MessagesData]:
        turn = delivered.turn
        yield from self._start(message_id_of(turn))
        yield from self._finish()
        run = run_metadata(self._begun(turn.conversation_id, turn.run_id), turn.otids)
        metadata = metadata_of(delivered, model_name=self._model_name, bound=self._bound)
        usage = usage_of(turn.usage)
        yield _event("message-finish", metadata={RUN_KEY: run, **metadata}, **({"usage": usage} if usage else {}))

    def _part(self, event: TurnDelta) -> Iterator[MessagesData]:
        match event:
            case TextDelta() | ReasoningDelta():
                yield from self._more(event)
            case PendingCall() if is_ours(event, self._bound):
                yield from self._finish()
                yield from _call(event)
            case HiddenReasoning() | ServerToolCall() | ServerToolResult() | Notice() | PendingCall():
                yield from self._finish()
                yield from _whole(event)
            case _:
                assert_never(event)

    def _more(self, event: TextDelta | ReasoningDelta) -> Iterator[MessagesData]:
        index = event.index
        if index not in self._told:
            yield from self._finish()
            self._told[index] = _Told(kind=type(event))
            empty: Block = {"type": "text", "text": ""}
            start = empty if isinstance(event, TextDelta) else {"type": "reasoning", "reasoning": ""}
            yield _event("content-block-start", index=index, content=start)
        told = self._told[index]
        self._unfinished[index] = None
        if isinstance(event, ReasoningDelta):
            told.signature = event.signature or told.signature
        if event.text:
            told.pieces.append(event.text)
            delta = (
                {"type": "text-delta", "text": event.text}
                if isinstance(event, TextDelta)
                else {"type": "reasoning-delta", "reasoning": event.text}
            )
            yield _event("content-block-delta", index=index, delta=delta)

    def _finish(self) -> Iterator[MessagesData]:
        """End the blocks that are open; one that goes on after all ends once more, with the whole of it."""
        for index in self._unfinished:
            yield _event("content-block-finish", index=index, content=self._told[index].block(index))
        self._unfinished.clear()


def error_event(error: Exception) -> MessagesData:
    """The event that tells whoever watches that a message will not be finished."""
    return _event("error", message=str(error), code=type(error).__name__)


def _call(call: PendingCall) -> Iterator[MessagesData]:
    chunk = call_chunk(call)
    yield _event("content-block-start", index=call.index, content={**chunk, "args": ""})
    if chunk["args"]:
        delta = {"type": "tool-call-delta", "args": chunk["args"]}
        yield _event("content-block-delta", index=call.index, delta=delta)
    yield _event("content-block-finish", index=call.index, content=call_of(call) or invalid_call_of(call))


def _whole(part: HiddenReasoning | ServerToolCall | ServerToolResult | Notice | PendingCall) -> Iterator[MessagesData]:
    """A block that comes at once; what may be much of it comes with the finish alone."""
    block = block_of(part)
    start = {name: value for name, value in block.items() if name not in ("args", "value", "output", "index")}
    if "args" in block:
        start["args"] = {}
    if "value" in block:
        start["value"] = {}
    yield _event("content-block-start", index=part.index, content=start)
    yield _event("content-block-finish", index=part.index, content=block)


def _event(kind: str, **fields: Any) -> MessagesData:
    # The protocol's types have no place for the metadata of `message-finish`, which LangChain reads all the same.
    return cast("MessagesData", {"event": kind, **fields})
