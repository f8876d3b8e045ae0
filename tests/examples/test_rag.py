"""The example with an index over the files of this repository, as a stranger runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from letta_adapters import LettaClient
from letta_adapters.testing import FakeLetta
from tests.conftest import Backend

ROOT = Path(__file__).parents[2]


def run_rag(**environment: str) -> list[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LETTA_")}
    done = subprocess.run(
        [sys.executable, "examples/rag.py"],
        cwd=ROOT,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_without_a_server_it_answers_out_of_the_files_and_remembers() -> None:
    lines = run_rag()
    assert lines[0] == "you    Which command runs the tests on a real server?"
    assert lines[1].startswith("agent  The documentation says:")
    assert "real server" in lines[1]
    sources = [line.split()[1] for line in lines if line.startswith("source ")]
    assert len(sources) == 2
    assert all((ROOT / source).is_file() for source in sources)
    assert lines[-1] == "agent  You asked: Which command runs the tests on a real server?"


def test_on_a_server_without_an_agent_it_makes_one_and_deletes_it() -> None:
    with FakeLetta() as fake:
        lines = run_rag(LETTA_BASE_URL=fake.base_url, LETTA_MODEL="vllm/scripted")
        (deleted,) = [request.path for request in fake.requests if request.method == "DELETE"]
    assert lines[1] == "agent  You said: Which command runs the tests on a real server?"
    assert deleted.startswith("/v1/agents/")


def test_on_a_server_it_talks_to_the_agent_of_the_environment(backend: Backend, agent_id: str) -> None:
    lines = run_rag(LETTA_BASE_URL=backend.base_url, LETTA_AGENT_ID=agent_id)
    assert [line for line in lines if line.startswith("agent")] == [
        "agent  You said: Which command runs the tests on a real server?",
        "agent  You said: And what did I ask you first?",
    ]
    with LettaClient(base_url=backend.base_url) as client:
        (conversation,) = client.conversations.list(agent_id=agent_id)
        rows = client.conversations.messages.list(conversation.id, order="asc")
    assert [row.message_type for row in rows][1:] == ["user_message", "assistant_message"] * 2
