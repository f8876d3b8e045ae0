"""The cassettes themselves: complete, small, readable, free of the machine that recorded them, and all understood."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.recorded.album import CASSETTES, module_of, recordings
from tests.recorded.exchange import Exchange
from tests.recorded.reading import is_readable, readings, same_dates, unknown_things

ALL = sorted(CASSETTES.rglob("*.yaml"))
MAX_BYTES = 150_000
MAX_BYTES_OF_ALL = 1_800_000

TRACES = {
    "loopback": r"\b127\.\d+\.\d+\.\d+|\b0\.0\.0\.0\b|\[?::1\]|localhost",
    "credentials": r"authorization|bearer|api[-_ ]key|cookie|password|\bsk-\w+",
    # Two parts of a path at least: a lone slash is punctuation, and `/v1/…` is the API.
    "paths": r"(?<![\w.:/<*])/(?!v1/)[\w.-]+/[\w./-]+|\b[a-z]:\\|site-packages|\.venv|\.py\b",
    "addresses": r"\w+://(?!model\.invalid/|errors\.pydantic\.dev/)",
}
"""What would give away the machine that recorded a cassette."""

cassettes = pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)


def traces(text: str, kind: str) -> list[str]:
    return re.findall(TRACES[kind], text, re.IGNORECASE)


def exchanges(path: Path) -> set[Exchange]:
    return {exchange for scenario in recordings(path).values() for exchange in scenario}


@pytest.mark.parametrize("kind", TRACES)
@cassettes
def test_a_cassette_has_nothing_of_the_machine(path: Path, kind: str) -> None:
    assert traces(path.read_text(encoding="utf-8"), kind) == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("loopback", "on 127.0.0.1:47421"),
        ("credentials", "Authorization: x"),
        ("paths", 'File "/home/me/agent", line 1'),
        ("paths", r"C:\Users"),
        ("paths", "in lib/agent.py"),
        ("addresses", "http://box.example/v1/runs"),
    ],
)
def test_a_trace_of_the_machine_would_be_found(kind: str, text: str) -> None:
    assert traces(text, kind)


@cassettes
def test_a_cassette_is_small_enough_to_be_read(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < MAX_BYTES
    assert "!!binary" not in text


def test_all_cassettes_together_are_small() -> None:
    assert sum(path.stat().st_size for path in ALL) < MAX_BYTES_OF_ALL


@cassettes
def test_everything_the_server_said_is_of_a_known_type(path: Path) -> None:
    said = [one.parsed for exchange in exchanges(path) if is_readable(exchange) for one in readings(exchange)]
    assert unknown_things(said) == []


@cassettes
def test_nothing_the_server_said_is_lost(path: Path) -> None:
    said = [one for exchange in exchanges(path) if is_readable(exchange) for one in readings(exchange)]
    assert [one.told for one in said] == [same_dates(one.recorded) for one in said]


@cassettes
def test_each_recording_has_its_scenario(path: Path) -> None:
    scenarios = re.findall(r"^(?:async )?def (test_\w+)", module_of(path).read_text(encoding="utf-8"), re.MULTILINE)
    assert {name.partition("[")[0] for name in recordings(path)} <= set(scenarios)
