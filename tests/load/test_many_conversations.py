"""Many conversations at once from one asyncio process: each gets its own answers, once, and nothing stays open."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from langchain_letta import ChatLetta
from letta_adapters import AsyncLettaClient
from tests.conftest import TIMEOUT, Backend
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import IN_SEQUENCE, agent_of, asked, conversation_of, new_gate
from tests.load.leaks import aleaving_nothing
from tests.load.pipe import Pipe

AT_ONCE = 200
AT_ONCE_LIVE = 20


@pytest.fixture
def pipe(backend: Backend) -> Iterator[Pipe]:
    """The way to the server, along which connections are counted."""
    with Pipe(backend.base_url) as opened:
        yield opened


@pytest.fixture
def gates(live: bool) -> list[str]:
    """One gate for each conversation."""
    return [new_gate() for _ in range(AT_ONCE_LIVE if live else AT_ONCE)]


async def all_are_in_flight(backend: Backend, gates: Sequence[str]) -> None:
    """Wait until every turn waits at its gate."""
    for gate in gates:
        await asyncio.to_thread(backend.wait_for_gate, gate)


async def open_all(backend: Backend, gates: Sequence[str]) -> None:
    for gate in gates:
        await asyncio.to_thread(backend.open_gate, gate)


def texts(gates: Sequence[str], turn: int = 0) -> list[str]:
    return [f"[[hold {gate}]] turn {turn} of number {number}" for number, gate in enumerate(gates)]


def echoed(text: str) -> list[tuple[str, str]]:
    """The story of one message that is echoed without its directives."""
    return [("user", text), ("assistant", f"You said: {text.partition(']]')[2].strip()}")]


def conversations_of(backend: Backend, agent_id: str) -> list[str]:
    """All conversations of an agent, sorted."""
    query: dict[str, str | int] = {"agent_id": agent_id, "limit": 1000}
    listed = httpx.get(f"{backend.base_url}/v1/conversations/", params=query, timeout=TIMEOUT).raise_for_status()
    return sorted(conversation["id"] for conversation in listed.json())


async def test_the_async_client_holds_many_turns_in_flight(
    backend: Backend, agent_id: str, gates: list[str], pipe: Pipe, reader: Reader
) -> None:
    async with aleaving_nothing(pipe), AsyncLettaClient(base_url=pipe.base_url) as client:

        async def two_turns(first: str, second: str) -> str:
            conversation = (await client.conversations.create(agent_id=agent_id)).id
            for text in (first, second):
                async with client.conversations.messages.create(conversation, input=text) as turn:
                    await turn.result()
            return conversation

        pairs = zip(texts(gates), texts(gates, 1), strict=True)
        asking = [asyncio.ensure_future(two_turns(*pair)) for pair in pairs]
        await all_are_in_flight(backend, gates)
        await open_all(backend, gates)
        conversations = await asyncio.gather(*asking)
    assert sorted(conversations) == conversations_of(backend, agent_id)
    for conversation, first, second in zip(conversations, texts(gates), texts(gates, 1), strict=True):
        assert reader.story(conversation) == echoed(first) + echoed(second)


async def test_a_batch_runs_its_prompts_side_by_side(
    backend: Backend, agent_id: str, gates: list[str], pipe: Pipe, reader: Reader
) -> None:
    async with aleaving_nothing(pipe):
        model = ChatLetta(agent_id=agent_id, base_url=pipe.base_url)
        asking = asyncio.ensure_future(model.abatch(list(texts(gates))))
        await all_are_in_flight(backend, gates)
        await open_all(backend, gates)
        answers = await asking
        await model.async_client.aclose()
    assert sorted(map(conversation_of, answers)) == conversations_of(backend, agent_id)
    for answer, text in zip(answers, texts(gates), strict=True):
        assert reader.story(conversation_of(answer)) == echoed(text)


async def test_many_threads_of_one_agent_keep_their_stories_apart(
    live: bool, backend: Backend, agent_id: str, pipe: Pipe, reader: Reader
) -> None:
    async with aleaving_nothing(pipe):
        model = ChatLetta(agent_id=agent_id, base_url=pipe.base_url)
        agent = agent_of(model, checkpointer=InMemorySaver())

        async def talk(number: int) -> list[BaseMessage]:
            config: RunnableConfig = {"configurable": {"thread_id": f"thread-{number}"}}
            await agent.ainvoke(asked(f"{IN_SEQUENCE} number {number}"), config)
            return (await agent.ainvoke(asked(f"number {number} again"), config))["messages"]

        transcripts = await asyncio.gather(*[talk(number) for number in range(10 if live else 50)])
        await model.async_client.aclose()
    held: list[str] = []
    for messages in transcripts:
        (conversation,) = {conversation_of(message) for message in messages if isinstance(message, AIMessage)}
        assert reader.story(conversation) == story_of(messages)
        held.append(conversation)
    assert sorted(held) == conversations_of(backend, agent_id)


async def test_cancelling_half_of_many_turns_leaves_the_other_half_alone(
    backend: Backend, agent_id: str, gates: list[str], pipe: Pipe, reader: Reader
) -> None:
    async with aleaving_nothing(pipe):
        model = ChatLetta(agent_id=agent_id, base_url=pipe.base_url)
        asking: list[asyncio.Task[Any]] = [asyncio.ensure_future(model.ainvoke(text)) for text in texts(gates)]
        await all_are_in_flight(backend, gates)
        given_up, kept = asking[::2], asking[1::2]
        for task in given_up:
            task.cancel()
        ended = await asyncio.gather(*given_up, return_exceptions=True)
        assert {type(one) for one in ended} == {asyncio.CancelledError}
        assert await asyncio.to_thread(pipe.wait_until, lambda count: count == len(kept)), f"{pipe.open} connections"
        await open_all(backend, gates)
        answers = await asyncio.gather(*kept)
        await model.async_client.aclose()
    assert len(conversations_of(backend, agent_id)) == len(gates)
    for answer, text in zip(answers, texts(gates)[1::2], strict=True):
        assert reader.story(conversation_of(answer)) == echoed(text)
