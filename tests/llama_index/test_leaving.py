"""Whoever leaves a response: it does not block, and the turn goes on, or is cancelled at the server."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any, cast

import pytest

from letta_adapters.errors import TurnFailed
from llama_index_letta import LettaChatEngine
from tests.conftest import Backend
from tests.contract.wire import Wire, until
from tests.llama_index.support import (
    ADD,
    IN_SEQUENCE,
    LONG,
    MakeEngine,
    add,
    conversation_of,
    held_after,
    multiply,
    said,
    story_of,
)


def test_a_break_returns_at_once_and_the_turn_is_stored_to_its_end(
    engine: LettaChatEngine, backend: Backend, held: str
) -> None:
    response = engine.stream_chat(held_after(held, 2))
    for _ in response.response_gen:
        break
    assert not response.is_done  # the model is still at it
    backend.open_gate(held)
    assert response.wait(60)
    assert response.is_done
    assert str(response) == LONG
    assert [message.content for message in engine.chat_history][1:] == [LONG]


async def test_so_it_does_in_a_task(engine: LettaChatEngine, backend: Backend, held: str) -> None:
    response = await engine.astream_chat(held_after(held, 2))
    async for _ in response.async_response_gen():
        break
    deltas = response.async_response_gen()
    await anext(deltas)
    await deltas.aclose()
    assert not response.is_done
    backend.open_gate(held)
    await cast("Any", response).awrite_response_to_history_task
    assert response.is_done
    assert [message.content for message in await engine.aget_history()][1:] == [LONG]


async def test_a_reader_that_is_cancelled_goes_at_once_and_the_turn_goes_on(
    engine: LettaChatEngine, backend: Backend, held: str
) -> None:
    response = await engine.astream_chat(held_after(held, 2))
    reading = asyncio.Event()

    async def read() -> None:
        async for _ in response.async_response_gen():
            reading.set()

    task = asyncio.create_task(read())
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not response.is_done
    backend.open_gate(held)
    assert await response.await_end(60)
    assert str(response) == LONG


def test_a_turn_that_nobody_reads_is_stored(engine: LettaChatEngine) -> None:
    engine.stream_chat("hello")
    gc.collect()
    assert str(engine.chat("again")) == "You said: again"
    assert story_of(engine.chat_history) == said("hello", "again")


def test_tools_run_on_after_a_break(make_engine: MakeEngine) -> None:
    engine = make_engine(tools=[add, multiply])
    response = engine.stream_chat(IN_SEQUENCE)
    response.close()
    assert list(response.response_gen) == []
    assert response.wait(60)
    assert [source.content for source in response.sources] == ["3", "12"]
    assert story_of(engine.chat_history)[-1] == ("assistant", "It is 3 and 12")


@pytest.mark.parametrize("leave", ["break", "close", "drop"])
def test_told_to_cancel_a_turn_that_is_left_is_cancelled_at_the_server(
    leave: str, make_engine: MakeEngine, wire: Wire, held: str
) -> None:
    engine = make_engine(tools=[add], on_abandon="cancel")
    response = engine.stream_chat(f"[[hold {held} 1]] [[say Let me see]] {ADD}")
    conversation_id = conversation_of(engine)
    for _ in response.response_gen:
        if leave == "break":
            break
        if leave == "close":
            response.close()
        if leave == "drop":
            del response
            break
    until(lambda: wire.runs(conversation_id)[0]["status"] == "cancelled")
    assert [kind for kind, _ in wire.story(conversation_id)].count("approval_request_message") == 0


@pytest.mark.parametrize("leave", ["break", "aclose", "cancel"])
async def test_so_is_one_that_a_task_leaves(leave: str, make_engine: MakeEngine, wire: Wire, held: str) -> None:
    engine = make_engine(tools=[add], on_abandon="cancel")
    response = await engine.astream_chat(f"[[hold {held} 1]] [[say Let me see]] {ADD}")
    conversation_id = conversation_of(engine)
    reading = asyncio.Event()

    async def read() -> None:
        async for _ in response.async_response_gen():
            reading.set()
            if leave == "break":
                break

    task = asyncio.create_task(read())
    await reading.wait()
    if leave == "aclose":
        await response.aclose()
    if leave == "cancel":
        task.cancel()
    await asyncio.to_thread(until, lambda: wire.runs(conversation_id)[0]["status"] == "cancelled")
    await asyncio.wait({task})
    assert task.cancelled() == (leave == "cancel")


def test_an_engine_that_is_closed_cancels_its_turns_and_their_readers_are_told(
    make_engine: MakeEngine, backend: Backend, wire: Wire, held: str
) -> None:
    engine = make_engine(tools=[add], on_abandon="cancel")
    response = engine.stream_chat(f"[[hold {held} 1]] [[say Let me see]] {ADD}")
    deltas = response.response_gen
    assert next(deltas) == "Let "
    engine.close()
    until(lambda: wire.runs(conversation_of(engine))[0]["status"] == "cancelled")
    backend.open_gate(held)  # a stream ends when the model says something the next time
    with pytest.raises(TurnFailed, match="cancelled"):
        list(deltas)


async def test_so_does_one_that_a_task_closes(make_engine: MakeEngine, backend: Backend, wire: Wire, held: str) -> None:
    engine = make_engine(tools=[add], on_abandon="cancel")
    response = await engine.astream_chat(f"[[hold {held} 1]] [[say Let me see]] {ADD}")
    deltas = response.async_response_gen()
    assert await anext(deltas) == "Let "
    await engine.aclose()
    await asyncio.to_thread(until, lambda: wire.runs(conversation_of(engine))[0]["status"] == "cancelled")
    backend.open_gate(held)
    with pytest.raises(TurnFailed, match="cancelled"):
        async for _ in deltas:
            pass


def test_turns_of_an_engine_that_is_closed_go_on_else(make_engine: MakeEngine, backend: Backend, held: str) -> None:
    engine = make_engine(tools=[add])
    response = engine.stream_chat(f"[[hold {held} 1]] [[say Let me see]] {ADD} [[next]] [[say It is 3]]")
    engine.close()
    assert not response.is_done
    backend.open_gate(held)
    assert response.result().response == "Let me see\nIt is 3"


def test_a_reader_is_let_go_by_whoever_closes_the_response(engine: LettaChatEngine, held: str) -> None:
    response = engine.stream_chat(held_after(held, 2))
    reading, heard = threading.Event(), list[str]()

    def read() -> None:
        for delta in response.response_gen:
            heard.append(delta)
            reading.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert reading.wait(60)
    response.close()
    reader.join(60)
    assert not reader.is_alive()
    assert LONG.startswith("".join(heard))


async def test_so_is_one_in_another_task(engine: LettaChatEngine, held: str) -> None:
    response = await engine.astream_chat(held_after(held, 2))
    reading = asyncio.Event()

    async def read() -> None:
        async for _ in response.async_response_gen():
            reading.set()

    task = asyncio.create_task(read())
    await reading.wait()
    await response.aclose()
    await asyncio.wait_for(task, 60)
