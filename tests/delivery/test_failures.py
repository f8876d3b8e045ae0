"""Turns that failed: what they left is asked for, and a retry counts past failures that left nothing."""

from __future__ import annotations

from typing import Any

import pytest

from letta_adapters.delivery_steps import Claim, TurnOptions, TurnOutcome
from letta_adapters.errors import ConnectFailed, NotFound, ProtocolError, TurnFailed
from letta_adapters.identity import MAX_ATTEMPTS
from letta_adapters.memory import TurnMemory
from letta_adapters.wire import UserMessage
from tests.delivery.flows import ANSWER, asked, begin, failed, finish, looked, otids, sent


def row() -> UserMessage:
    return UserMessage(id="message-0", content="hello")


def test_after_a_failure_that_left_nothing_the_next_call_is_another_attempt() -> None:
    memory = TurnMemory()
    flow = begin(memory=memory)
    first = otids(next(flow))
    assert asked(flow.send(failed())) == ("GET", "/v1/runs/run-1/messages")
    with pytest.raises(TurnFailed) as caught:
        flow.send([])
    assert caught.value.accepted is False
    again = begin(memory=memory)
    assert otids(looked(again, next(again))) != first


def test_what_another_process_stored_after_our_failure_is_found_before_another_attempt() -> None:
    memory = TurnMemory()
    flow = begin(memory=memory)
    (otid,) = otids(next(flow))
    flow.send(failed())
    with pytest.raises(TurnFailed):
        flow.send([])
    again = begin(memory=memory)
    stored = UserMessage(id="message-0", content="hello", otid=otid, run_id="run-2")
    assert sent(looked(again, next(again), stored)).stored_run_id == "run-2"


def test_after_a_failure_that_stored_the_input_the_next_call_is_the_same_request() -> None:
    memory = TurnMemory()
    flow = begin(memory=memory)
    first = otids(next(flow))
    flow.send(failed())
    with pytest.raises(TurnFailed) as caught:
        flow.send([row()])
    assert caught.value.accepted is True
    assert otids(next(begin(memory=memory))) == first


def test_a_failure_of_an_earlier_process_is_counted_past_within_the_call() -> None:
    flow = begin()
    first = otids(next(flow))
    flow.send(failed(replayed=True))
    second = otids(looked(flow, flow.send([])))
    assert second != first
    assert finish(flow).turn == ANSWER


def test_what_came_after_a_failure_of_an_earlier_process_is_looked_for_before_another_attempt() -> None:
    flow = begin()
    (otid,) = otids(next(flow))
    flow.send(failed(replayed=True))
    stored = UserMessage(id="message-0", content="hello", otid=otid, run_id="run-2")
    assert sent(looked(flow, flow.send([]), stored)).stored_run_id == "run-2"


def test_a_conversation_that_was_looked_at_is_not_looked_at_for_every_attempt() -> None:
    flow = begin()
    next(flow)
    flow.send(failed(replayed=True))
    second = otids(looked(flow, flow.send([])))
    flow.send(failed(replayed=True))
    assert otids(flow.send([])) != second


def test_a_new_failure_is_raised_and_not_tried_again_by_itself() -> None:
    flow = begin()
    next(flow)
    flow.send(failed(replayed=True))
    looked(flow, flow.send([]))
    flow.send(failed(replayed=False))
    with pytest.raises(TurnFailed):
        flow.send([])


def test_counting_past_failures_has_an_end() -> None:
    flow = begin()
    step: Any = next(flow)
    turns = 0
    with pytest.raises(TurnFailed):
        while True:
            turns += 1
            sent(step)
            flow.send(failed(replayed=True))
            step = flow.send([])
            step = looked(flow, step) if isinstance(step, Claim) else step
    assert turns == MAX_ATTEMPTS


def test_when_it_cannot_be_found_out_what_was_stored_the_turns_own_error_is_raised() -> None:
    flow = begin()
    next(flow)
    flow.send(failed())
    with pytest.raises(TurnFailed) as caught:
        flow.throw(ConnectFailed("gone"))
    assert caught.value.accepted is None


def test_a_refusal_before_anything_ran_is_raised_without_asking() -> None:
    flow = begin()
    next(flow)
    with pytest.raises(NotFound):
        flow.send(TurnOutcome(result=NotFound("gone", status=404), run_id=None, replayed=False))


def test_a_request_that_never_became_a_run_is_the_same_request_next_time() -> None:
    # Counting it would let a re-run in another process, which knows nothing of it, store the turn twice.
    memory = TurnMemory()
    flow = begin(memory=memory)
    first = otids(next(flow))
    with pytest.raises(ConnectFailed):
        flow.send(TurnOutcome(result=ConnectFailed("refused"), run_id=None, replayed=False))
    assert otids(next(begin(memory=memory))) == first


def test_failures_are_remembered_up_to_a_limit() -> None:
    memory = TurnMemory(limit=2)
    for name in "abc":
        memory.failed((name,), 1)
    assert [memory.attempt((name,)) for name in "abc"] == [1, 2, 2]


def test_a_failure_without_background_streams_is_not_counted_since_nothing_replays_it() -> None:
    memory = TurnMemory()
    flow = begin(memory=memory)
    first = otids(next(flow))
    failure = TurnFailed("broke", accepted=False)
    with pytest.raises(TurnFailed):
        flow.send(TurnOutcome(result=failure, run_id="run-1", replayed=False, background=False))
    assert otids(next(begin(memory=memory))) == first


def test_missing_rows_prove_nothing_while_a_filter_of_types_hides_them() -> None:
    flow = begin(options=TurnOptions(include_return_message_types=("assistant_message",)))
    next(flow)
    flow.send(TurnOutcome(result=TurnFailed("broke"), run_id="run-1", replayed=False))
    with pytest.raises(TurnFailed) as caught:
        flow.send([])
    assert caught.value.accepted is None


def test_missing_rows_prove_nothing_of_a_stream_that_could_not_be_read() -> None:
    flow = begin()
    next(flow)
    with pytest.raises(ProtocolError) as caught:
        flow.send(TurnOutcome(result=ProtocolError("garbage", accepted=None), run_id="run-1", replayed=False))
    assert caught.value.accepted is None
