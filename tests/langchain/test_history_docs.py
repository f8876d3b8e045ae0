"""The blocks of `docs/langchain-history.md`, which go on from each other, print what stands below them."""

from __future__ import annotations

import inspect
import re
from typing import get_args

import pytest

from langchain_letta import LettaChatMessageHistory
from langchain_letta.history import OnNewMessages
from tests.pages import blocks_of, page_of, printed_by

NAME = "langchain-history.md"
PAGE = page_of(NAME)
BLOCKS = blocks_of(PAGE)


@pytest.fixture(scope="module")
def printed() -> list[str]:
    return printed_by(NAME, BLOCKS)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_prints_what_stands_below_it(number: int, printed: list[str]) -> None:
    assert printed[number] == BLOCKS[number][1]


def test_every_block_of_code_has_its_output() -> None:
    assert len(BLOCKS) == PAGE.count("```python\n") == PAGE.count("```text\n") > 0


def test_the_table_has_every_policy_and_the_default() -> None:
    assert re.findall(r'^\| `"(\w+)"`', PAGE, re.MULTILINE) == list(get_args(OnNewMessages))
    (default,) = re.findall(r'^\| `"(\w+)"` \(default\)', PAGE, re.MULTILINE)
    assert inspect.signature(LettaChatMessageHistory).parameters["on_new_messages"].default == default


def test_the_fields_that_are_named_exist() -> None:
    (named,) = re.findall(r"The fields are those of `ChatLetta`: (.*?)\. A ", PAGE, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", named)) <= inspect.signature(LettaChatMessageHistory).parameters.keys()
