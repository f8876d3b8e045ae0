"""Compaction: asked for at the engine, and seen where the server compacts by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentStream
from llama_index.core.base.llms.types import ChatMessage

from letta_adapters.events import Notice
from letta_adapters.wire import CompactionSettings, SummaryMessage
from llama_index_letta import LettaAgent, LettaChatEngine
from tests.conftest import Backend, fresh_agent
from tests.langchain.test_compaction import SMALL
from tests.llama_index.support import Ask, MakeEngine, each_way, metadata_of

ALL = CompactionSettings(mode="all")


@pytest.fixture
def crowded_id(backend: Backend) -> Iterator[str]:
    """An agent whose context is full after every answer."""
    fields: dict[str, Any] = {"system": "Be kind.", "memory_blocks": [], "context_window_limit": SMALL}
    with fresh_agent(backend, **fields) as agent_id:
        yield agent_id


@pytest.fixture
async def crowded(backend: Backend, crowded_id: str) -> AsyncIterator[LettaChatEngine]:
    """An engine of such an agent."""
    async with LettaChatEngine.from_defaults(agent_id=crowded_id, base_url=backend.base_url) as engine:
        yield engine


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "async"])
async def test_the_conversation_of_an_engine_is_compacted_and_goes_on(blocking: bool, make_engine: MakeEngine) -> None:
    engine = make_engine()
    for text in ("[[say one]]", "[[say two]]"):
        await engine.achat(text)
    done = engine.compact(ALL) if blocking else await engine.acompact(ALL)
    assert done.num_messages_after < done.num_messages_before
    assert done.summary
    assert str(await engine.achat("[[say three]]")) == "three"


def test_before_the_first_message_there_is_nothing_to_compact(make_engine: MakeEngine) -> None:
    with pytest.raises(ValueError, match="no conversation"):
        make_engine().compact()


def check(told: dict[str, Any]) -> None:
    (compaction,) = told["compactions"]
    assert "hello" in compaction["summary"]
    assert compaction["message_id"].startswith("message-")
    assert compaction["stats"]["trigger"] == "post_step_context_check"


@each_way
async def test_a_compaction_during_a_turn_is_in_the_answer_however_it_is_asked_for(
    ask: Ask, crowded: LettaChatEngine
) -> None:
    response = await ask(crowded, "[[say hello]]")
    assert str(response) == "hello"
    check(metadata_of(response))
    check(response.message.additional_kwargs["letta"])


async def test_whoever_reads_the_events_of_a_stream_hears_of_it(crowded: LettaChatEngine) -> None:
    response = await crowded.astream_chat("[[say hello]]")
    notes = [event.message async for event in response.aevents() if isinstance(event, Notice)]
    assert [type(note) for note in notes] == [SummaryMessage]


async def test_a_compaction_during_a_run_is_in_an_agents_answer_and_in_its_events(
    backend: Backend, crowded_id: str
) -> None:
    agent: Any  # what awaiting a run gives has no type in LlamaIndex
    async with LettaAgent(agent_id=crowded_id, base_url=backend.base_url) as agent:
        handler = agent.run("[[say hello]]")
        events = [event.raw async for event in handler.stream_events() if isinstance(event, AgentStream)]
        output = await handler
        assert str(output) == "hello"
        check(output.response.additional_kwargs["letta"])
        assert [type(event.message) for event in events if isinstance(event, Notice)] == [SummaryMessage]
        quiet = await agent.llm.achat([ChatMessage("[[say hello]]")])
        check(quiet.message.additional_kwargs["letta"])


def test_an_answer_without_one_says_nothing_of_it(make_engine: MakeEngine) -> None:
    response = make_engine().chat("[[say hello]]")
    assert "compactions" not in metadata_of(response)
    assert "compactions" not in response.message.additional_kwargs["letta"]
