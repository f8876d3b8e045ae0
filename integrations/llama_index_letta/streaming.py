"""`LettaStreamingResponse`: an answer while it is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, TextBlock, ThinkingBlock
from llama_index.core.chat_engine.types import StreamingAgentChatResponse
from typing_extensions import Self, override

from letta_adapters.loop import AsyncToolLoop, LoopEvent, RoundFinished, ToolLoop
from llama_index_letta.answers import LettaChatResponse
from llama_index_letta.reception import AsyncReception, BlockingReception, Piece, Reception
from llama_index_letta.token_data import logprobs_of

__all__ = ["LettaStreamingResponse"]

T = TypeVar("T")

_BLOCKING = "This response comes of `stream_chat`: read `response_gen`, or call `astream_chat` for one to await."
_ASYNC = "This response comes of `astream_chat`: read `async_response_gen()`, or call `stream_chat`."


def _ignored(_: object, __: object) -> None:
    """What is set is not kept: it is read from what came."""


def _live(name: str) -> property:
    """A field that is read from what came."""
    return property(lambda self: getattr(self._reception, name), _ignored)


class LettaStreamingResponse(StreamingAgentChatResponse):
    """What `stream_chat` and `astream_chat` give: an answer that goes on whether anybody reads it or not.

    Each of `response_gen`, `async_response_gen()`, `chat_stream`, `achat_stream`, `events()` and `aevents()` reads from
    the beginning, and raises what the turn failed with after what had come. Which of them there are depends on the
    method that was called; those of the other kind raise `TypeError`.

    Leaving a generator early, or `close()`, is up to the engine's `on_abandon`: by default the turn goes on in the
    background, tools included, and `is_done` tells when it is over; with `cancel` it is cancelled at the server.

    `str(response)` and `response.response` are the text that has come. `sources`, `source_nodes`, `metadata` and
    `message` grow, too, and are complete when `is_done`.
    """

    def __init__(self, reception: Reception, loop: ToolLoop | AsyncToolLoop, *, cancels: bool) -> None:
        self._reception = reception
        self._loop = loop
        self._cancels = cancels
        cast("Any", super()).__init__()
        if isinstance(loop, AsyncToolLoop):
            self.awrite_response_to_history_task = asyncio.get_running_loop().create_task(
                _until_over(loop), name="letta-response"
            )

    # What LlamaIndex knows of a stream.

    @property
    @override
    def response_gen(self) -> Generator[str, None, None]:
        """The text, as it comes."""
        return self._read(self._blocking(), _delta)

    @override
    def async_response_gen(self) -> AsyncGenerator[str, None]:
        """The text, as it comes."""
        return self._aread(self._asynchronous(), _delta)

    if not TYPE_CHECKING:  # its class keeps these as fields, and a type checker may go on to think so
        response = _live("text")
        unformatted_response = _live("text")
        sources = _live("sources")
        source_nodes = _live("source_nodes")
        exception = _live("exception")
        chat_stream = property(lambda self: self._chat_stream(), _ignored)
        achat_stream = property(lambda self: self._achat_stream(), _ignored)
        is_done = property(lambda self: self._reception.over is not None)

    def _chat_stream(self) -> Generator[ChatResponse, None, None] | None:
        """The text and the thoughts, as they come: each with the message up to there, the last with all its blocks.

        Thoughts are in `additional_kwargs["thinking_delta"]`, the event itself in `raw`; `logprobs`, where they were
        asked for, with the end of a round.
        """
        reception = self._reception
        return self._read(reception, _Growing()) if isinstance(reception, BlockingReception) else None

    def _achat_stream(self) -> AsyncGenerator[ChatResponse, None] | None:
        reception = self._reception
        return self._aread(reception, _Growing()) if isinstance(reception, AsyncReception) else None

    # What it does not know of.

    @property
    def metadata(self) -> dict[str, Any]:
        """Ids, why the turn ended and what it took, as `LettaChatResponse` has them."""
        return self._reception.metadata

    @property
    def message(self) -> ChatMessage:
        """The answer as a message: thoughts, calls and texts in order, once the turn is over."""
        return self._reception.message

    def events(self) -> Generator[LoopEvent, None, None]:
        """Everything that happens, typed: deltas, calls, tools that begin and end, rounds."""
        return self._read(self._blocking(), _event)

    def aevents(self) -> AsyncGenerator[LoopEvent, None]:
        """Everything that happens; the twin of `events`."""
        return self._aread(self._asynchronous(), _event)

    def result(self) -> LettaChatResponse:
        """Wait for the end, and give the answer as `chat` does.

        Raises:
            LettaError: The turn failed.
        """
        reception = self._blocking()
        reception.wait_for_end()
        return reception.result()

    async def aresult(self) -> LettaChatResponse:
        """Wait for the end, and give the answer as `achat` does.

        Raises:
            LettaError: The turn failed.
        """
        reception = self._asynchronous()
        await reception.wait_for_end()
        return reception.result()

    def close(self) -> None:
        """Leave: whoever reads is let go, and the turn goes on or is cancelled, as `on_abandon` says."""
        self._reception.leave()
        self.abandon()

    async def aclose(self) -> None:
        """Leave: whoever reads is let go, and the turn goes on or is cancelled, as `on_abandon` says."""
        self.close()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing goes on in the background; tell whether that is so."""
        if isinstance(self._loop, AsyncToolLoop):
            raise TypeError("This response comes of `astream_chat`: await `await_end()`.")
        return self._loop.wait(timeout)

    async def await_end(self, timeout: float | None = None) -> bool:
        """Wait until nothing goes on in the background; tell whether that is so."""
        if isinstance(self._loop, ToolLoop):
            raise TypeError("This response comes of `stream_chat`: call `wait()`.")
        return await self._loop.wait(timeout)

    def abandon(self) -> None:
        """Do with the turn what `on_abandon` says, if it is not over."""
        if not self._cancels or self.is_done:
            return
        if isinstance(self._loop, ToolLoop):
            self._loop.stop()
        else:
            self._loop.stop_soon()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        return self.response

    def __repr__(self) -> str:
        return f"{type(self).__name__}(response={self.response!r}, is_done={self.is_done})"

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)  # LlamaIndex's class is a dataclass, which has none

    # Readers.

    def _blocking(self) -> BlockingReception:
        if not isinstance(self._reception, BlockingReception):
            raise TypeError(_ASYNC)
        return self._reception

    def _asynchronous(self) -> AsyncReception:
        if not isinstance(self._reception, AsyncReception):
            raise TypeError(_BLOCKING)
        return self._reception

    def _read(self, reception: BlockingReception, translate: Callable[[Piece], T | None]) -> Generator[T, None, None]:
        position = 0
        try:
            while (piece := reception.piece_at(position)) is not None:
                position += 1
                if (told := translate(piece)) is not None:
                    yield told
        except GeneratorExit:
            self.abandon()
            raise

    async def _aread(
        self, reception: AsyncReception, translate: Callable[[Piece], T | None]
    ) -> AsyncGenerator[T, None]:
        position = 0
        try:
            while (piece := await reception.piece_at(position)) is not None:
                position += 1
                if (told := translate(piece)) is not None:
                    yield told
        except (GeneratorExit, asyncio.CancelledError):
            self.abandon()
            raise


def _delta(piece: Piece) -> str | None:
    return piece.delta or None


def _event(piece: Piece) -> LoopEvent | None:
    return piece.event


class _Growing:
    """Makes responses out of pieces, each with the message up to there."""

    def __init__(self) -> None:
        self._text = ""
        self._thoughts = ""

    def __call__(self, piece: Piece) -> ChatResponse | None:
        if not piece.delta and not piece.thinking and piece.message is None:
            return None
        self._text += piece.delta
        self._thoughts += piece.thinking
        return ChatResponse(
            message=self._message(piece),
            delta=piece.delta,
            raw=piece.event,
            logprobs=logprobs_of(piece.event.turn) if isinstance(piece.event, RoundFinished) else None,
            additional_kwargs={"thinking_delta": piece.thinking} if piece.thinking else {},
        )

    def _message(self, piece: Piece) -> ChatMessage:
        if piece.message is not None:
            return piece.message
        thoughts = [ThinkingBlock(content=self._thoughts)] if self._thoughts else []
        return ChatMessage(role=MessageRole.ASSISTANT, blocks=[*thoughts, TextBlock(text=self._text)])


async def _until_over(loop: AsyncToolLoop) -> None:
    await loop.wait(None)
