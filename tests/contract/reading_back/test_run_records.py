"""The record of a foreground turn: in flight, after its end, after a failure."""

from __future__ import annotations

import json
import socket
from datetime import datetime
from urllib.parse import urlsplit

import pytest

from tests.conftest import Backend
from tests.contract.build import CLIENT_TOOLS, answers, denial, new_gate, result, user
from tests.contract.wire import Json, Turn, Wire, until

SAY = "[[say Hello there friend]]"
BREAK = f"[[break 2]] {SAY}"
CALL = '[[call add {"a": 1, "b": 2}]]'


def record(wire: Wire, turn: Turn) -> Json:
    return wire.get(f"/v1/runs/{turn.run_id}")


def active(wire: Wire, **query: str) -> list[Json]:
    return wire.get("/v1/runs/", active="true", **query)


def rows_of(wire: Wire, run_id: str, **query: str) -> list[Json]:
    return wire.get(f"/v1/runs/{run_id}/messages", **query)


def ending(run: Json) -> tuple[str, str | None, bool]:
    return run["status"], run["stop_reason"], run["background"]


def test_a_whole_turn_is_completed(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(SAY), stream_tokens=True)
    run = record(wire, turn)
    assert ending(run) == ("completed", "end_turn", False)
    assert run["conversation_id"] == conversation_id
    assert run["completed_at"] is not None
    assert "error" not in run["metadata"]


def test_a_turn_that_ends_with_a_call_is_completed_and_not_active(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS, stream_tokens=True)
    assert ending(record(wire, turn)) == ("completed", "requires_approval", False)
    assert active(wire, conversation_id=conversation_id) == []


@pytest.mark.scripted("its model fails")
def test_a_refused_turn_is_failed_and_keeps_the_error_that_was_streamed(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user("[[fail 500]]"), stream_tokens=True)
    run = record(wire, turn)
    assert ending(run) == ("failed", "llm_api_error", False)
    told = {name: run["metadata"]["error"][name] for name in ("error_type", "message", "detail")}
    assert told == {name: turn.error[name] for name in told}
    assert told["error_type"] == "llm_error"
    assert all(told.values())
    assert rows_of(wire, turn.run_id) == []


@pytest.mark.scripted("its model fails")
def test_a_turn_that_broke_in_mid_stream_says_so_in_its_stop_reason_only(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(BREAK), stream_tokens=True)
    run = record(wire, turn)
    assert ending(run) == ("completed", "llm_api_error", False)
    assert "error" not in run["metadata"]
    assert rows_of(wire, turn.run_id) == []


@pytest.mark.scripted("its model fails")
def test_a_failed_second_step_leaves_the_answers_only(wire: Wire, conversation_id: str) -> None:
    script = user(f"{CALL} [[next]] [[fail 500]]")
    call = wire.post(conversation_id, script, client_tools=CLIENT_TOOLS).call_id
    turn = wire.post(conversation_id, answers(result(call, "3")), client_tools=CLIENT_TOOLS, stream_tokens=True)
    assert ending(record(wire, turn)) == ("failed", "llm_api_error", False)
    kinds = [row["message_type"] for row in rows_of(wire, turn.run_id, order="asc")]
    assert kinds == ["approval_response_message", "tool_return_message"]


def test_settling_calls_is_a_completed_turn_without_tokens(wire: Wire, conversation_id: str) -> None:
    call = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS).call_id
    turn = wire.post(conversation_id, answers(denial(call, "dropped")), max_steps=1, stream_tokens=True)
    assert ending(record(wire, turn)) == ("completed", "max_steps", False)
    usage = wire.get(f"/v1/runs/{turn.run_id}/usage")
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (0, 0)
    assert wire.stored(conversation_id)[-1]["message_type"] == "tool_return_message"


@pytest.mark.scripted("it holds the model at a gate")
def test_a_turn_in_flight_is_listed_as_active_and_has_no_rows(
    wire: Wire, backend: Backend, conversation_id: str
) -> None:
    gate = new_gate()
    first = wire.start(conversation_id, user(f"[[hold {gate} 1]] {SAY}"), stream_tokens=True)
    backend.wait_for_gate(gate)
    (run,) = active(wire, conversation_id=conversation_id)
    rows = rows_of(wire, run["id"])
    listed = wire.stored(conversation_id)
    backend.open_gate(gate)
    assert run["id"] == first.result().run_id
    assert ending(run) == ("running", None, False)
    assert datetime.fromisoformat(run["created_at"].replace("Z", "+00:00")).tzinfo is not None
    assert (rows, listed) == ([], [])
    assert active(wire, conversation_id=conversation_id) == []


