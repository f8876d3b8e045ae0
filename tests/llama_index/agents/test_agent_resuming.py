"""A run that stops in the middle and goes on elsewhere: people who are asked, processes that die."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentOutput, AgentStream, AgentWorkflow, ToolCall, ToolCallResult
from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent
from workflows.events import Event

from tests.conftest import TIMEOUT, Backend
from tests.langchain.readback import Reader
from tests.llama_index.agents.support import (
    ADD,
    MakeAgent,
    add,
    conversation_of,
    new_gate,
    restored,
    said,
    saved,
    streams,
    until,
)

ROOT = Path(__file__).parents[3]
CONFIRM = '[[call confirm {"what": "pay"}]]'


class Asked(InputRequiredEvent):
    prefix: str


class Answered(HumanResponseEvent):
    response: str


async def confirm(ctx: Context[Any], what: str) -> str:
    """Ask a person."""
    answer = await ctx.wait_for_event(
        Answered,
        waiter_id=f"confirm {what}",
        waiter_event=Asked(prefix=what),
    )
    return answer.response


async def test_a_tool_waits_for_a_person_while_the_run_goes_on(make_agent: MakeAgent, reader: Reader) -> None:
    handler = make_agent(tools=[confirm]).run(CONFIRM)
    async for event in handler.stream_events():
        if isinstance(event, Asked):
            assert event.prefix == "pay"
            handler.ctx.send_event(Answered(response="yes"))
    output: AgentOutput = await handler

    assert str(output) == "The tools answered: yes"
    assert [one["tool_return"] for one in reader.answers(conversation_of(output))] == ["yes"]


@pytest.mark.filterwarnings("ignore:Skipping serialization of known unserializable key")
@pytest.mark.parametrize("in_a_workflow", [False, True])
async def test_a_person_may_answer_when_the_run_is_long_gone(
    in_a_workflow: bool, make_agent: MakeAgent, reader: Reader
) -> None:
    def made() -> Any:
        agent = make_agent(tools=[confirm, add], name="ann")
        return AgentWorkflow(agents=[agent]) if in_a_workflow else agent

    handler = made().run(f"{ADD} [[next]] {CONFIRM}")
    await until(handler, lambda event: isinstance(event, InputRequiredEvent))
    kept = saved(handler)
    await handler.cancel_run()
    other = made()

    resumed = other.run(ctx=restored(other, kept))
    resumed.ctx.send_event(Answered(response="no"))
    output: AgentOutput = await resumed

    story = reader.story(conversation_of(output))
    assert [line for line in story if line[0] == "results"] == [("results", "3"), ("results", "no")]
    assert [kind for kind, _ in story] == ["user", "calls", "results", "calls", "results", "assistant"]
    assert [one["type"] for one in reader.answers(conversation_of(output))] == ["tool", "tool"]


def streamed(event: Event) -> bool:
    return isinstance(event, AgentStream) and bool(event.delta)


def called(event: Event) -> bool:
    return isinstance(event, ToolCall)


def returned(event: Event) -> bool:
    return isinstance(event, ToolCallResult)


def answered(event: Event) -> bool:
    return isinstance(event, AgentOutput) and not event.tool_calls


@pytest.mark.parametrize("point", [streamed, called, returned, answered])
@pytest.mark.parametrize("pinned", [False, True])
async def test_a_run_that_is_taken_up_again_sends_nothing_twice(
    point: Callable[[Event], bool], pinned: bool, make_agent: MakeAgent, conversation_id: str, reader: Reader
) -> None:
    text = f"[[think Hm]] [[say Let me add]] {ADD} [[next]] [[say It is three]]"
    fields: dict[str, Any] = {"tools": [add], **({"conversation_id": conversation_id} if pinned else {})}
    agent = make_agent(**fields)
    handler = agent.run(text)
    await until(handler, point)
    kept = saved(handler)
    await handler  # the process goes on, and dies before anybody hears of it
    other = make_agent(**fields)

    output: AgentOutput = await other.run(ctx=restored(other, kept))

    assert str(output) == "It is three"
    expected = [
        ("user", text),
        ("reasoning", "Hm"),
        ("assistant", "Let me add"),
        ("calls", "add"),
        ("results", "3"),
        ("assistant", "It is three"),
    ]
    story = reader.story(conversation_of(output))
    assert [line for line in story if line[0] != "reasoning"] == [line for line in expected if line[0] != "reasoning"]
    assert len(set(reader.runs(conversation_of(output)))) == 2


async def test_a_turn_that_still_runs_is_waited_for(make_agent: MakeAgent, reader: Reader, backend: Backend) -> None:
    gate, agent = new_gate(), make_agent()
    handler = agent.run(f"[[hold {gate} 1]] [[say one two]]")
    await until(handler, streams("one"))
    kept = saved(handler)
    await handler.cancel_run()
    other = make_agent()

    resumed = other.run(ctx=restored(other, kept))
    await until(resumed, lambda event: isinstance(event, AgentStream) or True)
    backend.open_gate(gate)
    output: AgentOutput = await resumed

    assert reader.story(conversation_of(output)) == [
        ("user", f"[[hold {gate} 1]] [[say one two]]"),
        ("assistant", "one two"),
    ]


async def test_a_run_of_the_same_id_is_the_same_run_from_its_very_beginning(
    make_agent: MakeAgent, agent_id: str, reader: Reader
) -> None:
    first: AgentOutput = await make_agent(tools=[add]).run(ADD, run_id="order-17")

    again: AgentOutput = await make_agent(tools=[add]).run(ADD, run_id="order-17")
    other: AgentOutput = await make_agent(tools=[add]).run(ADD, run_id="order-18")

    assert conversation_of(again) == conversation_of(first) != conversation_of(other)
    assert reader.story(conversation_of(first)) == [
        ("user", ADD),
        ("calls", "add"),
        ("results", "3"),
        ("assistant", "The tools answered: 3"),
    ]
    assert sorted(reader.conversations(agent_id)) == sorted({conversation_of(first), conversation_of(other)})


async def test_two_runs_from_one_saved_context_lose_nothing(make_agent: MakeAgent, reader: Reader) -> None:
    agent = make_agent()
    handler = agent.run("one")
    first = await handler
    kept = saved(handler)

    await asyncio.gather(*(agent.run(text, ctx=restored(agent, kept)) for text in ("two", "three")))

    story = reader.story(conversation_of(first))
    assert story[:2] == said("one")
    assert sorted(story[2:]) == sorted(said("two", "three"))


PROGRAM = """
import asyncio, json, os, signal, sys
from pathlib import Path
from llama_index.core.agent.workflow import AgentStream, ToolCallResult
from llama_index.core.workflow import Context
from llama_index_letta import LettaAgent

