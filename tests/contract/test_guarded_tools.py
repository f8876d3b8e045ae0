"""A tool that the server runs once a person agrees: what waits, what is taken for an answer, what comes of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.build import CLIENT_TOOLS, answers, consent, denial, result, user
from tests.contract.guarded import guarded_tool
from tests.contract.wire import Wire

ADD = '[[call add {"a": 1, "b": 2}]]'


@pytest.fixture
def guarded(wire: Wire, agent_id: str) -> Iterator[str]:
    """The name of a tool of the agent's that waits for a person."""
    with guarded_tool(wire, agent_id) as name:
        yield name


@pytest.fixture
def parallel(wire: Wire, agent_id: str) -> None:
    wire.patch_agent(agent_id, model_settings={"provider_type": "openai", "parallel_tool_calls": True})


def call_of(name: str) -> str:
    return f'[[call {name} {{"text": "hi"}}]]'


def test_its_call_looks_like_that_of_a_client_tool(wire: Wire, conversation_id: str, guarded: str) -> None:
    turn = wire.post(conversation_id, user(call_of(guarded)))
    assert turn.types == ["approval_request_message", "stop_reason", "usage_statistics"]
    assert turn.stop_reasons == ["requires_approval"]
    (call,) = turn.of("approval_request_message")[0]["tool_calls"]
    assert call["name"] == guarded


@pytest.mark.parametrize("stream_tokens", [False, True])
def test_a_call_that_is_approved_is_run_and_its_result_streamed(
    wire: Wire, conversation_id: str, guarded: str, stream_tokens: bool
) -> None:
    call = wire.post(conversation_id, user(call_of(guarded))).call_id
    turn = wire.post(conversation_id, answers(consent(call)), stream_tokens=stream_tokens)
    (returned,) = turn.of("tool_return_message")
    (one,) = returned["tool_returns"]
    assert (one["tool_call_id"], one["status"], one["tool_return"]) == (call, "success", "HI")
    assert turn.text == "The tools answered: HI"
    assert turn.stop_reasons == ["end_turn"]


def test_the_decision_is_stored_beside_the_result(wire: Wire, conversation_id: str, guarded: str) -> None:
    call = wire.post(conversation_id, user(call_of(guarded))).call_id
    wire.post(conversation_id, answers({**consent(call), "reason": "go on"}))
    (response,) = [r for r in wire.rows(conversation_id) if r["message_type"] == "approval_response_message"]
    (part,) = response["approvals"]
    assert (part["type"], part["tool_call_id"], part["approve"]) == ("approval", call, True)


@pytest.mark.scripted("its model says what it sees")
def test_a_call_that_is_denied_is_not_run(wire: Wire, conversation_id: str, guarded: str) -> None:
    call = wire.post(conversation_id, user(f"{call_of(guarded)} [[next]] [[recall]]")).call_id
    turn = wire.post(conversation_id, answers(denial(call, "too loud")))
    assert turn.text.splitlines()[-1] == "tool: Error: request to call tool denied. User reason: too loud"


def test_a_result_that_a_client_sends_stands_for_the_run(wire: Wire, conversation_id: str, guarded: str) -> None:
    call = wire.post(conversation_id, user(call_of(guarded))).call_id
    assert wire.post(conversation_id, answers(result(call, "quietly"))).text == "The tools answered: quietly"


@pytest.mark.usefixtures("parallel")
def test_a_decision_and_a_clients_result_are_one_answer(wire: Wire, conversation_id: str, guarded: str) -> None:
    asked = wire.post(conversation_id, user(f"{ADD} {call_of(guarded)}"), client_tools=CLIENT_TOOLS)
    add, shouted = asked.call_ids
    turn = wire.post(conversation_id, answers(result(add, "3"), consent(shouted)), client_tools=CLIENT_TOOLS)
    (returned,) = turn.of("tool_return_message")
    assert {one["tool_call_id"]: one["tool_return"] for one in returned["tool_returns"]} == {add: "3", shouted: "HI"}
    assert turn.stop_reasons == ["end_turn"]


@pytest.mark.usefixtures("parallel")
def test_a_clients_result_without_the_decision_is_refused_and_both_still_wait(
    wire: Wire, conversation_id: str, guarded: str
) -> None:
    asked = wire.post(conversation_id, user(f"{ADD} {call_of(guarded)}"), client_tools=CLIENT_TOOLS)
    add, shouted = asked.call_ids
    before = wire.rows(conversation_id)
    turn = wire.post(conversation_id, answers(result(add, "3")), client_tools=CLIENT_TOOLS)
    assert turn.error["detail"].startswith("Invalid tool call IDs. Expected")
    assert wire.rows(conversation_id) == before
    settled = wire.post(conversation_id, answers(result(add, "3"), denial(shouted, "no")), client_tools=CLIENT_TOOLS)
    assert settled.stop_reasons == ["end_turn"]


def test_a_tool_that_is_deleted_is_gone_from_its_agents(wire: Wire, agent_id: str, guarded: str) -> None:
    (tool_id,) = [tool["id"] for tool in wire.get(f"/v1/agents/{agent_id}")["tools"]]
    deleted = wire.http.delete(f"/v1/tools/{tool_id}")
    assert (deleted.status_code, deleted.json()) == (200, None)
    assert wire.get(f"/v1/agents/{agent_id}")["tools"] == []
    assert wire.get("/v1/tools/", names=guarded) == []
    again = wire.http.delete(f"/v1/tools/{tool_id}")
    assert (again.status_code, again.json()) == (400, {"detail": f"Tool with id {tool_id} not found."})
