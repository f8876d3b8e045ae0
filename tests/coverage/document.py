"""`docs/coverage.md` as data: its sections, its rows, and what they name."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from letta_adapters.client import controls, turns

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "coverage.md"

_TYPED_DICTS: dict[str, Any] = {
    "Unpack[WholeRequest]": controls.WholeRequest,
    "Unpack[StreamedRequest]": controls.StreamedRequest,
    "Unpack[Attaching]": turns.Attaching,
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: what it is about, the code, the test on the double, and what is said of a real server."""

    section: str
    name: str
    fields: tuple[str, ...]
    code: str
    test: str
    live: str


def rows(text: str) -> list[Row]:
    """Read the rows of all tables."""
    found: list[Row] = []
    section = ""
    for line in text.splitlines():
        if line.startswith("#"):
            section = line.strip("# `")
        if not line.startswith("| `"):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        fields = tuple(re.findall(r"`(\w+)`", cells[1])) if len(cells) == 5 else ()
        name, code, test, live = cells[0], *cells[-3:]
        found.append(
            Row(
                section=section,
                name=name.strip("`"),
                fields=fields,
                code=code.strip("`"),
                test=test.strip("`"),
                live=live,
            )
        )
    return found


def code_named(dotted: str) -> Any:
    """The object that a name stands for, below `letta_adapters` unless it names a framework's package.

    Raises:
        AttributeError: There is none.
    """
    parts = dotted.split(".")
    above = [] if parts[0] in ("langchain_letta", "llama_index_letta") else ["letta_adapters"]
    for count in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join([*above, *parts[:count]]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise AttributeError(dotted)


def accepts(code: Any, parameter: str) -> bool:
    """Whether a function takes a parameter, by its name or among the keywords that it is typed with."""
    signature = inspect.signature(code)
    rest = [str(one.annotation) for one in signature.parameters.values() if one.kind is one.VAR_KEYWORD]
    keywords = {key for one in rest if one in _TYPED_DICTS for key in _TYPED_DICTS[one].__annotations__}
    return parameter in signature.parameters or parameter in keywords


@cache
def tests_in(path: str) -> frozenset[str]:
    """The names of the tests of a file below `tests`; none where there is no such file."""
    file = ROOT / "tests" / path
    if not file.is_file():
        return frozenset()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_exists(named: str) -> bool:
    """Whether `file::test` is a test."""
    path, _, name = named.partition("::")
    return name.startswith("test_") and name in tests_in(path)


test_exists.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


def played_live() -> set[str]:
    """The folders of tests that `make live` plays on a real server."""
    (names,) = re.findall(r"^LIVE := \$\(addprefix tests/,(.*)\)$", (ROOT / "Makefile").read_text(), re.M)
    return set(cast("str", names).split())
