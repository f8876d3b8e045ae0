"""A tool of the server's that waits for a person: the run asks in its stream, and goes on with what was decided."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentInput, AgentOutput, AgentStream, AgentWorkflow, ToolCallResult
from llama_index.core.workflow import Context
from workflows.events import Event
from workflows.handler import WorkflowHandler

from letta_adapters.errors import PendingApprovalError
from llama_index_letta import ApprovalRequiredEvent, ApprovalResponseEvent
from tests.contract.wire import Wire
from tests.llama_index.agents.support import MakeAgent, add, conversation_of, of_type, restored, saved, until
from tests.loop.support import results

SHOUT = '[[call shout {"text": "hey"}]]'
BOTH = f'{SHOUT} [[call add {{"a": 1, "b": 2}}]] [[next]] [[say Done]]'


def shout(text: str) -> str:
    """Shout.

    Args:
        text (str): What to shout.
    """
    return text.upper()


@pytest.fixture(autouse=True)
def guarded_tool(wire: Wire, agent_id: str) -> None:
    """The server runs `shout` once a person agrees."""
    tool = wire.http.post("/v1/tools/", json={"source_code": inspect.getsource(shout)}).raise_for_status().json()
    wire.http.patch(f"/v1/agents/{agent_id}/tools/attach/{tool['id']}").raise_for_status()
    path = f"/v1/agents/{agent_id}/tools/approval/{tool['name']}"
    guarded = {"requires_approval": True}
    wire.http.patch(path, params=guarded, json=guarded).raise_for_status()


async def _decided(handler: WorkflowHandler, approve: bool, reason: str | None = None) -> list[Event]:
    """Every event of a run whose person always decides alike."""
    events: list[Event] = []
    async for event in handler.stream_events():
        events.append(event)
        if isinstance(event, ApprovalRequiredEvent):
            decision = ApprovalResponseEvent(tool_call_id=event.tool_call_id, approve=approve, reason=reason)
            handler.ctx.send_event(decision)
    await handler
    return events


async def test_an_approved_call_is_run_by_the_server(make_agent: MakeAgent, wire: Wire) -> None:
    handler = make_agent(tools=[add], on_approval="ask").run(f"{SHOUT} [[next]] [[say Done]]")
    events = await _decided(handler, approve=True)
    output: AgentOutput = await handler

    (asked,) = of_type(events, ApprovalRequiredEvent)
    assert (asked.tool_name, asked.tool_kwargs, asked.agent_name) == ("shout", {"text": "hey"}, "Agent")
    assert of_type(events, ToolCallResult) == []
    assert str(output) == "Done"
    assert results(wire, conversation_of(output)) == [("approved", "")]
    returned = [row for row in wire.stored(conversation_of(output)) if row["message_type"] == "tool_return_message"]
    assert [row["tool_return"] for row in returned] == ["HEY"]


async def test_the_agent_is_told_why_a_call_was_denied(make_agent: MakeAgent, wire: Wire) -> None:
    handler = make_agent(on_approval="ask").run(f"{SHOUT} [[next]] [[say A pity]]")
    await _decided(handler, approve=False, reason="Not so loud.")
    output: AgentOutput = await handler

    assert str(output) == "A pity"
    assert results(wire, conversation_of(output)) == [("denied", "Not so loud.")]


@pytest.mark.usefixtures("parallel_calls")
async def test_decisions_go_out_with_the_results_of_the_calls_beside_them(make_agent: MakeAgent, wire: Wire) -> None:
    handler = make_agent(tools=[add], on_approval="ask").run(BOTH)
    events = await _decided(handler, approve=True)
    output: AgentOutput = await handler

    assert [result.tool_output.raw_output for result in of_type(events, ToolCallResult)] == [3]
    assert str(output) == "Done"
    assert results(wire, conversation_of(output)) == [("approved", ""), ("success", "3")]


@pytest.mark.usefixtures("parallel_calls")
async def test_each_call_is_asked_about_once_and_the_turn_is_told_once(make_agent: MakeAgent, wire: Wire) -> None:
    text = f'{SHOUT} [[call shout {{"text": "ho"}}]] [[next]] [[say Done]]'
    handler = make_agent(on_approval="ask").run(text)
    events = await _decided(handler, approve=False)
    output: AgentOutput = await handler

    assert [asked.tool_kwargs for asked in of_type(events, ApprovalRequiredEvent)] == [{"text": "hey"}, {"text": "ho"}]
    assert len(of_type(events, AgentInput)) == 2
    assert "".join(event.delta for event in of_type(events, AgentStream)) == "Done"
    assert results(wire, conversation_of(output)) == [("denied", "")] * 2


async def test_a_person_may_decide_when_the_run_is_long_gone(make_agent: MakeAgent, wire: Wire) -> None:
    handler = make_agent(on_approval="ask").run(f"{SHOUT} [[next]] [[say Done]]")
    asked = await until(handler, lambda event: isinstance(event, ApprovalRequiredEvent))
    data = saved(handler)
    await handler.cancel_run()

    agent = make_agent(on_approval="ask")
    handler = agent.run(ctx=restored(agent, data))
    handler.ctx.send_event(ApprovalResponseEvent(tool_call_id=asked.tool_call_id, approve=True))
    output: AgentOutput = await handler

    assert str(output) == "Done"
    conversation_id = conversation_of(output)
    assert results(wire, conversation_id) == [("approved", "")]
    assert [row["message_type"] for row in wire.stored(conversation_id)].count("user_message") == 1


async def test_one_of_several_agents_asks_as_well(make_agent: MakeAgent, wire: Wire) -> None:
    agent = make_agent(name="loud", description="Shouts.", on_approval="ask")
    workflow: Any = AgentWorkflow(agents=[agent])
    handler = workflow.run(user_msg=f"{SHOUT} [[next]] [[say Done]]")
    events = await _decided(handler, approve=True)
    output: AgentOutput = await handler

    assert [asked.agent_name for asked in of_type(events, ApprovalRequiredEvent)] == ["loud"]
    assert str(output) == "Done"
    assert results(wire, conversation_of(output)) == [("approved", "")]


async def test_a_run_that_was_given_up_decides_nothing(make_agent: MakeAgent, conversation_id: str, wire: Wire) -> None:
    agent = make_agent(on_approval="ask", conversation_id=conversation_id)
    ctx = Context(agent)
    handler = agent.run(SHOUT, ctx=ctx)
    await until(handler, lambda event: isinstance(event, ApprovalRequiredEvent))
    await handler.cancel_run()

    with pytest.raises(PendingApprovalError, match="shout"):
        await asyncio.wait_for(agent.run("something else", ctx=ctx), 60)
    assert wire.stored(conversation_id)[-1]["message_type"] == "approval_request_message"
