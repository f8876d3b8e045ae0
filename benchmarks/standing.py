"""P6 and P7: what it costs to wait, to read much, and to be many."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from benchmarks import paths
from benchmarks.figures import Figure
from benchmarks.frameworks import answered, astreamed, model_on, streamed
from benchmarks.timing import fastest, in_loop
from langchain_letta import LettaChatMessageHistory
from letta_adapters import AsyncLettaClient, LettaClient
from llama_index_letta import LettaChatEngine

__all__ = ["history_ways", "idle", "idle_time", "idle_ways", "many", "memory", "peak"]

PAGE = 1000
MANY = 200
EVENTS = 20


def idle(url: str) -> list[Figure]:
    """Processor time of a stream that is silent for two seconds."""
    return [
        Figure(id="P6", what=f"processor time in 2 idle seconds: {name}", value=idle_time(way), unit="s", budget=0.02)
        for name, way in idle_ways(url).items()
    ]


def idle_ways(url: str) -> dict[str, Callable[[str], object]]:
    """How a conversation is streamed that may be silent."""

    def engine(name: str) -> LettaChatEngine:
        return LettaChatEngine.from_defaults(base_url=url, conversation_id=name, agent_id="agent-1")

    return {
        "ChatLetta.stream": lambda name: streamed(model_on(url, name)),
        "ChatLetta.astream": lambda name: asyncio.run(astreamed(model_on(url, name))),
        "LettaChatEngine.stream_chat": lambda name: answered(engine(name)),
    }


_NEXT_TO_NOTHING = 0.01


def idle_time(way: Callable[[str], object]) -> float:
    """Seconds of processor time for two idle seconds; what the same stream takes without them is not counted.

    The whole process is measured, and whatever else happens in it can only add to it: so the least of three counts,
    unless the first is next to nothing.
    """

    def measured(framing: str) -> float:
        began = time.process_time()
        way(f"conv-text-1-{framing}")
        return time.process_time() - began

    measured("chunked")
    lively = min(measured("chunked") for _ in range(3))
    idle = measured("idle")
    for _ in range(2):
        if idle - lively > _NEXT_TO_NOTHING:
            idle = min(idle, measured("idle"))
    return max(0.0, idle - lively)


def memory(url: str) -> list[Figure]:
    """Most memory while a long history is read ÷ most memory while one of a page is."""
    figures: list[Figure] = []
    for name, (rows, way) in history_ways(url, page=PAGE).items():
        what = f"peak memory, history of {rows:,} messages ÷ of one page: {name}"
        figures.append(Figure(id="P7", what=what, value=peak(way, rows) / peak(way, PAGE), budget=1.5))
    return figures


def history_ways(url: str, *, page: int) -> dict[str, tuple[int, Callable[[int], Iterator[object]]]]:
    """How a history of so many messages is read, and how many of them the table is made with."""

    def place(rows: int) -> dict[str, Any]:
        return {"base_url": url, "conversation_id": f"conv-history-{rows}-plain", "agent_id": "agent-1"}

    def core(rows: int) -> Iterator[object]:
        with LettaClient(base_url=url) as client:
            name = f"conv-history-{rows}-plain"
            yield from client.conversations.messages.iterate(name, agent_id="agent-1", page_size=page)

    def langchain(rows: int) -> Iterator[object]:
        return LettaChatMessageHistory(page_size=page, **place(rows)).iter_messages()

    def llama_index(rows: int) -> Iterator[object]:
        return LettaChatEngine.from_defaults(**place(rows)).iter_history(page_size=page)

    return {
        "messages.iterate": (100_000, core),
        "LettaChatMessageHistory": (20_000, langchain),
        "LettaChatEngine": (20_000, llama_index),
    }


def peak(way: Callable[[int], Iterator[object]], count: int) -> int:
    """Most memory, in bytes, that reading a history takes."""
    for _ in way(10):  # what is kept for ever is made beforehand
        pass
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        read = sum(1 for _ in way(count))
        assert read == count, read
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def many(url: str) -> list[Figure]:
    """Conversations that stream at once in one event loop ÷ the same one after the other."""
    names = [f"conv-text-{EVENTS}-chunked{number}" for number in range(MANY)]
    models = [model_on(url, name) for name in names]
    with in_loop() as run:
        client = AsyncLettaClient(base_url=url)
        figures = [
            _many("AsyncLettaClient", run, lambda number: paths.acore(client, names[number])),
            _many("ChatLetta.astream", run, lambda number: astreamed(models[number])),
        ]
        run(client.aclose())
    return figures


def _many(what: str, run: Callable[[Any], object], stream: Callable[[int], Coroutine[Any, Any, int]]) -> Figure:
    async def one_by_one() -> None:
        for number in range(MANY):
            await stream(number)

    async def at_once() -> None:
        await asyncio.gather(*(stream(number) for number in range(MANY)))

    alone, together = fastest([lambda: run(one_by_one()), lambda: run(at_once())], rounds=2)
    return Figure(id="many", what=f"{MANY} conversations at once ÷ one by one: {what}", value=together / alone)
