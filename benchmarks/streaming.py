"""P2: what a streamed token costs behind a framework."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from benchmarks import paths
from benchmarks.figures import Figure
from benchmarks.frameworks import Canned, answered, astreamed, canned_engine, model_on, streamed
from benchmarks.timing import fastest, in_loop
from llama_index_letta import LettaChatEngine

__all__ = ["streaming"]

EVENTS = 5000
NAME = f"conv-text-{EVENTS}-chunked"


def streaming(url: str) -> list[Figure]:
    """`ChatLetta.stream`, `astream` and the LlamaIndex engine."""
    body = url + paths.path_of(NAME)
    model, canned = model_on(url, NAME), Canned(count=EVENTS)
    engine = LettaChatEngine.from_defaults(base_url=url, conversation_id=NAME, agent_id="agent-1")
    with httpx.Client() as http, engine:
        least = Canned(url=body, http=http)
        figures = _figures(
            "ChatLetta.stream",
            lambda: paths.raw(paths.bytes_of(http, body)),
            lambda: streamed(canned),
            lambda: streamed(least),
            lambda: streamed(model),
        )
        simple, least_engine = canned_engine(count=EVENTS), canned_engine(url=body, http=http)
        figures += _figures(
            "LettaChatEngine.stream_chat",
            lambda: paths.raw(paths.bytes_of(http, body)),
            lambda: answered(simple),
            lambda: answered(least_engine),
            lambda: answered(engine),
        )
    with in_loop() as run:
        http_async = httpx.AsyncClient()
        least = Canned(url=body, http_async=http_async)
        figures += _figures(
            "ChatLetta.astream",
            lambda: run(paths.araw(http_async, body)),
            lambda: run(astreamed(canned)),
            lambda: run(astreamed(least)),
            lambda: run(astreamed(model)),
        )
        run(http_async.aclose())
    return figures


def _figures(name: str, *ways: Callable[[], object]) -> list[Figure]:
    raw, framework, least, own = fastest(ways, rounds=7)
    return [
        Figure(
            id="P2", what=f"{name} ÷ (httpx + json, plus canned chunks)", value=own / (raw + framework), budget=1.15
        ),
        Figure(id="P2", what=f"{name} ÷ canned chunks while httpx + json reads", value=own / least),
    ]
