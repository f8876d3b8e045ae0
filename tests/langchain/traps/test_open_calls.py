"""Calls that an agent leaves behind: tools that return directly, broken arguments, results of many tools at once."""

from __future__ import annotations

from threading import Barrier
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver

from langchain_letta import ChatLetta
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import CALL, TOOLS, TWO_CALLS, add, agent_of, asked, conversation_of
from tests.langchain.traps.support import expect, results, thread


@tool(return_direct=True)
def look_up(word: str) -> str:
    """Look a word up."""
    return f"{word}: a word"


LOOK_UP = '[[call look_up {"word": "tea"}]]'


def test_a_result_that_was_returned_directly_is_delivered_with_the_next_question(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = agent_of(model, [look_up], checkpointer=InMemorySaver()), thread()
    first = agent.invoke(asked(LOOK_UP), config)["messages"]
    assert (type(first[-1]), first[-1].text) == (ToolMessage, "tea: a word")
    messages = agent.invoke(asked("thanks"), config)["messages"]
    assert results(reader, conversation_of(messages[-1])) == ["tea: a word"]
    expect(reader, messages)
    assert len(reader.conversations(agent_id)) == 1


async def test_a_result_that_was_returned_directly_is_delivered_with_the_next_question_async(
    model: ChatLetta, reader: Reader
) -> None:
    agent, config = agent_of(model, [look_up], checkpointer=InMemorySaver()), thread()
    await agent.ainvoke(asked(LOOK_UP), config)
    expect(reader, (await agent.ainvoke(asked("thanks"), config))["messages"])


def test_results_that_are_returned_directly_again_and_again_are_each_delivered_once(
    model: ChatLetta, reader: Reader
) -> None:
    agent, config = agent_of(model, [look_up], checkpointer=InMemorySaver()), thread()
    messages: list[BaseMessage] = []
    for _ in range(4):
        messages = agent.invoke(asked(LOOK_UP), config)["messages"]
    conversation = conversation_of(messages[-2])
    assert results(reader, conversation) == ["tea: a word"] * 3
    assert reader.story(conversation) == story_of(messages[:-1])


@pytest.mark.usefixtures("parallel_calls")
def test_direct_results_of_two_tools_are_delivered_together(model: ChatLetta, reader: Reader) -> None:
    agent, config = agent_of(model, [look_up], checkpointer=InMemorySaver()), thread()
    agent.invoke(asked(f'{LOOK_UP} [[call look_up {{"word": "milk"}}]]'), config)
    messages = agent.invoke(asked("thanks"), config)["messages"]
    assert results(reader, conversation_of(messages[-1])) == ["tea: a word", "milk: a word"]
    expect(reader, messages)


def test_a_direct_result_after_other_tools_is_delivered_with_the_next_question(
    model: ChatLetta, reader: Reader
) -> None:
    agent, config = agent_of(model, [add, look_up], checkpointer=InMemorySaver()), thread()
    agent.invoke(asked(f"{CALL} [[next]] {LOOK_UP}"), config)
    messages = agent.invoke(asked("thanks"), config)["messages"]
    assert results(reader, conversation_of(messages[-1])) == ["3", "tea: a word"]
    expect(reader, messages)


BROKEN = ["nonsense", '{"a": 1, "b": ', "[1, 2]", '"text"']


@pytest.mark.parametrize("arguments", BROKEN)
def test_a_call_with_broken_arguments_is_answered_with_the_next_question(
    arguments: str, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = agent_of(model, checkpointer=InMemorySaver()), thread()
    first = agent.invoke(asked(f"[[call add {arguments}]]"), config)["messages"]
    assert len(first[-1].invalid_tool_calls) == 1
    messages = agent.invoke(asked("never mind"), config)["messages"]
    assert [type(message) for message in messages[1:3]] == [AIMessage, ToolMessage]
    (answer,) = reader.answers(conversation_of(messages[-1]))
    assert (answer["type"], answer["status"], answer["tool_call_id"]) == ("tool", "error", messages[2].tool_call_id)
    kinds = [kind for kind, _ in reader.story(conversation_of(messages[-1]))]
    assert kinds == ["user", "calls", "results", "user", "assistant"]
    assert len(reader.conversations(agent_id)) == 1


def test_a_thread_with_broken_arguments_in_its_past_goes_on(model: ChatLetta, reader: Reader) -> None:
    agent, config = agent_of(model, checkpointer=InMemorySaver()), thread()
    messages: list[BaseMessage] = []
    for text in ("[[call add nonsense]]", "one", "[[call add again]]", "two", "three"):
        messages = agent.invoke(asked(text), config)["messages"]
    conversation = conversation_of(messages[-1])
    assert len(reader.answers(conversation)) == 2
    told = [text for kind, text in reader.story(conversation) if kind == "user"]
    assert told == ["[[call add nonsense]]", "one", "[[call add again]]", "two", "three"]


@pytest.mark.usefixtures("parallel_calls")
def test_of_two_calls_the_good_one_is_run_and_the_broken_one_is_told(model: ChatLetta, reader: Reader) -> None:
    agent = agent_of(model, checkpointer=InMemorySaver())
    messages = agent.invoke(asked(f"{CALL} [[call multiply nonsense]] [[next]] [[say done]]"), thread())["messages"]
    assert messages[-1].text == "done"
    answers = {answer["tool_call_id"]: answer for answer in reader.answers(conversation_of(messages[-1]))}
    (good,) = messages[1].tool_calls
    (broken,) = messages[1].invalid_tool_calls
    assert len(answers) == 2
    assert (answers[good["id"]]["status"], answers[good["id"]]["tool_return"]) == ("success", "3")
    assert answers[broken["id"]]["status"] == "error"


@pytest.mark.usefixtures("parallel_calls")
def test_tools_that_run_at_once_and_end_in_another_order_answer_each_its_own_call(
    model: ChatLetta, reader: Reader
) -> None:
    together = Barrier(2)

    @tool
    def first() -> str:
        """Run beside the other."""
        together.wait()
        return "of the first"

    @tool
    def second() -> str:
        """Run beside the other."""
        together.wait()
        return "of the second"

    messages = agent_of(model, [first, second]).invoke(asked("[[call first]] [[call second]]"))["messages"]
    assert messages[-1].text == "The tools answered: of the first | of the second"
    by_call = {call["id"]: call["name"] for call in messages[1].tool_calls}
    told = [
        (by_call[answer["tool_call_id"]], answer["tool_return"])
        for answer in reader.answers(conversation_of(messages[-1]))
    ]
    assert told == [("first", "of the first"), ("second", "of the second")]
    expect(reader, messages)


@pytest.mark.usefixtures("parallel_calls")
def test_of_tools_that_run_at_once_one_may_fail(model: ChatLetta, reader: Reader) -> None:
    @tool
    def burn() -> str:
        """Burn."""
        raise ToolException("it burns")

    burn.handle_tool_error = True
    messages = agent_of(model, [add, burn]).invoke(asked(f"{CALL} [[call burn]]"))["messages"]
    answers = reader.answers(conversation_of(messages[-1]))
    assert [(one["status"], one["tool_return"]) for one in answers] == [("success", "3"), ("error", "it burns")]
    expect(reader, messages)


@pytest.mark.usefixtures("parallel_calls")
def test_tools_of_one_name_that_run_at_once_get_a_result_each(model: ChatLetta, reader: Reader) -> None:
    calls = " ".join(f'[[call add {{"a": {number}, "b": 0}}]]' for number in range(5))
    messages = agent_of(model).invoke(asked(calls))["messages"]
    assert results(reader, conversation_of(messages[-1])) == ["0", "1", "2", "3", "4"]
    expect(reader, messages)


@pytest.mark.usefixtures("parallel_calls")
def test_a_tool_that_raises_beside_one_that_does_not_leaves_calls_that_the_next_question_answers(
    model: ChatLetta, reader: Reader
) -> None:
    @tool
    def explode() -> str:
        """Explode."""
        raise RuntimeError("it burns")

    agent, config = agent_of(model, [add, explode], checkpointer=InMemorySaver()), thread()
    with pytest.raises(RuntimeError, match="it burns"):
        agent.invoke(asked(f"{CALL} [[call explode]]"), config)
    messages: list[Any] = agent.invoke(asked("[[say never mind]]"), config)["messages"]
    assert messages[-1].text == "never mind"
    calls = {call["name"]: call["id"] for call in messages[1].tool_calls}
    answers = {answer["tool_call_id"]: answer for answer in reader.answers(conversation_of(messages[-1]))}
    assert set(answers) == set(calls.values())
    assert answers[calls["explode"]]["approve"] is False


@pytest.mark.usefixtures("parallel_calls")
def test_calls_that_were_answered_in_parts_are_answered_whole(model: ChatLetta, reader: Reader) -> None:
    """A program that kept one of two results and asks on: the other call is denied, none is answered twice."""
    bound = model.bind_tools(TOOLS)
    question = ("user", TWO_CALLS)
    call = bound.invoke([question])
    result = ToolMessage("12", tool_call_id=call.tool_calls[1]["id"] or "", id="result-2")
    answer = bound.invoke([question, call, result, ("user", "[[say so be it]]")])
    assert answer.text == "so be it"
    first, second = reader.answers(conversation_of(answer))
    assert (first["approve"], second["tool_return"]) == (False, "12")
