"""A server without Redis: no locks, no background streams, no deduplication."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.conftest import Backend, fresh_agent
from tests.contract.build import CLIENT_TOOLS, answers, new_gate, new_otid, result, user
from tests.contract.wire import Wire

pytestmark = pytest.mark.self_hosted("Letta Cloud always has background streams")

SAY = "[[say Hello there friend]]"


@pytest.fixture
def wire(no_redis_backend: Backend) -> Iterator[Wire]:
    with Wire(no_redis_backend.base_url) as opened:
        yield opened


@pytest.fixture
def conversation_id(no_redis_backend: Backend, wire: Wire) -> Iterator[str]:
    with fresh_agent(no_redis_backend, system="You are brief.") as agent:
        yield wire.new_conversation(agent)


def test_a_background_turn_is_a_503_and_stores_nothing(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(SAY), background=True)
    assert turn.status == 503
    assert "requires Redis" in turn.body["detail"]
    assert wire.stored(conversation_id) == []


def test_resume_is_a_503(wire: Wire, conversation_id: str) -> None:
    turn = wire.resume(conversation_id, otid=new_otid())
    assert turn.status == 503
    assert "requires Redis" in turn.body["detail"]


def test_a_run_that_nobody_made_is_a_503_as_well(wire: Wire) -> None:
    turn = wire.resume(f"conv-{uuid4()}", run_id=f"run-{uuid4()}")
    assert turn.status == 503
    assert "requires Redis" in turn.body["detail"]


def test_a_foreground_turn_works(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(SAY), stream_tokens=True)
    assert turn.types == ["assistant_message"] * 3 + ["stop_reason", "usage_statistics"]
    assert wire.story(conversation_id) == [("user_message", SAY), ("assistant_message", "Hello there friend")]


def test_a_client_tool_works(wire: Wire, conversation_id: str) -> None:
    call = wire.post(conversation_id, user('[[call add {"a": 1}]]'), client_tools=CLIENT_TOOLS).call_id
    assert wire.post(conversation_id, answers(result(call, "3"))).text == "The tools answered: 3"


def test_the_same_otid_is_a_new_turn(wire: Wire, conversation_id: str) -> None:
    otid = new_otid()
    for _ in range(2):
        wire.post(conversation_id, user(SAY, otid))
    asked = [row for row in wire.stored(conversation_id) if row["message_type"] == "user_message"]
    assert [row["otid"] for row in asked] == [otid, otid]


def test_of_two_overlapping_turns_one_is_lost_from_the_context(
    wire: Wire, no_redis_backend: Backend, conversation_id: str
) -> None:
    gate = new_gate()
    first = wire.start(conversation_id, user(f"slow [[hold {gate} 1]] {SAY}"), stream_tokens=True)
    no_redis_backend.wait_for_gate(gate)
    second = wire.post(conversation_id, user("quick [[say yes]]"))
    no_redis_backend.open_gate(gate)
    assert (second.text, first.result().text) == ("yes", "Hello there friend")
    assert len(wire.stored(conversation_id)) == 4
    recalled = wire.post(conversation_id, user("[[recall]] next")).text
    assert recalled == "user: slow\nassistant: Hello there friend\nuser: next"
