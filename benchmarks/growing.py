"""P4: what four times as much costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from benchmarks import paths
from benchmarks.figures import Figure
from benchmarks.frames import body, in_packets
from benchmarks.timing import fastest
from langchain_letta.events import Chunks
from langchain_letta.messages import from_langchain
from letta_adapters.delivery import delivery
from letta_adapters.events import TurnEvent
from letta_adapters.planner import Target
from letta_adapters.transcript import Anchor

__all__ = ["growth", "told", "transcript_planned", "ways"]

EVENTS = 1000
LINE = 24
"""KiB: four times as much is still too little for memory that the system clears page by page."""
MESSAGES = 300


def growth() -> list[Figure]:
    """The time for four times as much ÷ the time for once."""
    figures: list[Figure] = []
    for what, way in ways().items():
        short, long = fastest([way(1), way(4)], rounds=6)
        figures.append(Figure(id="P4", what=f"four times as much ÷ once: {what}", value=long / short, budget=5))
    return figures


def ways() -> dict[str, Callable[[int], Callable[[], object]]]:
    """What grows: for each, what takes the given multiple of it."""
    made: dict[str, Callable[[int], Callable[[], object]]] = {
        kind: lambda times, kind=kind: _of_body(body(kind, times * EVENTS))
        for kind in ("text", "reasoning", "arguments")
    }
    made["one long line"] = lambda times: _of_line(in_packets(body("line", times * LINE), 100))
    made["a long transcript"] = lambda times: _of_transcript(transcript(times * MESSAGES))
    return made


def _of_body(events: list[bytes]) -> Callable[[], object]:
    return lambda: told(events)


def _of_line(packets: list[bytes]) -> Callable[[], object]:
    return lambda: paths.run_stream(packets)


def _of_transcript(messages: list[BaseMessage]) -> Callable[[], object]:
    return lambda: transcript_planned(messages)


def told(events: list[bytes]) -> None:
    """Bytes to LangChain's chunks, as a stream goes."""
    chunks = Chunks(_begun, model_name="letta/agent-1")
    stream = paths.started_stream()
    for event in events:
        stream.feed(event)
        _tell(chunks, stream.events)
        stream.events.clear()
    _tell(chunks, stream.assembly.finish())
    stream.assembly.parts()


def _tell(chunks: Chunks, events: Any) -> None:
    event: TurnEvent
    for event in events:
        chunks.from_event(event)


def _begun(conversation_id: str, run_id: str | None) -> Anchor:
    return Anchor(conversation_id=conversation_id, run_id=run_id)


def transcript(length: int) -> list[BaseMessage]:
    """A dialogue of so many messages, the last one of the user."""
    said: list[BaseMessage] = []
    for number in range(length // 2):
        said += [HumanMessage(f"Question {number}?", id=f"h{number}"), AIMessage(f"Answer {number}.", id=f"a{number}")]
    return [*said, HumanMessage("And now?", id="last")]


def transcript_planned(messages: list[BaseMessage]) -> object:
    """Work out what to do with a transcript up to the first request: all of it is told to a new conversation."""
    return next(delivery(from_langchain(messages), Target(agent_id="agent-1"), server="http://localhost"))
