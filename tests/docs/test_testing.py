"""The app and the tests of `docs/testing.md` do what the page says: they pass, as many as it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from letta_adapters.testing import script
from tests.pages import page_of

NAME = "testing.md"
PAGE = page_of(NAME)
FILES: dict[str, str] = {
    name: code for code, name in re.findall(r"^```python\n(# (\w+\.py)\n.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
}


TWICE = """
import pytest
from app import make_engine
from test_scripted_model import ONCE_EACH, play_model


@pytest.mark.xfail(raises=AssertionError, strict=True)
def test_what_is_said_twice_is_stored_twice(letta, stored):
    letta.model = play_model
    engine = make_engine()
    for _ in range(2):
        engine.chat("Where is A-17?")
    assert stored(engine.conversation_id) == ONCE_EACH
"""


def run_in(directory: Path) -> str:
    """What pytest prints in a directory."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LETTA_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=directory, env=clean, capture_output=True, text=True, check=False, timeout=100)
    return done.stdout


def test_they_pass_and_are_as_many_as_the_page_says(tmp_path: Path) -> None:
    for name, code in {**FILES, "test_twice.py": TWICE}.items():
        (tmp_path / name).write_text(code)
    (dots, promised) = re.findall(r"^\$ pytest -q\n(\.+) .*\n(\d+) passed$", PAGE, re.MULTILINE)[0]
    assert int(promised) == len(dots)

    printed = run_in(tmp_path)

    assert re.search(rf"^{promised} passed, 2 xfailed", printed, re.MULTILINE), printed


def test_every_block_of_python_is_a_file_with_a_name() -> None:
    assert len(FILES) == PAGE.count("```python\n") > 0


def test_the_table_has_every_directive() -> None:
    listed = re.findall(r"^\| `(\[\[.*?\]\])` \|", script.__doc__ or "", re.MULTILINE)
    assert re.findall(r"^\| `(\[\[.*?\]\])` \|", PAGE, re.MULTILINE) == listed
