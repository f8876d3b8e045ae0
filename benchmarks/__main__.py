"""Measure and print the table: `python -m benchmarks`; with `--plot FILE`, draw it as well."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from benchmarks import decoding, growing, standing, starting, streaming
from benchmarks.figures import Figure, table_of
from benchmarks.plot import draw
from benchmarks.server import running


def measured() -> list[Figure]:
    """All figures."""
    with running() as url:
        figures = [*decoding.decoding(url), *decoding.peers(url), *streaming.streaming(url)]
        figures += [*starting.first_token(url), *standing.idle(url), *standing.memory(url), *standing.many(url)]
        figures += [*growing.growth(), *starting.imports(url)]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What the package costs, as ratios.")
    parser.add_argument("--plot", type=Path, help="an SVG file to draw the budgets and what is used of them into")
    options = parser.parse_args()
    figures = measured()
    Console(width=120).print(table_of(figures))  # wide enough for a figure a line, whatever the output is
    if options.plot:
        draw(figures, options.plot)


if __name__ == "__main__":
    main()
