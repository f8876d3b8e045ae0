from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

from letta_adapters import LettaClient
from tests.conftest import Backend
from tests.contract.wire import Wire
from tests.loop.support import Blocking, InTasks, RunTurn


@pytest.fixture(autouse=True)
def no_letta_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LETTA_AGENT_ID", "LETTA_BASE_URL", "LETTA_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def wire(backend: Backend) -> Iterator[Wire]:
    """The independent witness."""
    with Wire(backend.base_url) as opened:
        yield opened


@pytest.fixture
def client(backend: Backend) -> Iterator[LettaClient]:
    with LettaClient(base_url=backend.base_url) as opened:
        yield opened


@pytest.fixture(params=[Blocking, InTasks], ids=["run_turn", "arun_turn"])
def run(request: pytest.FixtureRequest, backend: Backend) -> RunTurn:
    """Both ways to run a turn (F20)."""
    return request.param(backend.base_url)


@pytest.fixture
def parallel_calls(wire: Wire, agent_id: str) -> None:
    """The agent may call several tools at once, and the server keeps them all."""
    wire.patch_agent(agent_id, model_settings={"provider_type": "openai", "parallel_tool_calls": True})


def shout(text: str) -> str:
    """Shout.

    Args:
        text (str): What to shout.
    """
    return text.upper()


@pytest.fixture
def guarded_tool(wire: Wire, agent_id: str) -> str:
    """A tool that the server runs once a person agrees."""
    source = inspect.getsource(shout)
    tool = wire.http.post("/v1/tools/", json={"source_code": source}).raise_for_status().json()
    wire.http.patch(f"/v1/agents/{agent_id}/tools/attach/{tool['id']}").raise_for_status()
    path = f"/v1/agents/{agent_id}/tools/approval/{tool['name']}"
    wire.http.patch(path, params={"requires_approval": True}, json={"requires_approval": True}).raise_for_status()
    return str(tool["name"])
