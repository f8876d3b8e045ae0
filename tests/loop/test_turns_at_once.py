"""One turn at a time in a conversation, tools included: loops of a process wait for each other."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from letta_adapters import AsyncLettaClient, LettaClient, LettaError
from letta_adapters.errors import ConversationBusy
from letta_adapters.loop import WholeTurn, arun_turn, astream_turn, run_turn, stream_turn
from tests.conftest import TIMEOUT, Backend
from tests.contract.wire import Wire
from tests.loop.support import RunTurn, add, next_turn_works, results

WORK = "[[call work {}]] [[next]] [[say it is done]]"
DONE = ("success", "done")


class Bench:
    """A tool whose calls last until they are let go on."""

    def __init__(self) -> None:
        self.at_work, self.go_on = threading.Event(), threading.Event()

    def work(self) -> str:
        """Work."""
        self.at_work.set()
        self.go_on.wait(TIMEOUT)
        return "done"


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.go_on.set()


def _texts(wire: Wire, conversation_id: str) -> list[str]:
    """What users said."""
    return [row["content"] for row in wire.stored(conversation_id) if row["message_type"] == "user_message"]


def test_turns_at_the_same_time_come_one_after_the_other(
    run: RunTurn, wire: Wire, conversation_id: str, bench: Bench
) -> None:
    with ThreadPoolExecutor(3) as pool:
        turns = [pool.submit(run, conversation_id, WORK, tools=[bench.work]) for _ in range(3)]
        assert bench.at_work.wait(TIMEOUT)
        bench.go_on.set()  # whoever does not wait has denied a call, or was refused
        assert [turn.result(TIMEOUT).text for turn in turns] == ["it is done"] * 3
    assert results(wire, conversation_id) == [DONE] * 3


async def test_so_they_do_in_tasks_of_one_event_loop(
    backend: Backend, wire: Wire, conversation_id: str, bench: Bench
) -> None:
    async with AsyncLettaClient(base_url=backend.base_url) as client:
        turns = [asyncio.create_task(arun_turn(client, conversation_id, WORK, tools=[bench.work])) for _ in range(3)]
        await asyncio.to_thread(bench.at_work.wait, TIMEOUT)
        bench.go_on.set()
        assert [turn.text for turn in await asyncio.gather(*turns)] == ["it is done"] * 3
    assert results(wire, conversation_id) == [DONE] * 3


def test_nobody_waits_longer_than_allowed(
    run: RunTurn, client: LettaClient, wire: Wire, conversation_id: str, bench: Bench
) -> None:
    with stream_turn(client, conversation_id, WORK, tools=[bench.work]).start() as first:
        assert bench.at_work.wait(TIMEOUT)
        with pytest.raises(ConversationBusy, match="another turn of the conversation in flight") as caught:
            run(conversation_id, "hello", tools=[bench.work], busy_timeout=0)
        assert caught.value.accepted is False
        bench.go_on.set()
        assert first.result().text == "it is done"
    assert results(wire, conversation_id) == [DONE]
    assert run(conversation_id, "hello", busy_timeout=0).text == "You said: hello"


def test_the_client_says_how_long_where_the_turn_does_not(
    client: LettaClient, conversation_id: str, bench: Bench, backend: Backend
) -> None:
    with stream_turn(client, conversation_id, WORK, tools=[bench.work]).start() as first:
        assert bench.at_work.wait(TIMEOUT)
        with LettaClient(base_url=backend.base_url, busy_timeout=0) as hasty, pytest.raises(ConversationBusy):
            run_turn(hasty, conversation_id, "hello")
        bench.go_on.set()
        assert first.result().text == "it is done"


def test_a_tool_that_asks_its_own_conversation_is_told_at_once_that_it_cannot(
    client: LettaClient, run: RunTurn, wire: Wire, conversation_id: str
) -> None:
    def ask() -> str:
        """Ask the agent back."""
        return run_turn(client, conversation_id, "are you there?", tools=[add]).text

    result = run(conversation_id, "[[call ask {}]] [[next]] [[say never mind]]", tools=[ask])
    assert result.text == "never mind"
    ((status, told),) = results(wire, conversation_id)
    assert (status, told.split(":")[0]) == ("error", "ConversationBusy")
    assert "cannot send a message to the conversation that waits for its result" in told


async def test_so_is_an_async_tool(backend: Backend, wire: Wire, conversation_id: str) -> None:
    async with AsyncLettaClient(base_url=backend.base_url) as client:

        async def ask() -> str:
            """Ask the agent back."""
            return (await arun_turn(client, conversation_id, "are you there?")).text

        asked = "[[call ask {}]] [[next]] [[say never mind]]"
        assert (await arun_turn(client, conversation_id, asked, tools=[ask])).text == "never mind"
    ((status, told),) = results(wire, conversation_id)
    assert (status, told.split(":")[0]) == ("error", "ConversationBusy")


def test_a_tool_may_ask_another_conversation_of_the_agent(
    client: LettaClient, run: RunTurn, wire: Wire, conversation_id: str, agent_id: str
) -> None:
    other = client.conversations.create(agent_id=agent_id).id

    def ask() -> str:
        """Ask the agent elsewhere."""
        return run_turn(client, other, "[[say over there]]").text

    run(conversation_id, "[[call ask {}]] [[next]] [[say thanks]]", tools=[ask])
    assert results(wire, conversation_id) == [("success", "over there")]


def test_what_a_tool_leaves_behind_may_send_messages_after_the_turn(
    client: LettaClient, run: RunTurn, conversation_id: str
) -> None:
    left: list[contextvars.Context] = []

    def leave() -> str:
        """Leave something behind that goes on, as a thread or a task would."""
        left.append(contextvars.copy_context())
        return "left"

    run(conversation_id, "[[call leave {}]]", tools=[leave])
    assert left[0].run(run_turn, client, conversation_id, "hello").text == "You said: hello"


def test_a_turn_that_is_stopped_while_it_waits_sends_nothing(
    client: LettaClient, wire: Wire, conversation_id: str, bench: Bench
) -> None:
    with stream_turn(client, conversation_id, WORK, tools=[bench.work]).start() as first:
        assert bench.at_work.wait(TIMEOUT)
        waiting = stream_turn(client, conversation_id, "never sent").start()
        assert waiting.stop()
        assert waiting.wait(TIMEOUT)
        bench.go_on.set()
        first.result()
    assert _texts(wire, conversation_id) == [WORK]
    assert next_turn_works(wire, conversation_id)
    assert run_turn(client, conversation_id, "hello", busy_timeout=0).text == "You said: hello"


async def test_so_does_one_whose_task_is_cancelled(
    backend: Backend, wire: Wire, conversation_id: str, bench: Bench
) -> None:
    async with AsyncLettaClient(base_url=backend.base_url) as client:
        first = astream_turn(client, conversation_id, WORK, tools=[bench.work]).start()
        await asyncio.to_thread(bench.at_work.wait, TIMEOUT)
        waiting = asyncio.create_task(arun_turn(client, conversation_id, "never sent"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        bench.go_on.set()
        assert (await first.result()).text == "it is done"
        assert _texts(wire, conversation_id) == [WORK]
        assert (await arun_turn(client, conversation_id, "hello", busy_timeout=0)).text == "You said: hello"


def test_a_turn_that_fails_keeps_nobody_waiting(client: LettaClient, run: RunTurn, conversation_id: str) -> None:
    for _ in range(2):
        with pytest.raises(LettaError):
            run(conversation_id, "[[fail 400]]", busy_timeout=0)
    assert run_turn(client, conversation_id, "hello", busy_timeout=0).text == "You said: hello"


def test_only_the_default_conversation_is_another_one_for_each_agent() -> None:
    def turn(conversation_id: str, agent_id: str, server: str = "http://one") -> WholeTurn:
        return WholeTurn(server, conversation_id, agent_id)

    assert turn("conv-1", "agent-1").is_of(turn("conv-1", "agent-2"))
    assert not turn("conv-1", "agent-1").is_of(turn("conv-2", "agent-1"))
    assert not turn("default", "agent-1").is_of(turn("default", "agent-2"))
    assert not turn("conv-1", "agent-1").is_of(turn("conv-1", "agent-1", "http://two"))
