"""Measure and print the table."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import closing

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks import paths
from benchmarks.frames import body
from benchmarks.server import running
from benchmarks.timing import children_time, fastest

EVENTS = 5000
Row = tuple[str, str, float, float, str]
"""Id, what is measured, the figure, its budget, its unit."""


def decoding(url: str) -> list[Row]:
    """P1: bytes to an assembled turn."""
    rows: list[Row] = []
    with httpx.Client() as http:
        for framing in ("chunked", "plain"):
            path = f"{url}/conv-text-{EVENTS}-{framing}/messages"
            base, own = fastest(
                [
                    lambda path=path: paths.raw(paths.bytes_of(http, path)),
                    lambda path=path: paths.assembled(paths.bytes_of(http, path)),
                ]
            )
            rows.append(("P1", f"decode + validate + assemble, {framing}", own / base, 1.2, "x"))
    return rows


def streaming(url: str) -> list[Row]:
    """P2: `ChatLetta.stream` and `astream` of text over the raw body plus the same framework with canned chunks."""
    name = f"conv-text-{EVENTS}-chunked"
    path = f"{url}/v1/conversations/{name}/messages"
    model, canned = paths.model_on(url, name), paths.Canned(count=EVENTS)
    with httpx.Client() as http:
        raw, framework, own = fastest(
            [
                lambda: paths.raw(paths.bytes_of(http, path)),
                lambda: paths.streamed(canned),
                lambda: paths.streamed(model),
            ]
        )
    rows: list[Row] = [("P2", "ChatLetta.stream", own / (raw + framework), 1.15, "x")]
    with closing(asyncio.new_event_loop()) as loop:
        http_async = httpx.AsyncClient()
        raw, framework, own = fastest(
            [
                lambda: loop.run_until_complete(paths.raw_async(http_async, path)),
                lambda: loop.run_until_complete(paths.streamed_async(canned)),
                lambda: loop.run_until_complete(paths.streamed_async(model)),
            ]
        )
        loop.run_until_complete(http_async.aclose())
        loop.run_until_complete(loop.shutdown_asyncgens())
    return [*rows, ("P2", "ChatLetta.astream", own / (raw + framework), 1.15, "x")]


def first_event(url: str) -> list[Row]:
    """P3: the delay of the first chunk over the first bytes."""
    name = "conv-text-1-chunked"
    model = paths.model_on(url, name)
    with httpx.Client() as http:
        raw, own = fastest(
            [
                lambda: next(paths.bytes_of(http, f"{url}/v1/conversations/{name}/messages")),
                lambda: next(model.stream("Hello")),
            ],
            rounds=20,
            clock=time.perf_counter,
        )
    return [("P3", "first chunk after first byte", 1000 * (own - raw), 1, "ms")]


def growth(kind: str, count: int, cut: Callable[[list[bytes]], list[bytes]] = list) -> Row:
    """P4: the time for four times as much."""
    small, large = cut(body(kind, count)), cut(body(kind, 4 * count))
    short, long = fastest([lambda: paths.run_stream(small), lambda: paths.run_stream(large)])
    return ("P4", f"4 x as much: {kind}", long / short, 5, "x")


def in_packets(events: list[bytes]) -> list[bytes]:
    """The same bytes, cut as a network cuts them."""
    whole = b"".join(events)
    return [whole[at : at + 1460] for at in range(0, len(whole), 1460)]


def import_time() -> Row:
    """P5: what importing the core takes beyond its dependencies."""
    floor, own = fastest(
        [
            lambda: paths.importing(f"import httpx\n{paths.PYDANTIC_IN_USE}"),
            lambda: paths.importing(f"import httpx, letta_adapters\n{paths.PYDANTIC_IN_USE}"),
        ],
        rounds=10,
        clock=children_time,
    )
    return ("P5", "import beyond httpx + pydantic", 1000 * (own - floor), 30, "ms")


def idle(url: str) -> Row:
    """P6: processor time of a stream that is silent for two seconds."""
    warm = paths.model_on(url, "conv-text-1-chunked")
    paths.streamed(warm)
    model = warm.model_copy(update={"conversation_id": "conv-text-1-idle"})
    began = time.process_time()
    paths.streamed(model)
    return ("P6", "processor time of 2 idle seconds", time.process_time() - began, 0.02, "s")


def main() -> None:
    with running() as url:
        rows = [*decoding(url), *streaming(url), *first_event(url), idle(url)]
    rows += [growth(kind, EVENTS) for kind in ("text", "reasoning", "arguments")]
    rows += [growth("line", 256, in_packets), import_time()]
    table = Table("", "what", "measured", "at most", box=None)
    for name, what, figure, budget, unit in sorted(rows, key=lambda row: row[0]):
        style = "red" if figure > budget else None
        table.add_row(name, what, f"{figure:.2f} {unit}", f"{budget:g} {unit}", style=style)
    Console().print(table)


if __name__ == "__main__":
    main()
