"""Messages that are handed to a history: what the conversation holds is not added again, what is new is refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_letta import ChatLetta, LettaChatMessageHistory
from tests.conftest import NOWHERE, Backend
from tests.langchain.readback import Reader
from tests.langchain.support import CALL, TOOLS, call_ids, conversation_of, fold, human, said

Add = Callable[[LettaChatMessageHistory, Sequence[BaseMessage]], Awaitable[None]]


async def by_add_messages(history: LettaChatMessageHistory, messages: Sequence[BaseMessage]) -> None:
    history.add_messages(messages)


async def by_aadd_messages(history: LettaChatMessageHistory, messages: Sequence[BaseMessage]) -> None:
    await history.aadd_messages(messages)


each_way = pytest.mark.parametrize("add", [by_add_messages, by_aadd_messages], ids=["blocking", "async"])


@pytest.fixture
def history(backend: Backend, agent_id: str, conversation_id: str) -> LettaChatMessageHistory:
    return LettaChatMessageHistory(conversation_id=conversation_id, agent_id=agent_id, base_url=backend.base_url)


def turn(model: ChatLetta, text: str = "one") -> list[BaseMessage]:
    question = HumanMessage(text)
    return [question, model.invoke([question])]


def loop(model: ChatLetta) -> list[BaseMessage]:
    """A turn with a tool."""
    bound = model.bind_tools(TOOLS)
    messages: list[BaseMessage] = [HumanMessage(CALL)]
    messages.append(bound.invoke(messages))
    messages.append(ToolMessage("3", tool_call_id=call_ids(messages[-1])[0]))
    messages.append(bound.invoke(messages))
    return messages


@each_way
async def test_a_turn_that_the_server_stored_is_added_as_often_as_one_likes(
    add: Add, pinned: ChatLetta, history: LettaChatMessageHistory, conversation_id: str, reader: Reader
) -> None:
    messages = turn(pinned)
    for _ in range(2):
        await add(history, messages)
        await add(history, messages[1:])
        await add(history, history.messages)
    assert reader.story(conversation_id) == said("one")


@each_way
async def test_so_is_a_turn_with_tools_in_any_order(
    add: Add, pinned: ChatLetta, history: LettaChatMessageHistory, conversation_id: str, reader: Reader
) -> None:
    messages = loop(pinned)
    before = reader.story(conversation_id)
    await add(history, messages)
    await add(history, [messages[0], *history.messages, *messages[::-1]])
    assert reader.story(conversation_id) == before


@each_way
async def test_an_answer_without_its_anchor_is_known_by_its_text_with_all_that_was_asked_with_it(
    add: Add, pinned: ChatLetta, history: LettaChatMessageHistory
) -> None:
    for text in ("one", "two", "three"):
        turn(pinned, text)
    await add(history, [HumanMessage("two"), AIMessage("You said: two\n")])
    await add(history, [AIMessage("You said: one")])
    with pytest.raises(ValueError, match=r"0 \(human\)"):
        await add(history, [HumanMessage("one"), AIMessage("You said: two")])


@each_way
async def test_words_that_a_template_put_around_a_message_do_no_harm(
    add: Add, pinned: ChatLetta, history: LettaChatMessageHistory
) -> None:
    answer = pinned.invoke([SystemMessage("Be brief."), HumanMessage("The question is: why? Answer it.")])
    await add(history, [SystemMessage("Be brief."), HumanMessage("why?"), answer])


async def test_a_part_of_an_answer_whose_stream_was_left_is_held(
    pinned: ChatLetta, history: LettaChatMessageHistory, conversation_id: str, reader: Reader
) -> None:
    question = HumanMessage("[[say a b c d e f]]")
    chunks = pinned.stream([question])
    part = fold([next(chunks), next(chunks)])
    for _ in chunks:
        pass
    await history.aadd_messages([question, part])
    assert len(reader.story(conversation_id)) == 2


NEW: dict[str, list[BaseMessage]] = {
    "a question": [HumanMessage("new")],
    "an answer of another model": [AIMessage("of another model")],
    "an answer without words": [AIMessage("")],
    "a result": [ToolMessage("3", tool_call_id="call_1")],
    "a turn of another model": [HumanMessage("new"), AIMessage("of another model")],
    "instructions": [SystemMessage("Be brief.")],
}


@pytest.mark.parametrize("messages", NEW.values(), ids=NEW)
@each_way
async def test_what_is_new_is_refused_and_the_error_says_what_to_do(
    add: Add,
    messages: list[BaseMessage],
    pinned: ChatLetta,
    history: LettaChatMessageHistory,
    conversation_id: str,
    reader: Reader,
) -> None:
    turn(pinned)
    with pytest.raises(ValueError, match=f"Conversation {conversation_id} does not hold .*ChatLetta"):
        await add(history, messages)
    assert reader.story(conversation_id) == said("one")


@each_way
async def test_or_it_is_left_out_where_that_was_asked_for(
    add: Add,
    pinned: ChatLetta,
    agent_id: str,
    conversation_id: str,
    backend: Backend,
    reader: Reader,
    caplog: pytest.LogCaptureFixture,
) -> None:
    history = LettaChatMessageHistory(
        conversation_id=conversation_id, agent_id=agent_id, base_url=backend.base_url, on_new_messages="ignore"
    )
    with caplog.at_level(logging.INFO, logger="langchain_letta"):
        await add(history, [*turn(pinned), HumanMessage("new")])
    assert [record.message for record in caplog.records if "does not hold" in record.message]
    assert reader.story(conversation_id) == said("one")


@each_way
async def test_an_answer_of_another_conversation_is_new_and_the_error_names_the_way_to_pin_a_model(
    add: Add, model: ChatLetta, history: LettaChatMessageHistory
) -> None:
    messages = turn(model)
    assert conversation_of(messages[1]) != history.conversation_id
    with pytest.raises(ValueError, match="pin_to_history"):
        await add(history, messages)


def test_the_oldest_ways_to_add_know_what_is_held_too(pinned: ChatLetta, history: LettaChatMessageHistory) -> None:
    _, answer = turn(pinned)
    assert isinstance(answer, AIMessage)
    history.add_ai_message(answer)
    history.add_message(history.messages[0])
    with pytest.raises(ValueError, match="send them with"):
        history.add_user_message("new")


def test_nothing_is_asked_of_the_server_for_answers_that_have_their_anchor(
    pinned: ChatLetta, agent_id: str, conversation_id: str
) -> None:
    _, answer = turn(pinned)
    away = LettaChatMessageHistory(conversation_id=conversation_id, agent_id=agent_id, base_url=NOWHERE)
    away.add_messages([answer])


async def test_many_turns_and_additions_at_once_leave_each_turn_once(
    pinned: ChatLetta, history: LettaChatMessageHistory, conversation_id: str, reader: Reader
) -> None:
    async def one(number: int) -> None:
        question = human(f"number {number}")
        answer = await pinned.ainvoke([question])
        await asyncio.gather(*(history.aadd_messages([question, answer]) for _ in range(3)))

    await asyncio.gather(*(one(number) for number in range(5)))
    asked = [text for kind, text in reader.story(conversation_id) if kind == "user"]
    assert sorted(asked) == [f"number {number}" for number in range(5)]
    assert len(history.messages) == 10


@pytest.mark.parametrize("way", ["blocking", "async"])
async def test_clearing_starts_a_new_conversation_and_leaves_the_old_one(
    way: str, pinned: ChatLetta, history: LettaChatMessageHistory, agent_id: str, backend: Backend, reader: Reader
) -> None:
    turn(pinned)
    old = history.conversation_id
    await clear(history, way)
    assert history.messages == []
    assert history.conversation_id != old
    assert set(reader.conversations(agent_id)) == {old, history.conversation_id}
    assert reader.story(str(old)) == said("one")
    ChatLetta(conversation_id=history.conversation_id, base_url=backend.base_url).invoke("two")
    assert [message.text for message in history.messages] == ["two", "You said: two"]


@pytest.mark.parametrize("way", ["blocking", "async"])
async def test_the_old_conversation_is_deleted_only_on_request(
    way: str, pinned: ChatLetta, history: LettaChatMessageHistory, agent_id: str, reader: Reader
) -> None:
    turn(pinned)
    await clear(history, way, delete=True)
    assert reader.conversations(agent_id) == [history.conversation_id]


@pytest.mark.parametrize("way", ["blocking", "async"])
async def test_of_the_default_conversation_nothing_is_deleted_and_no_agent_is_reset(
    way: str, agent_id: str, backend: Backend, reader: Reader
) -> None:
    ChatLetta(agent_id=agent_id, conversation_id="default", base_url=backend.base_url).invoke("one")
    history = LettaChatMessageHistory(conversation_id="default", agent_id=agent_id, base_url=backend.base_url)
    with pytest.raises(ValueError, match="part of the agent"):
        await clear(history, way, delete=True)
    await clear(history, way)
    assert str(history.conversation_id).startswith("conv-")
    assert reader.story("default", agent_id=agent_id) == said("one")


async def test_clearing_what_is_gone_already_begins_anew(
    history: LettaChatMessageHistory, conversation_id: str, pinned: ChatLetta
) -> None:
    pinned.client.conversations.delete(conversation_id)
    await history.aclear(delete=True)
    assert history.messages == []


async def clear(history: LettaChatMessageHistory, way: str, **options: Any) -> None:
    if way == "blocking":
        history.clear(**options)
    else:
        await history.aclear(**options)
