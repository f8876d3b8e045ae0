"""Requests that the server refuses, and the shape of its refusals."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from uuid import uuid4

import pytest

from tests.contract.build import user
from tests.contract.guarded import guarded_tool
from tests.contract.wire import Json, Wire

HELLO = {"messages": [{"role": "user", "content": "hello"}]}


def test_an_unknown_conversation_is_a_404(wire: Wire) -> None:
    turn = wire.post(f"conv-{uuid4()}", user("hello"))
    assert turn.status == 404
    assert "not found" in turn.body["detail"].lower()


def test_a_conversation_of_an_unknown_agent_is_a_404(wire: Wire) -> None:
    answer = wire.http.post("/v1/conversations/", params={"agent_id": f"agent-{uuid4()}"}, json={})
    assert answer.status_code == 404
    assert "not found" in answer.json()["detail"].lower()


def test_an_unknown_model_handle_is_a_404(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user("hello"), override_model="vllm/nothing")
    assert turn.status == 404
    assert "Handle vllm/nothing not found" in turn.body["detail"]
    assert wire.stored(conversation_id) == []


@pytest.mark.parametrize("body", [{}, {"messages": []}, {"messages": None}, {"input": "x", **HELLO}])
def test_neither_or_both_of_input_and_messages_is_a_422(wire: Wire, conversation_id: str, body: Json) -> None:
    turn = wire.post_body(conversation_id, body)
    assert turn.status == 422
    assert isinstance(turn.body["detail"], str)


def test_an_unknown_role_is_a_422_whose_detail_is_one_string(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, {"role": "judge", "content": "hello"})
    assert turn.status == 422
    assert isinstance(turn.body["detail"], str)
    assert "trace_id" in turn.body


def test_an_approval_part_without_its_type_is_a_422(wire: Wire, conversation_id: str) -> None:
    part = {"tool_call_id": "call_1", "tool_return": "3", "status": "success"}
    turn = wire.post(conversation_id, {"type": "approval", "approvals": [part]})
    assert turn.status == 422


def test_a_malformed_conversation_id_is_refused(wire: Wire) -> None:
    assert wire.post("not-an-id", user("hello")).status in (400, 422)


def test_the_server_is_healthy(wire: Wire) -> None:
    assert wire.get("/v1/health/")["status"] == "ok"


@pytest.mark.self_hosted("the version is that of a self-hosted server")
@pytest.mark.not_recorded("the time of day")
def test_health_tells_the_version_and_every_answer_the_time(wire: Wire) -> None:
    before = datetime.now(timezone.utc) - timedelta(seconds=2)  # told in whole seconds, and noted once a second
    answer = wire.http.get("/v1/health/").raise_for_status()
    assert answer.json()["version"] == "0.16.8"
    told = parsedate_to_datetime(answer.headers["date"])
    assert before <= told <= datetime.now(timezone.utc)


def test_an_agent_names_the_tools_that_its_server_runs(wire: Wire, agent_id: str) -> None:
    with guarded_tool(wire, agent_id) as name:
        assert [tool["name"] for tool in wire.get(f"/v1/agents/{agent_id}")["tools"]] == [name]
