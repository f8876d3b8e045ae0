"""The ways to ask a `ChatLetta`, in both modes; what the server holds is read back with the official SDK."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig

from langchain_letta import ChatLetta
from letta_adapters.joins import extent_of
from letta_adapters.transcript import HumanEntry
from tests.conftest import Backend
from tests.langchain.readback import Line, Reader, story_of
from tests.langchain.support import Ask, conversation_of, each_way, fold, human, letta, new_gate, said

MANY: RunnableConfig = {"max_concurrency": 4}


@pytest.fixture(params=["followed", "pinned", "default"])
def any_model(request: pytest.FixtureRequest, backend: Backend, agent_id: str) -> ChatLetta:
    match request.param:
        case "pinned":
            conversation: str | None = request.getfixturevalue("conversation_id")
            return ChatLetta(conversation_id=conversation, base_url=backend.base_url)
        case "default":
            return ChatLetta(agent_id=agent_id, conversation_id="default", base_url=backend.base_url)
        case _:
            return ChatLetta(agent_id=agent_id, base_url=backend.base_url)


@each_way
async def test_a_dialogue_is_stored_once_and_in_order(
    ask: Ask, any_model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    dialogue: list[BaseMessage] = []
    for text in ("hello [[think hm hm]]", "and [[recall]]"):
        dialogue.append(HumanMessage(text))
        dialogue.append(await ask(any_model, dialogue))
    last = dialogue[-1]
    assert last.text == "user: hello\nassistant: You said: hello\nuser: and"
    assert {conversation_of(message) for message in dialogue[1::2]} == {conversation_of(last)}
    where = agent_id if conversation_of(last) == "default" else None
    assert reader.story(conversation_of(last), agent_id=where) == story_of(dialogue)


async def test_each_transcript_of_a_followed_model_gets_a_conversation_of_its_own(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    one, two = model.invoke("same"), await model.ainvoke("same")
    assert sorted(reader.conversations(agent_id)) == sorted([conversation_of(one), conversation_of(two)])
    assert reader.story(conversation_of(one)) == reader.story(conversation_of(two)) == said("same")


def expect_one_conversation_each(answers: list[AIMessage], reader: Reader, *texts: str) -> None:
    assert [answer.text for answer in answers] == [f"You said: {text}" for text in texts]
    for text, answer in zip(texts, answers, strict=True):
        assert reader.story(conversation_of(answer)) == said(text)


def expect_each_once(story: list[Line], *texts: str) -> None:
    """Every question once, with its answer behind it, in whichever order."""
    assert sorted(zip(story[::2], story[1::2], strict=True)) == sorted(
        zip(said(*texts)[::2], said(*texts)[1::2], strict=True)
    )


def test_a_followed_batch_runs_in_conversations_of_their_own(model: ChatLetta, reader: Reader) -> None:
    expect_one_conversation_each(model.batch(["a", "b", "c"], MANY), reader, "a", "b", "c")


async def test_a_followed_abatch_runs_in_conversations_of_their_own(model: ChatLetta, reader: Reader) -> None:
    expect_one_conversation_each(await model.abatch(["a", "b", "c"]), reader, "a", "b", "c")


def test_a_pinned_batch_is_queued_in_its_conversation(pinned: ChatLetta, conversation_id: str, reader: Reader) -> None:
    answers = pinned.batch(["a", "b", "c"], MANY)
    assert [answer.text for answer in answers] == ["You said: a", "You said: b", "You said: c"]
    expect_each_once(reader.story(conversation_id), "a", "b", "c")


async def test_a_pinned_abatch_is_queued_in_its_conversation(
    pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    answers = await pinned.abatch(["a", "b", "c"])
    assert [answer.text for answer in answers] == ["You said: a", "You said: b", "You said: c"]
    expect_each_once(reader.story(conversation_id), "a", "b", "c")


def test_two_threads_hold_two_dialogues_on_one_model(backend: Backend, model: ChatLetta, reader: Reader) -> None:
    gates = [new_gate(), new_gate()]
    dialogues: list[list[BaseMessage]] = [[human(f"I am {gate} [[hold {gate}]]")] for gate in gates]

    def two_turns(dialogue: list[BaseMessage]) -> None:
        dialogue.append(model.invoke(dialogue))
        dialogue.append(human("[[recall]] who am I?"))
        dialogue.append(model.invoke(dialogue))

    with ThreadPoolExecutor(2) as pool:
        turns = [pool.submit(two_turns, dialogue) for dialogue in dialogues]
        for gate in gates:
            backend.wait_for_gate(gate)  # both are in flight
        for gate in gates:
            backend.open_gate(gate)
        for turn in turns:
            turn.result()
    for gate, dialogue in zip(gates, dialogues, strict=True):
        seen = f"user: I am {gate}\nassistant: You said: I am {gate}\nuser: who am I?"
        assert dialogue[-1].text == seen
        assert reader.story(conversation_of(dialogue[-1])) == story_of(dialogue)


async def test_two_tasks_hold_two_dialogues_on_one_model(backend: Backend, model: ChatLetta, reader: Reader) -> None:
    gates = [new_gate(), new_gate()]
    turns = [asyncio.create_task(model.ainvoke(f"I am {gate} [[hold {gate}]]")) for gate in gates]
    for gate in gates:
        await asyncio.to_thread(backend.wait_for_gate, gate)
    for gate in gates:
        backend.open_gate(gate)
    one, two = await asyncio.gather(*turns)
    assert conversation_of(one) != conversation_of(two)
    for gate, answer in zip(gates, (one, two), strict=True):
        assert answer.text == f"You said: I am {gate}"
        assert len(reader.story(conversation_of(answer))) == 2


async def streamed(model: ChatLetta, dialogue: list[BaseMessage]) -> AIMessage:
    return fold([chunk async for chunk in model.astream(dialogue)])


def test_one_model_serves_event_loops_one_after_the_other(model: ChatLetta, reader: Reader) -> None:
    dialogue: list[BaseMessage] = [human("one")]
    dialogue.append(asyncio.run(model.ainvoke(dialogue)))
    dialogue.append(human("two"))
    dialogue.append(asyncio.run(streamed(model, dialogue)))
    assert reader.story(conversation_of(dialogue[-1])) == said("one", "two")


def test_a_blocking_and_an_async_turn_share_a_conversation(model: ChatLetta, reader: Reader) -> None:
    dialogue: list[BaseMessage] = [human("one")]
    dialogue.append(model.invoke(dialogue))
    dialogue.append(human("two"))
    dialogue.append(asyncio.run(model.ainvoke(dialogue)))
    assert reader.story(conversation_of(dialogue[-1])) == said("one", "two")


def test_an_answer_tells_where_it_stands(model: ChatLetta, agent_id: str, reader: Reader) -> None:
    answer = model.invoke("hello")
    (asked, answered) = reader.rows(conversation_of(answer))
    assert answer.response_metadata["letta_run"] == {
        "agent_id": agent_id,
        "conversation_id": conversation_of(answer),
        "run_id": asked["run_id"],
        "otids": [asked["otid"]],
    }
    assert letta(answer) == {
        "agent_id": agent_id,
        "conversation_id": conversation_of(answer),
        "run_id": asked["run_id"],
        "message_id": answered["id"],
        "message_ids": [answered["id"]],
        "stop_reason": "end_turn",
        "pending": [],
        "system_hash": None,
        "transcript_length": 1,
        "transcript_digest": extent_of([HumanEntry(content="hello")]).digest,
        "asked_at": 0,
        "step_count": 1,
        "context_tokens": 120,
    }
    assert answer.response_metadata["model_provider"] == "letta"
    assert answer.response_metadata["model_name"] == f"letta/{agent_id}"
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata == {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
