"""Going back to an old checkpoint: run again, answered anew, gone on from, edited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from langchain_letta import ChatLetta
from tests.langchain.readback import Reader
from tests.langchain.support import CALL, TOOLS, agent_of, asked, conversation_of, human, run_of
from tests.langchain.traps.support import expect, results, thread, users

COUNT = "[[call count]] [[next]] [[say counted]]"


def travelling(model: ChatLetta, tools: Any = (), **options: Any) -> Any:
    return agent_of(model.model_copy(update=options), list(tools), checkpointer=InMemorySaver())


def say(agent: Any, config: Any, *texts: str) -> list[BaseMessage]:
    messages: list[BaseMessage] = []
    for text in texts:
        messages = agent.invoke(asked(text), config)["messages"]
    return messages


def before(agent: Any, config: Any, node: str, length: int) -> Any:
    """The first checkpoint before a node, when that many messages were there."""
    return [
        state
        for state in agent.get_state_history(config)
        if any(one.startswith(node) for one in state.next) and len(state.values["messages"]) == length
    ][-1]


def again(agent: Any, checkpoint: Any) -> list[BaseMessage]:
    return agent.invoke(None, checkpoint.config)["messages"]


@pytest.mark.parametrize("length", [1, 3, 5])
def test_an_old_checkpoint_that_is_run_again_gives_the_same_answer_and_stores_nothing(
    length: int, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = travelling(model), thread()
    messages = say(agent, config, "one", "[[think hm]] [[say it is two]]", "three")
    for _ in range(2):
        rerun = again(agent, before(agent, config, "model", length))
        assert rerun == messages[: length + 1]
        assert run_of(rerun[-1]) == run_of(messages[length])
    expect(reader, messages)
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


async def test_an_old_checkpoint_that_is_run_again_gives_the_same_answer_and_stores_nothing_async(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = travelling(model), thread()
    messages = say(agent, config, "one", "two")
    rerun = (await agent.ainvoke(None, before(agent, config, "model", 1).config))["messages"]
    assert rerun == messages[:2]
    expect(reader, messages)
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


def test_an_old_checkpoint_that_another_process_runs_again_gives_the_same_answer(
    model: ChatLetta, reader: Reader
) -> None:
    saver, config = InMemorySaver(), thread()
    agent = agent_of(model, [], checkpointer=saver)
    messages = say(agent, config, "one", "two")
    checkpoint = before(agent, config, "model", 3)
    another = agent_of(ChatLetta(agent_id=model.agent_id, base_url=model.base_url), [], checkpointer=saver)
    assert again(another, checkpoint) == messages
    expect(reader, messages)


def test_who_goes_on_after_running_an_old_checkpoint_again_is_in_a_fork(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = travelling(model), thread()
    messages = say(agent, config, "one", "two", "three")
    again(agent, before(agent, config, "model", 1))
    branch = say(agent, config, "instead of two")
    assert [message.text for message in branch[::2]] == ["one", "instead of two"]
    expect(reader, branch)
    expect(reader, messages)
    assert len(reader.conversations(agent_id)) == 2


@pytest.mark.parametrize("turns", [1, 2])
def test_another_question_at_an_old_checkpoint_is_answered_in_a_fork(
    turns: int, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = travelling(model), thread()
    messages = say(agent, config, "one", "two", "three")
    checkpoint = [
        state
        for state in agent.get_state_history(config)
        if not state.next and len(state.values["messages"]) == 2 * turns
    ]
    branch = agent.invoke(asked("instead"), checkpoint[0].config)["messages"]
    assert [message.text for message in branch[:-2]] == [message.text for message in messages[: 2 * turns]]
    expect(reader, branch)
    expect(reader, messages)
    assert len(reader.conversations(agent_id)) == 2


def test_two_branches_of_a_thread_go_on_each_in_its_conversation(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = travelling(model), thread()
    say(agent, config, "one")
    fork = agent.get_state(config).config
    tips = [fork, fork]
    for text in ("two", "three", "four"):
        for number, tip in enumerate(tips):
            agent.invoke(asked(f"{text} of {number}"), tip)
            tips[number] = agent.get_state(config).config
    for number, tip in enumerate(tips):
        messages = agent.get_state(tip).values["messages"]
        asked_there = [message.text for message in messages if isinstance(message, HumanMessage)]
        assert asked_there == ["one", f"two of {number}", f"three of {number}", f"four of {number}"]
        expect(reader, messages)
    assert len(reader.conversations(agent_id)) == 2


@pytest.mark.parametrize("length", [1, 3])
def test_with_fork_an_old_checkpoint_is_answered_anew_in_a_fork(
    length: int, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = travelling(model, on_rerun="fork"), thread()
    messages = say(agent, config, "one", "two")
    anew = again(agent, before(agent, config, "model", length))
    assert anew[:length] == messages[:length]
    assert run_of(anew[-1]) != run_of(messages[length])
    expect(reader, anew)
    expect(reader, messages)
    assert len(reader.conversations(agent_id)) == 2


def test_with_fork_an_old_checkpoint_is_answered_anew_each_time(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = travelling(model, on_rerun="fork"), thread()
    messages = say(agent, config, "one", "two")
    checkpoint = before(agent, config, "model", 3)
    answers = [again(agent, checkpoint) for _ in range(2)]
    for anew in answers:
        expect(reader, anew)
    assert len({conversation_of(anew[-1]) for anew in (messages, *answers)}) == 3


def test_with_fork_a_thread_that_never_goes_back_stays_in_one_conversation(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = travelling(model, on_rerun="fork"), thread()
    messages = say(agent, config, "one", "two", "three")
    expect(reader, messages)
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


def test_with_fork_the_new_answer_is_gone_on_from(model: ChatLetta, reader: Reader) -> None:
    agent, config = travelling(model, on_rerun="fork"), thread()
    messages = say(agent, config, "one", "two")
    anew = again(agent, before(agent, config, "model", 3))
    branch = say(agent, config, "three")
    assert conversation_of(branch[-1]) == conversation_of(anew[-1])
    expect(reader, branch)
    expect(reader, messages)


def edit(agent: Any, checkpoint: Any, message: BaseMessage) -> list[BaseMessage]:
    """Replace a message at a checkpoint and go on from there."""
    config = agent.update_state(checkpoint.config, {"messages": [message]}, as_node="__start__")
    return agent.invoke(None, config)["messages"]


@pytest.mark.parametrize("length", [1, 3])
def test_a_question_that_is_edited_at_an_old_checkpoint_is_answered_in_a_fork(
    length: int, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = travelling(model), thread()
    messages = say(agent, config, "one", "two", "three")
    question = messages[length - 1]
    branch = edit(agent, before(agent, config, "model", length), HumanMessage("edited", id=question.id))
    assert [message.text for message in branch[length - 1 :]] == ["edited", "You said: edited"]
    expect(reader, branch)
    expect(reader, messages)
    assert len(reader.conversations(agent_id)) == 2


def test_after_an_edit_the_fork_is_followed(model: ChatLetta, reader: Reader) -> None:
    agent, config = travelling(model), thread()
    messages = say(agent, config, "one", "two")
    edit(agent, before(agent, config, "model", 3), HumanMessage("edited", id=messages[2].id))
    branch = say(agent, config, "three", "four")
    assert [message.text for message in branch[::2]] == ["one", "edited", "three", "four"]
    expect(reader, branch)


def test_an_answer_that_is_edited_is_known_as_it_was_edited(model: ChatLetta, reader: Reader) -> None:
    agent, config = travelling(model), thread()
    messages = say(agent, config, "one", "two")
    rewritten = AIMessage("rewritten by a person", id=messages[-1].id)
    config = agent.update_state(config, {"messages": [rewritten]}, as_node="model")
    branch = agent.invoke(asked("three"), config)["messages"]
    conversation = conversation_of(branch[-1])
    assert users(reader, conversation) == ["one", "two", "three"]
    assert reader.story(conversation).count(("assistant", "rewritten by a person")) == 1


@pytest.fixture
def counter() -> Callable[..., Any]:
    """Makes a tool that counts how often it runs, and tells it or not."""
    runs: list[int] = []

    def made(*, tells: bool) -> Any:
        @tool
        def count() -> str:
            """Count."""
            runs.append(1)
            return f"run {len(runs)}" if tells else "ran"

        return count, runs

    return made


def test_a_step_after_tools_that_is_run_again_gives_the_same_answer_without_running_them(
    counter: Any, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    count, runs = counter(tells=True)
    agent, config = travelling(model, [count]), thread()
    messages = say(agent, config, COUNT, "two")
    assert again(agent, before(agent, config, "model", 3)) == messages[:4]
    assert runs == [1]
    expect(reader, messages)
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


def test_tools_that_are_run_again_and_tell_the_same_give_the_same_answer(
    counter: Any, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    count, runs = counter(tells=False)
    agent, config = travelling(model, [count]), thread()
    messages = say(agent, config, COUNT, "two")
    rerun = again(agent, before(agent, config, "tools", 2))
    assert (runs, rerun[-1].text) == ([1, 1], "counted")
    assert run_of(rerun[-1]) == run_of(messages[3])
    assert results(reader, conversation_of(rerun[-1])) == ["ran"]
    expect(reader, messages)
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


def test_tools_that_are_run_again_and_tell_something_else_are_heard_where_the_dialogue_goes_on(
    counter: Any, model: ChatLetta, reader: Reader
) -> None:
    count, _ = counter(tells=True)
    agent, config = travelling(model, [count]), thread()
    messages = say(agent, config, COUNT, "two")
    rerun = again(agent, before(agent, config, "tools", 2))
    assert isinstance(rerun[-2], ToolMessage)
    assert rerun[-2].text == "run 2"
    story = reader.story(conversation_of(rerun[-1]))
    assert story.count(("user", COUNT)) == 1
    assert len([text for _, text in story if "run 2" in text]) >= 1
    expect(reader, messages)


def test_a_call_whose_answer_is_edited_before_it_is_sent_is_answered_with_the_edit(
    model: ChatLetta, reader: Reader
) -> None:
    agent = agent_of(model, list(TOOLS), checkpointer=InMemorySaver(), interrupt_after=["tools"])
    config = thread()
    agent.invoke(asked(CALL), config)
    result = agent.get_state(config).values["messages"][-1]
    agent.update_state(config, {"messages": [result.model_copy(update={"content": "33"})]}, as_node="tools")
    messages = agent.invoke(None, config)["messages"]
    assert messages[-1].text == "The tools answered: 33"
    assert results(reader, conversation_of(messages[-1])) == ["33"]
    expect(reader, messages)


def test_the_same_question_asked_anew_is_another_turn(model: ChatLetta, reader: Reader) -> None:
    agent, config = travelling(model), thread()
    agent.invoke({"messages": [human("one")]}, config)
    messages = agent.invoke({"messages": [human("one")]}, config)["messages"]
    assert run_of(messages[1]) != run_of(messages[3])
    expect(reader, messages)
