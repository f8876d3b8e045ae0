"""A server without Redis: turns run in the foreground, once; a lost one is read back, one of before is looked for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from typing import Any, cast

import httpx
import pytest
from langchain_core.messages import BaseMessage, ToolMessage

from langchain_letta import ChatLetta
from letta_adapters.errors import TurnFailed, TurnInterrupted
from tests.conftest import Backend, fresh_agent, fresh_conversation
from tests.langchain.cutting import (
    cutting_async_client,
    cutting_client,
    dying_async_client,
    dying_client,
    swallowing_async_client,
    swallowing_client,
)
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import (
    CALL,
    IN_SEQUENCE,
    TOOLS,
    Ask,
    agent_of,
    asked,
    call_ids,
    conversation_of,
    each_way,
    human,
    new_gate,
    run_of,
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


@contextmanager
def opened_when_reached(backend: Backend, gate: str) -> Generator[None, None, None]:
    """Let the model go on as soon as it waits, while the caller waits for its answer."""

    def open_it() -> None:
        backend.wait_for_gate(gate)
        backend.open_gate(gate)

    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(open_it)
        yield
        opening.result()


@asynccontextmanager
async def losing(
    backend: Backend, conversation: str, clients: Callable[[], tuple[httpx.Client, httpx.AsyncClient]]
) -> AsyncGenerator[ChatLetta, None]:
    """A model on bad connections."""
    blocking, asynchronous = clients()
    with blocking:
        async with asynchronous:
            yield ChatLetta(
                conversation_id=conversation,
                base_url=backend.base_url,
                max_retries=1,
                http_client=blocking,
                http_async_client=asynchronous,
            )


def cutting() -> tuple[httpx.Client, httpx.AsyncClient]:
    return cutting_client(), cutting_async_client()


def swallowing() -> tuple[httpx.Client, httpx.AsyncClient]:
    return swallowing_client(), swallowing_async_client()


def dying() -> tuple[httpx.Client, httpx.AsyncClient]:
    return dying_client(), dying_async_client()


@each_way
async def test_a_lost_turn_comes_back_whole_and_is_stored_once(
    ask: Ask, no_redis_backend: Backend, conversation: str, plain_reader: Reader
) -> None:
    gate = new_gate()
    question = human(f"[[hold {gate}]] [[think hm hm]] [[say one two]]")
    async with losing(no_redis_backend, conversation, cutting) as model:
        with opened_when_reached(no_redis_backend, gate):
            answer = await ask(model, [question])
    assert plain_reader.story(conversation) == story_of([question, answer])
    assert answer.text == "one two"
    assert answer.usage_metadata is not None


@each_way
async def test_a_lost_turn_that_ends_with_a_call_comes_back_and_its_result_is_taken_once(
    ask: Ask, no_redis_backend: Backend, conversation: str, plain_reader: Reader
) -> None:
    question = human(f"[[think hm]] [[say I add.]] {CALL}")
    async with losing(no_redis_backend, conversation, cutting) as model:
        bound = model.bind_tools(TOOLS)
        call = await ask(bound, [question])
        transcript = [question, call, ToolMessage("3", tool_call_id=call_ids(call)[0])]
        answer = await ask(bound, transcript)
    assert [part["tool_return"] for part in plain_reader.answers(conversation)] == ["3"]
    assert plain_reader.story(conversation) == story_of([*transcript, answer])


@each_way
async def test_a_lost_turn_that_failed_at_the_server_is_told_so(
    ask: Ask, no_redis_backend: Backend, conversation: str, plain_reader: Reader
) -> None:
    async with losing(no_redis_backend, conversation, cutting) as model:
        with pytest.raises(TurnFailed) as caught:
            await ask(model, [human("[[fail 500]]")])
    assert (caught.value.stop_reason, caught.value.error_type) == ("llm_api_error", "llm_error")
    assert caught.value.accepted is False
    assert plain_reader.story(conversation) == []


@each_way
async def test_a_turn_that_never_reached_the_server_is_told_as_interrupted_and_can_be_asked_again(
    ask: Ask, no_redis_backend: Backend, plain_pinned: ChatLetta, conversation: str, plain_reader: Reader
) -> None:
    question = human("one")
    async with losing(no_redis_backend, conversation, swallowing) as model:
        with pytest.raises(TurnInterrupted) as caught:
            await ask(model, [question])
    assert caught.value.accepted is None
    assert plain_reader.runs(conversation) == []
    await ask(plain_pinned, [question])
    assert plain_reader.story(conversation) == said("one")


@each_way
async def test_a_turn_whose_process_lost_the_network_is_found_by_the_next_process(
    ask: Ask, no_redis_backend: Backend, plain_pinned: ChatLetta, conversation: str, plain_reader: Reader
) -> None:
    gate = new_gate()
    question = human(f"[[hold {gate}]] [[say one two]]")
    async with losing(no_redis_backend, conversation, dying) as model:
        with pytest.raises(TurnInterrupted) as caught:
            await ask(model, [question])
    with opened_when_reached(no_redis_backend, gate):
        answer = await ask(plain_pinned, [question])
    assert run_of(answer) == caught.value.run_id
    assert plain_reader.story(conversation) == story_of([question, answer])


@each_way
async def test_a_step_that_is_run_again_in_another_process_is_not_stored_twice(
    ask: Ask, no_redis_backend: Backend, conversation: str, plain_reader: Reader
) -> None:
    question = human("one [[think hm]]")
    models = [ChatLetta(conversation_id=conversation, base_url=no_redis_backend.base_url) for _ in range(2)]
    first, again = [await ask(model, [question]) for model in models]
    assert run_of(first) == run_of(again)
    assert first.content_blocks == again.content_blocks
    assert plain_reader.story(conversation) == story_of([question, first])


@each_way
async def test_results_that_are_sent_again_by_another_process_are_taken_once(
    ask: Ask, no_redis_backend: Backend, conversation: str, plain_reader: Reader
) -> None:
    models = [ChatLetta(conversation_id=conversation, base_url=no_redis_backend.base_url) for _ in range(3)]
    asking, *answering = (model.bind_tools(TOOLS) for model in models)
    question = human(CALL)
    call = await ask(asking, [question])
    transcript = [question, call, ToolMessage("3", tool_call_id=call_ids(call)[0])]
    first, again = [await ask(model, transcript) for model in answering]
    assert run_of(first) == run_of(again)
    assert plain_reader.story(conversation) == story_of([*transcript, first])


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
