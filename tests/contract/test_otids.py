"""Sending a request again: what the otids of its messages decide, and what they do not."""

from __future__ import annotations

import pytest

from tests.conftest import Backend
from tests.contract.build import new_gate, new_otid, user
from tests.contract.wire import Turn, Wire

SAY = "[[say Hello there friend]]"


def send(wire: Wire, conversation_id: str, *otids: str, text: str = SAY) -> Turn:
    messages = [user(text, otid) for otid in otids]
    return wire.post(conversation_id, *messages, stream_tokens=True, background=True)


def test_the_same_otid_in_background_replays_the_same_frames(wire: Wire, conversation_id: str) -> None:
    otid = new_otid()
    first = send(wire, conversation_id, otid)
    again = send(wire, conversation_id, otid)
    assert again.frames == first.frames
    assert again.done
    assert wire.story(conversation_id) == [("user_message", SAY), ("assistant_message", "Hello there friend")]


def test_the_same_otid_in_foreground_is_a_new_turn(wire: Wire, conversation_id: str) -> None:
    otid = new_otid()
    for _ in range(2):
        wire.post(conversation_id, user(SAY, otid))
    asked = [row for row in wire.stored(conversation_id) if row["message_type"] == "user_message"]
    assert [row["otid"] for row in asked] == [otid, otid]


def test_the_same_otid_in_json_mode_is_a_new_turn(wire: Wire, conversation_id: str) -> None:
    otid = new_otid()
    for _ in range(2):
        assert wire.post(conversation_id, user(SAY, otid), streaming=False).status == 200
    asked = [row for row in wire.stored(conversation_id) if row["message_type"] == "user_message"]
    assert [row["otid"] for row in asked] == [otid, otid]


def test_a_foreground_repeat_of_a_background_turn_is_a_new_turn(wire: Wire, conversation_id: str) -> None:
    otid = new_otid()
    send(wire, conversation_id, otid)
    wire.post(conversation_id, user(SAY, otid))
    assert len(wire.stored(conversation_id)) == 4


def test_the_same_otid_with_other_text_replays_the_old_answer(wire: Wire, conversation_id: str) -> None:
    otid = new_otid()
    first = send(wire, conversation_id, otid)
    edited = send(wire, conversation_id, otid, text="[[say something else]]")
    assert edited.frames == first.frames
    assert wire.story(conversation_id) == [("user_message", SAY), ("assistant_message", "Hello there friend")]


def test_a_request_that_shares_only_some_otids_is_new(wire: Wire, conversation_id: str) -> None:
    shared = new_otid()
    send(wire, conversation_id, shared)
    send(wire, conversation_id, shared, new_otid())
    assert [kind for kind, _ in wire.story(conversation_id)] == [
        "user_message",
        "assistant_message",
        "user_message",
        "user_message",
        "assistant_message",
    ]


def test_the_order_of_the_otids_counts(wire: Wire, conversation_id: str) -> None:
    one, two = new_otid(), new_otid()
    first = send(wire, conversation_id, one, two)
    assert send(wire, conversation_id, two, one).run_id != first.run_id
    assert send(wire, conversation_id, one, two).run_id == first.run_id


def test_in_another_conversation_the_first_ones_answer_is_replayed_and_nothing_stored(
    wire: Wire, agent_id: str, conversation_id: str
) -> None:
    otid = new_otid()
    first = send(wire, conversation_id, otid)
    other = wire.new_conversation(agent_id)
    assert send(wire, other, otid).frames == first.frames
    assert wire.stored(other) == []


@pytest.mark.scripted("its model fails")
def test_a_failed_run_replays_its_failure(wire: Wire, conversation_id: str) -> None:
    otid = new_otid()
    first = send(wire, conversation_id, otid, text="[[fail 500]]")
    assert first.events[-1] == "error"
    again = send(wire, conversation_id, otid, text="[[fail 500]]")
    assert (again.frames, again.events, again.done) == (first.frames, first.events, first.done)
    assert wire.stored(conversation_id) == []


@pytest.mark.scripted("it holds the model at a gate")
@pytest.mark.not_recorded("requests at once")
def test_three_identical_requests_at_once_are_one_turn(wire: Wire, backend: Backend, conversation_id: str) -> None:
    gate, message = new_gate(), user("", new_otid())
    message["content"] = f"[[hold {gate} 1]] {SAY}"
    turns = [wire.start(conversation_id, message, stream_tokens=True, background=True) for _ in range(3)]
    backend.wait_for_gate(gate)
    backend.open_gate(gate)
    first, *others = [turn.result() for turn in turns]
    assert [other.frames for other in others] == [first.frames] * 2
    assert first.text == "Hello there friend"
    assert len(wire.stored(conversation_id)) == 2


@pytest.mark.scripted("it holds the model at a gate")
@pytest.mark.not_recorded("hangs up")
def test_a_repeat_in_mid_run_gets_the_whole_stream_from_its_start(
    wire: Wire, backend: Backend, conversation_id: str
) -> None:
    gate, otid = new_gate(), new_otid()
    message = user(f"[[hold {gate} 1]] {SAY}", otid)
    first = wire.start(conversation_id, message, stream_tokens=True, background=True)
    backend.wait_for_gate(gate)
    in_mid_run = wire.cut(conversation_id, message, frames=2, stream_tokens=True, background=True)
    backend.open_gate(gate)
    assert in_mid_run == list(first.result().frames[:2])
    assert first.result().text == "Hello there friend"
    assert len(wire.stored(conversation_id)) == 2


@pytest.mark.scripted("it holds the model at a gate")
@pytest.mark.not_recorded("hangs up")
def test_a_repeat_after_a_cut_gets_the_whole_turn(wire: Wire, backend: Backend, conversation_id: str) -> None:
    gate = new_gate()
    message = user(f"[[hold {gate} 1]] {SAY}")
    seen = wire.cut(conversation_id, message, frames=2, stream_tokens=True, background=True)
    assert [frame["message_type"] for frame in seen] == ["ping", "assistant_message"]
    again = wire.start(conversation_id, message, stream_tokens=True, background=True)
    backend.open_gate(gate)
    assert list(again.result().frames[:2]) == seen
    assert again.result().text == "Hello there friend"
    assert len(wire.stored(conversation_id)) == 2
