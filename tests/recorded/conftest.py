"""Recordings of a real server: made by `make record`, read by everybody else.

`pytest tests/recorded --record --backend live` plays every scenario on a real server, writes its cassette, and then
runs the same tests on what it wrote. Without `--record` the cassettes are all there is.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import Backend, fresh_agent
from tests.contract.wire import Wire
from tests.recorded.scenarios import SCENARIOS
from tests.recorded.stage import SERVER_TOOL, Scenario, Stage
from tests.recorded.tape import BASE_URL, CASSETTES, recording, replaying


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="record cassettes/ again; needs --backend live")


def pytest_configure(config: pytest.Config) -> None:
    if _is_recording(config) and config.getoption("--backend") != "live":
        raise pytest.UsageError("--record needs --backend live; run `make record`")


@pytest.fixture(scope="session", params=SCENARIOS, ids=lambda scenario: scenario.name)
def scenario(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """A scenario whose cassette is there, recorded just now where that was asked for."""
    scenario: Scenario = request.param
    if _is_recording(request.config):
        backend: Backend = request.getfixturevalue("backend")
        draft = tmp_path_factory.mktemp("draft") / "cassette.yaml"
        with stage_for(scenario, backend) as stage, recording(cassette_of(scenario), draft):
            scenario.play(stage)
    return scenario


@pytest.fixture
def responses(scenario: Scenario) -> list[httpx.Response]:
    """What a scenario's requests were answered with, in order, out of its cassette."""
    return replay(scenario, cassette_of(scenario))


def cassette_of(scenario: Scenario) -> Path:
    return CASSETTES / f"{scenario.name}.yaml"


def replay(scenario: Scenario, path: Path) -> list[httpx.Response]:
    """Play a scenario on a cassette, to the cassette's end."""
    with Wire(BASE_URL) as wire, replaying(path) as cassette:
        (conversation_id, *_) = re.findall(r"conv-[0-9a-f-]{36}", cassette.requests[0].uri)
        heard = play(scenario, Stage(wire, conversation_id))
        assert cassette.all_played
    return heard


def play(scenario: Scenario, stage: Stage) -> list[httpx.Response]:
    """Play a scenario and keep what it is answered."""
    heard: list[httpx.Response] = []
    stage.wire.http.event_hooks = {"response": [heard.append]}
    scenario.play(stage)
    return heard


@contextmanager
def stage_for(scenario: Scenario, backend: Backend) -> Generator[Stage, None, None]:
    """A fresh conversation with a server; preparing it is no part of the scenario."""
    with fresh_agent(backend) as agent, Wire(backend.base_url) as wire:
        settings = {"provider_type": "openai", "parallel_tool_calls": scenario.parallel}
        wire.patch_agent(agent, system="You are brief.", model_settings=settings)
        if scenario.server_tool:
            tool = wire.http.post("/v1/tools/", json={"source_code": SERVER_TOOL}).raise_for_status().json()
            wire.http.patch(f"/v1/agents/{agent}/tools/attach/{tool['id']}").raise_for_status()
        yield Stage(wire, wire.new_conversation(agent))


def _is_recording(config: pytest.Config) -> bool:
    # In a run of all tests this file is read after the command line was.
    return bool(config.getoption("--record", default=False))
