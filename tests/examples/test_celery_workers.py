"""The example of workers that share nothing but Letta: on files and the double, and on Redis and a real server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Backend
from tests.contract.wire import until
from tests.live.install import ensure_installed

EXAMPLE = Path(__file__).parents[2] / "examples" / "celery_workers.py"

ASKED = """\
killed the process that was hearing about Bergen
Oslo    asked by 1, stored 1: Oslo is in Norway.
Bergen  asked by 2, stored 1: Bergen is in Norway.
Tromsø  asked by 1, stored 1: Tromsø is in Norway.
Bodø    asked by 1, stored 1: Bodø is in Norway.
"""


def run_example(**environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LETTA_", "CELERY_"))}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        env={**clean, "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=200,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.timeout(240)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the workers are forked")
def test_a_question_whose_process_was_killed_is_asked_again_and_stored_once() -> None:
    assert run_example() == ASKED


@contextmanager
def redis_server(folder: Path) -> Generator[str, None, None]:
    """A Redis of the live servers' build, on a port of its own; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(ensure_installed().redis_server), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL)
    try:
        until(lambda: _answers(port))
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.timeout(240)
def test_the_same_on_redis_and_a_real_server(
    request: pytest.FixtureRequest, backend: Backend, agent_id: str, tmp_path: Path
) -> None:
    if request.config.getoption("--backend") != "live":
        pytest.skip("Redis comes with the live servers")
    with redis_server(tmp_path) as broker:
        shown = run_example(CELERY_BROKER_URL=broker, LETTA_BASE_URL=backend.base_url, LETTA_AGENT_ID=agent_id)

    killed, *lines = shown.splitlines()
    assert killed == "killed the process that was hearing about Bergen"
    names = ("Oslo", "Bergen", "Tromsø", "Bodø")
    taken = {"Bergen": 2}
    assert lines == [f"{n:<7} asked by {taken.get(n, 1)}, stored 1: You said: Where is {n}?" for n in names]
