"""Whoever listens to a loop hears all of it, read or not; and tools that say themselves what the agent is told."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from letta_adapters import AsyncLettaClient, LettaClient
from letta_adapters.events import TextDelta, TurnStarted
from letta_adapters.loop import (
    LoopEvent,
    Over,
    RoundFinished,
    ToolAnswer,
    ToolFinished,
    ToolStarted,
    astream_turn,
    run_turn,
    stream_turn,
)
from letta_adapters.wire import Base64Image, ImageContent, TextContent
from tests.conftest import Backend
from tests.contract.build import PIXEL
from tests.contract.wire import Wire
from tests.loop.support import ADD, RunTurn, add, new_gate, results

Heard = LoopEvent | Over


def kinds(heard: list[Heard]) -> list[type]:
    wanted = (TurnStarted, ToolStarted, ToolFinished, RoundFinished, Over)
    return [type(item) for item in heard if isinstance(item, wanted)]


TWO_ROUNDS = [TurnStarted, RoundFinished, ToolStarted, ToolFinished, TurnStarted, RoundFinished, Over]


def test_a_listener_hears_everything_where_nobody_iterates(client: LettaClient, conversation_id: str) -> None:
    heard: list[Heard] = []
    loop = stream_turn(client, conversation_id, ADD, tools=[add], listener=heard.append).start()
    assert loop.wait(60)
    assert kinds(heard) == TWO_ROUNDS
    assert "".join(item.text for item in heard if isinstance(item, TextDelta)) == "The tools answered: 3"
    assert loop.result().text == "The tools answered: 3"


async def test_so_it_does_in_tasks(backend: Backend, conversation_id: str) -> None:
    heard: list[Heard] = []
    async with AsyncLettaClient(base_url=backend.base_url) as client:
        loop = astream_turn(client, conversation_id, ADD, tools=[add], listener=heard.append).start()
        assert await loop.wait(60)
        assert kinds(heard) == TWO_ROUNDS
        assert [event async for event in loop] == []
        assert (await loop.result()).text == "The tools answered: 3"


def test_it_hears_of_the_end_before_anybody_who_waits(client: LettaClient, conversation_id: str) -> None:
    heard: list[Heard] = []
    loop = stream_turn(client, conversation_id, "[[fail 500]]", listener=heard.append).start()
    assert loop.wait(60)
    assert isinstance(heard[-1], Over)
    assert heard[-1].error is not None


def test_one_that_fails_is_logged_and_no_matter_of_the_loops(
    client: LettaClient, conversation_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Heard) -> None:
        raise KeyError("broken")

    with caplog.at_level(logging.ERROR, "letta_adapters"):
        loop = stream_turn(client, conversation_id, ADD, tools=[add], listener=fail).start()
        assert loop.result().text == "The tools answered: 3"
    assert "listener" in caplog.messages[0]


async def test_a_loop_of_tasks_can_be_stopped_from_another_thread(
    backend: Backend, wire: Wire, conversation_id: str
) -> None:
    gate, streaming = new_gate(), asyncio.Event()

    def listen(item: Heard) -> None:
        if isinstance(item, TextDelta):
            streaming.set()

    async with AsyncLettaClient(base_url=backend.base_url) as client:
        script = f"[[hold {gate} 1]] [[say Let me see]] {ADD}"
        loop = astream_turn(client, conversation_id, script, tools=[add], listener=listen).start()
        await streaming.wait()
        thread = threading.Thread(target=loop.stop_soon)
        thread.start()
        await asyncio.to_thread(thread.join)
        await asyncio.to_thread(backend.open_gate, gate)
        assert await loop.wait(60)
    assert [kind for kind, _ in results(wire, conversation_id)] == ["denied"]


def test_a_tool_can_say_what_the_agent_is_told(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    trouble = ValueError("of its own")

    def answer() -> ToolAnswer:
        """Answer."""
        return ToolAnswer(content="told \x00this", status="error", output="kept", error=trouble)

    (execution,) = run(conversation_id, "[[call answer {}]]", tools=[answer]).executions
    assert (execution.status, execution.text) == ("error", "told this")
    assert (execution.output, execution.error) == ("kept", trouble)
    assert results(wire, conversation_id) == [("error", "told this")]


def test_also_in_parts(client: LettaClient, conversation_id: str) -> None:
    image = ImageContent(source=Base64Image(media_type="image/png", data=PIXEL))

    def draw() -> ToolAnswer:
        """Draw."""
        return ToolAnswer(content=[TextContent(text="look"), image], output=3)

    (execution,) = run_turn(client, conversation_id, "[[call draw {}]]", tools=[draw]).executions
    assert execution.content == [TextContent(text="look"), image]
    assert (execution.status, execution.output, execution.error) == ("success", 3, None)
