"""The example of three agents, as a stranger runs it."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

from letta_adapters.testing import FakeLetta

ROOT = Path(__file__).parents[2]

PRINTED = """\
you     Send A-17 to Norway.
        handoff(to_agent='scales', reason='it has to be weighed')
        weigh(parcel='A-17')
        handoff(to_agent='clerk', reason='it is weighed')
        print_label(parcel='A-17', grams=1200, country='Norway')
clerk   The label is printed: A-17, 1200 g, Norway.
you     What did I send?
        handoff(to_agent='desk', reason="people's questions are the desk's")
desk    You sent A-17 to Norway.
"""


def run_example(**environment: str) -> tuple[int, str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LETTA_")}
    command = [sys.executable, "examples/hand_over.py"]
    done = subprocess.run(
        command, cwd=ROOT, env=clean | environment, capture_output=True, text=True, check=False, timeout=100
    )
    return done.returncode, done.stderr, done.stdout


def test_each_agent_does_its_part() -> None:
    assert run_example() == (0, "", PRINTED)


def test_on_a_server_it_deletes_its_agent() -> None:
    with FakeLetta(model=_play_model()) as fake:
        assert run_example(LETTA_BASE_URL=fake.base_url) == (0, "", PRINTED)
        (deleted,) = [request.path for request in fake.requests if request.method == "DELETE"]
    assert deleted.startswith("/v1/agents/")


def _play_model() -> Any:
    """The language model that the example plays."""
    return runpy.run_path(str(ROOT / "examples" / "hand_over.py"))["play_model"]
