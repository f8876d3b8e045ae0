from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

import pytest

from tests.conftest import Backend, fresh_conversation
from tests.durability.driving import Program
from tests.durability.program import Way
from tests.durability.relay import Passed
from tests.durability.threads import THREADS, new_job, parallel_agent
from tests.langchain.readback import Reader

BLOCKING: Mapping[Way, Way] = {"invoke": "invoke", "ainvoke": "invoke", "stream": "stream", "astream": "stream"}


@pytest.fixture(autouse=True)
def no_letta_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LETTA_AGENT_ID", "LETTA_BASE_URL", "LETTA_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def program(backend: Backend) -> Iterator[Program]:
    """The program, in front of the server."""
    with Program(backend.base_url) as opened:
        yield opened


@pytest.fixture
def reader(backend: Backend) -> Iterator[Reader]:
    """The independent witness."""
    with Reader(backend.base_url) as opened:
        yield opened


@pytest.fixture
def agent_id(backend: Backend) -> Iterator[str]:
    """A fresh agent that may call several tools at once."""
    with parallel_agent(backend) as agent:
        yield agent


Undisturbed = Callable[[str, Way, bool], Sequence[Passed]]
"""Takes the name of a thread, how the agent is called, and whether the conversation is given."""


@pytest.fixture(scope="session")
def undisturbed(program: Program, backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """What passes between the program and its server when a thread is left alone; measured once."""

    @cache
    def measured(name: str, way: Way, pinned: bool) -> Sequence[Passed]:
        with parallel_agent(backend) as agent:
            folder = tmp_path_factory.mktemp("undisturbed")
            conversation = fresh_conversation(backend, agent) if pinned else None
            job = new_job(agent, program.base_url, folder, THREADS[name], way=way, conversation_id=conversation)
            return program.run(job)

    def measured_blocking(name: str, way: Way, pinned: bool) -> Sequence[Passed]:
        return measured(name, BLOCKING[way], pinned)  # the asynchronous twin sends the same

    return measured_blocking
