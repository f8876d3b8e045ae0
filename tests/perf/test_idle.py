"""P6: who waits for an agent that thinks leaves the processor to others."""

from __future__ import annotations

import pytest

from benchmarks.standing import idle_time, idle_ways


@pytest.mark.parametrize("way", idle_ways(""))
def test_a_stream_that_is_silent_for_two_seconds_takes_no_processor_time(url: str, way: str) -> None:
    assert idle_time(idle_ways(url)[way]) <= 0.02
