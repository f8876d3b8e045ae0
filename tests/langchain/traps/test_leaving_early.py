"""A consumer that stops early and asks again, asks something else, or keeps the part that it got and asks on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_letta import ChatLetta
from tests.conftest import Backend
from tests.langchain.readback import Line, Reader, story_of
from tests.langchain.support import Ask, by_ainvoke, by_invoke, conversation_of, human, new_gate
from tests.langchain.traps.dying import late_client
from tests.langchain.traps.support import chain_of, chat, end_of_held_turn, expect, stripped, thread, users

Leave = Callable[[ChatLetta, Sequence[BaseMessage]], Awaitable[AIMessage]]
ANSWER = "one two three"


async def leave_stream(model: ChatLetta, messages: Sequence[BaseMessage]) -> AIMessage:
    """Take the first chunk and go."""
    with closing(cast("Any", model.stream(list(messages)))) as chunks:
        return next(chunks)


async def leave_astream(model: ChatLetta, messages: Sequence[BaseMessage]) -> AIMessage:
    async with aclosing(cast("Any", model.astream(list(messages)))) as chunks:
        chunk = await anext(chunks)
    # LangChain leaves its inner generator to the event loop, which closes it in a task.
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
    return chunk


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a program calls the model."""

    leave: Leave
    ask: Ask


each_way = pytest.mark.parametrize(
    "way",
    [Way(leave=leave_stream, ask=by_invoke), Way(leave=leave_astream, ask=by_ainvoke)],
    ids=["blocking", "async"],
)
with_and_without_ids = pytest.mark.parametrize("ids", [True, False], ids=["with ids", "without ids"])


@pytest.fixture
def gate() -> str:
    return new_gate()


def held(gate: str, *, ids: bool = True) -> HumanMessage:
    """A question whose answer stops after its first word."""
    text = f"[[hold {gate} 1]] [[say {ANSWER}]] the long one"
    return human(text) if ids else HumanMessage(text)


def begin(model: ChatLetta, *, ids: bool = True) -> list[BaseMessage]:
    """A dialogue of one turn."""
    messages: list[BaseMessage] = [human("hello") if ids else HumanMessage("hello")]
    return [*messages, model.invoke(messages)]


@with_and_without_ids
@each_way
async def test_who_asks_again_gets_the_answer_and_is_stored_once(
    way: Way, ids: bool, backend: Backend, model: ChatLetta, gate: str, reader: Reader
) -> None:
    messages = [*begin(model, ids=ids), held(gate, ids=ids)]
    await way.leave(model, messages)
    backend.open_gate(gate)
    answer = await way.ask(model, messages)
    assert answer.text == ANSWER
    expect(reader, [*messages, answer])


@each_way
async def test_who_asks_again_with_the_same_ids_gets_the_turn_that_was_left(
    way: Way, backend: Backend, model: ChatLetta, gate: str, agent_id: str, reader: Reader
) -> None:
    messages = [*begin(model), held(gate)]
    part = await way.leave(model, messages)
    backend.open_gate(gate)
    answer = await way.ask(model, messages)
    assert answer.response_metadata["letta"]["run_id"] == part.response_metadata["letta_run"]["run_id"]
    assert len(reader.conversations(agent_id)) == 1


@with_and_without_ids
@each_way
async def test_who_asks_a_first_question_again_is_stored_once_where_it_is_answered(
    way: Way, ids: bool, backend: Backend, model: ChatLetta, gate: str, reader: Reader
) -> None:
    asked = held(gate, ids=ids)
    await way.leave(model, [asked])
    backend.open_gate(gate)
    answer = await way.ask(model, [asked])
    expect(reader, [asked, answer])


@each_way
async def test_who_asks_on_without_the_answer_has_both_questions_stored_once(
    way: Way, backend: Backend, model: ChatLetta, gate: str, agent_id: str, reader: Reader
) -> None:
    messages = [*begin(model), held(gate)]
    await way.leave(model, messages)
    backend.open_gate(gate)
    asked = human("next")
    answer = await way.ask(model, [*messages, asked])
    expect(reader, [*messages, AIMessage(ANSWER), asked, answer])
    assert len(reader.conversations(agent_id)) == 1


@each_way
async def test_who_asks_something_else_instead_goes_on_where_the_first_question_is_unknown(
    way: Way, backend: Backend, model: ChatLetta, gate: str, reader: Reader
) -> None:
    before = begin(model)
    await way.leave(model, [*before, held(gate)])
    backend.open_gate(gate)
    messages = [*before, human("instead")]
    answer = await way.ask(model, messages)
    expect(reader, [*messages, answer])
    assert conversation_of(answer) != conversation_of(before[-1])


def whole_story(before: Sequence[BaseMessage], after: Sequence[BaseMessage]) -> list[Line]:
    """A dialogue in which the answer that was left in the middle stands whole."""
    return story_of([*before, AIMessage(ANSWER), *after])


