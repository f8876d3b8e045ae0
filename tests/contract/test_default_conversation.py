"""The conversation that every agent has without creating one."""

from __future__ import annotations

import pytest

from tests.conftest import Backend
from tests.contract.build import new_gate, user
from tests.contract.wire import Wire

SAY = "[[say Hello there friend]]"


def test_a_turn_names_its_agent_in_the_body_and_a_list_in_the_query(wire: Wire, agent_id: str) -> None:
    turn = wire.post("default", user(SAY), agent_id=agent_id)
    assert turn.text == "Hello there friend"
    assert wire.story("default", agent_id=agent_id) == [
        ("user_message", SAY),
        ("assistant_message", "Hello there friend"),
    ]


@pytest.mark.scripted("its model says what it sees")
def test_the_default_conversation_remembers(wire: Wire, agent_id: str) -> None:
    wire.post("default", user("first [[say one]]"), agent_id=agent_id)
    turn = wire.post("default", user("[[recall]] second"), agent_id=agent_id)
    assert turn.text == "user: first\nassistant: one\nuser: second"


@pytest.mark.scripted("its model says what it sees")
def test_the_other_conversations_do_not_see_it(wire: Wire, agent_id: str, conversation_id: str) -> None:
    wire.post("default", user("first [[say one]]"), agent_id=agent_id)
    assert wire.post(conversation_id, user("[[recall]] second")).text == "user: second"
    assert len(wire.stored("default", agent_id=agent_id)) == 2


def test_without_its_agent_it_is_a_404(wire: Wire) -> None:
    assert wire.post("default", user("hello")).status == 404
    assert wire.cancel("default").status_code == 404


def test_a_background_turn_is_repeated_and_resumed_there_too(wire: Wire, agent_id: str) -> None:
    message = user(SAY)
    first = wire.post("default", message, agent_id=agent_id, background=True, stream_tokens=True)
    again = wire.post("default", message, agent_id=agent_id, background=True, stream_tokens=True)
    assert again.frames == first.frames
    resumed = wire.resume("default", agent_id=agent_id, otid=message["otid"], starting_after=2)
    assert resumed.text == "there friend"
    assert len(wire.stored("default", agent_id=agent_id)) == 2


@pytest.mark.scripted("it holds the model at a gate")
def test_the_default_conversation_is_locked_too(wire: Wire, backend: Backend, agent_id: str) -> None:
    gate = new_gate()
    first = wire.start("default", user(f"[[hold {gate} 1]] {SAY}"), agent_id=agent_id, stream_tokens=True)
    backend.wait_for_gate(gate)
    second = wire.post("default", user("me too"), agent_id=agent_id)
    backend.open_gate(gate)
    assert second.status == 409
    assert first.result().done


@pytest.mark.scripted("it holds the model at a gate")
@pytest.mark.not_recorded("requests at once")
def test_its_cancel_ends_the_turns_of_all_the_agents_conversations(
    wire: Wire, backend: Backend, agent_id: str, conversation_id: str
) -> None:
    gate = new_gate()
    turn = wire.start(conversation_id, user(f"[[hold {gate} 1]] {SAY}"), stream_tokens=True)
    backend.wait_for_gate(gate)
    answer = wire.cancel("default", agent_id=agent_id)
    backend.open_gate(gate)
    assert answer.json() == {turn.result().run_id: "cancelled"}


@pytest.mark.scripted("its model says what it sees")
def test_a_fork_takes_the_rows_out_of_its_list_but_not_out_of_its_context(wire: Wire, agent_id: str) -> None:
    wire.post("default", user("first [[say one]]"), agent_id=agent_id)
    answer = wire.http.post("/v1/conversations/default/fork", params={"agent_id": agent_id})
    fork = answer.raise_for_status().json()["id"]
    assert wire.story(fork) == [("user_message", "first [[say one]]"), ("assistant_message", "one")]
    assert wire.stored("default", agent_id=agent_id) == []
    recalled = "user: first\nassistant: one\nuser: second"
    assert wire.post("default", user("[[recall]] second"), agent_id=agent_id).text == recalled
    assert wire.post(fork, user("[[recall]] second")).text == recalled


def test_it_is_the_agents_own_message_list(wire: Wire, agent_id: str) -> None:
    body = {"messages": [{"role": "user", "content": "first [[say one]]"}]}
    wire.http.post(f"/v1/agents/{agent_id}/messages", json=body).raise_for_status()
    assert wire.story("default", agent_id=agent_id) == [
        ("user_message", "first [[say one]]"),
        ("assistant_message", "one"),
    ]
    rows = wire.get(f"/v1/agents/{agent_id}/messages", order="asc")
    assert [row["id"] for row in rows] == [row["id"] for row in wire.rows("default", agent_id=agent_id)]
