"""Deleted conversations: what is left of them, and what a turn does that is in flight."""

from __future__ import annotations

import pytest

from tests.conftest import Backend, fresh_agent
from tests.contract.build import CLIENT_TOOLS, answers, new_gate, new_otid, result, user
from tests.contract.wire import Wire

CALL = '[[call add {"a": 1, "b": 2}]]'


def delete(wire: Wire, conversation_id: str) -> None:
    wire.http.delete(f"/v1/conversations/{conversation_id}").raise_for_status()


def test_a_fresh_conversation_lists_its_prompt_so_an_empty_list_means_that_there_is_none(
    wire: Wire, conversation_id: str
) -> None:
    assert [row["message_type"] for row in wire.rows(conversation_id)] == ["system_message"]
    assert wire.rows(f"conv-{new_otid()}") == []


def test_every_call_but_the_lists_says_that_it_is_gone(wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user("first [[say one]]"))
    row = wire.rows(conversation_id)[-1]
    delete(wire, conversation_id)
    path = f"/v1/conversations/{conversation_id}"
    tried = [
        wire.http.get(path),
        wire.http.delete(path),
        wire.http.patch(path, json={"summary": "gone"}),
        *(wire.http.post(f"{path}/{call}", json={}) for call in ("cancel", "compact", "recompile", "fork")),
    ]
    for options in ({}, {"background": True}, {"streaming": False}):
        body = {"messages": [user("hello?")], **options}
        tried.append(wire.http.post(f"{path}/messages", json=body))
    for answer in tried:
        assert answer.status_code == 404, answer.request.url
        assert answer.json()["detail"].startswith(f"Conversation not found with id='['{conversation_id}']'")
    assert wire.rows(conversation_id, after=row["id"]) == []


def test_the_stream_of_a_deleted_conversation_has_no_active_runs(wire: Wire, conversation_id: str) -> None:
    delete(wire, conversation_id)
    for gone in (conversation_id, f"conv-{new_otid()}"):
        turn = wire.resume(gone)
        assert (turn.status, turn.body["detail"]) == (
            400,
            "INVALID_ARGUMENT: No active runs found for this conversation.",
        )


def test_the_conversations_of_a_deleted_agent_are_gone_too(wire: Wire, backend: Backend) -> None:
    with fresh_agent(backend) as agent:
        conversation = wire.new_conversation(agent, summary="a talk")
        wire.post(conversation, user("first [[say one]]"))
    assert wire.rows(conversation) == []
    assert wire.http.get(f"/v1/conversations/{conversation}").status_code == 404
    assert wire.post(conversation, user("hello?")).status == 404
    assert wire.get("/v1/conversations/", agent_id=agent, summary_search="talk") == []
    answer = wire.http.post("/v1/conversations/", params={"agent_id": agent}, json={})
    assert (answer.status_code, answer.json()) == (404, {"detail": "Agent not found"})


def test_the_rows_of_its_runs_go_with_it_but_not_what_a_fork_has_too(wire: Wire, conversation_id: str) -> None:
    shared = wire.post(conversation_id, user("first [[say one]]"))
    wire.http.post(f"/v1/conversations/{conversation_id}/fork").raise_for_status()
    own = wire.post(conversation_id, user("second [[say two]]"))
    delete(wire, conversation_id)
    assert len(wire.get(f"/v1/runs/{shared.run_id}/messages")) == 2
    assert wire.get(f"/v1/runs/{own.run_id}/messages") == []


def test_a_conversation_that_waits_for_a_call_can_be_deleted(wire: Wire, conversation_id: str) -> None:
    call = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS).call_id
    delete(wire, conversation_id)
    assert wire.rows(conversation_id) == []
    assert wire.post(conversation_id, answers(result(call, "3"))).status == 404


@pytest.mark.scripted("it holds the model at a gate")
@pytest.mark.parametrize("background", [False, True])
def test_a_turn_in_flight_goes_on_to_its_end_and_its_rows_are_listed_without_a_prompt(
    wire: Wire, backend: Backend, conversation_id: str, background: bool
) -> None:
    wire.post(conversation_id, user("first [[say one]]"))
    gate, asked = new_gate(), user("")
    asked["content"] = f"second [[hold {gate} 1]] [[say two and more]]"
    started = wire.start(conversation_id, asked, stream_tokens=True, background=background)
    backend.wait_for_gate(gate)
    delete(wire, conversation_id)
    assert wire.rows(conversation_id) == []
    backend.open_gate(gate)
    turn = started.result()
    assert (turn.text, turn.stop_reasons, turn.done) == ("two and more", ["end_turn"], True)
    late = wire.rows(conversation_id)
    assert [(row["message_type"], row["content"]) for row in late] == [
        ("user_message", asked["content"]),
        ("assistant_message", "two and more"),
    ]
    assert wire.http.get(f"/v1/conversations/{conversation_id}").status_code == 404
    assert wire.ended_run(turn.run_id)["status"] == "completed"


@pytest.mark.scripted("it holds the model at a gate")
def test_the_same_request_again_is_refused_where_its_stream_can_still_be_read(
    wire: Wire, backend: Backend, conversation_id: str
) -> None:
    gate, asked = new_gate(), user("")
    asked["content"] = f"[[hold {gate} 1]] [[say two and more]]"
    started = wire.start(conversation_id, asked, stream_tokens=True, background=True)
    backend.wait_for_gate(gate)
    delete(wire, conversation_id)
    backend.open_gate(gate)
    turn = started.result()
    assert wire.post(conversation_id, asked, stream_tokens=True, background=True).status == 404
    assert wire.resume(conversation_id, run_id=turn.run_id).text == "two and more"


@pytest.mark.scripted("it holds the model at a gate")
def test_a_turn_that_ends_with_a_call_waits_in_vain(wire: Wire, backend: Backend, conversation_id: str) -> None:
    gate = new_gate()
    script = user(f"[[hold {gate} 1]] [[say a moment]] {CALL}")
    started = wire.start(conversation_id, script, stream_tokens=True, client_tools=CLIENT_TOOLS)
    backend.wait_for_gate(gate)
    delete(wire, conversation_id)
    backend.open_gate(gate)
    assert started.result().stop_reasons == ["requires_approval"]
    call = wire.rows(conversation_id)[-1]["tool_calls"][0]["tool_call_id"]
    assert wire.post(conversation_id, answers(result(call, "3"))).status == 404
