"""A server without Redis: no background streams, no locks, no deduplication; turns run in the foreground, once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from typing import Any, cast

import httpx
import pytest
from langchain_core.messages import BaseMessage

from langchain_letta import ChatLetta
from letta_adapters.errors import TurnFailed, TurnInterrupted
from tests.conftest import TIMEOUT, Backend, fresh_agent, fresh_conversation
from tests.langchain.cutting import cutting_async_client, cutting_client
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import (
    IN_SEQUENCE,
    Ask,
    agent_of,
    asked,
    conversation_of,
    each_way,
    human,
    new_gate,
    said,
)


@pytest.fixture
def plain_agent(no_redis_backend: Backend) -> Iterator[str]:
    with fresh_agent(no_redis_backend) as agent:
        yield agent


@pytest.fixture
def plain_reader(no_redis_backend: Backend) -> Iterator[Reader]:
    with Reader(no_redis_backend.base_url) as opened:
        yield opened


@pytest.fixture
def conversation(no_redis_backend: Backend, plain_agent: str) -> str:
    return fresh_conversation(no_redis_backend, plain_agent)


@pytest.fixture
def plain_model(no_redis_backend: Backend, plain_agent: str) -> ChatLetta:
    return ChatLetta(agent_id=plain_agent, base_url=no_redis_backend.base_url)


@pytest.fixture
def plain_pinned(no_redis_backend: Backend, conversation: str) -> ChatLetta:
    return ChatLetta(conversation_id=conversation, base_url=no_redis_backend.base_url)


@each_way
async def test_a_dialogue_runs_in_the_foreground(ask: Ask, plain_model: ChatLetta, plain_reader: Reader) -> None:
    dialogue: list[BaseMessage] = []
    for text in ("hello [[think hm hm]]", "and [[recall]]"):
        dialogue.append(human(text))
        dialogue.append(await ask(plain_model, dialogue))
    assert plain_reader.story(conversation_of(dialogue[-1])) == story_of(dialogue)


def test_an_agent_runs_its_tools(plain_model: ChatLetta, plain_reader: Reader) -> None:
    messages = agent_of(plain_model, system_prompt="You compute.").invoke(asked(IN_SEQUENCE))["messages"]
    assert messages[-1].text == "It is 3 and 12"
    told = plain_reader.story(conversation_of(messages[-1]))
    assert told == [("system", "You compute."), *story_of(messages)]


def test_parallel_turns_of_a_conversation_are_queued_and_none_is_lost(
    plain_pinned: ChatLetta, conversation: str, plain_reader: Reader
) -> None:
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(plain_pinned.invoke, ["a", "b", "c"]))
    assert [answer.text for answer in answers] == ["You said: a", "You said: b", "You said: c"]
    seen = plain_pinned.invoke("[[recall]] all").text.splitlines()
    assert sorted(seen[:6:2]) == ["user: a", "user: b", "user: c"]
    assert len(plain_reader.rows(conversation)) == 8


async def test_parallel_async_turns_of_a_conversation_are_queued_and_none_is_lost(
    plain_pinned: ChatLetta, conversation: str, plain_reader: Reader
) -> None:
    await plain_pinned.abatch(["a", "b", "c"])
    assert len((await plain_pinned.ainvoke("[[recall]] all")).text.splitlines()) == 7
    assert len(plain_reader.rows(conversation)) == 8


def test_parallel_dialogues_run_in_conversations_of_their_own(plain_model: ChatLetta, plain_reader: Reader) -> None:
    answers = plain_model.batch(["a", "b"])
    assert [plain_reader.story(conversation_of(answer)) for answer in answers] == [said("a"), said("b")]


@each_way
async def test_a_lost_turn_is_told_and_never_sent_again(ask: Ask, no_redis_backend: Backend, conversation: str) -> None:
    gate = new_gate()
    async with cutting_async_client() as cutting_async:
        with cutting_client() as cutting:
            model = ChatLetta(
                conversation_id=conversation,
                base_url=no_redis_backend.base_url,
                background=False,
                http_client=cutting,
                http_async_client=cutting_async,
            )
            with pytest.raises(TurnInterrupted) as caught:
                await ask(model, f"[[hold {gate}]] [[say one two]]")
    no_redis_backend.wait_for_gate(gate)
    no_redis_backend.open_gate(gate)
    assert caught.value.accepted is not False
    with httpx.Client(base_url=no_redis_backend.base_url, timeout=TIMEOUT) as http:
        (run,) = http.get("/v1/runs/", params={"conversation_id": conversation}).raise_for_status().json()
    assert run["id"] == caught.value.run_id


@each_way
async def test_a_failed_first_step_stores_nothing_and_the_retry_is_stored_once(
    ask: Ask, plain_pinned: ChatLetta, conversation: str, plain_reader: Reader
) -> None:
    with pytest.raises(TurnFailed) as caught:
        await ask(plain_pinned, [human("[[fail 500]]")])
    assert caught.value.accepted is False
    await ask(plain_pinned, [human("one")])
    assert plain_reader.story(conversation) == said("one")


def test_after_leaving_a_stream_the_next_turn_works(
    no_redis_backend: Backend, plain_pinned: ChatLetta, conversation: str, plain_reader: Reader
) -> None:
    gate = new_gate()
    with closing(cast("Any", plain_pinned.stream(f"[[hold {gate} 1]] [[say one two]]"))) as chunks:
        next(chunks)
    no_redis_backend.open_gate(gate)
    plain_pinned.invoke("next")
    assert ("user", "next") in plain_reader.story(conversation)


async def test_after_leaving_an_async_stream_the_next_turn_works(
    no_redis_backend: Backend, plain_pinned: ChatLetta, conversation: str, plain_reader: Reader
) -> None:
    gate = new_gate()
    async with aclosing(cast("Any", plain_pinned.astream(f"[[hold {gate} 1]] [[say one two]]"))) as chunks:
        await anext(chunks)
    no_redis_backend.open_gate(gate)
    await plain_pinned.ainvoke("next")
    assert ("user", "next") in plain_reader.story(conversation)
