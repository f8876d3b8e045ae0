"""What a type checker finds in a user's programs, where the wheel is installed and this tree is out of sight."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.conftest import Distributions, clean_environment

pytestmark = [pytest.mark.index, pytest.mark.timeout(300)]

USER = Path(__file__).parent / "user"


@dataclass(frozen=True, kw_only=True)
class Found:
    """An error: the file, its line from 1 on, and pyright's rule."""

    file: str
    line: int
    rule: str


@pytest.fixture(scope="module")
def home(dist: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with an environment and the two programs."""
    folder = tmp_path_factory.mktemp("user")
    clean_environment(folder, f"{dist.wheel}[all]", "langchain")
    shutil.copytree(USER, folder / "program")
    settings = {"include": ["program"], "venvPath": ".", "venv": "env", "typeCheckingMode": "strict"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def found(home: Path) -> list[Found]:
    """What pyright finds in both programs."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--project", str(home)]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False, timeout=200)
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == 2
    return [
        Found(file=Path(each["file"]).name, line=each["range"]["start"]["line"] + 1, rule=each.get("rule", ""))
        for each in report["generalDiagnostics"]
    ]


def test_a_users_program_has_the_types_that_it_says(found: list[Found]) -> None:
    assert [error for error in found if error.file == "right.py"] == []


def test_wrong_uses_are_found_where_they_are(found: list[Found]) -> None:
    lines = (USER / "wrong.py").read_text().splitlines()
    expected = {
        (number, match[1])
        for number, line in enumerate(lines, start=1)
        if (match := re.search(r"  # expected: (\w+)$", line))
    }
    wrong = {(error.line, error.rule) for error in found if error.file == "wrong.py"}

    assert expected <= wrong
    assert {line for line, _ in wrong} == {line for line, _ in expected}
