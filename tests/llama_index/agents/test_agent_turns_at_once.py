"""One turn at a time in a conversation, tools included, also where a workflow runs the tools."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentOutput, AgentWorkflow, ToolCallResult
from llama_index.core.workflow import Context

from letta_adapters import AsyncLettaClient
from letta_adapters.errors import ConversationBusy
from letta_adapters.loop import arun_turn
from tests.conftest import TIMEOUT, Backend
from tests.contract.wire import Wire
from tests.llama_index.agents.support import ADD, MakeAgent, add, events_of, of_type
from tests.llama_index.support import MakeEngine
from tests.loop.support import results

WORK = "[[call work {}]] [[next]] [[say it is done]]"
DONE = ("success", "done")


class Bench:
    """A tool whose calls last until they are let go on."""

    def __init__(self) -> None:
        self.at_work, self.go_on = asyncio.Event(), asyncio.Event()

    async def work(self) -> str:
        """Work."""
        self.at_work.set()
        await self.go_on.wait()
        return "done"


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_runs_in_one_conversation_come_one_after_the_other(
    make_agent: MakeAgent, wire: Wire, conversation_id: str, bench: Bench
) -> None:
    agent = make_agent(tools=[bench.work], conversation_id=conversation_id)
    handlers = [agent.run(WORK) for _ in range(3)]
    await asyncio.wait_for(bench.at_work.wait(), TIMEOUT)
    bench.go_on.set()  # whoever does not wait has denied a call, or was refused
    outputs: list[AgentOutput] = [await handler for handler in handlers]
    assert [str(output) for output in outputs] == ["it is done"] * 3
    assert results(wire, conversation_id) == [DONE] * 3


async def test_a_run_waits_no_longer_than_allowed(
    make_agent: MakeAgent, wire: Wire, conversation_id: str, bench: Bench
) -> None:
    handler = make_agent(tools=[bench.work], conversation_id=conversation_id).run(WORK)
    await asyncio.wait_for(bench.at_work.wait(), TIMEOUT)
    hasty = make_agent(tools=[bench.work], conversation_id=conversation_id, busy_timeout=0)
    with pytest.raises(ConversationBusy):
        await hasty.run("hello")
    bench.go_on.set()
    assert str(await handler) == "it is done"
    assert results(wire, conversation_id) == [DONE]
    assert str(await hasty.run("hello")) == "You said: hello"


async def test_an_engine_and_a_plain_loop_wait_for_an_agent(
    backend: Backend, make_agent: MakeAgent, make_engine: MakeEngine, wire: Wire, conversation_id: str, bench: Bench
) -> None:
    handler = make_agent(tools=[bench.work], conversation_id=conversation_id).run(WORK)
    await asyncio.wait_for(bench.at_work.wait(), TIMEOUT)
    engine = make_engine(tools=[bench.work], conversation_id=conversation_id, busy_timeout=0)
    with pytest.raises(ConversationBusy):
        await engine.achat("hello")
    async with AsyncLettaClient(base_url=backend.base_url) as client:
        with pytest.raises(ConversationBusy):
            await arun_turn(client, conversation_id, "hello", tools=[bench.work], busy_timeout=0)
        patient = asyncio.create_task(arun_turn(client, conversation_id, "and now?", tools=[bench.work]))
        bench.go_on.set()
        assert str(await handler) == "it is done"
        assert (await patient).text == "You said: and now?"
    assert results(wire, conversation_id) == [DONE]


async def test_an_agent_waits_for_an_engine(
    make_agent: MakeAgent, make_engine: MakeEngine, wire: Wire, conversation_id: str, bench: Bench
) -> None:
    engine = make_engine(tools=[bench.work], conversation_id=conversation_id)
    response = await engine.astream_chat(WORK)
    await asyncio.wait_for(bench.at_work.wait(), TIMEOUT)
    with pytest.raises(ConversationBusy):
        await make_agent(tools=[bench.work], conversation_id=conversation_id, busy_timeout=0).run("hello")
    handler = make_agent(tools=[bench.work], conversation_id=conversation_id).run("and now?")
    bench.go_on.set()
    assert str(await handler) == "You said: and now?"
    assert (await response.aresult()).response == "it is done"
    assert results(wire, conversation_id) == [DONE]


@pytest.mark.parametrize("leave", ["cancel_run", "timeout", "max_iterations"])
async def test_a_run_that_did_not_come_to_its_end_keeps_nobody_waiting(
    leave: str, make_agent: MakeAgent, conversation_id: str, bench: Bench
) -> None:
    agent = make_agent(tools=[bench.work], conversation_id=conversation_id, timeout=3.0 if leave == "timeout" else None)
    handler = agent.run(WORK, max_iterations=1 if leave == "max_iterations" else None)
    if leave == "cancel_run":
        await asyncio.wait_for(bench.at_work.wait(), TIMEOUT)
        await handler.cancel_run()
    else:
        with pytest.raises(Exception, match=r"timed out|Max iterations"):
            await handler
    bench.go_on.set()
    assert str(await agent.run("hello")) == "You said: hello"


async def test_a_tool_that_asks_its_own_conversation_is_told_at_once_that_it_cannot(
    make_agent: MakeAgent, conversation_id: str, wire: Wire
) -> None:
    other = make_agent(conversation_id=conversation_id)

    async def ask() -> str:
        """Ask the agent back."""
        return str(await other.run("are you there?"))

    agent = make_agent(tools=[ask], conversation_id=conversation_id)
    assert str(await agent.run("[[call ask {}]] [[next]] [[say never mind]]")) == "never mind"
    ((status, told),) = results(wire, conversation_id)
    assert status == "error"
    assert "cannot send a message to the conversation that waits for its result" in told


async def test_agents_that_hand_over_in_one_conversation_do_not_wait_for_themselves(
    make_agent: MakeAgent, conversation_id: str, wire: Wire
) -> None:
    first, second = (
        make_agent(name=name, description=name, tools=[add], conversation_id=conversation_id, busy_timeout=0)
        for name in ("first", "second")
    )
    workflow: Any = AgentWorkflow(agents=[first, second], root_agent="first")
    order = '{"to_agent": "second", "reason": "it knows"}'
    output: AgentOutput = await workflow.run(user_msg=f"[[call handoff {order}]] [[next]] {ADD} [[next]] [[say Three]]")
    assert output.current_agent_name == "second"
    assert wire.stored(conversation_id)[-1]["message_type"] != "approval_request_message"


async def test_an_agent_for_a_conversation_goes_on_there_with_all_its_settings(
    make_agent: MakeAgent, conversation_id: str, wire: Wire
) -> None:
    agent = make_agent(tools=[add], name="clerk", busy_timeout=7, timeout=50.0)
    there = agent.for_conversation(conversation_id)
    handler = there.run(f"{ADD} [[next]] [[say Three]]", ctx=Context(there))
    events = await events_of(handler)

    assert [result.tool_output.raw_output for result in of_type(events, ToolCallResult)] == [3]
    assert results(wire, conversation_id) == [("success", "3")]
    assert (there.name, there.busy_timeout, there.conversation_id) == ("clerk", 7, conversation_id)
    assert there.client is agent.client
    await there.aclose()
    assert str(await agent.run("hello")) == "You said: hello"
