"""A `LettaAgent` beside other agents in an `AgentWorkflow`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentOutput, AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.workflow import Context
from pydantic import Field

from tests.conftest import Backend, fresh_agent
from tests.langchain.readback import Reader
from tests.llama_index.agents.support import (
    ADD,
    MakeAgent,
    add,
    conversation_of,
    events_of,
    letta,
    multiply,
    of_type,
    said,
)

pytestmark = [
    # LlamaIndex does not save the memory of an `AgentWorkflow`, and its own agents use what pydantic gave up.
    pytest.mark.filterwarnings("ignore:Skipping serialization of known unserializable key"),
    pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20"),
    pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince211"),
]


def hand_to(name: str) -> str:
    return f'[[call handoff {{"to_agent": "{name}", "reason": "knows more"}}]]'


class Scripted(MockFunctionCallingLLM):
    """A model that answers what it was given, one answer after the other."""

    answers: list[ChatMessage] = Field(default_factory=list[ChatMessage])
    seen: list[Sequence[ChatMessage]] = Field(default_factory=list[Sequence[ChatMessage]])

    async def achat_with_tools(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, tools: Any, **kwargs: Any
    ) -> ChatResponse:
        self.seen.append(kwargs["chat_history"])
        return ChatResponse(message=self.answers.pop(0))


def calls_handoff(name: str) -> ChatMessage:
    call = ToolCallBlock(
        tool_call_id="call-1", tool_name="handoff", tool_kwargs={"to_agent": name, "reason": "knows more"}
    )
    return ChatMessage(role="assistant", blocks=[call])


def says(text: str) -> ChatMessage:
    return ChatMessage(role="assistant", content=text)


def writer(*answers: ChatMessage) -> FunctionAgent:
    llm = Scripted(answers=list(answers), seen=[])
    return FunctionAgent(name="writer", description="Writes.", llm=llm, streaming=False)


def in_a_workflow(*agents: Any) -> Any:
    return AgentWorkflow(agents=list(agents), root_agent=agents[0].name)


@pytest.fixture
def two(make_agent: MakeAgent) -> Any:
    """Two Letta agents with a tool each."""
    ann = make_agent(name="ann", description="Adds.", tools=[add])
    bob = make_agent(name="bob", description="Multiplies.", tools=[multiply])
    return in_a_workflow(ann, bob)


async def test_two_letta_agents_hand_over_and_each_has_a_conversation(two: Any, reader: Reader) -> None:
    handler = two.run(f"Who knows? {hand_to('bob')}")
    outputs = of_type(await events_of(handler), AgentOutput)
    final: AgentOutput = await handler

    assert [output.current_agent_name for output in outputs] == ["ann", "bob"]
    first, last = (conversation_of(output) for output in outputs)
    assert first != last == conversation_of(final)
    handed = "Agent bob is now handling the request due to the following reason: knows more"
    story = reader.story(first)
    assert [kind for kind, _ in story] == ["user", "calls", "results"]  # and no word more
    assert story[2][1].startswith(handed)
    told = reader.story(last)
    assert [kind for kind, _ in told] == ["user", "user", "user", "assistant"]
    assert told[1][1].startswith("[ann called the tools: handoff(")
    assert told[2][1].startswith(f"[The tool handoff answered: {handed}")


async def test_each_agent_is_offered_tools_of_its_own(two: Any) -> None:
    handler = two.run(f"{ADD} [[next]] {hand_to('bob')}")
    events = await events_of(handler)
    again = await events_of(two.run(f"{ADD} [[next]] [[say no]]", ctx=handler.ctx))

    assert [result.tool_name for result in of_type(events, ToolCallResult)] == ["add", "handoff"]
    assert of_type(again, ToolCallResult) == []  # the server has no such tool for the other agent


async def test_a_workflow_goes_on_with_the_agent_that_it_ended_with(two: Any, reader: Reader) -> None:
    handler = two.run(f"Who knows? {hand_to('bob')}")
    first: AgentOutput = await handler

    second: AgentOutput = await two.run("two", ctx=handler.ctx)

    assert (second.current_agent_name, conversation_of(second)) == ("bob", conversation_of(first))
    assert reader.story(conversation_of(second))[-2:] == said("two")


@pytest.mark.parametrize("nobody", ["carl", "ann"], ids=["nobody", "itself"])
async def test_an_agent_hears_that_it_handed_over_to_nobody(nobody: str, two: Any, reader: Reader) -> None:
    message = f"{hand_to(nobody)} [[next]] {hand_to('bob')}"
    handler = two.run(message)
    outputs = of_type(await events_of(handler), AgentOutput)

    assert [output.current_agent_name for output in outputs] == ["ann", "ann", "bob"]
    first, second, last = map(conversation_of, outputs)
    assert first == second != last
    story = reader.story(first)
    assert [kind for kind, _ in story] == ["user", "calls", "results", "calls", "results"]
    assert story[0] == ("user", message)


async def test_there_and_back_again_nothing_is_told_twice(two: Any, reader: Reader) -> None:
    ctx = Context(two)
    there = two.run(f"one {hand_to('bob')}", ctx=ctx)
    outputs = of_type(await events_of(there), AgentOutput)
    back = two.run(f"two {hand_to('ann')}", ctx=ctx)
    outputs += of_type(await events_of(back), AgentOutput)

    ann, bob, again, last = map(conversation_of, outputs)
    assert [output.current_agent_name for output in outputs] == ["ann", "bob", "bob", "ann"]
    assert (ann, bob) == (last, again)
    users = [text for kind, text in reader.story(ann) if kind == "user"]
    assert users[0].startswith("one ")
    assert len([text for text in users if text.startswith("one ")]) == 1
    assert len([text for text in users if text.startswith("two ")]) == 1
    assert [one["status"] for one in reader.answers(ann)] == ["success"]
    assert [one["status"] for one in reader.answers(bob)] == ["success"]


async def test_an_agent_of_llama_index_hands_over_to_a_letta_agent(make_agent: MakeAgent, reader: Reader) -> None:
    ann = make_agent(name="ann", description="Remembers.", tools=[add])
    workflow: Any = AgentWorkflow(agents=[writer(calls_handoff("ann")), ann], root_agent="writer")

    output: AgentOutput = await workflow.run("Remember that I am Bob.")

    assert output.current_agent_name == "ann"
    story = reader.story(conversation_of(output))
    assert story[0] == ("user", "Remember that I am Bob.")
    assert story[1][1].startswith("[assistant called the tools: handoff(")
    assert [kind for kind, _ in story] == ["user", "user", "user", "assistant"]


async def test_a_letta_agent_hands_over_to_an_agent_of_llama_index(make_agent: MakeAgent, reader: Reader) -> None:
    ann = make_agent(name="ann", description="Remembers.", tools=[add])
    other = writer(says("It is written."))
    workflow: Any = AgentWorkflow(agents=[ann, other], root_agent="ann")

    output: AgentOutput = await workflow.run(f"{ADD} [[next]] {hand_to('writer')}")

    assert str(output) == "It is written."
    assert isinstance(other.llm, Scripted)
    (seen,) = other.llm.seen
    roles = [message.role.value for message in seen]
    assert roles == ["user", "assistant", "tool", "assistant", "tool"]
    calls = [block.tool_call_id for message in seen for block in message.blocks if isinstance(block, ToolCallBlock)]
    answered = [message.additional_kwargs["tool_call_id"] for message in seen if message.role.value == "tool"]
    assert calls == answered
    assert [kind for kind, _ in reader.story(letta(_of(seen))["conversation_id"])][-1] == "results"


def _of(messages: Sequence[ChatMessage]) -> AgentOutput:
    (last,) = [message for message in messages if message.role.value == "assistant"][-1:]
    return AgentOutput(response=last, current_agent_name="ann")


async def test_letta_agents_with_agents_of_their_own(backend: Backend, make_agent: MakeAgent, reader: Reader) -> None:
    with fresh_agent(backend) as other_id:
        ann = make_agent(name="ann", description="Adds.")
        bob = make_agent(name="bob", description="Multiplies.", agent_id=other_id)
        output: AgentOutput = await in_a_workflow(ann, bob).run(hand_to("bob"))

        assert letta(output)["agent_id"] == other_id
        assert len(reader.conversations(other_id)) == 1


async def test_a_context_of_a_workflow_that_was_saved_goes_on(two: Any, reader: Reader) -> None:
    handler = two.run(f"one {hand_to('bob')}")
    first: AgentOutput = await handler

    ctx: Context[Any] = Context.from_dict(two, handler.ctx.to_dict())
    second: AgentOutput = await two.run("two", ctx=ctx)

    assert conversation_of(second) == conversation_of(first)
    assert reader.story(conversation_of(first))[-2:] == said("two")
