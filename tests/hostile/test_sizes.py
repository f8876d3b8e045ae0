"""Answers that are too large: an error at a limit, in bounded memory and linear time (F05)."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager

import httpx
import pytest

from letta_adapters import errors, sse
from letta_adapters.client import intake
from letta_adapters.client.settings import Settings
from letta_adapters.client.transport import AsyncHTTPTransport, HTTPTransport
from letta_adapters.exchange import Request
from tests.core.frames import DONE, stop, text, usage
from tests.hostile.calls import ANY, READS, TURNS, Call
from tests.hostile.server import PATIENCE, STREAM, Peer, head, once, serve, whole

MIB = 1024 * 1024
AGENT = b'{"id": "agent-1", "name": "a"}'
END = (stop(), usage(), DONE)


class Flood:
    """Says the same for ever, and counts what it could say before the client had enough."""

    def __init__(self, start: bytes, piece: bytes) -> None:
        self._start, self._piece = start, piece
        self.size = 0

    def __call__(self, peer: Peer) -> None:
        peer.send(self._start)
        while True:
            peer.send(self._piece)
            self.size += len(self._piece)


@contextmanager
def at_most(size: int) -> Generator[None, None, None]:
    """Fail when Python's objects ever take more bytes than this."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size, f"{peak / MIB:.0f} MiB"


@TURNS
def test_an_event_of_eight_mebibytes_is_taken(turn: Call) -> None:
    words = "long " * (8 * MIB // 5)
    with serve(once(STREAM, text(words, 1), *END)) as server:
        assert turn(server.base_url).text == words


ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "line": (b'data: {"x": "', b"x" * MIB),
    "event": (b"", b"data: x\n" * 10_000),
    "event of empty lines": (b"", b"data\n" * 10_000),
    "comment": (b": ", b"x" * MIB),
    "comments": (b"", b": still here\n\n" * 10_000),
    "blank lines": (b"", b"\r\n" * 50_000),
    "names": (b"", b"event: error\n" * 10_000),
    "other fields": (b"", b"retry: 1\nid: 7\n" * 10_000),
}


@TURNS
@pytest.mark.parametrize(("start", "piece"), ENDLESS.values(), ids=ENDLESS)
def test_what_never_becomes_an_event_is_a_protocol_error_at_the_limit(
    start: bytes, piece: bytes, turn: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", MIB // 4)
    flood = Flood(STREAM + start, piece)
    with serve(flood) as server, at_most(12 * MIB):
        error = turn(server.base_url)
    assert type(error) is errors.ProtocolError
    assert str(MIB // 4) in str(error)
    assert flood.size < 32 * MIB  # most of it never left the sockets
    assert len(server.heads) == 1


@TURNS
def test_a_line_without_end_takes_memory_in_proportion_to_the_limit(turn: Call) -> None:
    with serve(Flood(STREAM + b"data: ", b"x" * MIB)) as server, at_most(4 * sse.MAX_EVENT_BYTES):
        assert type(turn(server.base_url)) is errors.ProtocolError


@READS
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("piece", [b"x" * MIB, b"[" * MIB, b"data: {}\n\n" * 10_000], ids=["text", "lists", "events"])
def test_an_answer_without_end_is_a_protocol_error_at_the_limit(
    piece: bytes, kind: str, read: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MAX_ANSWER_BYTES", 8 * MIB)
    flood = Flood(head(content_type=kind), piece)
    with serve(flood) as server, at_most(32 * MIB):
        error = read(server.base_url)
    assert type(error) is errors.ProtocolError
    assert str(8 * MIB) in str(error)
    assert len(server.heads) == 1


class Drops(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes two bytes at a time."""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"xx"] * MIB)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for drop in self:
            yield drop


def _drops(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "application/json"}, stream=Drops())


ASK = Request(method="GET", path="/v1/agents/agent-1")
SETTINGS = Settings.resolve("http://host", environ={})


def test_a_body_in_tiny_pieces_is_handed_on_in_large_ones() -> None:
    with httpx.Client(transport=httpx.MockTransport(_drops)) as http:
        answer = HTTPTransport(SETTINGS, http_client=http).open(ASK, idle_timeout=PATIENCE)
        pieces = list(iter(lambda: answer.read(PATIENCE), None))
    assert sum(map(len, pieces)) == 2 * MIB
    assert len(pieces) <= 64


async def test_a_body_in_tiny_pieces_is_handed_on_in_large_ones_to_tasks_too() -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(_drops)) as http:
        answer = await AsyncHTTPTransport(SETTINGS, http_client=http).open(ASK, idle_timeout=PATIENCE)
        pieces: list[bytes] = []
        while (piece := await answer.read(PATIENCE)) is not None:
            pieces.append(piece)
    assert sum(map(len, pieces)) == 2 * MIB
    assert len(pieces) <= 64


def test_the_limit_is_far_above_any_page() -> None:
    assert intake.MAX_ANSWER_BYTES >= 32 * MIB


@READS
def test_a_large_answer_below_the_limit_is_taken(read: Call) -> None:
    body = json.dumps({"id": "agent-1", "name": "a", "system": "x" * (8 * MIB)}).encode()
    with serve(once(whole(body))) as server:
        assert len(read(server.base_url).system) == 8 * MIB


def _bomb(mebibytes: int) -> bytes:
    """Zeros, deflated a thousandfold: one block that stands by itself, over and over."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = deflate.compress(bytes(MIB)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return gzip.compress(b"", mtime=0)[:10] + block * mebibytes


@ANY
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_a_compressed_bomb_is_refused_unread(kind: str, call: Call) -> None:
    bomb = _bomb(1024)
    with serve(once(whole(bomb, content_type=kind, content_encoding="gzip"))) as server, at_most(16 * MIB):
        error = call(server.base_url)
    assert type(error) is errors.ProtocolError
    assert "gzip" in str(error)
    assert error.accepted is None
    assert len(server.heads) == 1


@ANY
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x-" + "y" * 5000])
def test_no_encoding_is_taken_that_was_not_asked_for(encoding: str, call: Call) -> None:
    with serve(once(whole(b"\x00", content_type="text/event-stream", content_encoding=encoding))) as server:
        error = call(server.base_url)
    assert type(error) is errors.ProtocolError
    assert encoding[:40] in str(error)
    assert len(str(error)) < 1000


@READS
@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
def test_an_answer_that_says_it_is_not_encoded_is_read(encoding: str, read: Call) -> None:
    with serve(once(whole(AGENT, content_encoding=encoding))) as server:
        assert read(server.base_url).id == "agent-1"


@ANY
def test_a_compressed_refusal_keeps_its_status(call: Call) -> None:
    with serve(once(whole(_bomb(64), "404 Not Found", content_encoding="gzip"))) as server, at_most(16 * MIB):
        error = call(server.base_url)
    assert type(error) is errors.NotFound


@TURNS
def test_many_small_events_reach_no_limit(turn: Call) -> None:
    words = "x" * 900
    frames = [text(words, number) for number in range(1, 2001)]
    with serve(once(STREAM, b"".join(frames), *END)) as server:
        assert len(turn(server.base_url).text) == 2000 * 900