@with_and_without_ids
@each_way
async def test_who_keeps_the_part_and_asks_on_has_everything_stored_once(
    way: Way, ids: bool, backend: Backend, model: ChatLetta, gate: str, agent_id: str, reader: Reader
) -> None:
    before = [*begin(model, ids=ids), held(gate, ids=ids)]
    part = await way.leave(model, before)
    assert part.text == "one "
    backend.open_gate(gate)
    asked = human("next")
    answer = await way.ask(model, [*before, part, asked])
    assert reader.story(conversation_of(answer)) == whole_story(before, [asked, answer])
    assert len(reader.conversations(agent_id)) == 1


@with_and_without_ids
@each_way
async def test_who_keeps_the_part_of_a_first_answer_goes_on_in_its_conversation(
    way: Way, ids: bool, backend: Backend, model: ChatLetta, gate: str, agent_id: str, reader: Reader
) -> None:
    before = [held(gate, ids=ids)]
    part = await way.leave(model, before)
    backend.open_gate(gate)
    asked = human("next")
    answer = await way.ask(model, [*before, part, asked])
    assert reader.story(conversation_of(answer)) == whole_story(before, [asked, answer])
    assert reader.conversations(agent_id) == [conversation_of(answer)]


@pytest.mark.parametrize(
    "asks", ["again", "again, without ids", "on", "something else", "on, with the words of the part"]
)
async def test_a_turn_that_was_left_and_ends_between_the_look_and_the_sending_is_seen(
    asks: str, backend: Backend, model: ChatLetta, gate: str, reader: Reader
) -> None:
    """While it runs, none of its messages shows; what was read then is old news when the next turn is sent."""
    before, question = begin(model), held(gate, ids=asks != "again, without ids")
    part = await leave_stream(model, [*before, question])
    then = {
        "on": [question, human("next")],
        "something else": [human("instead")],
        "on, with the words of the part": [question, stripped(part), human("next")],
    }.get(asks, [question])
    with late_client(partial(end_of_held_turn, backend, conversation_of(before[-1]), gate)) as http:
        answer = model.model_copy(update={"http_client": http}).invoke([*before, *then])
    said = ["hello", *(str(message.content) for message in then if isinstance(message, HumanMessage))]
    assert users(reader, conversation_of(answer)) == said


@each_way
async def test_after_a_part_that_was_kept_the_dialogue_goes_on_from_the_next_answer(
    way: Way, backend: Backend, model: ChatLetta, gate: str, reader: Reader
) -> None:
    before = [*begin(model), held(gate)]
    part = await way.leave(model, before)
    backend.open_gate(gate)
    after: list[BaseMessage] = []
    for text in ("next", "and then"):
        after.append(human(text))
        after.append(await way.ask(model, [*before, part, *after]))
    assert reader.story(conversation_of(after[-1])) == whole_story(before, after)


@each_way
async def test_who_keeps_the_words_of_the_part_only_has_each_question_stored_once(
    way: Way, backend: Backend, model: ChatLetta, gate: str, reader: Reader
) -> None:
    before = [*begin(model), held(gate)]
    part = await way.leave(model, before)
    backend.open_gate(gate)
    answer = await way.ask(model, [*before, stripped(part), human("next")])
    assert users(reader, conversation_of(answer)) == ["hello", before[-1].text, "next"]


@pytest.mark.parametrize("keeps", [True, False], ids=["keeps the part", "keeps nothing"])
@each_way
async def test_a_turn_that_is_cancelled_when_it_is_left_loses_no_question(
    way: Way, keeps: bool, backend: Backend, model: ChatLetta, gate: str, reader: Reader
) -> None:
    """Whether the cancellation came in time to store nothing or not."""
    before = [*begin(model), held(gate)]
    part = await way.leave(model.model_copy(update={"on_abandon": "cancel"}), before)
    backend.open_gate(gate)
    answer = await way.ask(model, [*before, *([part] if keeps else []), human("next")])
    assert users(reader, conversation_of(answer)) == ["hello", before[-1].text, "next"]


def test_who_leaves_the_stream_of_a_graph_and_resumes_is_stored_once(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    graph, config = chain_of(("chat", chat(model)), saver=InMemorySaver()), thread()
    for _ in graph.stream({"messages": [human(f"[[say {ANSWER}]]")]}, config, stream_mode="messages"):
        break
    messages = graph.invoke(None, config)["messages"]
    assert [message.text for message in messages[1:]] == [ANSWER]
    expect(reader, messages)
    assert len(reader.conversations(agent_id)) == 1


def test_who_leaves_the_stream_of_a_graph_and_asks_on_has_both_questions_stored_once(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    graph, config = chain_of(("chat", chat(model)), saver=InMemorySaver()), thread()
    for _ in graph.stream({"messages": [human(f"[[say {ANSWER}]]")]}, config, stream_mode="messages"):
        break
    messages = graph.invoke({"messages": [human("next")]}, config)["messages"]
    conversation = conversation_of(messages[-1])
    assert reader.conversations(agent_id) == [conversation]
    assert users(reader, conversation) == [f"[[say {ANSWER}]]", "next"]
