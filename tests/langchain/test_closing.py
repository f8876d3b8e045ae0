"""Leaving a turn early: the connection closes at once, the turn ends at the server, the next one works."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import aclosing, closing
from typing import Any, cast

import httpx
import pytest

from langchain_letta import ChatLetta
from tests.conftest import Backend
from tests.langchain.readback import Reader
from tests.langchain.support import new_gate

HELD = [("user", "[[hold {gate} 1]] [[say one two]]"), ("assistant", "one two")]
NEXT = [("user", "next"), ("assistant", "You said: next")]


def held(gate: str) -> str:
    return HELD[0][1].format(gate=gate)


def story(gate: str) -> list[tuple[str, str]]:
    return [("user", held(gate)), HELD[1], *NEXT]


@pytest.fixture
def gate() -> str:
    return new_gate()


def test_closing_a_stream_closes_its_connection_and_the_next_turn_works(
    backend: Backend, conversation_id: str, reader: Reader, gate: str
) -> None:
    answers: list[httpx.Response] = []
    with httpx.Client(event_hooks={"response": [answers.append]}) as http:
        model = ChatLetta(conversation_id=conversation_id, base_url=backend.base_url, http_client=http)
        with closing(cast("Any", model.stream(held(gate)))) as chunks:
            assert next(chunks).content == "one "
            (answer,) = answers
            assert not answer.is_closed
        assert answer.is_closed
        backend.open_gate(gate)
        assert model.invoke("next").text == "You said: next"
    assert reader.story(conversation_id) == story(gate)


async def test_closing_an_async_stream_closes_its_connection_and_the_next_turn_works(
    backend: Backend, conversation_id: str, reader: Reader, gate: str
) -> None:
    answers: list[httpx.Response] = []

    async def note(answer: httpx.Response) -> None:
        answers.append(answer)

    async with httpx.AsyncClient(event_hooks={"response": [note]}) as http:
        model = ChatLetta(conversation_id=conversation_id, base_url=backend.base_url, http_async_client=http)
        async with aclosing(cast("Any", model.astream(held(gate)))) as chunks:
            assert (await anext(chunks)).content == "one "
            (answer,) = answers
            assert not answer.is_closed
        # LangChain leaves its inner generator to the event loop, which closes it in a task.
        await asyncio.gather(*others())
        assert answer.is_closed
        backend.open_gate(gate)
        assert (await model.ainvoke("next")).text == "You said: next"
    assert reader.story(conversation_id) == story(gate)


def others() -> set[asyncio.Task[Any]]:
    gc.collect()
    current = asyncio.current_task()
    return {task for task in asyncio.all_tasks() if task is not current}


def test_breaking_out_of_a_stream_leaves_no_thread_behind(
    backend: Backend, pinned: ChatLetta, conversation_id: str, reader: Reader, gate: str
) -> None:
    before = set(threading.enumerate())
    for _ in pinned.stream(held(gate)):
        break
    gc.collect()
    backend.open_gate(gate)
    assert pinned.invoke("next").text == "You said: next"
    assert set(threading.enumerate()) <= before
    assert reader.story(conversation_id) == story(gate)


async def test_breaking_out_of_an_async_stream_leaves_no_task_behind(
    backend: Backend, pinned: ChatLetta, conversation_id: str, reader: Reader, gate: str
) -> None:
    async for _ in pinned.astream(held(gate)):
        break
    backend.open_gate(gate)
    assert (await pinned.ainvoke("next")).text == "You said: next"
    assert others() == set()
    assert reader.story(conversation_id) == story(gate)


async def test_a_cancelled_task_lets_the_next_turn_in(
    backend: Backend, pinned: ChatLetta, conversation_id: str, reader: Reader, gate: str
) -> None:
    turn = asyncio.create_task(pinned.ainvoke(held(gate)))
    await asyncio.to_thread(backend.wait_for_gate, gate)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    backend.open_gate(gate)
    assert (await pinned.ainvoke("next")).text == "You said: next"
    assert others() == set()
    assert reader.story(conversation_id) == story(gate)


def test_leaving_a_foreground_stream_lets_the_next_turn_in(
    backend: Backend, conversation_id: str, reader: Reader, gate: str
) -> None:
    model = ChatLetta(conversation_id=conversation_id, base_url=backend.base_url, background=False)
    with closing(cast("Any", model.stream(held(gate)))) as chunks:
        next(chunks)
    backend.open_gate(gate)
    assert model.invoke("next").text == "You said: next"
    assert reader.story(conversation_id) == story(gate)


def test_the_next_turn_waits_for_one_that_was_left(
    backend: Backend, pinned: ChatLetta, conversation_id: str, reader: Reader, gate: str
) -> None:
    with closing(cast("Any", pinned.stream(held(gate)))) as chunks:
        next(chunks)
    chunks = pinned.stream("next")
    opener = threading.Thread(target=backend.open_gate, args=[gate])
    opener.start()
    assert "".join(str(chunk.content) for chunk in chunks) == "You said: next"
    opener.join()
    assert reader.story(conversation_id) == story(gate)
