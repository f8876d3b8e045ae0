"""What must hold for any bytes of a stream, however they are cut. A fuzzer makes the bytes; so does the corpus.

- Nothing but `ProtocolError` is raised, and it is short.
- However the bytes are cut, the events are those of the whole.
- Whatever came, the turn can be asked for its parts and for its failure.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from letta_adapters.assembly import Assembly
from letta_adapters.errors import ProtocolError
from letta_adapters.run_stream import RunStream
from letta_adapters.sse import ServerSentEvent, SSEDecoder
from letta_adapters.wire import Unknown, parse_event

__all__ = ["check", "cut", "decoded", "outcome"]

LONGEST_ERROR = 10_000
"""Characters: two numbers of 4300 digits, which is as long as Python reads them, and some words."""

LONG = 500
"""Bytes from which an input is not cut at every one of them: it would take most of a fuzzer's time."""

_IDS: dict[str, Any] = {"conversation_id": "conv-1", "run_id": None, "agent_id": None}


def cut(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Cut bytes at these positions."""
    bounds = [0, *sorted(min(at, len(data)) for at in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


def decoded(pieces: Sequence[bytes], **options: int) -> list[ServerSentEvent]:
    """Events out of pieces."""
    decoder = SSEDecoder(**options)
    return [event for piece in pieces for event in decoder.feed(piece)]


def outcome(pieces: Sequence[bytes]) -> dict[str, Any]:
    """All that a run's stream tells of pieces."""
    assembly = Assembly()
    stream = RunStream(assembly, conversation_id="conv-1", otids=("otid-1",))
    error: ProtocolError | None = None
    try:
        for piece in pieces:
            stream.feed(piece)
    except ProtocolError as raised:
        error = raised
        assert len(str(error)) < LONGEST_ERROR
    failure = stream.failure(_IDS)
    assert len(str(failure)) < LONGEST_ERROR
    told = [*stream.events, *assembly.finish()]
    return {
        "error": str(error),
        "failure": (type(failure), str(failure)),
        "events": repr(told),  # by their words, since NaN equals nothing
        "parts": repr(assembly.parts()),
        "stop": repr(stream.stop),
        "usage": repr(stream.usage),
        "run": (stream.run_id, stream.last_seq, stream.over, stream.complete, stream.unnumbered),
    }


def check(data: bytes) -> None:
    """Raise `AssertionError` when anything does not hold; any other exception is a fault as well."""
    chance = random.Random(zlib.crc32(data))
    cuts = [chance.randrange(len(data) + 1) for _ in range(chance.randrange(1, 12))]
    partitions = [cut(data, cuts), cut(data, range(len(data)) if len(data) <= LONG else cuts[:1])]
    events = decoded([data])
    whole = outcome([data])
    for pieces in partitions:
        assert decoded(pieces) == events
        assert outcome(pieces) == whole
    for _, value in events:
        _check_event(value)
    _check_limit(data, cuts)


def _check_event(data: bytes) -> None:
    try:
        event = parse_event(data)
    except ValueError:
        return
    assert event.seq_id is None or isinstance(event.seq_id, int)
    assert event.run_id is None or event.run_id.isprintable()
    assert not isinstance(event, Unknown) or isinstance(event.message_type, str)


def _check_limit(data: bytes, cuts: Sequence[int]) -> None:
    """A limit is met or not, wherever the bytes are cut."""
    limit = max(16, len(data) // 3)
    assert _exceeds([data], limit) == _exceeds(cut(data, cuts), limit)


def _exceeds(pieces: Sequence[bytes], limit: int) -> bool:
    try:
        events = decoded(pieces, max_event_bytes=limit)
    except ProtocolError:
        return True
    assert all(len(data) <= limit for _, data in events)
    return False
