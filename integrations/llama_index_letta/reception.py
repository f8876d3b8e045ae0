"""What comes of a turn while it runs: kept for whoever reads it, whenever they do, and shown to tracers.

A `Reception` hears the events of a loop where the loop runs. Readers wait for it, in threads or in an event loop; each
reads from the beginning. It does not know who reads, so a response that nobody refers to any more keeps nothing alive.
"""

from __future__ import annotations

import asyncio
import threading
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Final

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.schema import NodeWithScore
from llama_index.core.tools import ToolOutput

from letta_adapters.compacting import compaction_of
from letta_adapters.events import FinishedTurn, Notice, ReasoningDelta, TextDelta, TurnStarted
from letta_adapters.loop import LoopEvent, LoopResult, Over, RoundFinished, ToolFinished, ToolStarted
from letta_adapters.wire import SummaryMessage
from llama_index_letta.answers import LettaChatResponse
from llama_index_letta.messages import message_from_turns
from llama_index_letta.outputs import output_from_execution, source_nodes_of
from llama_index_letta.token_data import token_data_of
from llama_index_letta.tracing import TurnTrace

__all__ = ["AsyncReception", "BlockingReception", "Piece", "Reception"]


@dataclass(kw_only=True, slots=True)  # one for each token; a frozen one takes twice as long to make
class Piece:
    """Something that came.

    Args:
        event: The event; `None` for text that no event brought: what a tool said that returns directly.
        delta: More text of the answer.
        thinking: More of its thoughts.
        message: At the end of a round, the answer up to there with all its blocks.
    """

    event: Final[LoopEvent | None] = None
    delta: Final[str] = ""
    thinking: Final[str] = ""
    message: Final[ChatMessage | None] = None


class Reception:
    """What came of a turn up to now.

    Args:
        place: The agent and the conversation, for the metadata.
        trace: Shows it to tracers.
    """

    def __init__(self, *, place: dict[str, Any], trace: TurnTrace) -> None:
        self.pieces: list[Piece] = []
        self.sources: list[ToolOutput] = []
        self.over: Over | None = None
        self.answer: LettaChatResponse | None = None
        self.left = False
        self.began = False
        self.trace = trace
        self._place = place
        self._runs: list[str] = []
        self._turns: list[FinishedTurn] = []
        self._compactions: list[dict[str, object]] = []
        self._part: int | None = None  # the part of this round that the last text belonged to
        self._any_text = False

    @abstractmethod
    def wake(self) -> None:
        """Let readers look again."""

    # What is heard, where the loop runs.

    def hear(self, item: LoopEvent | Over) -> None:
        """Take an event, or the end."""
        if isinstance(item, Over):
            self._end(item)
        else:
            self._take(item)
        self.wake()

    def leave(self) -> None:
        """Let readers go: nobody wants to know the rest."""
        self.left = True
        self.wake()

    def _take(self, event: LoopEvent) -> None:
        match event:
            case TextDelta():
                self._keep(Piece(event=event, delta=self._delta(event)))
            case ReasoningDelta():
                self._keep(Piece(event=event, thinking=event.text))
            case RoundFinished():
                self._turns.append(event.turn)
                self._part = None
                self.trace.round_finished(event.turn)
                self._keep(Piece(event=event, message=message_from_turns(self._turns)))
            case _:
                self._note(event)
                self._keep(Piece(event=event))

    def _note(self, event: LoopEvent) -> None:
        """Take what an event tells that is no part of the answer."""
        match event:
            case TurnStarted():
                self.began = True
                self._runs.append(event.run_id)
                self.trace.round_started()
            case Notice(message=SummaryMessage() as summary):
                self._compactions.append(compaction_of(summary))
            case ToolStarted():
                self.trace.tool_started(event.call)
            case ToolFinished():
                self.sources.append(output_from_execution(event.execution))
                self.trace.tool_finished(event.execution)
            case _:
                pass

    def _delta(self, event: TextDelta) -> str:
        """More text; the parts of an answer stand on lines of their own, as in `ChatMessage.content`."""
        begins = event.index != self._part
        self._part = event.index
        return f"\n{event.text}" if begins and self._any_text else event.text

    def _keep(self, piece: Piece) -> None:
        if piece.delta:
            self._any_text = True
            self.trace.delta(piece.delta)
        self.pieces.append(piece)

    def _end(self, over: Over) -> None:
        try:
            if over.result is not None:
                self._finish(over.result)
            else:
                self.trace.failed(over.error or RuntimeError("The turn ended without a result."))
        except Exception as error:  # readers must not wait for ever, whatever went wrong here
            over = Over(error=error)
            self.trace.failed(error)
        finally:
            self.over = over

    def _finish(self, result: LoopResult) -> None:
        message = message_from_turns(result.turns, direct=result.text if result.returned_direct else None)
        whole, told = message.content or "", self.text
        if whole.startswith(told) and len(whole) > len(told):
            self._keep(Piece(delta=whole[len(told) :], message=message))
        self.answer = LettaChatResponse(
            response=self.text,
            sources=list(self.sources),
            source_nodes=self.source_nodes,
            metadata=self._metadata(result),
            message=message,
        )
        self.trace.ended(self.answer)

    # What there is.

    def has(self, position: int) -> bool:
        """Whether a reader need not wait."""
        return position < len(self.pieces) or self.over is not None or self.left

    def given(self, position: int) -> Piece | None:
        """What a reader gets that need not wait."""
        if self.left:
            return None
        if position < len(self.pieces):
            return self.pieces[position]
        self.raise_failure()
        return None

    @property
    def text(self) -> str:
        """The text up to now."""
        return "".join([piece.delta for piece in self.pieces])

    @property
    def source_nodes(self) -> list[NodeWithScore]:
        """The nodes that tools found up to now."""
        return source_nodes_of(self.sources)

    @property
    def metadata(self) -> dict[str, Any]:
        """Ids, and at the end why it ended and what it took."""
        if self.answer is not None and self.answer.metadata is not None:
            return self.answer.metadata
        return self._metadata(None)

    @property
    def message(self) -> ChatMessage:
        """The answer as a message; its text alone, as long as the turn runs."""
        if self.answer is not None:
            return self.answer.message
        return ChatMessage(role=MessageRole.ASSISTANT, content=self.text)

    @property
    def error(self) -> BaseException | None:
        """What the turn failed with."""
        return self.over.error if self.over is not None else None

    @property
    def exception(self) -> Exception | None:
        """What the turn failed with, if that is no matter of the process's."""
        return self.error if isinstance(self.error, Exception) else None

    def raise_failure(self) -> None:
        """Raise what the turn failed with, if it did."""
        if self.error is not None:
            raise self.error

    def result(self) -> LettaChatResponse:
        """The answer, or the error in its place."""
        self.raise_failure()
        assert self.answer is not None, "a turn that is over has an answer or an error"
        return self.answer

    def _metadata(self, result: LoopResult | None) -> dict[str, Any]:
        usage = result.usage if result is not None else None
        return {
            **self._place,
            "run_id": self._runs[-1] if self._runs else None,
            "run_ids": list(dict.fromkeys(self._runs)),
            "message_ids": [one for turn in self._turns for one in turn.message_ids],
            "stop_reason": self._turns[-1].stop_reason if self._turns else None,
            "usage": usage.model_dump(exclude_none=True, exclude={"message_type"}) if usage is not None else None,
            "step_count": usage.step_count if usage is not None else None,
            **({"compactions": list(self._compactions)} if self._compactions else {}),
            **token_data_of(self._turns),
        }


