"""Programs that split: branches that follow one answer at once, branches from the very first turn, map and reduce."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Barrier
from typing import Any

import langgraph.types
import pytest
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import RunnableParallel
from langgraph.checkpoint.memory import InMemorySaver

from langchain_letta import ChatLetta
from tests.conftest import Backend
from tests.langchain.readback import Reader
from tests.langchain.support import conversation_of, human, new_gate, run_of
from tests.langchain.traps.dying import late_client
from tests.langchain.traps.support import END, START, Node, end_of_held_turn, expect, message_graph, thread

SAYERS = ("left", "middle", "right")


def begin(model: ChatLetta) -> list[BaseMessage]:
    messages: list[BaseMessage] = [human("hello")]
    return [*messages, model.invoke(messages)]


def fan(*nodes: tuple[str, Node], saver: Any = None) -> Any:
    """A graph of nodes that run at once."""
    graph = message_graph()
    for name, node in nodes:
        graph.add_node(name, node)
        graph.add_edge(START, name)
        graph.add_edge(name, END)
    return graph.compile(checkpointer=saver)


def question(name: str, gate: str) -> HumanMessage:
    """A question whose answer waits until the others were asked too."""
    return human(f"[[hold {gate}]] [[say {name} it is]] what says {name}?")


@contextmanager
def at_once(backend: Backend, gate: str, run: Any, *args: Any) -> Generator[Future[Any]]:
    """Run a program whose turns wait at a gate, and open the gate when the first is there."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, *args)
        backend.wait_for_gate(gate)
        backend.open_gate(gate)
        yield running


@pytest.fixture
def gate() -> str:
    return new_gate()


def expect_branches(reader: Reader, before: Sequence[BaseMessage], branches: Sequence[BaseMessage]) -> None:
    """Every branch, a question and its answer, is in a conversation of its own, with what came before."""
    conversations = [conversation_of(answer) for answer in branches[1::2]]
    assert len(set(conversations)) == len(branches) / 2
    for index in range(0, len(branches), 2):
        expect(reader, [*before, *branches[index : index + 2]])


@pytest.mark.parametrize("checkpointed", [True, False], ids=["with a checkpointer", "without"])
@pytest.mark.parametrize("count", [2, 3])
def test_branches_that_follow_one_answer_at_once_end_in_a_conversation_each(
    count: int, checkpointed: bool, backend: Backend, model: ChatLetta, gate: str, agent_id: str, reader: Reader
) -> None:
    barrier = Barrier(count)

    def branch(name: str) -> Node:
        def run(state: Any) -> Any:
            asked = question(name, gate)
            barrier.wait()
            return {"messages": [asked, model.invoke([*state["messages"], asked])]}

        return run

    before = begin(model)
    saver = InMemorySaver() if checkpointed else None
    graph = fan(*[(name, branch(name)) for name in SAYERS[:count]], saver=saver)
    with at_once(backend, gate, graph.invoke, {"messages": before}, thread()) as running:
        after = running.result()["messages"][2:]
    assert [answer.text for answer in after[1::2]] == [f"{name} it is" for name in SAYERS[:count]]
    expect_branches(reader, before, after)
    assert len(reader.conversations(agent_id)) == count
    assert conversation_of(before[-1]) in {conversation_of(answer) for answer in after[1::2]}


def test_a_branch_whose_sibling_ends_between_its_look_and_its_sending_ends_in_a_conversation_of_its_own(
    backend: Backend, model: ChatLetta, gate: str, reader: Reader
) -> None:
    before = begin(model)
    left, right = question("left", gate), human("right")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(model.invoke, [*before, left])
        backend.wait_for_gate(gate)
        with late_client(partial(end_of_held_turn, backend, conversation_of(before[-1]), gate)) as http:
            answer = model.model_copy(update={"http_client": http}).invoke([*before, right])
        expect_branches(reader, before, [left, running.result(), right, answer])


async def test_branches_that_follow_one_answer_at_once_end_in_a_conversation_each_async(
    backend: Backend, model: ChatLetta, gate: str, agent_id: str, reader: Reader
) -> None:
    before = begin(model)
    asked = [question(name, gate) for name in SAYERS]
    turns = [asyncio.create_task(model.ainvoke([*before, one])) for one in asked]
    await asyncio.to_thread(backend.wait_for_gate, gate)
    backend.open_gate(gate)
    answers = await asyncio.gather(*turns)
    expect_branches(reader, before, [message for pair in zip(asked, answers, strict=True) for message in pair])
    assert len(reader.conversations(agent_id)) == 3


def test_branches_that_follow_one_answer_one_after_the_other_end_in_a_conversation_each(
    model: ChatLetta, reader: Reader
) -> None:
    before = begin(model)
    after: list[BaseMessage] = []
    for name in SAYERS:
        after.append(human(name))
        after.append(model.invoke([*before, after[-1]]))
    expect_branches(reader, before, after)


def test_branches_go_on_each_in_its_conversation(model: ChatLetta, agent_id: str, reader: Reader) -> None:
    before = begin(model)
    branches = [list(before), list(before)]
    for text in ("one", "two", "three"):
        for number, branch in enumerate(branches):
            branch.append(human(f"{text} of {number}"))
            branch.append(model.invoke(branch))
    for branch in branches:
        expect(reader, branch)
    assert len(reader.conversations(agent_id)) == 2


def test_a_batch_of_questions_about_one_dialogue_ends_in_a_conversation_each(model: ChatLetta, reader: Reader) -> None:
    before = begin(model)
    asked = [human(name) for name in SAYERS]
    answers = model.batch([[*before, one] for one in asked])
    expect_branches(reader, before, [message for pair in zip(asked, answers, strict=True) for message in pair])


