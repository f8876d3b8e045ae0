"""The demo, as a stranger runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from letta_adapters import LettaClient
from letta_adapters.errors import NotFound
from letta_adapters.testing import FakeLetta
from tests.conftest import NOWHERE

ROOT = Path(__file__).parents[2]


def run_demo(**environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LETTA_")}
    return subprocess.run(
        [sys.executable, "examples/demo.py"],
        cwd=ROOT,
        env=clean | {"COLUMNS": "100"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_without_a_server_it_shows_every_part_on_the_double() -> None:
    done = run_demo()

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert "agent  A small piece of paper on an envelope that shows the postage was paid." in lines
    assert "agent  Monday, |Tuesday, |Wednesday, |Thursday, |Friday, |Saturday, |Sunday.|" in lines
    assert "call   weigh_parcel(parcel='A-17')" in lines
    assert "call   look_up_postage(country='Norway', grams=1200)" in lines
    assert "agent  It costs 14.00 EUR to Norway." in lines
    assert "agent  You are Ann, and you asked about A-17." in lines
    stored = [line.split()[0] for line in lines[lines.index(next(x for x in lines if x.startswith("type "))) + 1 :]]
    assert stored == [
        "system_message",
        "user_message",
        "assistant_message",
        *["approval_request_message", "approval_response_message", "tool_return_message"] * 2,
        "assistant_message",
        "user_message",
        "assistant_message",
    ]


def test_on_a_server_it_deletes_the_agent_that_it_created() -> None:
    with FakeLetta(models=("letta/letta-free", "vllm/mine")) as fake:
        done = run_demo(LETTA_BASE_URL=fake.base_url)
        created = next(r for r in fake.requests if (r.method, r.path) == ("POST", "/v1/agents/"))
        deleted = [r.path for r in fake.requests if r.method == "DELETE" and r.path.startswith("/v1/agents/")]
        with LettaClient(base_url=fake.base_url) as client, pytest.raises(NotFound):
            client.agents.retrieve(deleted[0].rpartition("/")[2])

    assert (done.returncode, done.stderr) == (0, "")
    assert created.body is not None
    assert created.body["model"] == "vllm/mine"


def test_on_an_agent_of_yours_it_leaves_the_agent_and_no_conversation() -> None:
    with FakeLetta() as fake, LettaClient(base_url=fake.base_url) as client:
        agent_id = client.agents.create(name="mine", model="vllm/scripted").id
        done = run_demo(LETTA_BASE_URL=fake.base_url, LETTA_AGENT_ID=agent_id)

        assert (done.returncode, done.stderr) == (0, "")
        assert client.agents.retrieve(agent_id).name == "mine"
        assert client.conversations.list(agent_id=agent_id) == []


def test_a_model_that_calls_no_tool_is_reported() -> None:
    with FakeLetta() as fake:
        done = run_demo(LETTA_BASE_URL=fake.base_url)

    assert done.returncode == 0
    assert "note   The language model behind this agent called no tool." in done.stdout


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"LETTA_BASE_URL": "localhost:8283"}, "ValueError: `base_url` must begin with http:// or https://"),
        ({"LETTA_BASE_URL": NOWHERE}, "ConnectFailed: Could not reach the Letta server at"),
    ],
)
def test_a_mistake_is_told_in_one_line(environment: dict[str, str], message: str) -> None:
    done = run_demo(**environment)

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[-1].startswith(message)