def add(a: int, b: int) -> int:
    "Add two numbers."
    with open(sys.argv[2], "a") as executed:
        executed.write("add\\n")
    return a + b

async def main() -> None:
    job, kept = json.loads(sys.argv[1]), Path(sys.argv[3])
    agent = LettaAgent(tools=[add], agent_id=job["agent_id"], base_url=job["base_url"])
    if kept.exists():
        handler = agent.run(ctx=Context.from_dict(agent, json.loads(kept.read_text())))
    else:
        handler = agent.run(job["text"])
    async for event in handler.stream_events():
        if type(event).__name__ == job["dies_at"] and not kept.exists():
            kept.write_text(json.dumps(handler.ctx.to_dict()))
            os.kill(os.getpid(), signal.SIGKILL)
    output = await handler
    print(json.dumps([str(output), output.response.additional_kwargs["letta"]["conversation_id"]]))

asyncio.run(main())
"""


OTHER = pytest.mark.other_way


@pytest.mark.parametrize(
    "dies_at",
    [
        "AgentStream",
        "ToolCall",
        *(pytest.param(at, marks=pytest.mark.other_way) for at in ("AgentInput", "ToolCallResult")),
    ],
)
def test_a_process_that_is_killed_is_taken_up_by_another_one(
    dies_at: str, backend: Backend, agent_id: str, reader: Reader, tmp_path: Path
) -> None:
    text = f"{ADD} [[next]] [[say It is three]]"
    job = {"agent_id": agent_id, "base_url": backend.base_url, "text": text, "dies_at": dies_at}
    arguments = [sys.executable, "-c", PROGRAM, json.dumps(job), str(tmp_path / "executed"), str(tmp_path / "kept")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LETTA_")}

    killed = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, timeout=TIMEOUT, check=False)
    done = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, timeout=TIMEOUT, check=True)

    assert killed.returncode == -9, killed.stderr.decode()
    answer, conversation_id = json.loads(done.stdout)
    assert answer == "It is three"
    assert reader.story(conversation_id) == [
        ("user", text),
        ("calls", "add"),
        ("results", "3"),
        ("assistant", "It is three"),
    ]
    assert reader.conversations(agent_id) == [conversation_id]
