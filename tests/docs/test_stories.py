"""The blocks of `docs/concepts.md` and `docs/moving.md`, which go on from each other, print what stands below them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from letta_adapters.testing import Call, Reply, reply_to
from tests.pages import blocks_of, page_of, printed_by

NAMES = ("concepts.md", "moving.md")
BLOCKS = {name: blocks_of(page_of(name)) for name in NAMES}


def play_model(messages: Sequence[dict[str, Any]]) -> Reply:
    """Call the tool of a block where that is asked for, know what was said before, else do as directed."""
    asked = [str(message["content"]) for message in messages if message["role"] == "user"]
    if messages[-1]["role"] == "tool":
        return Reply(text=f"It is {json.loads(messages[-1]['content'])['message']}.")
    if asked[-1] == "What is 19 + 23?":
        return Reply(calls=(Call(name="add", arguments='{"a": 19, "b": 23}'),))
    if asked[-1] in ("What is my name?", "What did I ask you?"):
        return Reply(text=f"You said before: {' '.join(asked[:-1])}")
    return reply_to(messages)


@cache
def printed(name: str) -> list[str]:
    return printed_by(name, BLOCKS[name], model=play_model)


@pytest.mark.parametrize(("name", "number"), [(name, number) for name in NAMES for number in range(len(BLOCKS[name]))])
def test_a_block_prints_what_stands_below_it(name: str, number: int) -> None:
    assert printed(name)[number] == BLOCKS[name][number][1]


@pytest.mark.parametrize("name", NAMES)
def test_every_block_of_code_has_its_output(name: str) -> None:
    page = page_of(name)
    assert len(BLOCKS[name]) == page.count("```python\n") == page.count("```text\n") > 0
