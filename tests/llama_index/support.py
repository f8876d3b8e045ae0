"""What the scenarios share: tools, ways to ask, and the history as a story."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any
from uuid import uuid4

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from llama_index_letta import LettaChatEngine, LettaChatResponse, LettaStreamingResponse
from llama_index_letta.messages import Message

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A PNG of one pixel, base64."""

ADD = '[[call add {"a": 1, "b": 2}]]'
MULTIPLY = '[[call multiply {"a": 3, "b": 4}]]'
IN_SEQUENCE = f"{ADD} [[next]] {MULTIPLY} [[next]] [[say It is 3 and 12]]"

LONG = "one two three four five six seven eight"

Line = tuple[str, str]
Response = LettaChatResponse | LettaStreamingResponse
Ask = Callable[[LettaChatEngine, Message], Awaitable[Response]]
MakeEngine = Callable[..., LettaChatEngine]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


def new_gate() -> str:
    return f"gate-{uuid4().hex}"


def held_after(gate: str, tokens: int, text: str = LONG) -> str:
    """A script of a model that waits in the middle."""
    return f"[[hold {gate} {tokens}]] [[say {text}]]"


async def by_chat(engine: LettaChatEngine, message: Message) -> Response:
    return engine.chat(message)


async def by_achat(engine: LettaChatEngine, message: Message) -> Response:
    return await engine.achat(message)


async def by_stream(engine: LettaChatEngine, message: Message) -> Response:
    response = engine.stream_chat(message)
    assert "".join(response.response_gen) == str(response)
    return response


async def by_astream(engine: LettaChatEngine, message: Message) -> Response:
    response = await engine.astream_chat(message)
    assert "".join([delta async for delta in response.async_response_gen()]) == str(response)
    return response


def _way(ask: Ask) -> str:
    return ask.__name__.removeprefix("by_")


_chat, _astream = (pytest.param(ask, marks=pytest.mark.other_way) for ask in (by_chat, by_astream))

each_way = pytest.mark.parametrize("ask", [_chat, by_achat, by_stream, _astream], ids=_way)
"""Blocking and async, whole and streamed."""

blocking_and_async = pytest.mark.parametrize("ask", [by_chat, by_achat], ids=_way)


def said(*texts: str) -> list[Line]:
    """The story of user messages that are echoed."""
    return [line for text in texts for line in (("user", text), ("assistant", f"You said: {text}"))]


def story_of(messages: Sequence[ChatMessage]) -> list[Line]:
    """The dialogue as the framework sees it."""
    story: list[Line] = []
    for is_result, group in groupby(messages, lambda message: message.role is MessageRole.TOOL):
        if is_result:
            story.append(("results", " | ".join(_text_of(message) for message in group)))
        else:
            for message in group:
                story.extend(_lines_of(message))
    return story


def _lines_of(message: ChatMessage) -> Iterator[Line]:
    if message.role is not MessageRole.ASSISTANT:
        yield message.role.value, _text_of(message)
        return
    calls = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    for block in message.blocks:
        if isinstance(block, ThinkingBlock):
            yield "reasoning", block.content or ""
        elif isinstance(block, TextBlock):
            yield "assistant", block.text
    if calls:
        kind = "calls" if message.additional_kwargs["letta"].get("pending") else "server calls"
        yield kind, ", ".join(call.tool_name for call in calls)


def _text_of(message: ChatMessage) -> str:
    return " ".join("<image>" if isinstance(block, ImageBlock) else _text(block) for block in message.blocks)


def _text(block: object) -> str:
    assert isinstance(block, TextBlock)
    return block.text


def metadata_of(response: Response) -> dict[str, Any]:
    assert response.metadata is not None
    return response.metadata


def conversation_of(engine: LettaChatEngine) -> str:
    assert engine.conversation_id is not None
    return engine.conversation_id


def outputs_of(response: Response) -> Iterable[tuple[str, str, bool]]:
    """The tools that ran: names, what the agent was told, whether they failed."""
    return [(source.tool_name, source.content, source.is_error) for source in response.sources]
