"""`docs/troubleshooting.md` has every error that can be raised, with the words that it is raised with."""

from __future__ import annotations

import re

import pytest

import langchain_letta.errors
import letta_adapters.errors
from letta_adapters.errors import LettaError
from letta_adapters.tools import InvalidArguments
from tests.pages import blocks_of, page_of, printed_by

NAME = "troubleshooting.md"
PAGE = page_of(NAME)
BLOCKS = blocks_of(PAGE)

CLASSES = {InvalidArguments.__name__} | {
    name
    for tree in (letta_adapters.errors, langchain_letta.errors)
    for name, kind in vars(tree).items()
    if isinstance(kind, type) and issubclass(kind, LettaError)
}
NEVER_RAISED = {"StatusError"}


def as_shown(printed: str) -> str:
    """What was printed as the page shows it: ids cut short, one space where a line may be broken."""
    printed = re.sub(r"\b(agent|conv|run|message)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", r"\1-…", printed)
    printed = re.sub(r"\bcall_[0-9a-f]{24}\b", "call_…", printed)
    printed = re.sub(r"http://127\.0\.0\.1:\d+", "http://localhost:8283", printed)
    return " ".join(re.sub(r"\[Errno -?\d+\] ", "", printed).split())


@pytest.fixture(scope="module")
def printed() -> list[str]:
    return printed_by(NAME, BLOCKS)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_raises_what_stands_below_it(number: int, printed: list[str]) -> None:
    assert as_shown(printed[number]) == " ".join(BLOCKS[number][1].split())


def test_every_block_of_code_has_its_output() -> None:
    assert len(BLOCKS) == PAGE.count("```python\n") == PAGE.count("```text\n") > 0


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_class_of_error_has_an_entry(name: str) -> None:
    assert re.search(rf"^### `{name}`$|^\| `{name}` \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(CLASSES - NEVER_RAISED))
def test_every_class_of_error_that_is_raised_is_shown_with_its_message(name: str, printed: list[str]) -> None:
    assert re.search(rf"^{name}: \S", "".join(printed), re.MULTILINE)
