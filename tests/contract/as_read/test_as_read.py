"""What a server says is read as what it is: the right parts, the right end, the right error."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Backend
from tests.contract.as_read.outcomes import outcome
from tests.contract.as_read.scenarios import SCENARIOS
from tests.contract.as_read.stage import SERVER_TOOL, Scenario, Stage
from tests.contract.wire import Wire

pytestmark = pytest.mark.scripted("its agents have a prompt of their own")


@pytest.fixture(params=SCENARIOS, ids=lambda scenario: scenario.name)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return request.param


@pytest.fixture
def stage(wire: Wire, backend: Backend, agent_id: str, scenario: Scenario) -> Iterator[Stage]:
    """A fresh conversation with an agent as the scenario needs it."""
    settings = {"provider_type": "openai", "parallel_tool_calls": scenario.parallel}
    wire.patch_agent(agent_id, system="You are brief.", model_settings=settings)
    if scenario.server_tool:
        tool = wire.http.post("/v1/tools/", json={"source_code": SERVER_TOOL}).raise_for_status().json()
        wire.http.patch(f"/v1/agents/{agent_id}/tools/attach/{tool['id']}").raise_for_status()
    conversation_id = wire.new_conversation(agent_id)
    with Wire(backend.base_url, api_key=backend.api_key) as listened_to:
        yield Stage(listened_to, conversation_id)


def test_each_answer_is_read_as_what_it_is(scenario: Scenario, stage: Stage) -> None:
    scenario.play(stage)
    assert [outcome(response) for response in stage.heard] == list(scenario.expected)
