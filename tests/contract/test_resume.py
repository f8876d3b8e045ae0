"""Reading the stream of a background run again."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.conftest import Backend
from tests.contract.build import new_gate, new_otid, user
from tests.contract.wire import Turn, Wire, whole_turn

SAY = "[[say Hello there friend]]"


@pytest.fixture
def otid() -> str:
    return new_otid()


@pytest.fixture
def turn(wire: Wire, conversation_id: str, otid: str) -> Turn:
    """A finished background turn of four numbered frames: a ping and three deltas."""
    return wire.post(conversation_id, user(SAY, otid), stream_tokens=True, background=True)


def test_a_finished_run_is_read_again_by_its_run_id(wire: Wire, conversation_id: str, turn: Turn) -> None:
    again = wire.resume(conversation_id, run_id=turn.run_id)
    assert again.frames == turn.frames
    assert again.done


def test_a_finished_run_is_read_again_by_its_otid(wire: Wire, conversation_id: str, turn: Turn, otid: str) -> None:
    assert wire.resume(conversation_id, otid=otid).frames == turn.frames


@pytest.mark.parametrize("position", [0, 1])
def test_any_otid_of_the_request_finds_the_run(wire: Wire, conversation_id: str, position: int) -> None:
    otids = [new_otid(), new_otid()]
    turn = wire.post(conversation_id, *[user(SAY, o) for o in otids], background=True)
    assert wire.resume(conversation_id, otid=otids[position]).frames == turn.frames


def test_starting_after_is_exclusive(wire: Wire, conversation_id: str, turn: Turn) -> None:
    again = wire.resume(conversation_id, run_id=turn.run_id, starting_after=2)
    assert [p["seq_id"] for p in again.parts] == [3, 4]
    assert again.text == "there friend"
    assert again.types[-2:] == ["stop_reason", "usage_statistics"]
    assert again.done


def test_starting_after_the_last_number_gives_the_end_only(wire: Wire, conversation_id: str, turn: Turn) -> None:
    again = wire.resume(conversation_id, run_id=turn.run_id, starting_after=4)
    assert again.types == ["stop_reason", "usage_statistics"]
    assert again.done


def test_the_runs_own_endpoint_reads_it_again_too(wire: Wire, turn: Turn) -> None:
    response = wire.http.post(f"/v1/runs/{turn.run_id}/stream", json={"starting_after": 2})
    assert whole_turn(response).text == "there friend"


@pytest.mark.scripted("it holds the model at a gate")
@pytest.mark.not_recorded("hangs up")
def test_the_active_run_is_found_without_any_name(wire: Wire, backend: Backend, conversation_id: str) -> None:
    gate = new_gate()
    first = wire.start(conversation_id, user(f"[[hold {gate} 1]] {SAY}"), stream_tokens=True, background=True)
    backend.wait_for_gate(gate)
    seen = wire.cut_resume(conversation_id, frames=2)
    backend.open_gate(gate)
    assert seen == list(first.result().frames[:2])


@pytest.mark.scripted("it holds the model at a gate")
@pytest.mark.not_recorded("hangs up")
def test_a_cut_turn_goes_on_and_is_read_to_its_end(wire: Wire, backend: Backend, conversation_id: str) -> None:
    gate, otid = new_gate(), new_otid()
    message = user(f"[[hold {gate} 1]] {SAY}", otid)
    seen = wire.cut(conversation_id, message, frames=2, stream_tokens=True, background=True)
    backend.open_gate(gate)
    rest = wire.resume(conversation_id, otid=otid, starting_after=seen[-1]["seq_id"])
    assert seen[-1]["content"] + rest.text == "Hello there friend"
    assert wire.story(conversation_id)[-1] == ("assistant_message", "Hello there friend")


def test_without_an_active_run_nothing_is_found(wire: Wire, conversation_id: str, turn: Turn) -> None:
    wire.ended_run(turn.run_id)
    answer = wire.resume(conversation_id)
    assert answer.status == 400
    assert "No active runs found" in answer.body["detail"]


def test_an_unknown_otid_is_a_404(wire: Wire, conversation_id: str) -> None:
    answer = wire.resume(conversation_id, otid=new_otid())
    assert answer.status == 404
    assert "No run found for otid" in answer.body["detail"]


def test_an_unknown_run_is_a_404(wire: Wire, conversation_id: str) -> None:
    assert wire.resume(conversation_id, run_id="run-00000000-0000-4000-8000-000000000000").status == 404


def test_an_unknown_run_of_an_unknown_conversation_is_a_404(wire: Wire) -> None:
    assert wire.resume(f"conv-{uuid4()}", run_id=f"run-{uuid4()}").status == 404


@pytest.mark.scripted("it holds the model at a gate")
def test_the_active_foreground_run_cannot_be_resumed(wire: Wire, backend: Backend, conversation_id: str) -> None:
    gate = new_gate()
    first = wire.start(conversation_id, user(f"[[hold {gate} 1]] {SAY}"), stream_tokens=True)
    backend.wait_for_gate(gate)
    answer = wire.resume(conversation_id)
    backend.open_gate(gate)
    assert first.result().text == "Hello there friend"
    assert answer.status == 400
    assert "not created in background mode" in answer.body["detail"]
