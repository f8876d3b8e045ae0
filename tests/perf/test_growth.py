"""P4: four times as much takes about four times as long; what is quadratic takes sixteen times."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.growing import ways
from benchmarks.timing import fastest
from langchain_letta.tools import openai_tools_from_langchain

LINE = "one long line"
AT_MOST = 8.0
"""Between linear and quadratic, far from both: the table of `make bench` holds the tighter budget."""


@pytest.mark.parametrize("what", [what for what in ways() if what != LINE])
def test_it_takes_time_in_proportion_to_its_length(what: str) -> None:
    assert growth_of(what) < AT_MOST


def test_one_long_line_takes_time_in_proportion_to_its_length() -> None:
    assert growth_of(LINE) < AT_MOST


def growth_of(what: str) -> float:
    way = ways()[what]
    short, long = fastest([way(1), way(4)], rounds=8)
    return long / short


def test_offering_tools_takes_time_in_proportion_to_their_number() -> None:
    few, many = offered(40), offered(160)

    short, long = fastest([lambda: openai_tools_from_langchain(few), lambda: openai_tools_from_langchain(many)])

    assert long / short < AT_MOST


def offered(number: int) -> list[dict[str, Any]]:
    fields = {f"field_{count}": {"type": "string", "title": f"Field {count}"} for count in range(10)}
    parameters = {"type": "object", "properties": fields}
    return [
        {"type": "function", "function": {"name": f"tool_{count}", "description": "A tool.", "parameters": parameters}}
        for count in range(number)
    ]
