"""Agents inside graphs: as nodes, twice in one run, inside tools; `thread_id` keeps their conversations apart."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from langchain_letta import ChatLetta
from tests.langchain.readback import Reader
from tests.langchain.support import CALL, IN_SEQUENCE, agent_of, asked, conversation_of, human
from tests.langchain.traps.dying import Died, Wire, client
from tests.langchain.traps.support import Node, chain_of, chat, expect, results, thread, users


def ask(text: str) -> Node:
    """A node that asks something."""

    def asks(state: Any) -> Any:
        return {"messages": [human(text)]}

    return asks


def twice(model: ChatLetta, saver: Any) -> Any:
    """A graph in which one agent answers, something else is asked, and it answers again."""
    agent = agent_of(model)
    return chain_of(
        ("first", agent), ("ask", ask(f"{CALL} [[next]] [[say once more]]")), ("second", agent), saver=saver
    )


@pytest.mark.parametrize("saver", [InMemorySaver(), None], ids=["with a checkpointer", "without"])
def test_an_agent_that_is_a_node_twice_goes_on_in_one_conversation(
    saver: Any, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    messages = twice(model, saver).invoke(asked(IN_SEQUENCE), thread())["messages"]
    assert messages[-1].text == "once more"
    expect(reader, messages)
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


async def test_an_agent_that_is_a_node_twice_goes_on_in_one_conversation_async(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    messages = (await twice(model, InMemorySaver()).ainvoke(asked(IN_SEQUENCE), thread()))["messages"]
    expect(reader, messages)
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


def test_a_graph_with_an_agent_in_it_remembers_its_thread(model: ChatLetta, agent_id: str, reader: Reader) -> None:
    graph, config = twice(model, InMemorySaver()), thread()
    messages: list[BaseMessage] = []
    for text in (IN_SEQUENCE, "and again"):
        messages = graph.invoke(asked(text), config)["messages"]
    expect(reader, messages)
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


def test_two_threads_of_a_graph_with_an_agent_in_it_are_kept_apart(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    graph, question = twice(model, InMemorySaver()), human(IN_SEQUENCE)
    threads = [graph.invoke({"messages": [question]}, thread())["messages"] for _ in range(2)]
    assert len(reader.conversations(agent_id)) == 2
    for messages in threads:
        expect(reader, messages)


@pytest.mark.parametrize("spared", range(5))
def test_a_graph_that_died_inside_its_agent_goes_on_there(
    spared: int, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    """In the first agent's turn, in one of its continuations, in the second's turn, or in its continuation."""
    saver, config = InMemorySaver(), thread()
    with client(Wire(spared=spared)) as http, pytest.raises(Died):
        lost = model.model_copy(update={"http_client": http})
        twice(lost, saver).invoke(asked(IN_SEQUENCE), config, durability="sync")
    messages = twice(model, saver).invoke(None, config)["messages"]
    assert messages[-1].text == "once more"
    expect(reader, messages)
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


def private(model: ChatLetta, *texts: str, ids: bool) -> Node:
    """A node that asks the model things that are no part of the graph's dialogue."""

    def runs(state: Any) -> Any:
        answers: list[BaseMessage] = []
        for text in texts:
            question = human(text) if ids else HumanMessage(text)
            answers.append(model.invoke([question]))
        return {"messages": answers}

    return runs


@pytest.mark.parametrize("ids", [True, False], ids=["with ids", "without ids"])
@pytest.mark.parametrize("texts", [("one", "two"), ("same", "same")], ids=["different", "the same"])
def test_a_node_that_asks_twice_gets_each_answer_in_a_conversation_with_that_question_alone(
    texts: tuple[str, str], ids: bool, model: ChatLetta, reader: Reader
) -> None:
    graph = chain_of(("private", private(model, *texts, ids=ids)), saver=InMemorySaver())
    messages = graph.invoke({"messages": []}, thread())["messages"]
    for text, answer in zip(texts, messages, strict=True):
        expect(reader, [HumanMessage(text), answer])


def test_two_nodes_that_ask_the_same_get_each_answer_in_a_conversation_of_its_own(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    question = human("same")

    def asks(state: Any) -> Any:
        return {"messages": [model.invoke([question])]}

    graph = chain_of(("one", asks), ("two", asks), saver=InMemorySaver())
    messages = graph.invoke({"messages": []}, thread())["messages"]
    for answer in messages:
        expect(reader, [question, answer])


def test_an_agent_with_a_memory_of_its_own_inside_a_node_keeps_its_conversation(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    inner = agent_of(model, checkpointer=True)
    seen: list[list[BaseMessage]] = []

    def consult(state: Any) -> Any:
        seen.append(inner.invoke({"messages": [state["messages"][-1]]})["messages"])
        return {"messages": [seen[-1][-1]]}

    graph, config = chain_of(("consult", consult), saver=InMemorySaver()), thread()
    for text in ("one", IN_SEQUENCE, "three"):
        graph.invoke(asked(text), config)
    assert len(seen[-1]) == 2 + 6 + 2
    expect(reader, seen[-1])
    assert reader.conversations(agent_id) == [conversation_of(seen[-1][-1])]


@pytest.mark.usefixtures("parallel_calls")
def test_an_agent_inside_a_tool_has_conversations_of_its_own(model: ChatLetta, agent_id: str, reader: Reader) -> None:
    """The same agent at the server, asked by itself, by two calls at once."""
    expert = agent_of(model)
    consulted: list[list[BaseMessage]] = []

    @tool
    def consult(question: str) -> str:
        """Ask an expert."""
        consulted.append(expert.invoke(asked(question))["messages"])
        return consulted[-1][-1].text

    agent = agent_of(model, [consult], checkpointer=InMemorySaver())
    calls = '[[call consult {"question": "tea?"}]] [[call consult {"question": "milk?"}]]'
    messages = agent.invoke(asked(calls), thread())["messages"]
    assert messages[-1].text == "The tools answered: You said: tea? | You said: milk?"
    expect(reader, messages)
    for inner in consulted:
        expect(reader, inner)
    assert len(reader.conversations(agent_id)) == 3


def test_a_tool_that_talks_to_the_conversation_that_called_it_does_not_block(model: ChatLetta, reader: Reader) -> None:
    """It is told what waits, instead of waiting for itself."""
    told: list[str] = []

    @tool
    def echo() -> str:
        """Ask the own conversation."""
        pinned = ChatLetta(conversation_id=reader.conversations(model.agent_id or "")[0], base_url=model.base_url)
        try:
            told.append(pinned.invoke("who am I?").text)
        except Exception as error:
            told.append(type(error).__name__)
        return "asked"

    messages = agent_of(model, [echo]).invoke(asked("[[call echo]] [[next]] [[say done]]"))["messages"]
    assert told == ["PendingApprovalError"]
    assert results(reader, conversation_of(messages[-1])) == ["asked"]
    expect(reader, messages)


def test_a_plain_node_and_an_agent_of_one_thread_share_the_conversation(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    graph = chain_of(
        ("plain", chat(model)), ("ask", ask(IN_SEQUENCE)), ("agent", agent_of(model)), saver=InMemorySaver()
    )
    messages = graph.invoke(asked("hello"), thread())["messages"]
    expect(reader, messages)
    assert users(reader, conversation_of(messages[-1])) == ["hello", IN_SEQUENCE]
    assert len(reader.conversations(agent_id)) == 1
