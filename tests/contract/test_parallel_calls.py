"""Which agents may make several tool calls at once: of others the server keeps the first call."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Backend, fresh_agent
from tests.contract.build import CLIENT_TOOLS, user
from tests.contract.wire import Json, Wire

pytestmark = pytest.mark.self_hosted("whether it is so at Letta Cloud is not known")

TWO_CALLS = '[[call add {"a": 1}]] [[call multiply {"a": 2}]]'

OPENAI: Json = {"provider_type": "openai"}
ON: Json = {**OPENAI, "parallel_tool_calls": True}
OFF: Json = {**OPENAI, "parallel_tool_calls": False}


def kept(wire: Wire, agent_id: str) -> int:
    """How many of two calls the server keeps."""
    turn = wire.post(wire.new_conversation(agent_id), user(TWO_CALLS), client_tools=CLIENT_TOOLS)
    return len(turn.of("approval_request_message")[0]["tool_calls"])


@pytest.mark.parametrize(
    ("fields", "calls"),
    [
        ({}, 1),
        ({"parallel_tool_calls": True}, 2),
        ({"model_settings": ON}, 2),
        ({"model_settings": OPENAI}, 2),
        ({"model_settings": OFF}, 1),
        ({"model_settings": OFF, "parallel_tool_calls": True}, 2),
        ({"model_settings": ON, "parallel_tool_calls": False}, 1),
    ],
    ids=["neither", "field", "settings", "other settings", "settings off", "field on, settings off", "field off"],
)
def test_the_agents_field_decides_and_without_it_its_settings(
    wire: Wire, backend: Backend, fields: Json, calls: int
) -> None:
    with fresh_agent(backend, **fields) as agent_id:
        assert kept(wire, agent_id) == calls


def test_its_llm_config_tells_it_and_its_model_settings_do_not(wire: Wire, backend: Backend) -> None:
    shown: list[tuple[Any, Any]] = []
    for fields in ({}, {"model_settings": OFF}, {"parallel_tool_calls": True}):
        with fresh_agent(backend, **fields) as agent_id:
            agent = wire.get(f"/v1/agents/{agent_id}")
        shown.append(
            (agent["llm_config"]["parallel_tool_calls"], agent["model_settings"]["parallel_tool_calls"]),
        )
    assert shown == [(False, True), (False, True), (True, True)]


def test_an_agent_is_told_later_and_naming_a_model_takes_it_back(wire: Wire, backend: Backend, agent_id: str) -> None:
    wire.patch_agent(agent_id, parallel_tool_calls=True)
    assert kept(wire, agent_id) == 2
    wire.patch_agent(agent_id, name="ben")
    assert kept(wire, agent_id) == 2
    wire.patch_agent(agent_id, model=backend.handle)
    assert kept(wire, agent_id) == 1


def test_settings_that_do_not_say_whose_model_they_are_for_are_refused(
    wire: Wire, backend: Backend, agent_id: str, conversation_id: str
) -> None:
    body: Json = {"model_settings": {"parallel_tool_calls": True}}
    agents, conversations = "/v1/agents/", "/v1/conversations/"
    answers = [
        wire.http.post(agents, json={"model": backend.handle, **body}),
        wire.http.patch(f"{agents}{agent_id}", json=body),
        wire.http.post(conversations, params={"agent_id": agent_id}, json=body),
        wire.http.patch(f"{conversations}{conversation_id}", json=body),
    ]
    assert [answer.status_code for answer in answers] == [422] * 4
    problem = "Unable to extract tag using discriminator 'provider_type'"
    assert all(problem in answer.text for answer in answers)