@pytest.mark.scripted("it holds the model at a gate")
def test_what_a_step_stored_is_listed_while_the_next_is_in_flight(
    wire: Wire, backend: Backend, conversation_id: str
) -> None:
    gate = new_gate()
    script = user(f"{CALL} [[next]] [[hold {gate} 1]] {SAY}")
    call = wire.post(conversation_id, script, client_tools=CLIENT_TOOLS).call_id
    second = wire.start(conversation_id, answers(result(call, "3")), client_tools=CLIENT_TOOLS, stream_tokens=True)
    backend.wait_for_gate(gate)
    (run,) = active(wire, conversation_id=conversation_id)
    rows = rows_of(wire, run["id"], order="desc")
    backend.open_gate(gate)
    assert [row["message_type"] for row in rows] == ["tool_return_message", "approval_response_message"]
    assert second.result().stop_reasons == ["end_turn"]


@pytest.mark.scripted("it holds the model at a gate")
@pytest.mark.not_recorded("requests at once")
def test_a_run_of_default_has_no_conversation_and_is_found_by_its_agent(
    wire: Wire, backend: Backend, agent_id: str, conversation_id: str
) -> None:
    gates = [new_gate(), new_gate()]
    texts = [user(f"[[hold {gate} 1]] {SAY}") for gate in gates]
    turns = [
        wire.start("default", texts[0], agent_id=agent_id, stream_tokens=True),
        wire.start(conversation_id, texts[1], stream_tokens=True),
    ]
    for gate in gates:
        backend.wait_for_gate(gate)
    of_agent = active(wire, agent_id=agent_id)
    of_default = active(wire, conversation_id="default", agent_id=agent_id)
    for gate in gates:
        backend.open_gate(gate)
    expected = {turn.result().run_id: place for turn, place in zip(turns, [None, conversation_id], strict=True)}
    assert {run["id"]: run["conversation_id"] for run in of_agent} == expected
    assert of_default == []


def test_the_usage_of_a_run_is_that_of_its_stream(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(SAY), stream_tokens=True)
    usage = wire.get(f"/v1/runs/{turn.run_id}/usage")
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    assert [usage[name] for name in names] == [turn.usage[name] for name in names]
    assert {"prompt_tokens_details", "completion_tokens_details"} <= usage.keys()


def _number(otid: str) -> int:
    """The number of a part within its step: the lowest seven bits of its otid.

    The others come from the id of the message. A step that ends in a call is stored under that id less one, so that
    one time in 128 they are other ones.
    """
    return int(otid.removeprefix("message-").replace("-", ""), 16) & 0x7F


@pytest.mark.scripted("its model thinks when it is told to")
@pytest.mark.parametrize("tokens", [True, False], ids=["tokens", "steps"])
def test_the_rows_of_a_run_are_what_was_sent_and_then_what_was_streamed(
    wire: Wire, conversation_id: str, tokens: bool
) -> None:
    sent = [user("one"), user(f"[[think hm hm]] {SAY} {CALL}")]
    turn = wire.post(conversation_id, *sent, client_tools=CLIENT_TOOLS, stream_tokens=tokens)
    rows = rows_of(wire, turn.run_id, order="asc")
    assert {row["run_id"] for row in rows} == {turn.run_id}
    assert [row["otid"] for row in rows[:2]] == [message["otid"] for message in sent]
    parts = dict.fromkeys((part["message_type"], _number(part["otid"])) for part in turn.parts)
    assert list(parts) == [(row["message_type"], _number(row["otid"])) for row in rows[2:]]
    assert [kind for kind, _ in parts] == ["reasoning_message", "assistant_message", "approval_request_message"]


def test_long_pages_are_given_whole(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, *[user(f"line {number}") for number in range(120)])
    assert len(rows_of(wire, turn.run_id, order="asc", limit="1000")) == 121
    assert len(wire.rows(conversation_id, order="desc", limit=200)) == 122
    assert len(active(wire, conversation_id=conversation_id, limit="100")) == 0


@pytest.mark.scripted("it holds the model at a gate")
@pytest.mark.not_recorded("hangs up")
def test_a_request_that_was_cut_before_its_answer_is_on_record_and_goes_on(
    wire: Wire, backend: Backend, conversation_id: str
) -> None:
    gate = new_gate()
    send_and_hang_up(backend, conversation_id, user(f"[[hold {gate}]] {SAY}"))
    until(lambda: len(active(wire, conversation_id=conversation_id)) == 1)
    (run,) = active(wire, conversation_id=conversation_id)
    backend.wait_for_gate(gate)
    backend.open_gate(gate)
    assert wire.ended_run(run["id"])["status"] == "completed"
    assert wire.story(conversation_id)[-1] == ("assistant_message", "Hello there friend")


def send_and_hang_up(backend: Backend, conversation_id: str, message: Json) -> None:
    address = urlsplit(backend.base_url)
    body = json.dumps({"messages": [message], "stream_tokens": True}).encode()
    head = f"POST /v1/conversations/{conversation_id}/messages HTTP/1.1\r\nHost: {address.netloc}\r\n"
    if backend.api_key:
        head += f"Authorization: Bearer {backend.api_key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        connection.sendall(head.encode() + body)