def test_a_question_without_an_id_that_is_asked_three_times_at_once_is_answered_three_times(
    model: ChatLetta, reader: Reader
) -> None:
    before = begin(model)
    asked = HumanMessage("which?")
    answers = model.batch([[*before, asked]] * 3)
    assert len({run_of(answer) for answer in answers}) == 3
    expect_branches(reader, before, [message for answer in answers for message in (asked, answer)])


def test_a_question_with_an_id_that_is_asked_three_times_at_once_is_answered_once(
    backend: Backend, model: ChatLetta, gate: str, agent_id: str, reader: Reader
) -> None:
    before = begin(model)
    asked = question("one", gate)
    with at_once(backend, gate, model.batch, [[*before, asked]] * 3) as running:
        answers = running.result()
    assert len({run_of(answer) for answer in answers}) == 1
    expect(reader, [*before, asked, answers[0]])
    assert len(reader.conversations(agent_id)) == 1


def test_a_prompt_that_is_given_to_two_chains_at_once_is_two_conversations(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    answers = RunnableParallel(one=model, two=model).invoke("hello")
    assert len(reader.conversations(agent_id)) == 2
    for answer in answers.values():
        expect(reader, [HumanMessage("hello"), answer])


@pytest.mark.parametrize("checkpointed", [True, False], ids=["with a checkpointer", "without"])
def test_branches_from_the_very_first_turn_end_in_a_conversation_each(
    checkpointed: bool, backend: Backend, model: ChatLetta, gate: str, agent_id: str, reader: Reader
) -> None:
    barrier = Barrier(2)

    def branch(name: str) -> Node:
        def run(state: Any) -> Any:
            asked = question(name, gate)
            barrier.wait()
            return {"messages": [asked, model.invoke([*state["messages"], asked])]}

        return run

    graph = fan(("left", branch("left")), ("right", branch("right")), saver=InMemorySaver() if checkpointed else None)
    first = human("hello")
    with at_once(backend, gate, graph.invoke, {"messages": [first]}, thread()) as running:
        messages = running.result()["messages"]
    expect_branches(reader, [first], messages[1:])
    assert len(reader.conversations(agent_id)) == 2


def test_two_nodes_that_answer_the_very_same_first_question_store_it_once_where_they_answer(
    model: ChatLetta, reader: Reader
) -> None:
    barrier = Barrier(2)

    def answer(state: Any) -> Any:
        barrier.wait()
        return {"messages": [model.invoke(state["messages"])]}

    first = human("hello")
    messages = fan(("left", answer), ("right", answer), saver=InMemorySaver()).invoke({"messages": [first]}, thread())
    for one in messages["messages"][1:]:
        expect(reader, [first, one])


def map_reduce(model: ChatLetta, parts: Sequence[HumanMessage], *, shared: bool, saver: Any = None) -> Any:
    """A graph that asks about every part at once, and then about all of them."""

    def split(state: Any) -> Any:
        before: list[BaseMessage] = state["messages"] if shared else []
        return [langgraph.types.Send("work", {"messages": [*before, part]}) for part in parts]

    def work(state: Any) -> Any:
        return {"messages": [state["messages"][-1], model.invoke(state["messages"])]}

    def reduce(state: Any) -> Any:
        asked = human("[[recall]] sum up")
        return {"messages": [asked, model.invoke([*state["messages"], asked])]}

    graph = message_graph()
    graph.add_node("work", work)
    graph.add_node("reduce", reduce)
    graph.add_conditional_edges(START, split, ["work"])
    graph.add_edge("work", "reduce")
    graph.add_edge("reduce", END)
    return graph.compile(checkpointer=saver)


@pytest.mark.parametrize("ids", [True, False], ids=["with ids", "without ids"])
@pytest.mark.parametrize("texts", [("one", "two", "three"), ("same", "same", "same")], ids=["different", "the same"])
def test_workers_of_a_map_each_have_a_conversation_of_their_own(
    texts: Sequence[str], ids: bool, model: ChatLetta, reader: Reader
) -> None:
    parts = [human(text) if ids else HumanMessage(text) for text in texts]
    graph = map_reduce(model, parts, shared=False, saver=InMemorySaver())
    messages = graph.invoke({"messages": []}, thread())["messages"]
    assert len({conversation_of(answer) for answer in messages[1:6:2]}) == 3
    for index in (0, 2):
        expect(reader, messages[index : index + 2])


@pytest.mark.parametrize("begun", [True, False], ids=["after an answer", "from the first turn"])
def test_workers_that_share_the_dialogue_each_go_on_with_it_in_a_conversation_of_their_own(
    begun: bool, model: ChatLetta, reader: Reader
) -> None:
    before: list[BaseMessage] = begin(model) if begun else [human("hello")]
    parts = [human(text) for text in ("one", "two", "three")]
    graph = map_reduce(model, parts, shared=True, saver=InMemorySaver())
    messages = graph.invoke({"messages": before}, thread())["messages"]
    after = messages[len(before) : -2]
    assert len({conversation_of(answer) for answer in after[1::2]}) == 3
    for index in (0, 2):
        expect(reader, [*before, *after[index : index + 2]])


def test_who_sums_up_knows_what_every_worker_said(model: ChatLetta, reader: Reader) -> None:
    parts = [human(text) for text in ("one", "two", "three")]
    graph = map_reduce(model, parts, shared=False, saver=InMemorySaver())
    summary = graph.invoke({"messages": []}, thread())["messages"][-1]
    for text in ("one", "two", "three"):
        assert summary.text.splitlines().count(f"user: {text}") == 1
        assert summary.text.splitlines().count(f"assistant: You said: {text}") == 1
    story = reader.story(conversation_of(summary))
    assert [text for kind, text in story if kind == "user"][-1] == "[[recall]] sum up"
