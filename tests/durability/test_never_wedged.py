"""Whatever leaves a call without its answer, the next turn works: in the thread, and for whoever comes without it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from langchain.agents import middleware
from langchain_core.messages import BaseMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError

from langchain_letta import ChatLetta
from letta_adapters.errors import LettaError
from tests.conftest import Backend, fresh_conversation
from tests.durability.conftest import Undisturbed
from tests.durability.driving import Program
from tests.durability.program import Job, Way
from tests.durability.relay import Point
from tests.durability.threads import ONE_CALL, Thread, new_job
from tests.langchain.readback import Line, Reader
from tests.langchain.support import CALL, IN_SEQUENCE, TOOLS, TWO_CALLS, agent_of, asked, conversation_of

NEVER_MIND = "[[say never mind]]"
CALLED = ["user", "calls", "results"]
ANSWERED = ["user", "assistant"]
KEEP_ALIVE = "keep-alive ping"

both_modes = pytest.mark.parametrize("mode", ["followed", "pinned"])


@pytest.fixture
def model(mode: str, backend: Backend, agent_id: str) -> ChatLetta:
    """A model in the mode of the test."""
    conversation_id = fresh_conversation(backend, agent_id) if mode == "pinned" else None
    return ChatLetta(agent_id=agent_id, conversation_id=conversation_id, base_url=backend.base_url)


def thread() -> Any:
    return {"configurable": {"thread_id": uuid4().hex}}


def the_story(reader: Reader, agent_id: str) -> list[Line]:
    """What the one conversation of an agent holds; the server made no message up."""
    conversations = reader.conversations(agent_id)
    assert len(conversations) == 1, f"{len(conversations)} conversations"
    story = reader.story(conversations[0])
    assert not any(KEEP_ALIVE in text for _, text in story)
    return story


def the_last_story(reader: Reader, agent_id: str, mode: str) -> list[Line]:
    """What the conversation that answered last holds.

    A question is a task of its own in LangGraph. Followed, one whose transcript has no answer yet starts a conversation
    of its own, since parallel tasks must not meet in one; the one before it stays behind.
    """
    if mode == "pinned":
        return the_story(reader, agent_id)
    stories = [reader.story(conversation) for conversation in reader.conversations(agent_id)]
    (answered,) = [story for story in stories if story[-1] == ("assistant", "never mind")]
    assert not any(KEEP_ALIVE in text for story in stories for _, text in story)
    return answered


def kinds_of(story: Sequence[Line]) -> list[str]:
    return [kind for kind, _ in story]


def expect_answers(reader: Reader, agent_id: str, *given: str) -> None:
    """What the calls were answered, in order: `tool` for a result, `denial` for none."""
    (conversation,) = reader.conversations(agent_id)
    answers = ["denial" if part["type"] == "approval" else "tool" for part in reader.answers(conversation)]
    assert answers == list(given)


@tool
def explode() -> str:
    """Explode."""
    raise RuntimeError("it burns")


EXPLODE = "[[call explode {}]]"


@both_modes
@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_a_tool_that_raises(way: str, model: ChatLetta, agent_id: str, reader: Reader) -> None:
    agent, config = agent_of(model, [explode], checkpointer=InMemorySaver()), thread()

    async def turn(text: str) -> BaseMessage:
        given = asked(text)
        state = agent.invoke(given, config) if way == "invoke" else await agent.ainvoke(given, config)
        return state["messages"][-1]

    with pytest.raises(RuntimeError, match="it burns"):
        await turn(EXPLODE)
    assert (await turn(NEVER_MIND)).text == "never mind"
    assert kinds_of(the_story(reader, agent_id)) == CALLED + ANSWERED
    expect_answers(reader, agent_id, "denial")


@pytest.mark.parametrize("mode", ["pinned"])
@pytest.mark.parametrize("text", [EXPLODE, f"{EXPLODE} [[call add {{}}]]"], ids=["one call", "two calls"])
def test_a_tool_that_raises_in_a_program_that_keeps_no_transcript(
    text: str, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent = agent_of(model, [explode, *TOOLS])
    with pytest.raises(RuntimeError, match="it burns"):
        agent.invoke(asked(text))
    assert agent.invoke(asked(NEVER_MIND))["messages"][-1].text == "never mind"
    assert kinds_of(the_story(reader, agent_id)) == CALLED + ANSWERED
    expect_answers(reader, agent_id, *["denial"] * (2 if "add" in text else 1))


@both_modes
async def test_a_task_that_is_cancelled_while_its_tool_runs(model: ChatLetta, agent_id: str, reader: Reader) -> None:
    running = asyncio.Event()

    @tool
    async def hang() -> str:
        """Never come back."""
        running.set()
        await asyncio.Event().wait()
        return "never"

    agent, config = agent_of(model, [hang], checkpointer=InMemorySaver()), thread()
    turn = asyncio.ensure_future(agent.ainvoke(asked("[[call hang {}]]"), config))
    await running.wait()
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert (await agent.ainvoke(asked(NEVER_MIND), config))["messages"][-1].text == "never mind"
    assert kinds_of(the_story(reader, agent_id)) == CALLED + ANSWERED
    expect_answers(reader, agent_id, "denial")


@both_modes
def test_a_tool_that_hangs_and_comes_back_after_its_program_went_on(
    mode: str, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    running, release = threading.Event(), threading.Event()

    @tool
    def hang() -> str:
        """Come back late."""
        running.set()
        release.wait()
        return "too late"

    agent, config = agent_of(model, [hang], checkpointer=InMemorySaver()), thread()
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(partial(agent.invoke, asked("[[call hang {}]]"), config, durability="sync"))
        try:
            running.wait()
            with pytest.raises(FutureTimeout):
                late.result(timeout=0)  # the program gives it up
            second = agent.invoke(asked(NEVER_MIND), config)["messages"][-1]
        finally:
            release.set()
        problem = late.exception()
    assert second.text == "never mind"
    assert problem is None or isinstance(problem, LettaError)
    story = reader.story(conversation_of(second))
    assert kinds_of(story)[:5] == CALLED + ANSWERED
    assert not any(KEEP_ALIVE in text for _, text in story)
    assert mode == "pinned" or len(story) == 5, "what comes late belongs to another branch"


@both_modes
@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_a_loop_that_hits_its_limit(limit: int, model: ChatLetta, agent_id: str, reader: Reader) -> None:
    agent, config = agent_of(model, checkpointer=InMemorySaver()), thread()
    with pytest.raises(GraphRecursionError):
        agent.invoke(asked(IN_SEQUENCE), {**config, "recursion_limit": limit})
    messages = agent.invoke(asked(NEVER_MIND), config)["messages"]
    assert messages[-1].text == "never mind"
    rounds = ["calls", "results"] * (2 if limit > 2 else 1)
    assert kinds_of(the_story(reader, agent_id)) == ["user", *rounds, *ANSWERED]
    expect_answers(reader, agent_id, *{1: ["denial"], 2: ["tool"], 3: ["tool", "denial"], 4: ["tool", "tool"]}[limit])


@pytest.mark.parametrize("mode", ["pinned"])
@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_a_loop_that_hits_its_limit_in_a_program_that_keeps_no_transcript(
    limit: int, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent = agent_of(model)
    with pytest.raises(GraphRecursionError):
        agent.invoke(asked(IN_SEQUENCE), {"recursion_limit": limit})
    assert agent.invoke(asked(NEVER_MIND))["messages"][-1].text == "never mind"
    rounds = ["calls", "results"] * (2 if limit > 2 else 1)
    assert kinds_of(the_story(reader, agent_id)) == ["user", *rounds, *ANSWERED]
    expect_answers(reader, agent_id, *(["denial"] if limit < 3 else ["tool", "denial"]))


@both_modes
@pytest.mark.parametrize("text", [CALL, TWO_CALLS], ids=["one call", "two calls"])
def test_a_question_to_a_human_that_nobody_answers(text: str, model: ChatLetta, agent_id: str, reader: Reader) -> None:
    made: Any = cast("Any", middleware).HumanInTheLoopMiddleware(interrupt_on={"add": True})
    agent, config = agent_of(model, middleware=[made], checkpointer=InMemorySaver()), thread()
    assert "__interrupt__" in agent.invoke(asked(text), config)
    assert agent.invoke(asked(NEVER_MIND), config)["messages"][-1].text == "never mind"
    assert kinds_of(the_story(reader, agent_id)) == CALLED + ANSWERED
    expect_answers(reader, agent_id, *["denial"] * (2 if text == TWO_CALLS else 1))


@both_modes
def test_a_stream_that_nobody_reads_to_its_end(mode: str, model: ChatLetta, agent_id: str, reader: Reader) -> None:
    agent, config = agent_of(model, checkpointer=InMemorySaver()), thread()
    stream = agent.stream(asked(CALL), config, stream_mode="messages")
    next(stream)
    stream.close()
    assert agent.invoke(asked(NEVER_MIND), config)["messages"][-1].text == "never mind"
    story = the_last_story(reader, agent_id, mode)
    assert [text for kind, text in story if kind == "user"] == [CALL, NEVER_MIND]
    assert story[-1] == ("assistant", "never mind")


MakeJob = Callable[..., Job]


@pytest.fixture
def job_of(mode: str, program: Program, backend: Backend, agent_id: str, tmp_path: Path) -> MakeJob:
    """Makes the job of a thread, in the mode of the test."""
    conversation = fresh_conversation(backend, agent_id) if mode == "pinned" else None

    def made(thread: Thread, **options: Any) -> Job:
        return new_job(agent_id, program.base_url, tmp_path, thread, conversation_id=conversation, **options)

    return made


MOVED_ON = Thread(asks=[CALL, NEVER_MIND], answers=["never mind"])


@both_modes
@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_a_process_that_is_killed_in_its_tool_and_another_that_asks_something_else(
    way: Way, program: Program, job_of: MakeJob, agent_id: str, reader: Reader
) -> None:
    job = job_of(MOVED_ON, way=way, resume=False)
    program.start(replace(job, stop_in_tool=1))
    program.wait_for("in tool")
    program.kill()
    program.run(job)
    assert job.executed == ["add 1 2"]
    assert kinds_of(the_story(reader, agent_id)) == CALLED + ANSWERED
    expect_answers(reader, agent_id, "denial")


@both_modes
@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_a_process_that_is_killed_before_it_knows_the_call_and_another_that_asks_something_else(
    way: Way, program: Program, undisturbed: Undisturbed, job_of: MakeJob, mode: str, agent_id: str, reader: Reader
) -> None:
    passed = undisturbed("call", way, mode == "pinned")
    (first, *_) = [number for number, exchange in enumerate(passed) if exchange.is_turn]
    job = job_of(replace(MOVED_ON, system_prompt=ONE_CALL.system_prompt), way=way, resume=False)
    program.start(job, point=Point(request=first, at=passed[first].body.rindex(b'"stop_reason"')))
    program.wait_for("reached")
    program.kill()
    program.run(job)
    assert job.executed == []
    assert kinds_of(the_last_story(reader, agent_id, mode)) == ["system", *CALLED, *ANSWERED]
    expect_answers(reader, agent_id, "denial")


@pytest.mark.parametrize("mode", ["pinned"])
def test_a_process_that_is_killed_in_its_tool_and_loses_its_checkpoints(
    program: Program, job_of: MakeJob, agent_id: str, tmp_path: Path, reader: Reader
) -> None:
    job = job_of(MOVED_ON)
    program.start(replace(job, stop_in_tool=1))
    program.wait_for("in tool")
    program.kill()
    (tmp_path / "empty").mkdir()
    program.run(replace(job, folder=str(tmp_path / "empty"), asks=[NEVER_MIND]))
    assert kinds_of(the_story(reader, agent_id)) == CALLED + ANSWERED
    expect_answers(reader, agent_id, "denial")
