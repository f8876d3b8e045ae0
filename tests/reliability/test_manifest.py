"""`docs/reliability.md` and the tests are in step: every fault has its tests, every test of a fault its row."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
FAULTS = [f"F{number:02}" for number in range(1, 21)]
FAULT = re.compile(r"(?i)(?<![a-z0-9])F(0[1-9]|1\d|20)(?![0-9])")
ABOUT_THE_MANIFEST = {"tests/reliability/test_manifest.py", "tests/reliability/test_docs.py"}
NEEDS_A_SERVER = re.compile(r"^tests/live/|_live\.py::")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table."""

    fault: str
    requirement: str
    promise: str
    tests: tuple[str, ...]


def rows_of(page: str) -> list[Row]:
    """The lines of the table of faults, which begin with the number of one."""
    rows: list[Row] = []
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| F"):
            fault, requirement, _, promise, tests = cells
            named = tuple(re.findall(r"`([^`]+)`", tests))
            rows.append(Row(fault=fault, requirement=requirement.strip("`"), promise=promise, tests=named))
    return rows


ROWS = rows_of(PAGE)
NAMED = sorted({test for row in ROWS for test in row.tests})
EACH_ROW = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.requirement)


@dataclass(frozen=True, kw_only=True)
class Function:
    """A test function, and the faults that it or its module names."""

    name: str
    faults: frozenset[str]


def faults_in(*texts: str | None) -> frozenset[str]:
    return frozenset(f"F{number}" for text in texts for number in FAULT.findall((text or "").replace("_", " ")))


def collected(tree: ast.Module) -> Iterator[Function]:
    """The functions that pytest collects out of a module, those of classes included."""
    of_module = faults_in(ast.get_docstring(tree))
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
            own = faults_in(node.name, ast.get_docstring(node))
            yield Function(name=node.name, faults=own or of_module)


@cache
def functions_of(path: str) -> dict[str, Function]:
    file = ROOT / path
    if not file.is_file() or not file.name.startswith("test_"):
        return {}
    return {function.name: function for function in collected(ast.parse(file.read_text()))}


def modules() -> list[str]:
    paths = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    return [path for path in paths if path not in ABOUT_THE_MANIFEST]


def fault_comments(path: str) -> frozenset[str]:
    """The faults that the comments of a module name."""
    return faults_in(*re.findall(r"(?m)(?:^|\s)#\s(.*)$", (ROOT / path).read_text()))


def test_every_fault_has_a_row_and_nothing_else_has() -> None:
    assert sorted({row.fault for row in ROWS}) == FAULTS


def test_every_requirement_belongs_to_its_fault_and_has_one_row() -> None:
    assert [row.requirement for row in ROWS if not re.fullmatch(rf"REQ-{row.fault}[a-z]?", row.requirement)] == []
    assert sorted(row.requirement for row in ROWS) == sorted({row.requirement for row in ROWS})


def test_the_rows_are_in_order() -> None:
    assert [row.requirement for row in ROWS] == sorted(row.requirement for row in ROWS)


@EACH_ROW
def test_a_row_promises_something_and_names_a_test_that_runs_without_a_server(row: Row) -> None:
    assert row.promise
    assert [test for test in row.tests if not NEEDS_A_SERVER.search(test)]


@pytest.mark.parametrize("test", NAMED)
def test_a_test_that_is_named_exists(test: str) -> None:
    path, _, name = test.partition("::")
    assert name in functions_of(path), f"docs/reliability.md names {test}"


@pytest.mark.parametrize("path", modules())
def test_a_module_that_names_a_fault_is_named_by_a_row_of_it(path: str) -> None:
    named = {fault for function in functions_of(path).values() for fault in function.faults} | fault_comments(path)
    told = {row.fault for row in ROWS if any(test.startswith(f"{path}::") for test in row.tests)}
    assert sorted(named - told) == []


def test_a_fault_is_found_in_names_docstrings_and_not_in_other_words() -> None:
    source = '''"""Of F05 and F06."""
def test_f15_raises(): ...
def test_plain(): ...
async def test_other():
    """Also F07."""
class TestMany:
    def test_inside(self): ...
def support_f08(): ...
'''
    found = {function.name: sorted(function.faults) for function in collected(ast.parse(source))}
    assert found == {
        "test_f15_raises": ["F15"],
        "test_plain": ["F05", "F06"],
        "test_other": ["F07"],
        "test_inside": ["F05", "F06"],
    }
    assert faults_in("F21, F1, F100, PDF05, 0xF20", None) == frozenset()


def test_a_line_of_the_table_is_read_whole() -> None:
    line = '| F03 | `REQ-F03b` | a `clean` end | none is "x | y" | `tests/a.py::test_a`, `tests/b.py::test_b` |'
    with pytest.raises(ValueError, match="too many values"):
        rows_of(line)
    (row,) = rows_of(line.replace("x | y", "x"))
    assert (row.fault, row.requirement, row.tests) == ("F03", "REQ-F03b", ("tests/a.py::test_a", "tests/b.py::test_b"))
