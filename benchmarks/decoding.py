"""P1: what it costs to make a turn of bytes."""

from __future__ import annotations

import httpx
import letta_client

from benchmarks import paths
from benchmarks.figures import Figure
from benchmarks.frames import body, in_blocks
from benchmarks.timing import fastest
from letta_adapters import LettaClient

__all__ = ["decoding", "peers"]

EVENTS = 5000
_FROM_MEMORY = "http://in.memory"


def decoding(url: str) -> list[Figure]:
    """Bytes to an assembled turn, over a socket."""
    figures: list[Figure] = []
    with httpx.Client() as http:
        for framing in ("chunked", "plain"):
            path = f"{url}/conv-text-{EVENTS}-{framing}/messages"
            base, own = fastest(
                [
                    lambda path=path: paths.raw(paths.bytes_of(http, path)),
                    lambda path=path: paths.run_stream(paths.bytes_of(http, path)),
                ],
                rounds=25,
            )
            what = f"bytes to an assembled turn ÷ httpx + json, {framing}"
            figures.append(Figure(id="P1", what=what, value=own / base, budget=1.2))
    return figures


def peers(url: str) -> list[Figure]:
    """The core and the official client: their work on the bytes alone, and whole over a socket."""
    name = f"conv-text-{EVENTS}-chunked"
    figures: list[Figure] = []
    for framing, chunks in (("an event a chunk", body("text", EVENTS)), ("64 KiB chunks", in_blocks(EVENTS))):
        http = httpx.Client(transport=paths.InMemory(chunks))
        official = letta_client.Letta(base_url=_FROM_MEMORY, api_key="none", http_client=http)
        own, theirs = fastest(
            [
                lambda http=http: paths.run_stream(paths.bytes_of(http, _FROM_MEMORY)),
                lambda official=official: read(official, name),
            ],
            rounds=10,
        )
        what = f"letta-client ÷ the core, CPU per event from memory, {framing}"
        figures.append(Figure(id="P1", what=what, value=theirs / own, budget=5, at_least=True))
    official = letta_client.Letta(base_url=url, api_key="none")
    with httpx.Client() as http, LettaClient(base_url=url) as client:
        base, own, theirs = fastest(
            [
                lambda: paths.raw(paths.bytes_of(http, url + paths.path_of(name))),
                lambda: paths.core(client, name),
                lambda: read(official, name),
            ]
        )
    official.close()
    return [
        *figures,
        Figure(id="P1", what="LettaClient, whole turn ÷ httpx + json, chunked", value=own / base),
        Figure(id="P1", what="letta-client, whole turn ÷ httpx + json, chunked", value=theirs / base),
    ]


def read(client: letta_client.Letta, name: str) -> int:
    """Stream a turn with the official client; gives the number of events."""
    stream = client.conversations.messages.create(name, input="Hello", stream_tokens=True)
    return sum(1 for _ in stream)
