"""Compaction: asked for at the engine, and seen where the server compacts by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from letta_adapters.wire import CompactionSettings
from llama_index_letta import LettaChatEngine
from tests.conftest import Backend, fresh_agent
from tests.langchain.test_compaction import SMALL
from tests.llama_index.support import MakeEngine

ALL = CompactionSettings(mode="all")


@pytest.fixture
def crowded(backend: Backend) -> Iterator[LettaChatEngine]:
    """An engine whose context is full after every answer."""
    fields: dict[str, Any] = {"system": "Be kind.", "memory_blocks": [], "context_window_limit": SMALL}
    with (
        fresh_agent(backend, **fields) as agent_id,
        LettaChatEngine.from_defaults(agent_id=agent_id, base_url=backend.base_url) as engine,
    ):
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


def test_a_compaction_during_a_turn_is_in_the_answer(crowded: LettaChatEngine) -> None:
    response = crowded.chat("[[say hello]]")
    assert response.metadata is not None
    (compaction,) = response.metadata["compactions"]
    assert "hello" in compaction["summary"]
    assert compaction["stats"]["trigger"] == "post_step_context_check"


async def test_a_compaction_during_a_turn_is_in_the_stream(crowded: LettaChatEngine) -> None:
    response = await crowded.astream_chat("[[say hello]]")
    text = "".join([delta async for delta in response.async_response_gen()])
    assert text == "hello"
    (compaction,) = (response.metadata or {})["compactions"]
    assert "hello" in compaction["summary"]


def test_an_answer_without_one_says_nothing_of_it(make_engine: MakeEngine) -> None:
    assert "compactions" not in (make_engine().chat("[[say hello]]").metadata or {})
