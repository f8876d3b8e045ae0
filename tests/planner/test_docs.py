"""The blocks of `docs/planner.md`, which go on from each other, print what stands below them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from langchain_letta import ChatLetta
from letta_adapters import policies
from letta_adapters.looking import ROWS_READ
from letta_adapters.pending import OnPendingApproval
from letta_adapters.steps import OnAbandon
from tests.pages import blocks_of, page_of, printed_by

ROOT = Path(__file__).parents[2]
NAME = "planner.md"
PAGE = page_of(NAME)
BLOCKS = blocks_of(PAGE)
HEADINGS = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def printed() -> list[str]:
    return printed_by(NAME, BLOCKS)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_prints_what_stands_below_it(number: int, printed: list[str]) -> None:
    assert printed[number] == BLOCKS[number][1]


def test_every_block_of_code_has_its_output() -> None:
    assert len(BLOCKS) == PAGE.count("```python\n") == PAGE.count("```text\n") > 0


def test_every_rule_has_its_place_in_order() -> None:
    numbers = [int(number) for heading in HEADINGS for number in re.findall(r"\d+", heading)]
    assert numbers == list(range(1, 11))


@pytest.mark.parametrize(
    "name",
    [
        "system_messages",
        "on_rerun",
        "on_divergence",
        "on_pending_approval",
        "on_abandon",
        "ephemeral",
        "anchor_key",
    ],
)
def test_a_policy_of_the_table_is_a_field_of_the_model_and_has_its_default(name: str) -> None:
    (default,) = re.findall(rf"^\| `{name}` \| `([^`]*)`", PAGE, re.MULTILINE)
    field = ChatLetta.model_fields[name]
    told = {"on_divergence": '"fork"', "anchor_key": "LETTA_ANCHOR_KEY"}
    assert default == told.get(name, str(field.default).join('""' if isinstance(field.default, str) else ("", "")))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("system_messages", get_args(policies.SystemPolicy)),
        ("on_rerun", get_args(policies.OnRerun)),
        ("on_divergence", get_args(policies.OnDivergence)),
        ("on_pending_approval", get_args(OnPendingApproval)),
        ("on_abandon", get_args(OnAbandon)),
    ],
)
def test_a_policy_has_the_values_of_the_table(name: str, values: tuple[str, ...]) -> None:
    (row,) = re.findall(rf"^\| `{name}` \|.*$", PAGE, re.MULTILINE)
    assert set(re.findall(r'"(\w+)"', row)) == set(values)


def test_the_page_that_is_read_has_as_many_messages_as_it_says() -> None:
    assert f"one page of at most {ROWS_READ} messages" in PAGE


def test_links_lead_to_headings_that_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)#([^)]+)\)", PAGE)
    assert links
    for file, heading in links:
        text = (ROOT / "docs" / file).read_text()
        assert heading in {
            re.sub(r"[^a-z ]", "", one.lower()).replace(" ", "-") for one in re.findall(r"^## (.*)$", text, re.M)
        }
