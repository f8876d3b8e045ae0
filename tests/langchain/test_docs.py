"""`docs/langchain.md`: its blocks print what stands below them, its tables name what is there."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from langchain.chat_models import init_chat_model

from letta_adapters.testing import Call, Reply, reply_to
from letta_adapters.testing.script import text_of
from tests.pages import blocks_of, names_in, page_of, printed_by

NAME = "langchain.md"
PAGE = page_of(NAME)
BLOCKS = blocks_of(PAGE)

CALLS = {
    "What is 19 + 23?": Call(name="add", arguments='{"a": 19, "b": 23}'),
    "Ann is 34.": Call(name="Person", arguments='{"name": "Ann", "age": 34}'),
    "Ben is old.": Call(name="Person", arguments='{"name": "Ben", "age": "old"}'),
}
REPLIES = {
    "Count to three.": Reply(text="one two three"),
    "How far away is the moon?": Reply(reasoning="From the earth, then.", text="About 384,000 km."),
    '{"name": "Cleo"} is what to say.': Reply(text='{"name": "Cleo"}'),
}


def play_model(messages: Sequence[dict[str, Any]]) -> Reply:
    """Call the tool of a block where that is asked for, know what was said before, else say what was asked."""
    asked = [text_of(message) for message in messages if message["role"] == "user"]
    if messages[-1]["role"] == "tool":
        return Reply(text=f"It is {json.loads(messages[-1]['content'])['message']}.")
    if asked[-1] in CALLS:
        return Reply(calls=(CALLS[asked[-1]],))
    if asked[-1] == "What is my name?":
        return Reply(text=f"You said before: {' '.join(asked[:-1])}")
    return REPLIES.get(asked[-1]) or reply_to(messages)


COLUMNS = "| feature | here | openai | anthropic | google-genai | ollama | aws | tests |"
ROWS = [line.strip("| ").split(" | ") for line in PAGE.partition("## Side by side")[2].splitlines() if "::" in line]
NAMED = sorted({name for row in ROWS for name in re.findall(r"`([^`]+::[^`]+)`", row[-1])})


@pytest.fixture(scope="module")
def printed() -> list[str]:
    return printed_by(NAME, BLOCKS, model=play_model)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_prints_what_stands_below_it(number: int, printed: list[str]) -> None:
    assert printed[number] == BLOCKS[number][1]


def test_every_block_of_code_has_its_output() -> None:
    assert len(BLOCKS) == PAGE.count("```python\n") == PAGE.count("```text\n") > 0


def test_a_row_has_as_many_cells_as_its_heading() -> None:
    assert {len(row) for row in ROWS} == {COLUMNS.count(" | ") + 1}
    assert PAGE.count(COLUMNS) == PAGE.count("\n### ") > 0


def test_what_is_here_has_a_test() -> None:
    lines = [line for line in PAGE.partition("## Side by side")[2].splitlines() if line.startswith("| ")]
    without = [line for line in lines if "::" not in line and line != COLUMNS]
    assert [line for line in without if not line.split(" | ")[1].startswith("no")] == []


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_is_named_exists(name: str) -> None:
    path, _, test = name.partition("::")
    assert test in names_in(path), f"docs/{NAME} names {name}"


def test_init_chat_model_has_no_place_for_us() -> None:
    with pytest.raises(ValueError, match="provider"):
        init_chat_model("agent-1", model_provider="letta")
