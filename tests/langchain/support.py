"""What the scenarios share: tools, ways to ask, pictures."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import reduce
from typing import Any, cast
from uuid import uuid4

import pytest
from langchain import agents
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool, tool

from langchain_letta import ChatLetta

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A PNG of one pixel, base64."""

CALL = '[[call add {"a": 1, "b": 2}]]'
TWO_CALLS = '[[call add {"a": 1, "b": 2}]] [[call multiply {"a": 3, "b": 4}]]'
IN_SEQUENCE = f'{CALL} [[next]] [[call multiply {{"a": 3, "b": 4}}]] [[next]] [[say It is 3 and 12]]'

config_in_tasks = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="LangGraph hands the config to what a task calls from Python 3.11 on"
)

Model = Runnable[LanguageModelInput, AIMessage]
Ask = Callable[[Model, LanguageModelInput], Awaitable[AIMessage]]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


TOOLS: list[BaseTool] = [add, multiply]


def agent_of(model: ChatLetta, tools: list[BaseTool] = TOOLS, **options: Any) -> Any:
    """An agent of LangChain's, whose own types pyright cannot see through."""
    return cast("Any", agents).create_agent(model, tools, **options)


def asked(text: str) -> dict[str, Any]:
    """What an agent is invoked with."""
    return {"messages": [("user", text)]}


def human(text: str) -> HumanMessage:
    """A user message with an id, as LangGraph makes them."""
    return HumanMessage(text, id=str(uuid4()))


def new_gate() -> str:
    return f"gate-{uuid4().hex}"


def fold(chunks: Iterable[BaseMessage]) -> AIMessageChunk:
    """Join the chunks of a stream."""
    return reduce(lambda left, right: left + right, cast("Iterable[AIMessageChunk]", chunks))


def letta(message: BaseMessage) -> dict[str, Any]:
    """The anchor of an answer."""
    return message.response_metadata["letta"]


def conversation_of(message: BaseMessage) -> str:
    return letta(message)["conversation_id"]


def run_of(message: BaseMessage) -> str:
    return letta(message)["run_id"]


def call_ids(message: BaseMessage) -> list[str]:
    assert isinstance(message, AIMessage)
    return [call["id"] or "" for call in message.tool_calls]


async def by_invoke(model: Model, messages: LanguageModelInput) -> AIMessage:
    return model.invoke(messages)


async def by_ainvoke(model: Model, messages: LanguageModelInput) -> AIMessage:
    return await model.ainvoke(messages)


async def by_stream(model: Model, messages: LanguageModelInput) -> AIMessage:
    return fold(model.stream(messages))


async def by_astream(model: Model, messages: LanguageModelInput) -> AIMessage:
    return fold([chunk async for chunk in model.astream(messages)])


def _way(ask: Ask) -> str:
    return ask.__name__.removeprefix("by_")


each_way = pytest.mark.parametrize("ask", [by_invoke, by_ainvoke, by_stream, by_astream], ids=_way)
"""Blocking and async, whole and streamed."""

blocking_and_async = pytest.mark.parametrize("ask", [by_invoke, by_ainvoke], ids=_way)


def said(*texts: str) -> Sequence[tuple[str, str]]:
    """The story of user messages that are echoed."""
    return [line for text in texts for line in (("user", text), ("assistant", f"You said: {text}"))]
