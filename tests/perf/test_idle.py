"""P6: who waits for an agent that thinks leaves the processor to others."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from benchmarks.server import running
from benchmarks.standing import idle_time, idle_ways


@pytest.fixture(scope="module")
def url() -> Generator[str, None, None]:
    with running() as url:
        yield url


@pytest.mark.parametrize("way", idle_ways(""))
def test_a_stream_that_is_silent_for_two_seconds_takes_no_processor_time(url: str, way: str) -> None:
    assert idle_time(idle_ways(url)[way]) <= 0.02