class BlockingReception(Reception):
    """For readers in threads."""

    def __init__(self, *, place: dict[str, Any], trace: TurnTrace) -> None:
        super().__init__(place=place, trace=trace)
        self._changed = threading.Condition()

    def wake(self) -> None:
        """Let readers look again."""
        with self._changed:
            self._changed.notify_all()

    def wait_for_begin(self) -> None:
        """Wait until the server took the turn, or it is over."""
        with self._changed:
            self._changed.wait_for(lambda: self.began or self.over is not None or self.left)

    def wait_for_end(self) -> None:
        """Wait until the turn is over."""
        with self._changed:
            self._changed.wait_for(lambda: self.over is not None)

    def piece_at(self, position: int) -> Piece | None:
        """Wait for a piece, counted from the beginning; `None` at the end.

        Raises:
            BaseException: What the turn failed with, after all that came.
        """
        if not self.has(position):  # what has come is there to be read
            with self._changed:
                self._changed.wait_for(lambda: self.has(position))
        return self.given(position)


class AsyncReception(Reception):
    """For readers in the event loop that the turn runs in."""

    def __init__(self, *, place: dict[str, Any], trace: TurnTrace) -> None:
        super().__init__(place=place, trace=trace)
        self._waiting: set[asyncio.Future[None]] = set()

    def wake(self) -> None:
        """Let readers look again."""
        for reader in self._waiting:
            if not reader.done():
                reader.set_result(None)

    async def wait_for_begin(self) -> None:
        """Wait until the server took the turn, or it is over."""
        while not (self.began or self.over is not None or self.left):
            await self._change()

    async def wait_for_end(self) -> None:
        """Wait until the turn is over."""
        while self.over is None:
            await self._change()

    async def piece_at(self, position: int) -> Piece | None:
        """Wait for a piece, counted from the beginning; `None` at the end.

        Raises:
            BaseException: What the turn failed with, after all that came.
        """
        while not self.has(position):
            await self._change()
        return self.given(position)

    async def _change(self) -> None:
        reader: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(reader)
        try:
            await reader
        finally:
            self._waiting.discard(reader)
