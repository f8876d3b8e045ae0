"""`HumanInTheLoopMiddleware` before tools: what a person decides reaches the agent once, and so does no decision."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from langchain.agents import middleware
from langchain_core.messages import BaseMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from langchain_letta import ChatLetta
from tests.langchain.readback import Reader
from tests.langchain.support import CALL, TWO_CALLS, agent_of, asked, config_in_tasks, conversation_of
from tests.langchain.traps.support import expect, results, thread, users

Mode = Literal["batched", "per_call"]

each_mode = pytest.mark.parametrize("mode", ["batched", "per_call"])
SUM = f"{CALL} [[next]] [[say all done]]"
BOTH = f"{TWO_CALLS} [[next]] [[say all done]]"


def guarded(model: ChatLetta, mode: Mode = "batched", **options: Any) -> Any:
    """An agent whose tools a person must agree to."""
    review = middleware.HumanInTheLoopMiddleware(interrupt_on={"add": True, "multiply": True}, interrupt_mode=mode)
    return agent_of(model, middleware=[review], checkpointer=InMemorySaver(), **options)


def decide(agent: Any, config: Any, *decisions: dict[str, Any]) -> list[BaseMessage]:
    """Let a person decide, call by call."""
    interrupts = agent.get_state(config).interrupts
    if "action_requests" in interrupts[0].value:
        resume: Any = {"decisions": list(decisions)}
    else:
        resume = {interrupt.id: decision for interrupt, decision in zip(interrupts, decisions, strict=True)}
    return agent.invoke(Command(resume=resume), config)["messages"]


APPROVE = {"type": "approve"}
REJECT = {"type": "reject", "message": "too costly"}
RESPOND = {"type": "respond", "message": "42, I happen to know"}
EDIT = {"type": "edit", "edited_action": {"name": "add", "args": {"a": 20, "b": 22}}}


each_decision = pytest.mark.parametrize(
    ("decision", "status", "told"),
    [
        (APPROVE, "success", "3"),
        (REJECT, "error", "User rejected the tool call for `add` with reason: too costly"),
        (RESPOND, "success", "42, I happen to know"),
        (EDIT, "success", "42"),
    ],
    ids=["approve", "reject", "respond", "edit"],
)


def expect_decision(reader: Reader, messages: list[BaseMessage], status: str, told: str) -> None:
    """The agent has the one decision, and nothing is lost or doubled."""
    assert messages[-1].text == "all done"
    (answer,) = reader.answers(conversation_of(messages[-1]))
    assert (answer["type"], answer["status"]) == ("tool", status)
    assert str(answer["tool_return"]).endswith(told)
    expect(reader, messages)


@each_mode
@each_decision
def test_what_a_person_decides_reaches_the_agent_once(
    decision: dict[str, Any], status: str, told: str, mode: Mode, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = guarded(model, mode), thread()
    agent.invoke(asked(SUM), config)
    expect_decision(reader, decide(agent, config, decision), status, told)
    assert len(reader.conversations(agent_id)) == 1


@config_in_tasks
@each_mode
@each_decision
async def test_what_a_person_decides_reaches_the_agent_once_async(
    decision: dict[str, Any], status: str, told: str, mode: Mode, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = guarded(model, mode), thread()
    await agent.ainvoke(asked(SUM), config)
    (interrupt,) = (await agent.aget_state(config)).interrupts
    resume = {"decisions": [decision]} if mode == "batched" else {interrupt.id: decision}
    messages = (await agent.ainvoke(Command(resume=resume), config))["messages"]
    expect_decision(reader, messages, status, told)
    assert len(reader.conversations(agent_id)) == 1


@pytest.mark.filterwarnings("ignore:.*experimental", "ignore:.*beta")
@each_decision
def test_what_a_person_decides_reaches_the_agent_once_in_protocol_events(
    decision: dict[str, Any], status: str, told: str, model: ChatLetta, reader: Reader
) -> None:
    agent, config = guarded(model), thread()
    stopped = agent.stream_events(asked(SUM), config, version="v3")
    assert [call["name"] for message in stopped.messages for call in message.tool_calls.get()] == ["add"]
    assert stopped.interrupted
    run = agent.stream_events(Command(resume={"decisions": [decision]}), config, version="v3")
    expect_decision(reader, run.output["messages"], status, told)


@each_mode
def test_a_call_that_a_person_edits_is_told_with_a_notice(mode: Mode, model: ChatLetta, reader: Reader) -> None:
    agent, config = guarded(model, mode), thread()
    agent.invoke(asked(SUM), config)
    messages = decide(agent, config, EDIT)
    (told,) = results(reader, conversation_of(messages[-1]))
    assert "replaced this tool call" in told


@each_mode
@pytest.mark.usefixtures("parallel_calls")
@pytest.mark.parametrize(
    ("decisions", "statuses"),
    [
        ((APPROVE, REJECT), ["success", "error"]),
        ((REJECT, APPROVE), ["error", "success"]),
        ((RESPOND, REJECT), ["success", "error"]),
        ((EDIT, RESPOND), ["success", "success"]),
        ((REJECT, REJECT), ["error", "error"]),
    ],
    ids=["approve-reject", "reject-approve", "respond-reject", "edit-respond", "reject-reject"],
)
def test_of_two_calls_each_gets_its_own_decision(
    decisions: tuple[Any, Any], statuses: list[str], mode: Mode, model: ChatLetta, reader: Reader
) -> None:
    agent, config = guarded(model, mode), thread()
    agent.invoke(asked(BOTH), config)
    messages = decide(agent, config, *decisions)
    assert messages[-1].text == "all done"
    answers = reader.answers(conversation_of(messages[-1]))
    assert [answer["status"] for answer in answers] == statuses
    told = {message.tool_call_id: message.text for message in messages if isinstance(message, ToolMessage)}
    assert {answer["tool_call_id"]: answer["tool_return"] for answer in answers} == told


@each_mode
def test_after_a_decision_the_thread_goes_on(mode: Mode, model: ChatLetta, reader: Reader) -> None:
    agent, config = guarded(model, mode), thread()
    for decision in (APPROVE, REJECT, RESPOND):
        agent.invoke(asked(SUM), config)
        decide(agent, config, decision)
    messages = agent.invoke(asked("[[recall]] and now?"), config)["messages"]
    assert len(results(reader, conversation_of(messages[-1]))) == 3
    expect(reader, messages)


@each_mode
def test_a_call_that_nobody_decided_on_is_denied_with_the_next_question(
    mode: Mode, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = guarded(model, mode), thread()
    agent.invoke(asked(SUM), config)
    messages = agent.invoke(asked("[[say as you wish]] forget it"), config)["messages"]
    assert messages[-1].text == "as you wish"
    conversation = conversation_of(messages[-1])
    (answer,) = reader.answers(conversation)
    assert (answer["type"], answer["approve"]) == ("approval", False)
    assert answer["reason"]
    assert users(reader, conversation) == [SUM, "[[say as you wish]] forget it"]
    assert reader.conversations(agent_id) == [conversation]


@each_mode
def test_after_an_abandoned_call_another_one_is_decided_on(mode: Mode, model: ChatLetta, reader: Reader) -> None:
    agent, config = guarded(model, mode), thread()
    agent.invoke(asked(SUM), config)
    agent.invoke(asked(f"instead: {SUM}"), config)
    messages = decide(agent, config, APPROVE)
    assert messages[-1].text == "all done"
    denied, given = reader.answers(conversation_of(messages[-1]))
    assert (denied["type"], given["type"], given["tool_return"]) == ("approval", "tool", "3")
    kinds = [kind for kind, _ in reader.story(conversation_of(messages[-1]))]
    assert kinds == ["user", "calls", "results", "user", "calls", "results", "assistant"]


@pytest.mark.usefixtures("parallel_calls")
def test_two_calls_that_nobody_decided_on_are_denied_together(model: ChatLetta, reader: Reader) -> None:
    agent, config = guarded(model), thread()
    agent.invoke(asked(BOTH), config)
    messages = agent.invoke(asked("[[say as you wish]] forget it"), config)["messages"]
    answers = reader.answers(conversation_of(messages[-1]))
    assert [answer["approve"] for answer in answers] == [False, False]
    assert messages[-1].text == "as you wish"


def test_a_person_who_decides_in_another_process_finds_the_call_waiting(model: ChatLetta, reader: Reader) -> None:
    saver, config = InMemorySaver(), thread()
    review = middleware.HumanInTheLoopMiddleware(interrupt_on={"add": True})
    agent_of(model, middleware=[review], checkpointer=saver).invoke(asked(SUM), config)
    another = ChatLetta(agent_id=model.agent_id, base_url=model.base_url)
    messages = decide(agent_of(another, middleware=[review], checkpointer=saver), config, APPROVE)
    assert messages[-1].text == "all done"
    expect(reader, messages)
