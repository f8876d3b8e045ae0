"""Compaction: asked for at the model and at the history, and seen where the server compacts by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from pydantic import SecretStr

from langchain_letta import ChatLetta, LettaChatMessageHistory
from letta_adapters.errors import ConversationBusy
from letta_adapters.wire import CompactionResponse, CompactionSettings
from tests.conftest import Backend, fresh_agent, fresh_conversation
from tests.contract.wire import Wire, until
from tests.langchain.support import conversation_of, fold, letta, new_gate

SMALL = 130
"""Tokens of a window that every answer of the scripted model fills, so that the server compacts it by itself."""

ALL = CompactionSettings(mode="all")

both_ways = pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "async"])


@pytest.fixture
def small_agent_id(backend: Backend) -> Iterator[str]:
    fields: dict[str, Any] = {"system": "Be kind.", "memory_blocks": [], "context_window_limit": SMALL}
    with fresh_agent(backend, **fields) as made:
        yield made


async def compacted(model: ChatLetta, messages: list[BaseMessage], *, blocking: bool) -> CompactionResponse:
    if blocking:
        return model.compact(messages, compaction_settings=ALL)
    return await model.acompact(messages, compaction_settings=ALL)


def in_context(backend: Backend, conversation_id: str) -> int:
    with Wire(backend.base_url) as wire:
        return len(wire.conversation(conversation_id)["in_context_message_ids"])


def dialogue(model: ChatLetta) -> list[BaseMessage]:
    messages: list[BaseMessage] = [HumanMessage("[[say one]]", id="m1")]
    messages.append(model.invoke(messages))
    messages.append(HumanMessage("[[say two]]", id="m2"))
    return [*messages, model.invoke(messages)]


@both_ways
async def test_the_conversation_of_a_transcript_is_compacted(
    blocking: bool, model: ChatLetta, backend: Backend
) -> None:
    messages = dialogue(model)
    conversation = conversation_of(messages[-1])
    before = in_context(backend, conversation)
    done = await compacted(model, messages, blocking=blocking)
    assert (done.num_messages_before, done.num_messages_after) == (before, in_context(backend, conversation))
    assert done.num_messages_after < before
    again = model.invoke([*messages, HumanMessage("[[say three]]", id="m3")])
    assert (again.text, conversation_of(again)) == ("three", conversation)


@both_ways
async def test_a_pinned_conversation_is_compacted(blocking: bool, pinned: ChatLetta) -> None:
    dialogue(pinned)
    done = await compacted(pinned, [], blocking=blocking)
    assert done.num_messages_after < done.num_messages_before


def test_a_transcript_without_an_answer_of_the_agent_has_nothing_to_compact(model: ChatLetta) -> None:
    with pytest.raises(ValueError, match="no answer of this agent"):
        model.compact([HumanMessage("Hello"), AIMessage("Hello, Ann.")])


def test_an_anchor_that_nobody_signed_names_nothing_to_compact(model: ChatLetta) -> None:
    messages = dialogue(model)
    signing = ChatLetta(agent_id=model.agent_id, base_url=model.base_url, anchor_key=SecretStr("secret"))
    with pytest.raises(ValueError, match="no answer of this agent"):
        signing.compact(messages)


def test_a_turn_that_is_being_sent_is_not_compacted_away(pinned: ChatLetta) -> None:
    hasty = pinned.model_copy(update={"busy_timeout": 0.01})
    hold = pinned.client.hold(str(pinned.conversation_id))
    assert hold.acquire(0)
    try:
        with pytest.raises(ConversationBusy):
            hasty.compact()
    finally:
        hold.release()


@both_ways
async def test_a_conversation_is_compacted_once_a_turn_that_was_left_has_ended(
    blocking: bool, pinned: ChatLetta, backend: Backend
) -> None:
    messages, gate = dialogue(pinned), new_gate()
    stream = pinned.stream([*messages, HumanMessage(f"[[hold {gate} 1]] [[say one two]]", id="m3")])
    next(stream)
    cast("Any", stream).close()
    with pytest.raises(ConversationBusy):
        await compacted(pinned, [], blocking=blocking)
    backend.open_gate(gate)
    with Wire(backend.base_url) as wire:
        until(lambda: [run["completed_at"] is None for run in wire.runs(str(pinned.conversation_id))] == 3 * [False])
    done = await compacted(pinned, [], blocking=blocking)
    assert done.num_messages_after < done.num_messages_before


@both_ways
async def test_a_history_is_compacted_and_shows_everything_still(
    blocking: bool, pinned: ChatLetta, backend: Backend
) -> None:
    dialogue(pinned)
    history = LettaChatMessageHistory(conversation_id=pinned.conversation_id, base_url=backend.base_url)
    done = history.compact(ALL) if blocking else await history.acompact(ALL)
    assert done.num_messages_after < done.num_messages_before
    assert [message.text for message in history.messages if isinstance(message, HumanMessage)] == [
        "[[say one]]",
        "[[say two]]",
    ]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@both_ways
async def test_a_compaction_during_a_turn_is_in_the_answer_and_in_its_stream(
    blocking: bool, streamed: bool, backend: Backend, small_agent_id: str
) -> None:
    conversation_id = fresh_conversation(backend, small_agent_id)
    model = ChatLetta(conversation_id=conversation_id, base_url=backend.base_url)
    chunks = await chunks_of(model, "[[say hello]]", blocking=blocking) if streamed else []
    if streamed:
        answer = fold(chunks)
    else:
        answer = model.invoke("[[say hello]]") if blocking else await model.ainvoke("[[say hello]]")
    (compaction,) = letta(answer)["compactions"]
    assert "hello" in compaction["summary"]
    assert compaction["stats"]["trigger"] == "post_step_context_check"
    (block,) = [block for block in answer.content_blocks if block["type"] == "non_standard"]
    assert block["value"]["message_type"] == "summary_message"
    assert block["value"]["id"] == compaction["message_id"]
    assert answer.text == "hello"
    with_block = [bool([b for b in chunk.content_blocks if b["type"] == "non_standard"]) for chunk in chunks]
    assert with_block.count(True) == int(streamed)
    told = ["compactions" in chunk.response_metadata.get("letta", {}) for chunk in chunks]
    assert told.count(True) == int(streamed)


async def chunks_of(model: ChatLetta, text: str, *, blocking: bool) -> list[AIMessageChunk]:
    return list(model.stream(text)) if blocking else [chunk async for chunk in model.astream(text)]


def test_an_answer_without_one_says_nothing_of_it(model: ChatLetta) -> None:
    assert "compactions" not in letta(model.invoke("[[say hello]]"))
