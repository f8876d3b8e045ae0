"""Two agents in one transcript, and transcripts that move: to another agent or server, or when theirs is deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from threading import Barrier
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_letta import ChatLetta
from tests.conftest import TIMEOUT, Backend, fresh_agent
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import (
    CALL,
    IN_SEQUENCE,
    TOOLS,
    agent_of,
    asked,
    call_ids,
    conversation_of,
    human,
    letta,
)
from tests.langchain.traps.support import END, START, Node, expect, expect_each_once, message_graph, thread, users


@pytest.fixture
def other(backend: Backend) -> Iterator[ChatLetta]:
    """A model of another agent on the same server."""
    with fresh_agent(backend) as agent_id:
        yield ChatLetta(agent_id=agent_id, base_url=backend.base_url)


@pytest.fixture
def elsewhere(no_redis_backend: Backend) -> Iterator[ChatLetta]:
    """A model of an agent on another server, one without Redis."""
    with fresh_agent(no_redis_backend) as agent_id:
        yield ChatLetta(agent_id=agent_id, base_url=no_redis_backend.base_url)


@pytest.fixture
def reader_elsewhere(no_redis_backend: Backend) -> Iterator[Reader]:
    with Reader(no_redis_backend.base_url) as opened:
        yield opened


def turns(model: Any, messages: Sequence[BaseMessage], *texts: str) -> list[BaseMessage]:
    """A dialogue and what is asked on."""
    whole = list(messages)
    for text in texts:
        whole.append(human(text))
        whole.append(model.invoke(whole))
    return whole


def tool_turn(model: Any, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    whole = turns(model.bind_tools(TOOLS), messages, CALL)
    whole.append(ToolMessage("3", name="add", tool_call_id=call_ids(whole[-1])[0], id="result-1"))
    return [*whole, model.bind_tools(TOOLS).invoke(whole)]


AS_TEXT = [
    ("user", CALL),
    ("user", '[assistant called the tools: add({"a": 1, "b": 2})]'),
    ("user", "[The tool add answered: 3]"),
    ("assistant", "The tools answered: 3"),
]
"""A turn with a tool, where it is told to somebody who did not take part."""


def test_two_agents_that_answer_in_turn_each_hear_the_other_once(
    model: ChatLetta, other: ChatLetta, reader: Reader
) -> None:
    messages: list[BaseMessage] = []
    for number in range(8):
        messages = turns((model, other)[number % 2], messages, f"turn {number}")
        expect(reader, messages)
    assert len({conversation_of(answer) for answer in messages[1::2]}) == 2


def test_two_agents_that_answer_each_other_each_hear_the_other_once(
    model: ChatLetta, other: ChatLetta, reader: Reader
) -> None:
    """Without anybody asking in between, as debating agents do."""
    messages: list[BaseMessage] = [human("[[say let us talk]] begin")]
    for number in range(6):
        speaker, name = ((model, "ann"), (other, "bob"))[number % 2]
        answer = speaker.invoke(messages)
        messages.append(answer.model_copy(update={"name": name}))
    one, two = (conversation_of(messages[index]) for index in (-2, -1))
    for conversation, partner in ((one, "bob"), (two, "ann")):
        heard = [text for text in users(reader, conversation) if text.startswith(f"[{partner} said: ")]
        assert len(heard) == len(set(heard))
        assert len(heard) >= 2
        assert users(reader, conversation).count(messages[0].text) == 1


def test_an_agent_hears_of_the_tools_of_the_other_as_text(model: ChatLetta, other: ChatLetta, reader: Reader) -> None:
    messages = turns(other, tool_turn(model, []), "and now?")
    assert reader.story(conversation_of(messages[-1])) == AS_TEXT + story_of(messages[-2:])
    messages = turns(model, messages, "and you?")
    expect(reader, messages)


def test_an_agent_is_told_of_a_call_that_waits_with_the_other_and_cannot_answer_it(
    model: ChatLetta, other: ChatLetta, reader: Reader
) -> None:
    call = turns(model.bind_tools(TOOLS), [], CALL)
    result = ToolMessage("3", name="add", tool_call_id=call_ids(call[-1])[0], id="result-1")
    answer = other.bind_tools(TOOLS).invoke([*call, result])
    assert reader.story(conversation_of(answer))[:3] == AS_TEXT[:3]
    assert reader.answers(conversation_of(answer)) == []
    assert reader.story(conversation_of(call[-1])) == story_of(call)


def debate(*models: tuple[str, ChatLetta]) -> Any:
    """A graph in which all agents answer to the same transcript at once."""
    barrier = Barrier(len(models))

    def node(model: ChatLetta) -> Node:
        def answer(state: Any) -> Any:
            barrier.wait()
            return {"messages": [model.invoke(state["messages"])]}

        return answer

    graph = message_graph()
    for name, model in models:
        graph.add_node(name, node(model))
        graph.add_edge(START, name)
        graph.add_edge(name, END)
    return graph.compile(checkpointer=InMemorySaver())


def test_two_agents_that_answer_at_once_each_hear_the_other_once(
    model: ChatLetta, other: ChatLetta, reader: Reader
) -> None:
    graph, config = debate(("ann", model), ("bob", other)), thread()
    messages: list[BaseMessage] = []
    for number in range(3):
        before = [*messages, human(f"turn {number}")]
        messages = graph.invoke({"messages": [before[-1]]}, config)["messages"]
        for answer in messages[-2:]:
            expect_each_once(reader, [*before, answer])
    for agent_id in (model.agent_id, other.agent_id):
        conversations = {conversation_of(one) for one in messages if letta_of(one).get("agent_id") == agent_id}
        assert len(conversations) == 1


def letta_of(message: BaseMessage) -> dict[str, Any]:
    return letta(message) if isinstance(message, AIMessage) else {}


def test_a_transcript_that_moves_to_another_agent_is_known_there(
    model: ChatLetta, other: ChatLetta, reader: Reader
) -> None:
    before = turns(model, [SystemMessage("Be brief.")], "one", "two")
    messages = turns(other, before, "three")
    expect(reader, messages)
    expect(reader, before)


def test_an_agents_thread_that_another_agent_takes_over_goes_on_there(
    model: ChatLetta, other: ChatLetta, reader: Reader
) -> None:
    saver, config = InMemorySaver(), thread()
    before = agent_of(model, checkpointer=saver).invoke(asked(IN_SEQUENCE), config)["messages"]
    after = agent_of(other, checkpointer=saver).invoke(asked("[[recall]] and now?"), config)["messages"]
    assert after[: len(before)] == before
    told = users(reader, conversation_of(after[-1]))
    for text in (IN_SEQUENCE, "[The tool add answered: 3]", "[The tool multiply answered: 12]", "[[recall]] and now?"):
        assert told.count(text) == 1
    assert "assistant: It is 3 and 12" in after[-1].text


def test_a_transcript_that_moves_to_another_server_is_known_there(
    model: ChatLetta, elsewhere: ChatLetta, reader: Reader, reader_elsewhere: Reader
) -> None:
    before = turns(model, [], "one", "two")
    messages = turns(elsewhere, before, "three", "four")
    expect(reader_elsewhere, messages)
    expect(reader, before)
    messages = turns(model, messages, "back again")
    expect(reader, messages)


def test_a_tool_history_that_moves_to_another_server_is_known_there_as_text(
    model: ChatLetta, elsewhere: ChatLetta, reader_elsewhere: Reader
) -> None:
    messages = turns(elsewhere, tool_turn(model, []), "three")
    assert reader_elsewhere.story(conversation_of(messages[-1])) == AS_TEXT + story_of(messages[-2:])


def test_a_dialogue_goes_on_on_a_server_without_redis_as_on_any_other(
    elsewhere: ChatLetta, reader_elsewhere: Reader
) -> None:
    before = turns(elsewhere, [], "one", "two")
    one, two = turns(elsewhere, before, "three"), turns(elsewhere, before, "instead of three")
    expect(reader_elsewhere, one)
    expect(reader_elsewhere, two)
    assert conversation_of(one[-1]) != conversation_of(two[-1])


def delete(backend: Backend, conversation_id: str) -> None:
    with httpx.Client(base_url=backend.base_url, timeout=TIMEOUT) as http:
        http.delete(f"/v1/conversations/{conversation_id}").raise_for_status()


@pytest.mark.parametrize("ids", [True, False], ids=["with ids", "without ids"])
def test_a_dialogue_whose_conversation_was_deleted_goes_on_in_a_new_one_that_knows_it(
    ids: bool, backend: Backend, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    before = turns(model, [], "one", "two")
    delete(backend, conversation_of(before[-1]))
    question = human("three") if ids else HumanMessage("three")
    messages = [*before, question, model.invoke([*before, question])]
    expect(reader, messages)
    messages = turns(model, messages, "four")
    expect(reader, messages)
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


def test_a_result_whose_conversation_was_deleted_is_told_in_a_new_one(
    backend: Backend, model: ChatLetta, reader: Reader
) -> None:
    bound = model.bind_tools(TOOLS)
    messages = turns(bound, [], CALL)
    delete(backend, conversation_of(messages[-1]))
    messages.append(ToolMessage("3", name="add", tool_call_id=call_ids(messages[-1])[0], id="result-1"))
    answer = bound.invoke(messages)
    assert reader.story(conversation_of(answer))[:3] == AS_TEXT[:3]
    assert Counter(users(reader, conversation_of(answer))) == Counter(text for _, text in AS_TEXT[:3])
