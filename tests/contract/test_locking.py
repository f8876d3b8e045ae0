"""One streamed turn at a time, and how a turn is cancelled."""

from __future__ import annotations

import time
from concurrent.futures import Future

import pytest

from tests.conftest import Backend
from tests.contract.build import new_gate, user
from tests.contract.wire import Turn, Wire, until

SAY = "[[say Hello there friend]]"
CANCEL_CHECK = 0.6
"""The server looks for a cancellation at a frame, and only 0.5 s after it looked last."""


def held(wire: Wire, backend: Backend, conversation_id: str, gate: str, *, background: bool) -> Future[Turn]:
    """A turn in flight whose model waits after its first token."""
    message = user(f"[[hold {gate} 1]] {SAY}")
    turn = wire.start(conversation_id, message, stream_tokens=True, background=background)
    backend.wait_for_gate(gate)
    return turn


@pytest.mark.scripted("it holds the model at a gate")
def test_a_second_streamed_turn_is_a_409_that_names_the_run(wire: Wire, backend: Backend, conversation_id: str) -> None:
    for background in (False, True):
        gate = new_gate()
        first = held(wire, backend, conversation_id, gate, background=background)
        second = wire.post(conversation_id, user("me too"), background=background)
        backend.open_gate(gate)
        assert second.status == 409
        assert "is currently being processed" in second.body["detail"]
        assert second.body["run_id"] == first.result().run_id


@pytest.mark.scripted("it holds the model at a gate")
def test_a_refused_turn_is_not_stored(wire: Wire, backend: Backend, conversation_id: str) -> None:
    gate = new_gate()
    first = held(wire, backend, conversation_id, gate, background=False)
    wire.post(conversation_id, user("me too"))
    backend.open_gate(gate)
    first.result()
    assert [kind for kind, _ in wire.story(conversation_id)] == ["user_message", "assistant_message"]


@pytest.mark.scripted("it holds the model at a gate")
def test_another_conversation_of_the_agent_is_not_busy(
    wire: Wire, backend: Backend, agent_id: str, conversation_id: str
) -> None:
    gate = new_gate()
    first = held(wire, backend, conversation_id, gate, background=False)
    other = wire.post(wire.new_conversation(agent_id), user(SAY))
    backend.open_gate(gate)
    assert other.text == "Hello there friend"
    assert first.result().text == "Hello there friend"


@pytest.mark.scripted("it holds the model at a gate")
def test_json_turns_take_no_lock(wire: Wire, backend: Backend, conversation_id: str) -> None:
    gate = new_gate()
    first = held(wire, backend, conversation_id, gate, background=False)
    second = wire.post(conversation_id, user("me too [[say yes]]"), streaming=False)
    backend.open_gate(gate)
    assert second.status == 200
    assert first.result().done


@pytest.mark.scripted("it holds the model at a gate")
@pytest.mark.not_recorded("hangs up")
def test_a_foreground_turn_goes_on_without_its_client(wire: Wire, backend: Backend, conversation_id: str) -> None:
    gate = new_gate()
    seen = wire.cut(conversation_id, user(f"[[hold {gate} 1]] {SAY}"), frames=2, stream_tokens=True)
    assert seen[-1]["content"] == "Hello "
    assert wire.post(conversation_id, user("me too")).status == 409
    assert wire.stored(conversation_id) == []
    backend.open_gate(gate)
    until(lambda: len(wire.stored(conversation_id)) == 2)
    assert wire.story(conversation_id)[-1] == ("assistant_message", "Hello there friend")
    until(lambda: wire.post(conversation_id, user(SAY)).status == 200)


@pytest.mark.scripted("it holds the model at a gate")
def test_the_run_of_a_turn_in_flight_is_listed(wire: Wire, backend: Backend, conversation_id: str) -> None:
    gate = new_gate()
    first = held(wire, backend, conversation_id, gate, background=True)
    (run,) = wire.runs(conversation_id)
    backend.open_gate(gate)
    assert run["id"] == first.result().run_id
    assert run["status"] in ("created", "running")
    assert run["background"] is True


def cancelled(wire: Wire, backend: Backend, conversation_id: str, *, background: bool) -> Turn:
    gate = new_gate()
    turn = held(wire, backend, conversation_id, gate, background=background)
    answer = wire.cancel(conversation_id)
    time.sleep(CANCEL_CHECK)
    backend.open_gate(gate)
    assert answer.json() == {turn.result().run_id: "cancelled"}
    return turn.result()


@pytest.mark.scripted("it holds the model at a gate")
def test_a_cancelled_turn_ends_so_and_stores_nothing(wire: Wire, backend: Backend, conversation_id: str) -> None:
    for background in (False, True):
        turn = cancelled(wire, backend, conversation_id, background=background)
        assert turn.stop_reasons[-1] == "cancelled"
        assert turn.of("usage_statistics") == []
        assert wire.stored(conversation_id) == []
        assert wire.get(f"/v1/runs/{turn.run_id}")["status"] == "cancelled"


@pytest.mark.scripted("it holds the model at a gate")
def test_a_cancelled_conversation_takes_the_next_turn(wire: Wire, backend: Backend, conversation_id: str) -> None:
    cancelled(wire, backend, conversation_id, background=True)
    turn = wire.post(conversation_id, user("[[recall]] next"), background=True)
    assert turn.text == "user: next"


@pytest.mark.scripted("it holds the model at a gate")
def test_the_otid_of_a_cancelled_turn_replays_its_end(wire: Wire, backend: Backend, conversation_id: str) -> None:
    gate = new_gate()
    message = user(f"[[hold {gate} 1]] {SAY}")
    first = wire.start(conversation_id, message, stream_tokens=True, background=True)
    backend.wait_for_gate(gate)
    wire.cancel(conversation_id)
    time.sleep(CANCEL_CHECK)
    backend.open_gate(gate)
    assert first.result().stop_reasons[-1] == "cancelled"
    again = wire.post(conversation_id, message, stream_tokens=True, background=True)
    assert again.frames == first.result().frames
    assert wire.stored(conversation_id) == []


def test_cancel_where_nothing_runs_is_a_409(wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user(SAY))
    answer = wire.cancel(conversation_id)
    assert answer.status_code == 409
    assert "no active runs" in answer.json()["detail"].lower()
