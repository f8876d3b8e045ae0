"""The blocks of `docs/llama-index-agent.md`, which go on from each other, print what stands below them."""

from __future__ import annotations

import re

import pytest
from llama_index.core.agent.workflow.base_agent import BaseWorkflowAgent

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


def test_the_table_has_every_option_of_its_own_and_the_defaults_of_its_policies() -> None:
    (table,) = re.findall(r"^\| option .*?\n\n", PAGE, re.DOTALL | re.MULTILINE)
    rows = [row.split("|")[1:3] for row in table.strip().splitlines()[2:]]
    named = [name for options, _ in rows for name in re.findall(r"`(\w+)`", options)]
    assert sorted(named) == sorted(LettaAgent.model_fields.keys() - BaseWorkflowAgent.model_fields.keys())
    policies = {options.strip(" `"): default.strip(' `"') for options, default in rows if '"' in default}
    assert policies == {
        name: field.default for name in named if isinstance((field := LettaAgent.model_fields[name]).default, str)
    }


def test_files_that_the_page_names_exist() -> None:
    named = re.findall(r"`(examples/\w+\.py)`", PAGE)
    assert named
    assert [name for name in named if not (DOCS.parent / name).is_file()] == []
