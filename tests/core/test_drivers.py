"""The two drivers carry the same steps out, and let go of everything whatever happens."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest

from letta_adapters.errors import ConversationBusy, LettaError, TurnFailed, TurnInterrupted
from letta_adapters.exchange import Request
from letta_adapters.locks import ConversationLock, Hold, Patience
from letta_adapters.steps import TurnPolicy
from letta_adapters.task_driver import AsyncTurnStream
from letta_adapters.thread_driver import TurnStream
from tests.core.frames import FAILED, PARALLEL, REASONING, REFUSED, SERVER_TOOL, TEXT, TOOL, approval_row, text
from tests.core.play import (
    BUSY,
    NO_REDIS,
    REFUSED_CONNECTION,
    RESET,
    Answer,
    Played,
    Reply,
    forever,
    listed,
    new_turn,
    play,
    refusal,
    script,
    stream,
)
from tests.core.transports import AsyncScriptedTransport, Log, ScriptedTransport

Serve = Callable[[Request], Reply]
FOREGROUND = (text("Hel"), text("lo"), *TEXT[4:])


def in_thread(serve: Serve, *, background: bool = True, lock: ConversationLock | None = None) -> tuple[Played, Log]:
    transport = ScriptedTransport(serve)
    played = Played()
    turns = TurnStream(
        new_turn(background=background, policy=TurnPolicy(max_retries=3, busy_timeout=1)),
        transport,
        hold=Hold(lock or ConversationLock()),
        patience=Patience(0),
        idle_timeout=90,
        sleep=played.wait,
    )
    try:
        for event in turns:
            played.events.append(event)
        played.finished = turns.result()
    except LettaError as error:
        played.error = error
    played.requests = transport.log.requests
    return played, transport.log


def in_task(serve: Serve, *, background: bool = True, lock: ConversationLock | None = None) -> tuple[Played, Log]:
    transport = AsyncScriptedTransport(serve)
    played = Played()

    async def sleep(seconds: float) -> None:
        played.wait(seconds)

    async def main() -> None:
        turns = AsyncTurnStream(
            new_turn(background=background, policy=TurnPolicy(max_retries=3, busy_timeout=1)),
            transport,
            hold=Hold(lock or ConversationLock()),
            patience=Patience(0),
            idle_timeout=90,
            sleep=sleep,
        )
        try:
            async for event in turns:
                played.events.append(event)
            played.finished = await turns.result()
        except LettaError as error:
            played.error = error

    asyncio.run(main())
    played.requests = transport.log.requests
    return played, transport.log


Drive = Callable[..., tuple[Played, Log]]
BOTH = pytest.mark.parametrize("drive", [in_thread, in_task], ids=["thread", "task"])
SCRIPTS: dict[str, list[Reply]] = {
    "text": [stream(*TEXT)],
    "reasoning": [stream(*REASONING)],
    "tool": [stream(*TOOL)],
    "server tool": [stream(*SERVER_TOOL)],
    "parallel": [stream(*PARALLEL), listed(approval_row(("call-1", "add", "{}")))],
    "confirmed late": [stream(*PARALLEL), refusal(500), RESET, listed(approval_row(("call-2", "mul", "{}")))],
    "failed": [stream(*FAILED)],
    "refused": [stream(*REFUSED)],
    "cut": [stream(*TEXT[:3], end=RESET), stream(*TEXT[3:])],
    "cut in mid-frame": [stream(b"".join(TEXT)[:300]), stream(*TEXT)],
    "reset first": [RESET, REFUSED_CONNECTION, stream(*TEXT)],
    "busy": [refusal(409, BUSY), refusal(409, BUSY), stream(*TEXT)],
    "no redis": [refusal(503, NO_REDIS), stream(*FOREGROUND)],
    "gone": [stream(*TEXT[:3], end=RESET), refusal(410), refusal(404)],
    "retry after": [refusal(503, retry_after="3"), stream(*TEXT)],
    "unauthorised": [refusal(401)],
    "html": [Answer(headers={"content-type": "text/html"}, chunks=(b"<html>",))],
    "down": [REFUSED_CONNECTION] * 4,
}


@BOTH
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_driver_does_what_the_turn_says(name: str, drive: Drive) -> None:
    expected = play(new_turn(policy=TurnPolicy(max_retries=3, busy_timeout=1)), script(*SCRIPTS[name]))
    played, log = drive(script(*SCRIPTS[name]))
    assert played.outcome == expected.outcome
    assert played.requests == expected.requests
    assert len(played.waits) == len(expected.waits)
    assert log.opened == log.closed


@BOTH
@pytest.mark.parametrize("name", SCRIPTS)
def test_one_connection_is_open_at_a_time(name: str, drive: Drive) -> None:
    _, log = drive(script(*SCRIPTS[name]))
    assert log.steps == ["open", "close"] * (len(log.steps) // 2)


@BOTH
@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("name", ["text", "failed", "unauthorised", "down"])
def test_the_lock_is_free_after_every_end(name: str, background: bool, drive: Drive) -> None:
    lock = ConversationLock()
    drive(script(*SCRIPTS[name]), background=background, lock=lock)
    assert lock.acquire(0)


@BOTH
def test_a_lock_that_is_held_makes_the_turn_busy_before_anything_is_sent(drive: Drive) -> None:
    lock = ConversationLock()
    assert lock.acquire(0)
    played, log = drive(script(), lock=lock)
    assert isinstance(played.error, ConversationBusy)
    assert played.error.accepted is False
    assert log.requests == []
    lock.release()
    assert lock.acquire(0)


@BOTH
def test_a_connection_lost_for_good_is_the_cause_of_the_error(drive: Drive) -> None:
    played, _ = drive(forever(stream(*TEXT[:3], end=RESET), last=RESET))
    assert isinstance(played.error, TurnInterrupted)
    assert played.error.__cause__ is not None
    assert "connection reset" in str(played.error.__cause__)


def _thread_stream(
    serve: Serve, lock: ConversationLock, *, background: bool = True
) -> tuple[TurnStream, ScriptedTransport]:
    transport = ScriptedTransport(serve)
    turn = new_turn(background=background)
    turns = TurnStream(turn, transport, hold=Hold(lock), patience=Patience(0), idle_timeout=90, sleep=lambda _: None)
    return turns, transport


def test_nothing_is_sent_before_the_first_event_is_asked_for() -> None:
    turns, transport = _thread_stream(script(), ConversationLock())
    assert transport.log.requests == []
    turns.close()


def test_closing_in_mid_stream_closes_the_answer_at_once() -> None:
    lock = ConversationLock()
    turns, transport = _thread_stream(script(stream(*TEXT)), lock)
    next(turns)
    assert lock.acquire(0)
    turns.close()
    assert transport.log.closed == 1
    with pytest.raises(LettaError, match="closed before"):
        turns.result()


def test_leaving_a_with_block_closes_the_answer() -> None:
    turns, transport = _thread_stream(script(stream(*TEXT)), ConversationLock())
    with pytest.raises(KeyError), turns:
        next(turns)
        raise KeyError
    assert transport.log.closed == 1


def test_breaking_out_of_a_loop_closes_the_answer_at_once() -> None:
    def first_event(lock: ConversationLock) -> ScriptedTransport:
        turns, transport = _thread_stream(script(stream(*TEXT)), lock)
        for _ in turns:
            break
        return transport

    lock = ConversationLock()
    gc.disable()  # nothing but leaving the loop may be what closes it
    try:
        transport = first_event(lock)
        assert transport.log.closed == 1
        assert lock.acquire(0)
    finally:
        gc.enable()


def test_a_failed_turn_tells_the_same_error_again() -> None:
    turns, _ = _thread_stream(script(stream(*FAILED)), ConversationLock())
    with pytest.raises(TurnFailed) as first:
        turns.result()
    with pytest.raises(TurnFailed) as second:
        turns.result()
    assert first.value is second.value


def test_a_stream_closed_before_anything_was_sent_says_that_nothing_was_accepted() -> None:
    turns, _ = _thread_stream(script(), ConversationLock())
    turns.close()
    with pytest.raises(LettaError) as caught:
        turns.result()
    assert caught.value.accepted is False


def test_an_answer_that_cannot_be_closed_still_frees_the_lock() -> None:
    class Stubborn:
        status, headers = 200, {"content-type": "text/event-stream"}

        def read(self, timeout: float) -> bytes | None:
            return FOREGROUND[0]

        def close(self) -> None:
            raise RuntimeError("no")

    class StubbornTransport:
        def open(self, request: Request, *, idle_timeout: float) -> Stubborn:
            return Stubborn()

        def beside(self) -> AbstractContextManager[StubbornTransport]:
            return nullcontext(self)

    lock = ConversationLock()
    turn = new_turn()
    turns = TurnStream(turn, StubbornTransport(), hold=Hold(lock), patience=Patience(0), idle_timeout=90)
    next(turns)
    with pytest.raises(RuntimeError):
        turns.close()
    assert lock.acquire(0)


def test_a_foreign_exception_from_the_transport_frees_the_lock() -> None:
    def serve(_: Request) -> Reply:
        raise RuntimeError("a bug")

    lock = ConversationLock()
    turns, _ = _thread_stream(serve, lock)
    with pytest.raises(RuntimeError):
        next(turns)
    assert lock.acquire(0)


def _task_stream(
    transport: AsyncScriptedTransport, lock: ConversationLock, *, background: bool = True
) -> AsyncTurnStream:
    async def sleep(_: float) -> None:
        pass

    turn = new_turn(background=background)
    return AsyncTurnStream(turn, transport, hold=Hold(lock), patience=Patience(0), idle_timeout=90, sleep=sleep)


async def test_cancelling_a_task_closes_the_answer_and_frees_the_lock() -> None:
    lock, hanging = ConversationLock(), asyncio.Event()
    transport = AsyncScriptedTransport(script(stream(*TEXT[:2])), hang=hanging)
    task = asyncio.create_task(_task_stream(transport, lock).result())
    await hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert transport.log.closed == 1
    assert lock.acquire(0)


async def test_closing_a_stream_of_tasks_closes_the_answer_and_frees_the_lock() -> None:
    lock = ConversationLock()
    transport = AsyncScriptedTransport(script(stream(*TEXT)))
    async with _task_stream(transport, lock) as turns:
        await turns.__anext__()
    assert transport.log.closed == 1
    assert lock.acquire(0)


async def test_breaking_out_of_an_async_loop_closes_the_answer_soon() -> None:
    lock = ConversationLock()
    transport = AsyncScriptedTransport(script(stream(*TEXT)))

    async def first_event() -> None:
        async for _ in _task_stream(transport, lock):
            break

    gc.disable()
    try:
        await first_event()
        for _ in range(10):
            await asyncio.sleep(0)
        assert transport.log.closed == 1
        assert lock.acquire(0)
    finally:
        gc.enable()


def test_a_stream_left_open_in_a_loop_that_ends_frees_the_lock() -> None:
    lock = ConversationLock()
    kept: list[AsyncTurnStream] = []
    transport = AsyncScriptedTransport(script(stream(*TEXT)))

    async def main() -> None:
        kept.append(_task_stream(transport, lock))
        await kept[0].__anext__()

    asyncio.run(main())
    assert transport.log.closed == 1
    assert lock.acquire(0)
