"""The blocks of `docs/llama-index.md`, which go on from each other, print what stands below them."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, get_args

import pytest

from letta_adapters.testing import Call, Reply, reply_to
from llama_index_letta import LettaChatEngine
from llama_index_letta.options import EngineOptions, HistoryPolicy
from tests.pages import blocks_of, page_of, printed_by

NAME = "llama-index.md"
PAGE = page_of(NAME)
BLOCKS = blocks_of(PAGE)

CALLS = {
    "What is 19 + 23?": Call(name="add", arguments='{"a": 19, "b": 23}'),
    "Where is the warehouse?": Call(name="find", arguments='{"input": "warehouse"}'),
}


def play_model(messages: Sequence[Mapping[str, Any]]) -> Reply:
    """Call a tool where that is asked for, know what was said before, else say what was asked."""
    asked = [str(message["content"]) for message in messages if message["role"] == "user"]
    if messages[-1]["role"] == "tool":
        return Reply(text=f"It is {json.loads(messages[-1]['content'])['message']}.")
    if asked[-1] in CALLS:
        return Reply(calls=(CALLS[asked[-1]],))
    if asked[-1] == "Which parcel is mine?":
        return Reply(text=f"You said before: {' '.join(asked[:-1])}".strip())
    return reply_to(messages)


@pytest.fixture(scope="module")
def printed() -> list[str]:
    return printed_by(NAME, BLOCKS, model=play_model)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_prints_what_stands_below_it(number: int, printed: list[str]) -> None:
    assert printed[number] == BLOCKS[number][1]


def test_every_block_of_code_has_its_output() -> None:
    assert len(BLOCKS) == PAGE.count("```python\n") == PAGE.count("```text\n") > 0


def test_the_tables_have_every_option_and_every_policy() -> None:
    (table,) = re.findall(r"^\| option .*?\n\n", PAGE, re.DOTALL | re.MULTILINE)
    named = {name for row in table.strip().splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    arguments = inspect.signature(LettaChatEngine.from_defaults).parameters.keys() - {"options", "tools"}
    assert named == arguments | {field.name for field in fields(EngineOptions)}
    assert re.findall(r'^\| `"(\w+)"`', PAGE, re.MULTILINE) == list(get_args(HistoryPolicy))
