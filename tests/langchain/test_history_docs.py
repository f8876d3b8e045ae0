"""The blocks of `docs/langchain-history.md`, which go on from each other, print what stands below them."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from langchain_letta import LettaChatMessageHistory
from langchain_letta.history import OnNewMessages
from letta_adapters import LettaClient
from letta_adapters.testing import FakeLetta

PAGE = (Path(__file__).parents[2] / "docs" / "langchain-history.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```\n\n^```text\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def printed() -> Iterator[list[str]]:
    """What each block prints, run one after the other; a server and an agent are in the environment."""
    outputs: list[str] = []
    with FakeLetta() as fake, pytest.MonkeyPatch.context() as environment:
        for name in ("LETTA_API_KEY", "LETTA_ANCHOR_KEY"):
            environment.delenv(name, raising=False)
        environment.setenv("LETTA_BASE_URL", fake.base_url)
        with LettaClient() as client:
            environment.setenv("LETTA_AGENT_ID", client.agents.create(name="ann").id)
        names: dict[str, Any] = {"__name__": "__main__"}
        for code, _ in BLOCKS:
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(code, "docs/langchain-history.md", "exec", dont_inherit=True), names)
            outputs.append(output.getvalue())
        yield outputs


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
