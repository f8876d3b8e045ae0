"""The ways that are compared: what the package does, and the least that has to be done instead."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import httpx
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from benchmarks.frames import TOKEN
from langchain_letta import ChatLetta
from letta_adapters.assembly import Assembly
from letta_adapters.events import TurnEvent
from letta_adapters.run_stream import RunStream
from letta_adapters.sse import SSEDecoder
from letta_adapters.wire import ErrorMessage, Ping, StopReason, UsageStatistics, parse_event

PYDANTIC_IN_USE = """
from pydantic import BaseModel, TypeAdapter

class Model(BaseModel):
    field: int

TypeAdapter(list[Model])
"""
"""`import pydantic` alone loads next to nothing of it."""


def raw(chunks: Iterable[bytes]) -> int:
    """Cut at blank lines and parse JSON; gives the number of events."""
    rest = b""
    count = 0
    for chunk in chunks:
        *events, rest = (rest + chunk).split(b"\n\n")
        for event in events:
            if event != b"data: [DONE]":
                json.loads(event[6:])
                count += 1
    return count


def assembled(chunks: Iterable[bytes]) -> list[TurnEvent]:
    """Decode, validate and assemble."""
    decoder, assembly = SSEDecoder(), Assembly()
    events: list[TurnEvent] = []
    for chunk in chunks:
        for event in decoder.feed(chunk):
            if event.data != b"[DONE]":
                parsed = parse_event(event.data)
                if not isinstance(parsed, (Ping, StopReason, UsageStatistics, ErrorMessage)):
                    events += assembly.feed(parsed)
    events += assembly.finish()
    assembly.parts()
    return events


def run_stream(chunks: Iterable[bytes]) -> RunStream:
    """All that a turn does with its bytes: `assembled`, and what a reconnection needs to know."""
    stream = RunStream(Assembly(), conversation_id="conv-1")
    for chunk in chunks:
        stream.feed(chunk)
    return stream


def bytes_of(http: httpx.Client, url: str) -> Iterator[bytes]:
    """The body of an answer, over HTTP."""
    with http.stream("POST", url, content=b"{}") as answer:
        yield from answer.iter_bytes()


async def raw_async(http: httpx.AsyncClient, url: str) -> int:
    """`raw`, for tasks."""
    rest = b""
    count = 0
    async with http.stream("POST", url, content=b"{}") as answer:
        async for chunk in answer.aiter_bytes():
            *events, rest = (rest + chunk).split(b"\n\n")
            for event in events:
                if event != b"data: [DONE]":
                    json.loads(event[6:])
                    count += 1
    return count


class Canned(BaseChatModel):
    """A chat model that has its answer ready: what LangChain itself costs."""

    count: int

    @property
    def _llm_type(self) -> str:
        return "canned"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        raise AssertionError("only streams are measured")

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        for _number in range(self.count):
            yield ChatGenerationChunk(message=AIMessageChunk(content=TOKEN))

    async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        for _number in range(self.count):
            yield ChatGenerationChunk(message=AIMessageChunk(content=TOKEN))


def streamed(model: BaseChatModel) -> int:
    """Stream one answer; gives the number of chunks."""
    return sum(1 for _ in model.stream("Hello"))


async def streamed_async(model: BaseChatModel) -> int:
    """`streamed`, for tasks."""
    count = 0
    async for _ in model.astream("Hello"):
        count += 1
    return count


def model_on(url: str, conversation_id: str) -> ChatLetta:
    """A pinned model on the server of the benchmarks."""
    return ChatLetta(base_url=url, conversation_id=conversation_id)


def importing(statement: str) -> None:
    """Import in a fresh interpreter."""
    subprocess.run([sys.executable, "-c", statement], check=True)
