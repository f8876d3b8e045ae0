"""`pytest tests/contract -m cloud --backend cloud`: what runs, what is skipped and why, and that nothing is left."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from letta_adapters.testing import FakeLetta
from tests.contract.on_cloud import literal_reply
from tests.contract.wire import Wire

ROOT = Path(__file__).parents[2]
FILES = [f"tests/contract/{name}.py" for name in ("test_otids", "test_paging", "test_no_redis")]


def played(*options: str, files: Sequence[str] = FILES, **variables: str) -> subprocess.CompletedProcess[str]:
    """Play some files of the suite in a process of their own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LETTA_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, *options]
    return subprocess.run(
        command, cwd=ROOT, env={**environment, **variables}, capture_output=True, text=True, check=False
    )


def count(done: subprocess.CompletedProcess[str], outcome: str) -> int:
    found = re.search(rf"(\d+) {outcome}", done.stdout.splitlines()[-1])
    return int(found[1]) if found else 0


def test_with_a_key_the_scenarios_are_played_and_what_they_made_is_gone() -> None:
    with FakeLetta(cloud=True, model=literal_reply) as fake, Wire(fake.base_url, api_key=fake.api_key) as wire:
        done = played(
            "-m",
            "cloud",
            "--backend",
            "cloud",
            LETTA_BASE_URL=fake.base_url,
            LETTA_API_KEY=fake.api_key or "",
            LETTA_CLOUD_HANDLE="vllm/scripted",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert count(done, "passed") > 10
        assert count(done, "skipped") == 0
        assert count(done, "deselected") > 10
        assert wire.get("/v1/agents/") == []
        assert wire.get("/v1/tools/") == []
        assert wire.get("/v1/conversations/") == []
        assert {request.headers.get("authorization") for request in fake.requests} == {f"Bearer {fake.api_key}"}


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        ({}, "LETTA_API_KEY and LETTA_CLOUD_HANDLE"),
        ({"LETTA_API_KEY": "sk-let-0"}, "LETTA_CLOUD_HANDLE"),
    ],
)
def test_without_a_key_or_a_model_all_is_skipped_for_that_one_reason(variables: dict[str, str], missing: str) -> None:
    done = played("-m", "cloud", "--backend", "cloud", files=FILES[:1], **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert count(done, "passed") == count(done, "failed") == 0
    reasons = {line.partition(": ")[2] for line in done.stdout.splitlines() if line.startswith("SKIPPED")}
    assert reasons == {f"Letta Cloud is not asked without {missing}"}


def test_what_only_a_self_hosted_server_or_a_scripted_model_does_says_why_it_is_skipped() -> None:
    with FakeLetta(cloud=True, model=literal_reply) as fake:
        done = played(
            "-k",
            "test_runs_page_against_the_order or test_a_failed_run_replays_its_failure",
            "--backend",
            "cloud",
            LETTA_BASE_URL=fake.base_url,
            LETTA_API_KEY=fake.api_key or "",
            LETTA_CLOUD_HANDLE="vllm/scripted",
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert count(done, "skipped") == 2
    assert "self-hosted: Letta Cloud's cursors point where the order points" in done.stdout
    assert "scripted: its model fails" in done.stdout
