"""A response while it is given, and whoever reads it: LlamaIndex's own has each of these defects.

The letters are those of the list of defects that the first tests go through, a to j; b is in `test_leaving.py`.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Any, cast

import pytest
from llama_index.core.base.llms.types import ChatResponse, TextBlock, ThinkingBlock, ToolCallBlock

from letta_adapters.errors import LettaError, TurnFailed
from letta_adapters.events import ReasoningDelta, TextDelta
from letta_adapters.loop import RoundFinished, ToolFinished, ToolStarted
from llama_index_letta import LettaChatEngine, LettaStreamingResponse
from tests.conftest import Backend
from tests.contract.wire import Wire
from tests.llama_index.support import (
    ADD,
    LONG,
    MakeEngine,
    add,
    conversation_of,
    held_after,
    metadata_of,
)


def joined(chunks: list[ChatResponse]) -> str:
    return "".join(chunk.delta or "" for chunk in chunks)


def thoughts_of(chunks: list[ChatResponse]) -> str:
    return "".join(cast("Any", chunk).additional_kwargs.get("thinking_delta", "") for chunk in chunks)


# a: nobody spins.


def test_waiting_for_the_next_word_takes_no_processor(engine: LettaChatEngine, backend: Backend, held: str) -> None:
    response = engine.stream_chat(held_after(held, 2))
    waiting, spent = threading.Event(), list[float]()

    def read() -> None:
        deltas = response.response_gen
        assert [next(deltas), next(deltas)] == ["one ", "two "]
        began = time.thread_time()
        waiting.set()
        next(deltas)
        spent.append(time.thread_time() - began)
        list(deltas)

    reader = threading.Thread(target=read)
    reader.start()
    assert waiting.wait(60)
    reader.join(0.5)  # nothing comes; whoever spins burns half a second
    assert reader.is_alive()
    backend.open_gate(held)
    reader.join(60)
    assert spent[0] < 0.02


async def test_nor_does_it_in_an_event_loop(engine: LettaChatEngine, backend: Backend, held: str) -> None:
    response = await engine.astream_chat(held_after(held, 2))
    deltas = response.async_response_gen()
    assert [await anext(deltas), await anext(deltas)] == ["one ", "two "]
    following = asyncio.ensure_future(anext(deltas))
    turns_of_the_loop = 0

    def count() -> None:
        nonlocal turns_of_the_loop
        turns_of_the_loop += 1

    done, _ = await asyncio.wait({following}, timeout=0.3)
    assert done == set()
    asyncio.get_running_loop().call_soon(count)
    backend.open_gate(held)
    assert await following
    assert "".join([delta async for delta in deltas])
    assert turns_of_the_loop == 1


# c: what came before an error is read before it is raised.


def test_what_came_is_read_before_the_error(
    engine: LettaChatEngine, backend: Backend, held: str, capsys: pytest.CaptureFixture[str]
) -> None:
    response = engine.stream_chat(f"[[hold {held} 2]] [[break 4]] [[say {LONG}]]")
    heard: list[str] = []
    backend.open_gate(held)
    assert response.wait(60)  # all of it waits, and the error too
    with pytest.raises(LettaError) as raised:
        heard.extend(response.response_gen)
    assert "".join(heard) == str(response) == "one two three four "
    assert response.is_done
    assert response.exception is raised.value
    assert capsys.readouterr().err == ""  # no traceback of a thread


async def test_so_it_is_in_a_task(engine: LettaChatEngine) -> None:
    response = await engine.astream_chat(f"[[break 4]] [[say {LONG}]]")
    heard: list[str] = []
    with pytest.raises(LettaError):
        async for delta in response.async_response_gen():
            heard.append(delta)
    assert "".join(heard) == "one two three four "
    assert response.is_done


def test_an_error_that_nobody_reads_is_no_complaint_of_the_event_loops() -> None:
    complaints: list[object] = []

    async def leave(engine: LettaChatEngine) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        response = await engine.astream_chat(f"[[break 4]] [[say {LONG}]]")
        await response.await_end(60)

    from letta_adapters import LettaClient
    from letta_adapters.testing import FakeLetta

    with FakeLetta() as fake:
        agent = LettaClient(base_url=fake.base_url).agents.create(name="ann")
        asyncio.run(leave(LettaChatEngine.from_defaults(agent_id=agent.id, base_url=fake.base_url)))
        gc.collect()
    assert complaints == []


# d and e: blocks and thoughts are not lost.


def test_the_last_message_has_all_blocks_in_order(make_engine: MakeEngine) -> None:
    engine = make_engine(tools=[add])
    response = engine.stream_chat(f"[[think hm]] [[say Let me see]] {ADD} [[next]] [[think aha]] [[say It is 3]]")
    assert response.result().message.blocks == response.message.blocks
    kinds = [type(block) for block in response.message.blocks]
    assert kinds == [ThinkingBlock, TextBlock, ToolCallBlock, ThinkingBlock, TextBlock]
    assert response.message.content == str(response) == "Let me see\nIt is 3"
    assert isinstance(response.message.blocks[2], ToolCallBlock)
    assert response.message.blocks[2].tool_kwargs == {"a": 1, "b": 2}


def test_thoughts_are_read_as_they_come(engine: LettaChatEngine) -> None:
    response = engine.stream_chat("[[think hm, well]] [[say hello there]]")
    assert response.chat_stream is not None
    chunks = list(response.chat_stream)
    assert thoughts_of(chunks) == "hm, well"
    assert joined(chunks) == "hello there"
    assert [chunk.message.content for chunk in chunks][-3:] == ["hello ", "hello there", "hello there"]
    assert chunks[-1].message.blocks == [ThinkingBlock(content="hm, well"), TextBlock(text="hello there")]
    assert isinstance(chunks[0].raw, ReasoningDelta)


async def test_so_they_are_in_a_task(engine: LettaChatEngine) -> None:
    response = await engine.astream_chat("[[think hm, well]] [[say hello there]]")
    assert response.achat_stream is not None
    chunks = [chunk async for chunk in response.achat_stream]
    assert thoughts_of(chunks) == "hm, well"
    assert joined(chunks) == "hello there"


def test_events_tell_everything_typed(make_engine: MakeEngine) -> None:
    response = make_engine(tools=[add]).stream_chat(f"[[think hm]] {ADD} [[next]] [[say It is 3]]")
    kinds = [type(event) for event in response.events()]
    wanted = [ReasoningDelta, RoundFinished, ToolStarted, ToolFinished, TextDelta, RoundFinished]
    assert [kind for kind in dict.fromkeys(kinds) if kind in wanted] == list(dict.fromkeys(wanted))


async def test_so_do_those_in_a_task(make_engine: MakeEngine) -> None:
    response = await make_engine(tools=[add]).astream_chat(ADD)
    events = [event async for event in response.aevents()]
    (finished,) = [event for event in events if isinstance(event, ToolFinished)]
    assert finished.execution.text == "3"


# f: the end is the end.


async def test_the_end_of_the_text_is_the_end_of_the_response(engine: LettaChatEngine) -> None:
    response = await engine.astream_chat("hello")
    deltas = response.async_response_gen()
    async for _ in deltas:
        pass
    assert response.is_done


# g: the generators of the other kind.


async def test_a_generator_of_the_wrong_kind_says_so(engine: LettaChatEngine) -> None:
    blocking, asynchronous = engine.stream_chat("one"), await engine.astream_chat("two")
    for use in (
        lambda: asynchronous.response_gen,
        asynchronous.events,
        asynchronous.result,
        asynchronous.wait,
        blocking.async_response_gen,
        blocking.aevents,
    ):
        with pytest.raises(TypeError, match="stream_chat"):
            use()
    for wait in (blocking.aresult, blocking.await_end):
        with pytest.raises(TypeError, match="stream_chat"):
            await wait()
    assert (asynchronous.chat_stream, blocking.achat_stream) == (None, None)
    assert (await asynchronous.aresult()).response == "You said: two"


# h and i: reading beside each other, and in the middle.


def test_a_response_is_read_by_any_number_of_readers(engine: LettaChatEngine, backend: Backend, held: str) -> None:
    response = engine.stream_chat(held_after(held, 2))
    deltas = response.response_gen
    assert next(deltas) == "one "
    assert response.chat_stream is not None
    chunks = response.chat_stream
    assert next(chunks).delta == "one "
    backend.open_gate(held)
    assert "".join(deltas) == LONG.removeprefix("one ")
    assert joined(list(chunks)) == LONG.removeprefix("one ")
    assert "".join(response.response_gen) == LONG


def test_a_response_is_the_text_that_has_come(engine: LettaChatEngine, backend: Backend, held: str) -> None:
    response = engine.stream_chat(held_after(held, 2))
    deltas = response.response_gen
    assert [next(deltas), next(deltas)] == ["one ", "two "]
    assert str(response) == response.response == response.unformatted_response == "one two "
    assert "is_done=False" in repr(response)
    assert response.message.content == "one two "
    backend.open_gate(held)
    list(deltas)
    assert str(response) == LONG


# j: nothing is left out where nobody writes to a memory.


async def test_a_response_has_metadata_as_soon_as_the_server_took_the_message(
    engine: LettaChatEngine, backend: Backend, held: str, wire: Wire
) -> None:
    response = await engine.astream_chat(held_after(held, 0))
    run_id = wire.runs(conversation_of(engine))[0]["id"]
    assert (metadata_of(response)["run_id"], metadata_of(response)["stop_reason"]) == (run_id, None)
    backend.open_gate(held)
    await response.aresult()
    assert (metadata_of(response)["run_id"], metadata_of(response)["stop_reason"]) == (run_id, "end_turn")


def test_it_can_be_a_context(engine: LettaChatEngine) -> None:
    with engine.stream_chat("hello") as response:
        assert "".join(response.response_gen) == "You said: hello"
    assert list(response.response_gen) == []


async def test_also_of_a_task(engine: LettaChatEngine) -> None:
    async with await engine.astream_chat("hello") as response:
        assert "".join([delta async for delta in response.async_response_gen()]) == "You said: hello"


def test_it_is_told_from_others_and_has_a_hash(engine: LettaChatEngine) -> None:
    one, other = engine.stream_chat("hello"), engine.stream_chat("hello")
    assert len({one, other, one}) == 2
    assert one != other


def test_it_is_printed_as_it_comes(engine: LettaChatEngine, capsys: pytest.CaptureFixture[str]) -> None:
    engine.stream_chat("hello").print_response_stream()
    assert capsys.readouterr().out == "You said: hello"


def test_what_fails_at_once_is_raised_at_once(engine: LettaChatEngine) -> None:
    with pytest.raises(TurnFailed):
        list(engine.stream_chat("[[fail 500]]").response_gen)
    assert str(engine.chat("hello")) == "You said: hello"


def test_the_class_is_the_one_that_is_exported(engine: LettaChatEngine) -> None:
    response = engine.stream_chat("hello")
    assert type(response) is LettaStreamingResponse
    assert response.result().response == "You said: hello"
