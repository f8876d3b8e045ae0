"""Requests that the server refuses, and the shape of its refusals."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.contract.build import user
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
