"""A caller that leaves in the middle: nothing is left pending, whatever made it leave."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator

import httpx
import pytest

from letta_adapters import AsyncLettaClient, LettaClient, LettaError, TextDelta
from letta_adapters.errors import ConnectFailed
from letta_adapters.loop import LoopEvent, ToolStarted, arun_turn, astream_turn, pumps, run_turn, stream_turn
from tests.conftest import Backend
from tests.contract.wire import Wire, until
from tests.langchain.cutting import cutting_async_client, cutting_client
from tests.loop.doors import Hanging, Refusing, is_answer, is_settlement
from tests.loop.support import ADD, IN_SEQUENCE, add, multiply, new_gate, next_turn_works, results

DENIED = ("denied", "The tool was not run to its end (Interrupted).")


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """What a hanging tool waits for; set after the test, so that no thread stays."""
    event = threading.Event()
    yield event
    event.set()


class _Enough(Exception):
    pass


async def test_a_cancelled_task_settles_before_the_cancellation_goes_on(
    backend: Backend, wire: Wire, conversation_id: str
) -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        """Hang."""
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with AsyncLettaClient(base_url=backend.base_url) as client:
        task = asyncio.create_task(arun_turn(client, conversation_id, "[[call hang {}]]", tools=[hang]))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert cancelled.is_set()
    assert results(wire, conversation_id) == [DENIED]
    assert next_turn_works(wire, conversation_id)


async def test_so_does_one_that_is_cancelled_while_a_blocking_tool_hangs(
    backend: Backend, wire: Wire, conversation_id: str, never: threading.Event
) -> None:
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang() -> None:
        """Hang."""
        loop.call_soon_threadsafe(began.set)
        never.wait()

    async with AsyncLettaClient(base_url=backend.base_url) as client:
        task = asyncio.create_task(arun_turn(client, conversation_id, "[[call hang {}]]", tools=[hang]))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert results(wire, conversation_id) == [DENIED]


def test_a_task_that_is_cancelled_in_mid_stream_leaves_no_call_when_its_event_loop_ends(
    backend: Backend, wire: Wire, conversation_id: str
) -> None:
    gate = new_gate()
    ran: list[int] = []

    def note() -> None:
        """Take note."""
        ran.append(1)

    async def leave() -> None:
        streaming = asyncio.Event()  # before its first frame nobody knows which run it is

        def listen(event: LoopEvent) -> None:
            if isinstance(event, TextDelta):
                streaming.set()

        async with AsyncLettaClient(base_url=backend.base_url) as client:
            script = f"[[hold {gate} 1]] [[say Let me see]] [[call note {{}}]] [[next]] [[say never said]]"
            task = asyncio.create_task(arun_turn(client, conversation_id, script, tools=[note], on_event=listen))
            await streaming.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task  # at once: the model is still at it
            backend.open_gate(gate)

    asyncio.run(leave())
    assert ran == []
    assert [kind for kind, _ in results(wire, conversation_id)] == ["denied"]
    assert next_turn_works(wire, conversation_id)


def test_a_callback_that_raises_settles_what_runs(
    client: LettaClient, wire: Wire, conversation_id: str, never: threading.Event
) -> None:
    def hang() -> None:
        """Hang."""
        never.wait()

    def leave(event: LoopEvent) -> None:
        if isinstance(event, ToolStarted):
            raise _Enough

    with pytest.raises(_Enough):
        run_turn(client, conversation_id, "[[call hang {}]]", tools=[hang], on_event=leave)
    assert results(wire, conversation_id) == [DENIED]


def test_a_stopped_loop_runs_no_tool_and_denies_what_the_run_in_flight_asks_for(
    client: LettaClient, backend: Backend, wire: Wire, conversation_id: str
) -> None:
    gate = new_gate()
    ran: list[int] = []

    def note() -> None:
        """Take note."""
        ran.append(1)

    script = f"[[hold {gate} 1]] [[say Let me see]] [[call note {{}}]]"
    loop = stream_turn(client, conversation_id, script, tools=[note])
    assert next(event for event in loop if isinstance(event, TextDelta)).text
    assert loop.stop() is False  # the run goes on
    backend.open_gate(gate)
    assert loop.wait(60)
    assert ran == []
    assert results(wire, conversation_id) == [DENIED]
    with pytest.raises(LettaError, match="left before"):
        loop.result()


def test_a_stream_that_is_left_goes_on_to_its_end(client: LettaClient, wire: Wire, conversation_id: str) -> None:
    with stream_turn(client, conversation_id, IN_SEQUENCE, tools=[add, multiply]) as loop:
        next(loop)
    assert loop.wait(60)
    assert list(loop) == []
    assert results(wire, conversation_id) == [("success", "3"), ("success", "12")]
    assert wire.story(conversation_id)[-1] == ("assistant_message", "It is 3 and 12")


async def test_so_does_an_async_one(backend: Backend, wire: Wire, conversation_id: str) -> None:
    async with AsyncLettaClient(base_url=backend.base_url) as client:
        async with astream_turn(client, conversation_id, IN_SEQUENCE, tools=[add, multiply]) as loop:
            async for _ in loop:
                break
        assert await loop.wait(60)
    assert results(wire, conversation_id) == [("success", "3"), ("success", "12")]
    assert wire.story(conversation_id)[-1] == ("assistant_message", "It is 3 and 12")


def test_a_stream_that_nobody_refers_to_any_more_goes_on_too(
    client: LettaClient, wire: Wire, conversation_id: str
) -> None:
    for _ in stream_turn(client, conversation_id, IN_SEQUENCE, tools=[add, multiply]):
        break
    gc.collect()
    until(lambda: wire.rows(conversation_id)[-1]["message_type"] == "assistant_message")
    assert results(wire, conversation_id) == [("success", "3"), ("success", "12")]


@pytest.mark.parametrize("drop", [False, True])
def test_with_cancel_a_run_that_is_left_is_cancelled_at_the_server(
    client: LettaClient, backend: Backend, wire: Wire, conversation_id: str, drop: bool
) -> None:
    gate = new_gate()
    script = f"[[hold {gate} 1]] [[say Let me see]] {ADD}"
    loop = stream_turn(client, conversation_id, script, tools=[add], on_abandon="cancel")
    next(event for event in loop if isinstance(event, TextDelta))
    if drop:
        del loop
        gc.collect()
    else:
        loop.close()
    until(lambda: wire.runs(conversation_id)[0]["status"] == "cancelled")
    backend.open_gate(gate)
    until(lambda: next_turn_works(wire, conversation_id))
    assert [kind for kind, _ in wire.story(conversation_id)].count("approval_request_message") == 0


async def test_with_cancel_an_async_run_is_cancelled_at_the_server(
    backend: Backend, wire: Wire, conversation_id: str
) -> None:
    gate = new_gate()
    script = f"[[hold {gate} 1]] [[say Let me see]] {ADD}"
    async with AsyncLettaClient(base_url=backend.base_url) as client:
        loop = astream_turn(client, conversation_id, script, tools=[add], on_abandon="cancel")
        async for event in loop:
            if isinstance(event, TextDelta):
                break
        await loop.aclose()
        await asyncio.to_thread(until, lambda: wire.runs(conversation_id)[0]["status"] == "cancelled")
        backend.open_gate(gate)
        assert await loop.wait(60)
    assert next_turn_works(wire, conversation_id)


def test_settling_does_not_take_for_ever(
    backend: Backend, wire: Wire, conversation_id: str, never: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pumps, "SETTLE_TIMEOUT", 0.2)

    def leave() -> None:
        """Leave."""
        raise KeyboardInterrupt

    door = Hanging(broken=is_settlement, go_on=never)
    with httpx.Client(transport=door) as http, LettaClient(base_url=backend.base_url, http_client=http) as client:
        with pytest.raises(KeyboardInterrupt):
            run_turn(client, conversation_id, "[[call leave {}]]", tools=[leave])
        assert wire.rows(conversation_id)[-1]["message_type"] == "approval_request_message"
        never.set()
        until(lambda: wire.rows(conversation_id)[-1]["message_type"] == "tool_return_message")  # late, not never


def test_results_that_could_not_be_delivered_are_stored_when_the_loop_gives_up(
    backend: Backend, wire: Wire, conversation_id: str
) -> None:
    door = Refusing(broken=is_answer)
    with httpx.Client(transport=door) as http:
        client = LettaClient(base_url=backend.base_url, http_client=http, max_retries=0)
        with pytest.raises(ConnectFailed):
            run_turn(client, conversation_id, f"{ADD} [[next]] [[say never said]]", tools=[add])
    assert len(door.refused) == 1
    assert results(wire, conversation_id) == [("success", "3")]
    assert wire.story(conversation_id)[-1] == ("tool_return_message", "3")
    assert next_turn_works(wire, conversation_id)


def test_streams_that_are_cut_cost_nothing(backend: Backend, wire: Wire, conversation_id: str) -> None:
    with cutting_client() as http, LettaClient(base_url=backend.base_url, http_client=http) as client:
        result = run_turn(client, conversation_id, IN_SEQUENCE, tools=[add, multiply])
    assert result.text == "It is 3 and 12"
    assert results(wire, conversation_id) == [("success", "3"), ("success", "12")]


async def test_nor_do_they_in_tasks(backend: Backend, wire: Wire, conversation_id: str) -> None:
    async with cutting_async_client() as http, AsyncLettaClient(base_url=backend.base_url, http_client=http) as client:
        result = await arun_turn(client, conversation_id, IN_SEQUENCE, tools=[add, multiply])
    assert result.text == "It is 3 and 12"
    assert results(wire, conversation_id) == [("success", "3"), ("success", "12")]
