"""P4: four times as much takes about four times as long; what is quadratic takes sixteen times."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.frames import body
from benchmarks.paths import run_stream
from benchmarks.timing import fastest
from langchain_letta.events import Chunks
from langchain_letta.tools import openai_tools_from_langchain
from letta_adapters.assembly import Assembly
from letta_adapters.run_stream import RunStream
from letta_adapters.transcript import Anchor


def begun(conversation_id: str, run_id: str | None) -> Anchor:
    return Anchor(conversation_id=conversation_id, run_id=run_id)


AT_MOST = 8.0
"""Between linear and quadratic, far from both: the table of `make bench` holds the tighter budget."""


def told(events: list[bytes]) -> None:
    """Bytes to LangChain's chunks, as a stream goes."""
    assembly, chunks = Assembly(), Chunks(begun)
    stream = RunStream(assembly, conversation_id="conv-1")
    for event in events:
        stream.feed(event)
        for delta in stream.events:
            chunks.from_event(delta)
        stream.events.clear()
    for delta in assembly.finish():
        chunks.from_event(delta)
    assembly.parts()


@pytest.mark.parametrize("kind", ["text", "reasoning", "arguments"])
def test_a_stream_takes_time_in_proportion_to_its_length(kind: str) -> None:
    small, large = body(kind, 1000), body(kind, 4000)

    short, long = fastest([lambda: told(small), lambda: told(large)])

    assert long / short < AT_MOST


def test_one_long_line_takes_time_in_proportion_to_its_length() -> None:
    small, large = (in_packets(body("line", kib)) for kib in (256, 1024))

    short, long = fastest([lambda: run_stream(small), lambda: run_stream(large)], rounds=10)

    assert long / short < AT_MOST


def in_packets(events: list[bytes]) -> list[bytes]:
    whole = b"".join(events)
    return [whole[at : at + 1460] for at in range(0, len(whole), 1460)]


def test_offering_tools_takes_time_in_proportion_to_their_number() -> None:
    few, many = offered(40), offered(160)

    short, long = fastest([lambda: openai_tools_from_langchain(few), lambda: openai_tools_from_langchain(many)])

    assert long / short < AT_MOST


def offered(number: int) -> list[dict[str, Any]]:
    fields = {f"field_{count}": {"type": "string", "title": f"Field {count}"} for count in range(10)}
    parameters = {"type": "object", "properties": fields}
    return [
        {"type": "function", "function": {"name": f"tool_{count}", "description": "A tool.", "parameters": parameters}}
        for count in range(number)
    ]
