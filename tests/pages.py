"""Pages of the documentation whose blocks of code go on from each other, and print what stands below them."""

from __future__ import annotations

import ast
import contextlib
import io
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from letta_adapters import LettaClient
from letta_adapters.testing import FakeLetta, Model, reply_to

DOCS = Path(__file__).parents[1] / "docs"


def page_of(name: str) -> str:
    return (DOCS / name).read_text()


def blocks_of(page: str) -> list[tuple[str, str]]:
    """Every block of Python, and the text that follows it."""
    return re.findall(r"^```python\n(.*?)^```\n\n^```text\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


@cache
def names_in(path: str) -> frozenset[str]:
    """The tests of a module that pytest collects, functions and classes; none where there is no such module."""
    file = DOCS.parent / path
    if not file.is_file() or not re.fullmatch(r"test_\w+\.py", file.name):
        return frozenset()
    nodes = ast.walk(ast.parse(file.read_text()))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return frozenset(node.name for node in nodes if isinstance(node, kinds) and re.match("test_|Test", node.name))


def printed_by(name: str, blocks: Sequence[tuple[str, str]], *, model: Model = reply_to) -> list[str]:
    """What each block prints, run one after the other; a server and an agent are in the environment.

    Args:
        name: The page.
        blocks: Its blocks.
        model: Plays the language model.
    """
    outputs: list[str] = []
    with FakeLetta(model=model) as fake, pytest.MonkeyPatch.context() as environment:
        for variable in ("LETTA_API_KEY", "LETTA_ANCHOR_KEY"):
            environment.delenv(variable, raising=False)
        environment.setenv("LETTA_BASE_URL", fake.base_url)
        with LettaClient() as client:
            environment.setenv("LETTA_AGENT_ID", client.agents.create(name="ann").id)
        names: dict[str, Any] = {"__name__": "__main__"}
        for code, _ in blocks:
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(code, f"docs/{name}", "exec", dont_inherit=True), names)
            outputs.append(output.getvalue())
    return outputs
