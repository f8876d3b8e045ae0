"""The example of two kinds of decisions, as a stranger runs it."""

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
you     Refund order 17, 20 euros.
asked   refund {'order': '17', 'euros': 20}: approve
agent   Done: 20 euros for 17 are on their way
you     Refund order 17, 20 euros.
asked   refund {'order': '17', 'euros': 20}: reject
agent   Done: User rejected the tool call for `refund` with reason: It was used.
you     Cancel order 17.
asked   cancel_order {'order': '17'}: approve
agent   Done: 17 is cancelled
you     Cancel order 17.
asked   cancel_order {'order': '17'}: deny
agent   Done: Error: request to call tool denied. User reason: It is on its way.
"""


def run_example(**environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LETTA_")}
    return subprocess.run(
        [sys.executable, "examples/human_in_the_loop.py"],
        cwd=ROOT,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_each_decision_is_carried_out() -> None:
    done = run_example()
    assert (done.returncode, done.stderr, done.stdout) == (0, "", PRINTED)


def test_on_a_server_it_deletes_what_it_created() -> None:
    with FakeLetta(model=_play_model()) as fake:
        done = run_example(LETTA_BASE_URL=fake.base_url)
        deleted = [request.path for request in fake.requests if request.method == "DELETE"]
    assert (done.returncode, done.stderr, done.stdout) == (0, "", PRINTED)
    assert sorted(path.split("/")[2] for path in deleted) == ["agents", "tools"]


def test_a_model_that_calls_another_tool_than_it_was_meant_to_is_decided_on_as_well() -> None:
    with FakeLetta() as fake:
        done = run_example(LETTA_BASE_URL=fake.base_url, LETTA_MODEL="vllm/eager")
    assert (done.returncode, done.stderr) == (0, "")
    asked = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("asked")]
    assert asked == ["cancel_order"] * 4


def test_a_model_that_calls_no_tool_is_heard() -> None:
    with FakeLetta() as fake:
        done = run_example(LETTA_BASE_URL=fake.base_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("you     Refund order 17, 20 euros.\nagent   You said: Refund order 17, 20 euros.\n")


def _play_model() -> Any:
    """The language model that the example plays."""
    return runpy.run_path(str(ROOT / "examples" / "human_in_the_loop.py"))["play_model"]
