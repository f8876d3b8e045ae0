"""The agent's own endpoints, where they are not those of a conversation."""

from __future__ import annotations

import pytest

from tests.contract.build import CLIENT_TOOLS, user
from tests.contract.wire import Wire, until, whole_turn

SAY = {"messages": [{"role": "user", "content": "hello [[say one]]"}]}
SDK = {"X-Stainless-Package-Version": "1.12.1"}


@pytest.mark.scripted("it counts the tokens of the scripted model")
def test_a_turn_is_json_unless_told_otherwise(wire: Wire, agent_id: str) -> None:
    answer = wire.http.post(f"/v1/agents/{agent_id}/messages", json=SAY).raise_for_status().json()
    assert [m["message_type"] for m in answer["messages"]] == ["assistant_message"]
    assert answer["stop_reason"]["stop_reason"] == "end_turn"
    assert answer["usage"]["total_tokens"] == 120


def test_a_plain_client_may_not_stream(wire: Wire, agent_id: str) -> None:
    answer = wire.http.post(f"/v1/agents/{agent_id}/messages", json={**SAY, "streaming": True})
    assert answer.status_code == 422
    assert "only supported for SDK v1.0+ clients" in answer.text


@pytest.mark.parametrize("headers", [SDK, {"User-Agent": "letta-client/1.12.1"}])
def test_an_sdk_client_may_stream(wire: Wire, agent_id: str, headers: dict[str, str]) -> None:
    body = {**SAY, "streaming": True, "stream_tokens": True}
    turn = whole_turn(wire.http.post(f"/v1/agents/{agent_id}/messages", json=body, headers=headers))
    assert turn.types == ["assistant_message", "stop_reason", "usage_statistics"]
    assert turn.text == "one"


def test_a_pending_call_has_a_code_and_its_id_here(wire: Wire, agent_id: str) -> None:
    body = {"messages": [user("[[call add]]")], "client_tools": CLIENT_TOOLS}
    asked = wire.http.post(f"/v1/agents/{agent_id}/messages", json=body).raise_for_status().json()
    refused = wire.http.post(f"/v1/agents/{agent_id}/messages", json=body)
    assert refused.status_code == 409
    detail = refused.json()["detail"]
    assert detail["code"] == "PENDING_APPROVAL"
    assert "is waiting for approval on a tool call" in detail["message"]
    assert detail["pending_request_id"] == asked["messages"][-1]["id"]


def test_an_async_turn_answers_its_run_at_once(wire: Wire, agent_id: str) -> None:
    run = wire.http.post(f"/v1/agents/{agent_id}/messages/async", json=SAY).raise_for_status().json()
    assert run["status"] in ("created", "running")
    assert run["agent_id"] == agent_id
    until(lambda: wire.get(f"/v1/runs/{run['id']}")["status"] == "completed")
    assert wire.story("default", agent_id=agent_id)[-1] == ("assistant_message", "one")


@pytest.mark.scripted("its model says what it sees")
def test_reset_empties_the_context_and_not_the_list(wire: Wire, agent_id: str) -> None:
    wire.http.post(f"/v1/agents/{agent_id}/messages", json=SAY).raise_for_status()
    wire.http.patch(f"/v1/agents/{agent_id}/reset-messages", json={}).raise_for_status()
    assert len(wire.stored("default", agent_id=agent_id)) == 2
    assert wire.post("default", user("[[recall]] again"), agent_id=agent_id).text == "user: again"


def test_an_unknown_agent_is_a_404(wire: Wire) -> None:
    unknown = "agent-00000000-0000-4000-8000-000000000000"
    assert wire.http.get(f"/v1/agents/{unknown}").status_code == 404
    assert wire.http.post(f"/v1/agents/{unknown}/messages", json=SAY).status_code == 404
