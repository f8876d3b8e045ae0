"""A turn whose caller leaves before its end: what becomes of it, and of the turns that wait for it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from letta_adapters.events import TextDelta
from letta_adapters.exchange import Request
from letta_adapters.locks import ConversationLock, Hold, Patience
from letta_adapters.steps import OnAbandon
from letta_adapters.task_driver import AsyncTurnStream
from letta_adapters.thread_driver import TurnStream
from letta_adapters.turn import Turn
from tests.core.frames import TEXT, ping, text, text_row, user_row
from tests.core.play import RESET, Recorder, Reply, new_turn, refusal, stream, told
from tests.core.transports import AsyncScriptedResponse, AsyncScriptedTransport, ScriptedTransport

DEADLINE = 10.0
"""Seconds after which a test that waits has failed."""

BEGUN = stream(ping(), text("Hel"), text("lo"))
ROWS = [user_row(), text_row("Hello")]
CANCEL = "POST /v1/conversations/conv-1/cancel"


class Gate:
    """Holds every wait up until it is opened, and tells that somebody waits."""

    def __init__(self) -> None:
        self.waited_at = threading.Event()
        self.open = threading.Event()

    def sleep(self, _: float) -> None:
        self.waited_at.set()
        assert self.open.wait(DEADLINE)

    async def sleep_async(self, _: float) -> None:
        self.waited_at.set()
        while not self.open.is_set():
            await asyncio.sleep(0)


def _paths(transport: ScriptedTransport | AsyncScriptedTransport) -> list[str]:
    return [f"{sent.method} {sent.path}" for sent in transport.log.requests]


def _in_thread(
    transport: ScriptedTransport,
    lock: ConversationLock,
    *,
    turn: Turn | None = None,
    gate: Gate | None = None,
    on_abandon: OnAbandon = "finish",
) -> TurnStream:
    return TurnStream(
        turn or new_turn(background=False),
        transport,
        hold=Hold(lock),
        patience=Patience(0),
        idle_timeout=90,
        on_abandon=on_abandon,
        sleep=gate.sleep if gate else lambda _: None,
    )


def _in_task(
    transport: AsyncScriptedTransport, lock: ConversationLock, *, gate: Gate, on_abandon: OnAbandon = "finish"
) -> AsyncTurnStream:
    return AsyncTurnStream(
        new_turn(background=False),
        transport,
        hold=Hold(lock),
        patience=Patience(0),
        idle_timeout=90,
        on_abandon=on_abandon,
        sleep=gate.sleep_async,
    )


def test_a_foreground_turn_keeps_others_away_after_its_caller_left_until_it_is_over() -> None:
    lock, gate = ConversationLock(), Gate()
    transport = ScriptedTransport(Recorder(posts=[BEGUN], rows=ROWS, status=["running", "completed"]))
    with _in_thread(transport, lock, gate=gate) as turns:
        next(turns)
    assert gate.waited_at.wait(DEADLINE)  # the run is watched
    assert not lock.acquire(0)
    gate.open.set()
    assert lock.acquire(DEADLINE)


def test_who_left_a_turn_may_close_the_client_too() -> None:
    lock, gate = ConversationLock(), Gate()
    transport = ScriptedTransport(Recorder(posts=[BEGUN], rows=ROWS, status=["running", "completed"]))
    with _in_thread(transport, lock, gate=gate) as turns:
        next(turns)
    assert gate.waited_at.wait(DEADLINE)
    transport.close()
    gate.open.set()
    assert lock.acquire(DEADLINE)
    run = "GET /v1/runs/run-1"
    assert _paths(transport)[-3:] == [run, f"{run}/messages", f"{run}/usage"]


def test_leaving_closes_the_connection_before_anything_else_is_asked() -> None:
    gate = Gate()
    transport = ScriptedTransport(Recorder(posts=[BEGUN], rows=ROWS, status=["running", "completed"]))
    with _in_thread(transport, ConversationLock(), gate=gate) as turns:
        next(turns)
    assert transport.log.steps[:2] == ["open", "close"]
    gate.open.set()


def test_a_request_whose_caller_left_before_its_answer_is_looked_for_too() -> None:
    lock, gate = ConversationLock(), Gate()

    class Interrupted(BaseException):
        pass

    record = Recorder(posts=[], rows=ROWS, in_flight=1)

    def serve(sent: Request) -> Reply:
        if sent.method == "POST":
            raise Interrupted
        return record(sent)

    transport = ScriptedTransport(serve)
    with pytest.raises(Interrupted):
        _in_thread(transport, lock, gate=gate).result()
    assert gate.waited_at.wait(DEADLINE)
    assert not lock.acquire(0)
    gate.open.set()
    assert lock.acquire(DEADLINE)


def test_a_turn_that_cannot_be_watched_gives_the_lock_back_in_the_end() -> None:
    lock = ConversationLock()
    transport = ScriptedTransport(Recorder(posts=[BEGUN], broken=[RESET] * 50))
    with _in_thread(transport, lock) as turns:
        next(turns)
    assert lock.acquire(DEADLINE)


def test_a_bug_while_watching_gives_the_lock_back() -> None:
    lock = ConversationLock()

    def serve(sent: Request) -> Reply:
        if sent.method == "POST":
            return BEGUN
        raise RuntimeError("a bug")

    with _in_thread(ScriptedTransport(serve), lock) as turns:
        next(turns)
    assert lock.acquire(DEADLINE)


def test_a_turn_that_is_left_at_its_last_event_is_over() -> None:
    lock = ConversationLock()
    transport = ScriptedTransport(Recorder(posts=[stream(*TEXT)]))
    turns = _in_thread(transport, lock, turn=new_turn(), on_abandon="cancel")
    told_texts = [event for event in turns if isinstance(event, TextDelta)]
    turns.close()
    assert told_texts
    assert _paths(transport) == ["POST /v1/conversations/conv-1/messages"]


def test_a_turn_is_cancelled_when_that_is_asked_for() -> None:
    transport = ScriptedTransport(Recorder(posts=[stream(*TEXT[:3]), told({"run-1": "cancelled"})]))
    with _in_thread(transport, ConversationLock(), turn=new_turn(), on_abandon="cancel") as turns:
        next(turns)
    assert _paths(transport)[-1] == CANCEL
    assert transport.log.opened == transport.log.closed


@pytest.mark.parametrize("trouble", [RESET, refusal(409), refusal(500)], ids=["reset", "409", "500"])
def test_leaving_goes_well_when_cancelling_does_not(trouble: Reply) -> None:
    transport = ScriptedTransport(Recorder(posts=[stream(*TEXT[:3]), trouble]))
    with _in_thread(transport, ConversationLock(), turn=new_turn(), on_abandon="cancel") as turns:
        next(turns)
    assert _paths(transport)[-1] == CANCEL


def test_on_the_default_conversation_only_the_run_itself_is_cancelled() -> None:
    transport = ScriptedTransport(Recorder(posts=[stream(*TEXT[:3]), told({"run-1": "cancelled"})]))
    turn = new_turn(conversation_id="default", agent_id="agent-1")
    with _in_thread(transport, ConversationLock(), turn=turn, on_abandon="cancel") as turns:
        next(turns)
    cancel = transport.log.requests[-1]
    assert (cancel.path, cancel.body) == ("/v1/agents/agent-1/messages/cancel", b'{"run_ids": ["run-1"]}')


def test_on_the_default_conversation_a_run_without_a_name_is_left_alone() -> None:
    class Interrupted(BaseException):
        pass

    def serve(_: Request) -> Reply:
        raise Interrupted

    transport = ScriptedTransport(serve)
    turn = new_turn(conversation_id="default", agent_id="agent-1")
    with pytest.raises(Interrupted):
        _in_thread(transport, ConversationLock(), turn=turn, on_abandon="cancel").result()
    assert len(transport.log.requests) == 1


async def test_a_task_keeps_others_away_after_it_left_until_the_turn_is_over() -> None:
    lock, gate = ConversationLock(), Gate()
    transport = AsyncScriptedTransport(Recorder(posts=[BEGUN], rows=ROWS, status=["running", "completed"]))
    async with _in_task(transport, lock, gate=gate) as turns:
        await turns.__anext__()
    while not gate.waited_at.is_set():
        await asyncio.sleep(0)
    assert not lock.acquire(0)
    gate.open.set()
    assert await lock.acquire_async(DEADLINE)


async def test_a_task_that_is_cancelled_twice_still_cancels_its_turn() -> None:
    hanging, cancelling, let_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Slow(AsyncScriptedTransport):
        async def open(self, request: Request, *, idle_timeout: float) -> AsyncScriptedResponse:
            if request.path.endswith("/cancel"):
                cancelling.set()
                await let_on.wait()
            return await super().open(request, idle_timeout=idle_timeout)

    transport = Slow(Recorder(posts=[BEGUN, told({"run-1": "cancelled"})], rows=ROWS), hang=hanging)
    gate = Gate()
    gate.open.set()
    task = asyncio.create_task(_in_task(transport, ConversationLock(), gate=gate, on_abandon="cancel").result())
    await hanging.wait()
    task.cancel()
    await cancelling.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    let_on.set()
    while CANCEL not in _paths(transport):
        await asyncio.sleep(0)


def test_a_turn_is_waited_for_after_the_event_loop_of_its_caller_has_ended() -> None:
    lock, gate = ConversationLock(), Gate()

    async def main() -> None:
        transport = AsyncScriptedTransport(Recorder(posts=[BEGUN], rows=ROWS, status=["running", "completed"]))
        async with _in_task(transport, lock, gate=gate) as turns:
            await turns.__anext__()

    asyncio.run(main())
    assert gate.waited_at.wait(DEADLINE)
    assert not lock.acquire(0)
    gate.open.set()
    assert lock.acquire(DEADLINE)
