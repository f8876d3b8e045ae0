"""What `pip install` gives a user: the wheel with one extra in an environment of its own, far from this tree."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.packaging.conftest import Distributions, clean_environment

pytestmark = [pytest.mark.index, pytest.mark.timeout(300)]

USES = {
    "": """
from letta_adapters import LettaClient
with LettaClient(base_url="http://localhost:8283") as client:
    print(client.base_url)
""",
    "langchain": """
from langchain_letta import ChatLetta, LettaChatMessageHistory
print(ChatLetta(agent_id="agent-1", base_url="http://localhost:8283").base_url)
""",
    "llama-index": """
from llama_index_letta import LettaAgent, LettaChatEngine
with LettaChatEngine.from_defaults(agent_id="agent-1", base_url="http://localhost:8283"):
    print(LettaAgent(agent_id="agent-1", base_url="http://localhost:8283").base_url)
""",
    "testing": """
from letta_adapters import LettaClient, run_turn
from letta_adapters.testing import FakeLetta
with FakeLetta() as fake, LettaClient(base_url=fake.base_url) as client:
    agent = client.agents.create(name="a")
    conversation = client.conversations.create(agent_id=agent.id)
    print(run_turn(client, conversation.id, "[[say http://localhost:8283]]").text)
""",
    "cli": """
import os, subprocess, sys
script = os.path.join(os.path.dirname(sys.executable), "letta-adapters")
subprocess.run([script, "--version"], check=True, stdout=sys.stderr)
print("http://localhost:8283")
""",
}
"""What is done with each extra; the last line that it prints is the same."""

REMEDIES = {
    "langchain": ("import langchain_letta", "langchain_letta needs langchain-core: "),
    "llama-index": ("import llama_index_letta", "llama_index_letta needs llama-index-core: "),
    "testing": ("import letta_adapters.testing", "letta_adapters.testing needs starlette and uvicorn: "),
    "cli": (
        "import sys; from letta_adapters.cli import main; sys.exit(main())",
        "The command line needs typer and rich: ",
    ),
}


def run(python: Path, folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run a program with nothing of this tree and nothing of the environment that names a server."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LETTA_", "PYTHON"))}
    return subprocess.run(
        [str(python), "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.mark.parametrize("extra", USES)
def test_each_extra_works_alone_and_names_the_others(dist: Distributions, tmp_path: Path, extra: str) -> None:
    python = clean_environment(tmp_path, f"{dist.wheel}[{extra}]" if extra else str(dist.wheel))

    done = run(python, tmp_path, USES[extra])

    assert (done.returncode, done.stdout) == (0, "http://localhost:8283\n"), done.stderr
    for other in REMEDIES.keys() - {extra}:
        statement, told = REMEDIES[other]
        failed = run(python, tmp_path, statement)
        assert failed.returncode == 1
        assert failed.stderr.endswith(f"{told}pip install 'letta-adapters[{other}]'\n")
