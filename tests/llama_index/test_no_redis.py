"""An engine on a server without Redis: no background streams, no locks, no deduplication."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llama_index_letta import LettaChatEngine
from tests.conftest import Backend, fresh_agent
from tests.langchain.readback import Reader
from tests.llama_index.support import (
    ADD,
    IN_SEQUENCE,
    Ask,
    add,
    by_astream,
    by_chat,
    conversation_of,
    each_way,
    multiply,
    new_gate,
    said,
    story_of,
)


@pytest.fixture
def engine(no_redis_backend: Backend) -> Iterator[LettaChatEngine]:
    with (
        fresh_agent(no_redis_backend) as agent_id,
        LettaChatEngine.from_defaults(
            agent_id=agent_id, base_url=no_redis_backend.base_url, tools=[add, multiply]
        ) as engine,
    ):
        yield engine


@each_way
async def test_tools_run_and_each_message_is_stored_once(
    ask: Ask, engine: LettaChatEngine, no_redis_backend: Backend
) -> None:
    assert str(await ask(engine, IN_SEQUENCE)) == "It is 3 and 12"
    assert str(await ask(engine, "one")) == "You said: one"
    with Reader(no_redis_backend.base_url) as reader:
        story = reader.story(conversation_of(engine))
    assert [kind for kind, _ in story] == ["user", *["calls", "results"] * 2, "assistant", "user", "assistant"]
    assert story == story_of(await engine.aget_history())


def test_a_turn_that_is_left_goes_on_and_the_next_one_waits_for_it(
    engine: LettaChatEngine, no_redis_backend: Backend
) -> None:
    gate = new_gate()
    response = engine.stream_chat(f"[[hold {gate} 1]] [[say Let me see]] {ADD} [[next]] [[say It is 3]]")
    for _ in response.response_gen:
        break
    no_redis_backend.open_gate(gate)
    assert str(engine.chat("and now?")) == "You said: and now?"
    assert response.is_done
    assert str(response) == "Let me see\nIt is 3"
    assert story_of(engine.chat_history)[-2:] == said("and now?")


async def test_blocking_and_async_turns_of_one_engine_are_apart(engine: LettaChatEngine) -> None:
    await by_astream(engine, "one")
    await by_chat(engine, "two")
    assert story_of(engine.chat_history) == said("one", "two")
