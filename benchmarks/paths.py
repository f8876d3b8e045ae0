"""The ways that are compared: what the package does, and the least that has to be done instead."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator

import httpx

from letta_adapters import AsyncLettaClient, LettaClient
from letta_adapters.assembly import Assembly
from letta_adapters.run_stream import RunStream

__all__ = [
    "InMemory",
    "abytes_of",
    "acore",
    "araw",
    "araw_events",
    "bytes_of",
    "core",
    "path_of",
    "raw",
    "raw_events",
    "run_stream",
    "started_stream",
]

_DONE = b"data: [DONE]"


def path_of(name: str) -> str:
    """Where a prepared answer is."""
    return f"/v1/conversations/{name}/messages"


# The least: the bytes, cut at blank lines and parsed as JSON.


def raw_events(chunks: Iterable[bytes]) -> Iterator[object]:
    """The events of a body, as plain objects."""
    rest = b""
    for chunk in chunks:
        *events, rest = (rest + chunk).split(b"\n\n")
        for event in events:
            if event != _DONE:
                yield json.loads(event[6:])


def raw(chunks: Iterable[bytes]) -> int:
    """Read a body to its end without making anything of it; gives the number of events."""
    rest = b""
    count = 0
    for chunk in chunks:
        *events, rest = (rest + chunk).split(b"\n\n")
        for event in events:
            if event != _DONE:
                json.loads(event[6:])
                count += 1
    return count


def bytes_of(http: httpx.Client, url: str) -> Iterator[bytes]:
    """The body of an answer."""
    with http.stream("POST", url, content=b"{}") as answer:
        yield from answer.iter_bytes()


async def abytes_of(http: httpx.AsyncClient, url: str) -> AsyncIterator[bytes]:
    """`bytes_of`, for tasks."""
    async with http.stream("POST", url, content=b"{}") as answer:
        async for chunk in answer.aiter_bytes():
            yield chunk


async def araw_events(http: httpx.AsyncClient, url: str) -> AsyncIterator[object]:
    """`raw_events`, for tasks."""
    rest = b""
    async for chunk in abytes_of(http, url):
        *events, rest = (rest + chunk).split(b"\n\n")
        for event in events:
            if event != _DONE:
                yield json.loads(event[6:])


async def araw(http: httpx.AsyncClient, url: str) -> int:
    """`raw`, for tasks."""
    rest = b""
    count = 0
    async with http.stream("POST", url, content=b"{}") as answer:
        async for chunk in answer.aiter_bytes():
            *events, rest = (rest + chunk).split(b"\n\n")
            for event in events:
                if event != _DONE:
                    json.loads(event[6:])
                    count += 1
    return count


# The package's core.


def started_stream() -> RunStream:
    """The stream of a turn of which nothing has come yet."""
    return RunStream(Assembly(), conversation_id="conv-1")


def run_stream(chunks: Iterable[bytes]) -> RunStream:
    """All that a turn does with its bytes: decode, validate, number, assemble, and tell events."""
    stream = started_stream()
    events = 0
    for chunk in chunks:
        stream.feed(chunk)
        events += len(stream.events)
        stream.events.clear()
    stream.assembly.finish()
    stream.assembly.parts()
    assert events
    return stream


def core(client: LettaClient, name: str) -> int:
    """Stream a turn with the client; gives the number of events."""
    with client.conversations.messages.create(name, input="Hello") as turn:
        return sum(1 for _ in turn)


async def acore(client: AsyncLettaClient, name: str) -> int:
    """`core`, for tasks."""
    count = 0
    async with client.conversations.messages.create(name, input="Hello") as turn:
        async for _ in turn:
            count += 1
    return count


class InMemory(httpx.BaseTransport):
    """An httpx transport that has every answer ready, so that no socket is measured.

    Args:
        chunks: The body.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = list(chunks)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=_Body(self._chunks))


class _Body(httpx.SyncByteStream):
    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)
