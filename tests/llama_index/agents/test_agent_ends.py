"""How a run can end otherwise than with an answer, and what it leaves: no call that waits, no turn that is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentOutput, AgentStream, AgentWorkflow, ToolCall
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context
from pydantic import BaseModel
from workflows.errors import WorkflowCancelledByUser, WorkflowRuntimeError, WorkflowTimeoutError

from letta_adapters.errors import TurnFailed
from tests.conftest import Backend
from tests.contract.build import user
from tests.contract.wire import Wire
from tests.langchain.readback import Reader
from tests.llama_index.agents.support import (
    ADD,
    MakeAgent,
    add,
    conversation_of,
    events_of,
    new_gate,
    of_type,
    said,
    streams,
    until,
)

LOOP = " [[next]] ".join([ADD] * 5)


class Person(BaseModel):
    """A person."""

    name: str


def as_it_is(make_agent: MakeAgent, **fields: object) -> Any:
    return make_agent(**fields)


def in_a_workflow(make_agent: MakeAgent, **fields: object) -> Any:
    agent = make_agent(name="ann", description="Knows it all.", **fields)
    return AgentWorkflow(agents=[agent], early_stopping_method=agent.early_stopping_method)


Made = Callable[..., Any]
alone_and_in_a_workflow = pytest.mark.parametrize("made", [as_it_is, in_a_workflow])
their_own_warning = pytest.mark.filterwarnings("ignore:is_running called from within a step")
"""LlamaIndex warns of itself when it asks for last words."""


@alone_and_in_a_workflow
async def test_a_run_with_too_many_rounds_leaves_no_call_waiting(
    made: Made, make_agent: MakeAgent, conversation_id: str, reader: Reader, wire: Wire
) -> None:
    agent = made(make_agent, tools=[add], conversation_id=conversation_id)

    with pytest.raises(WorkflowRuntimeError, match="Max iterations of 3"):
        await agent.run(LOOP, max_iterations=3)

    answers = reader.answers(conversation_id)
    assert [one["type"] for one in answers] == ["tool", "tool", "approval"]
    assert answers[-1]["approve"] is False
    wire.post(conversation_id, user("free"))  # a server refuses this while a call waits
    assert reader.story(conversation_id)[-2:] == said("free")


async def test_a_context_goes_on_after_too_many_rounds(make_agent: MakeAgent, reader: Reader) -> None:
    agent = make_agent(tools=[add])
    handler = agent.run(LOOP, max_iterations=2)
    with pytest.raises(WorkflowRuntimeError):
        await handler

    output = await agent.run("two", ctx=handler.ctx)

    story = reader.story(conversation_of(output))
    assert [line for line in story if line[0] == "user"] == [("user", LOOP), ("user", "two")]
    assert story[-2:] == said("two")


@their_own_warning
@alone_and_in_a_workflow
async def test_last_words_are_asked_for_where_the_workflow_wants_them(
    made: Made, make_agent: MakeAgent, conversation_id: str, reader: Reader
) -> None:
    agent = made(make_agent, tools=[add], conversation_id=conversation_id, early_stopping_method="generate")
    handler = agent.run(LOOP, max_iterations=2)
    events = await events_of(handler)
    output: AgentOutput = await handler

    assert str(output).startswith("You said: You have reached the maximum number of iterations (2).")
    assert of_type(events, AgentStream)[-1].response == str(output)
    kinds = [kind for kind, _ in reader.story(conversation_id)]
    assert kinds == ["user", "calls", "results", "calls", "results", "user", "assistant"]
    assert [one["type"] for one in reader.answers(conversation_id)] == ["tool", "approval"]
    assert len(set(reader.runs(conversation_id))) == 3  # the denial and the question were one request


@their_own_warning
async def test_a_run_goes_on_after_last_words(make_agent: MakeAgent, reader: Reader) -> None:
    agent = make_agent(tools=[add], early_stopping_method="generate")
    handler = agent.run(LOOP, max_iterations=2)
    first = await handler

    second = await agent.run("two", ctx=handler.ctx)

    assert conversation_of(second) == conversation_of(first)
    assert reader.story(conversation_of(first))[-2:] == said("two")


@their_own_warning
async def test_where_another_model_has_the_last_words_no_call_is_left_waiting(
    make_agent: MakeAgent, conversation_id: str, reader: Reader
) -> None:
    agent = make_agent(tools=[add], conversation_id=conversation_id, llm=MockLLM(), early_stopping_method="generate")

    await agent.run(LOOP, max_iterations=2)

    assert [one["type"] for one in reader.answers(conversation_id)] == ["tool", "approval"]


@pytest.mark.parametrize(
    "text", ['[[say {"name": "Ann"}]]', '[[say Here it is: ```json {"name": "Ann"} ```]]'], ids=["bare", "fenced"]
)
@alone_and_in_a_workflow
async def test_an_object_of_a_class_is_asked_for_beside_the_conversation(
    made: Made, text: str, make_agent: MakeAgent, agent_id: str, reader: Reader
) -> None:
    output: AgentOutput = await made(make_agent, output_cls=Person).run(text)

    assert output.get_pydantic_model(Person) == Person(name="Ann")
    assert [kind for kind, _ in reader.story(conversation_of(output))] == ["user", "assistant"]
    assert reader.conversations(agent_id) == [conversation_of(output)]


async def test_an_object_is_asked_for_by_a_tool(make_agent: MakeAgent, agent_id: str, reader: Reader) -> None:
    text = '[[say Ann]] [[call Person {"name": 1}]] [[next]] [[call Person {"name": "Ann"}]]'
    agent = make_agent()
    llm = agent.llm.as_structured_llm(Person)

    answer = await llm.achat([ChatMessage(role="user", content=text)])

    assert answer.raw == Person(name="Ann")  # the first one did not fit, and the agent was told why
    assert reader.conversations(agent_id) == []


async def test_an_agent_that_gives_no_object_gives_its_answer(
    make_agent: MakeAgent, agent_id: str, reader: Reader
) -> None:
    with pytest.warns(UserWarning, match="The agent gave no Person"):
        output: AgentOutput = await make_agent(output_cls=Person).run("Hello")

    assert (str(output), output.structured_response) == ("You said: Hello", None)
    assert reader.conversations(agent_id) == [conversation_of(output)]


async def test_a_run_is_cancelled_in_mid_turn_and_the_turn_is_not_lost(
    make_agent: MakeAgent, conversation_id: str, reader: Reader, backend: Backend
) -> None:
    gate, agent = new_gate(), make_agent(conversation_id=conversation_id)
    handler = agent.run(f"[[hold {gate} 1]] [[say one two]]")
    await until(handler, streams("one"))

    await handler.cancel_run()
    with pytest.raises(WorkflowCancelledByUser):
        await handler
    backend.open_gate(gate)
    output = await agent.run("three", ctx=handler.ctx)

    assert str(output) == "You said: three"
    told = [("user", f"[[hold {gate} 1]] [[say one two]]"), ("assistant", "one two"), *said("three")]
    assert reader.story(conversation_id) == told


async def test_a_cancelled_run_goes_on_where_nothing_else_is_asked(
    make_agent: MakeAgent, reader: Reader, backend: Backend
) -> None:
    gate, agent = new_gate(), make_agent()
    handler = agent.run(f"[[hold {gate} 1]] [[say one two]]")
    await until(handler, streams("one"))
    await handler.cancel_run()
    backend.open_gate(gate)

    output = await agent.run(ctx=handler.ctx)

    assert str(output) == "one two"
    assert [kind for kind, _ in reader.story(conversation_of(output))] == ["user", "assistant"]


async def test_a_cancelled_run_can_cancel_its_turn(
    make_agent: MakeAgent, conversation_id: str, reader: Reader, backend: Backend
) -> None:
    gate, agent = new_gate(), make_agent(conversation_id=conversation_id, on_abandon="cancel")
    handler = agent.run(f"[[hold {gate} 1]] [[say one two]]")
    await until(handler, streams("one"))

    await handler.cancel_run()
    output = await agent.run("three", ctx=handler.ctx)
    backend.open_gate(gate)

    assert str(output) == "You said: three"
    assert ("assistant", "one two") not in reader.story(conversation_id)
    assert reader.story(conversation_id)[-2:] == said("three")


async def test_a_run_that_is_cancelled_while_a_tool_runs_denies_its_call_with_the_next_message(
    make_agent: MakeAgent, reader: Reader
) -> None:
    started, never = asyncio.Event(), asyncio.Event()

    async def wait() -> str:
        """Wait for ever."""
        started.set()
        await never.wait()
        return "never"

    agent = make_agent(tools=[wait])
    handler = agent.run("[[call wait {}]]")
    await until(handler, lambda event: isinstance(event, ToolCall))
    await started.wait()
    await handler.cancel_run()

    output = await agent.run("two", ctx=handler.ctx)

    (answer,) = reader.answers(conversation_of(output))
    assert (answer["type"], answer["approve"]) == ("approval", False)
    story = reader.story(conversation_of(output))
    assert [line for line in story if line[0] == "user"] == [("user", "[[call wait {}]]"), ("user", "two")]
    assert story[-1] == ("assistant", "You said: two")


async def test_the_same_words_again_after_a_cancelled_run_take_its_turn_up(
    make_agent: MakeAgent, reader: Reader, backend: Backend
) -> None:
    gate, agent = new_gate(), make_agent()
    text = f"[[hold {gate} 1]] [[say one two]]"
    handler = agent.run(text)
    await until(handler, streams("one"))
    await handler.cancel_run()
    backend.open_gate(gate)

    output = await agent.run(text, ctx=handler.ctx)

    assert reader.story(conversation_of(output)) == [("user", text), ("assistant", "one two")]


@pytest.mark.filterwarnings("ignore:Skipping serialization of known unserializable key")
@pytest.mark.parametrize("before", [(), ("zero",)], ids=["first", "later"])
async def test_a_memory_that_has_the_message_of_a_cancelled_run_does_not_have_it_told_again(
    before: tuple[str, ...], make_agent: MakeAgent, reader: Reader, backend: Backend
) -> None:
    gate, agent, memory = new_gate(), make_agent(), ChatMemoryBuffer(token_limit=100_000)
    ctx: Context[Any] = Context(agent)
    for text in before:
        await agent.run(text, ctx=ctx, memory=memory)
    handler = agent.run(f"[[hold {gate} 1]] [[say one two]]", ctx=ctx, memory=memory)
    await until(handler, streams("one"))
    await handler.cancel_run()
    backend.open_gate(gate)

    output = await agent.run("three", ctx=handler.ctx, memory=memory)

    told = [("user", f"[[hold {gate} 1]] [[say one two]]"), ("assistant", "one two"), *said("three")]
    assert reader.story(conversation_of(output)) == [*said(*before), *told]


async def test_a_failure_after_a_cancelled_run_does_not_lose_the_conversation(
    make_agent: MakeAgent, reader: Reader, backend: Backend
) -> None:
    gate, agent = new_gate(), make_agent()
    handler = agent.run(f"[[hold {gate} 1]] [[say one two]]")
    await until(handler, streams("one"))
    await handler.cancel_run()
    backend.open_gate(gate)
    failing = agent.run("[[fail 500]]", ctx=handler.ctx)
    with pytest.raises(TurnFailed):
        await failing

    output = await agent.run("three", ctx=failing.ctx)

    told = [("user", f"[[hold {gate} 1]] [[say one two]]"), ("assistant", "one two"), *said("three")]
    assert reader.story(conversation_of(output)) == told


async def test_a_workflow_that_runs_out_of_time_loses_nothing(
    make_agent: MakeAgent, conversation_id: str, reader: Reader, backend: Backend
) -> None:
    gate = new_gate()
    with pytest.raises(WorkflowTimeoutError):
        await make_agent(conversation_id=conversation_id, timeout=1.0).run(f"[[hold {gate} 1]] [[say one two]]")
    backend.open_gate(gate)
    agent = make_agent(conversation_id=conversation_id)

    await agent.run("two", ctx=Context(agent))

    assert [line for line in reader.story(conversation_id) if line[0] == "user"][1:] == [("user", "two")]
    assert reader.story(conversation_id)[1] == ("assistant", "one two")


async def test_after_a_tool_that_took_all_the_time_a_new_message_goes_on_and_denies_its_call(
    make_agent: MakeAgent, reader: Reader
) -> None:
    calls = 0

    async def dawdle() -> None:
        """Take your time."""
        nonlocal calls
        calls += 1
        await asyncio.Event().wait()

    agent = make_agent(tools=[dawdle], timeout=3.0)
    ctx = Context(agent)
    with pytest.raises(WorkflowTimeoutError):
        await agent.run("[[call dawdle {}]]", ctx=ctx)

    output = await agent.run("two", ctx=ctx)

    assert (str(output), calls) == ("You said: two", 1)
    told = [line for line in reader.story(conversation_of(output)) if line[0] == "user"]
    assert told == [("user", "[[call dawdle {}]]"), ("user", "two")]
    assert [one["type"] for one in reader.answers(conversation_of(output))] == ["approval"]
