"""The blocks of `docs/tools-and-approvals.md` print what stands below them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from letta_adapters.testing import Call, Reply
from tests.pages import blocks_of, page_of, printed_by

ROOT = Path(__file__).parents[2]
NAME = "tools-and-approvals.md"
PAGE = page_of(NAME)
BLOCKS = blocks_of(PAGE)


def play_model(messages: Sequence[dict[str, Any]]) -> Reply:
    """Refund and cancel as asked, and say what came of it."""
    last = messages[-1]
    if last["role"] == "tool":
        return Reply(text=json.loads(last["content"])["message"])
    asked = str(last["content"])
    if asked == "Never mind.":
        return Reply(text="As you wish.")
    order = asked.rstrip(".").rpartition(" ")[2]
    if asked.startswith("Refund"):
        return Reply(calls=(Call(name="refund", arguments=json.dumps({"order": order, "euros": 20})),))
    return Reply(calls=(Call(name="cancel_order", arguments=json.dumps({"order": order})),))


@pytest.fixture(scope="module")
def printed() -> list[str]:
    return printed_by(NAME, BLOCKS, model=play_model)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_prints_what_stands_below_it(number: int, printed: list[str]) -> None:
    assert printed[number] == BLOCKS[number][1]


def test_every_block_of_code_has_its_output() -> None:
    assert len(BLOCKS) == PAGE.count("```python\n") == PAGE.count("```text\n") > 0


def test_the_example_that_it_names_exists() -> None:
    assert "examples/human_in_the_loop.py" in PAGE
    assert (ROOT / "examples" / "human_in_the_loop.py").is_file()
