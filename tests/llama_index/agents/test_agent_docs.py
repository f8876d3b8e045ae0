"""The blocks of `docs/llama-index-agent.md`, which go on from each other, print what stands below them."""

from __future__ import annotations

import re

import pytest

from llama_index_letta import LettaAgent
from tests.pages import DOCS, blocks_of, page_of, printed_by

NAME = "llama-index-agent.md"
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


def test_what_the_page_says_of_defaults_is_so() -> None:
    assert f'(`on_divergence="{LettaAgent.model_fields["on_divergence"].default}"`)' in PAGE


def test_files_that_the_page_names_exist() -> None:
    named = re.findall(r"`(examples/\w+\.py)`", PAGE)
    assert named
    assert [name for name in named if not (DOCS.parent / name).is_file()] == []
