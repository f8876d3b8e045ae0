"""P7: of a long history one page is kept at a time."""

from __future__ import annotations

import pytest

from benchmarks.standing import history_ways, peak

PAGE = 300


@pytest.mark.parametrize("way", history_ways("", page=PAGE))
def test_a_history_of_ten_pages_takes_the_memory_of_one(url: str, way: str) -> None:
    _, read = history_ways(url, page=PAGE)[way]

    assert peak(read, 10 * PAGE) / peak(read, PAGE) <= 1.5
