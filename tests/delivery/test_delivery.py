"""The order of things in a delivery, without I/O: what is asked for, and what every outcome leads to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from letta_adapters.client.endpoints import Endpoint
from letta_adapters.client.turns import PreparedTurn
from letta_adapters.delivery import delivery
from letta_adapters.delivery_steps import Claim, Delivered, Flow, Pause, TurnOptions, TurnOutcome
from letta_adapters.errors import ConnectFailed, ConversationBusy, NotFound, ProtocolError, TurnFailed, TurnInterrupted
from letta_adapters.events import FinishedTurn, Text
from letta_adapters.locks import Patience
from letta_adapters.memory import TurnMemory
from letta_adapters.planner import Target
from letta_adapters.policies import Policies, SystemPolicy
from letta_adapters.transcript import Entry, HumanEntry, SystemEntry
from letta_adapters.wire import Conversation, Run, SystemMessage, UserMessage
from tests.core.play import CLOCK, Clock

FOLLOWED = Target(agent_id="agent-1")
PINNED = Target(agent_id="agent-1", conversation_id="conv-1")
ASKED: list[Entry] = [HumanEntry(content="hello", id="h1")]
ANSWER = FinishedTurn(
    conversation_id="conv-1",
    agent_id="agent-1",
    run_id="run-1",
    message_ids=("message-1",),
    parts=(Text(index=0, text="hi"),),
    stop_reason="end_turn",
)

PROMPT = SystemMessage(id="message-p", content="You are an agent.")
"""What every conversation begins with."""


def begin(
    transcript: list[Entry] | None = None,
    target: Target = PINNED,
    *,
    server: str = "http://letta.test",
    memory: TurnMemory | None = None,
    options: TurnOptions | None = None,
    system_policy: SystemPolicy = "once",
    patience: Patience | None = None,
) -> Flow:
    return delivery(
        transcript or ASKED,
        target,
        server=server,
        memory=memory or TurnMemory(),
        options=options,
        policies=Policies(system_messages=system_policy),
        patience=patience,
    )


def asked(step: object) -> tuple[str, str]:
    assert isinstance(step, Endpoint)
    return step.request.method, step.request.path


def patience_of(step: object) -> float | None:
    patience = sent(step).patience
    return patience.seconds if patience else None


def sent(step: object) -> PreparedTurn:
    assert isinstance(step, PreparedTurn)
    return step


def otids(step: object) -> tuple[str, ...]:
    request = sent(step).request
    assert request is not None
    return request.otids


def finish(flow: Flow, turn: FinishedTurn = ANSWER) -> Delivered:
    with pytest.raises(StopIteration) as stopped:
        flow.send(TurnOutcome(result=turn, run_id="run-1", replayed=False))
    return stopped.value.value


def failed(*, replayed: bool = False) -> TurnOutcome:
    error = TurnFailed("it failed", stop_reason="llm_api_error", run_id="run-1")
    return TurnOutcome(result=error, run_id="run-1", replayed=replayed)


def row() -> UserMessage:
    return UserMessage(id="message-0", content="hello")


def test_a_pinned_turn_is_sent_at_once_and_its_answer_carries_the_anchor() -> None:
    flow = begin()
    assert sent(next(flow)).conversation_id == "conv-1"
    delivered = finish(flow)
    assert delivered.turn == ANSWER
    assert (delivered.anchor.conversation_id, delivered.anchor.message_id) == ("conv-1", "message-1")


def test_a_followed_transcript_without_an_anchor_gets_a_new_conversation_first() -> None:
    flow = begin(target=FOLLOWED)
    assert asked(next(flow)) == ("POST", "/v1/conversations/")
    assert sent(flow.send(Conversation(id="conv-2", agent_id="agent-1"))).conversation_id == "conv-2"


def test_nothing_is_sent_when_the_conversation_cannot_be_made() -> None:
    flow = begin(target=FOLLOWED)
    next(flow)
    with pytest.raises(NotFound):
        flow.throw(NotFound("no such agent", status=404))


def test_a_pinned_conversation_is_asked_for_the_system_texts_it_holds() -> None:
    flow = begin([SystemEntry(text="be kind"), *ASKED])
    next(flow)
    assert asked(next(flow)) == ("GET", "/v1/conversations/conv-1/messages")
    step = flow.send([SystemMessage(id="message-0", content="be kind")])
    assert len(otids(step)) == 1


def test_options_reach_the_request() -> None:
    request = sent(next(begin(options=TurnOptions(max_steps=3, override_model="a/b", background=False)))).request
    assert request is not None
    assert (request.max_steps, request.override_model, request.background) == (3, "a/b", False)


def test_the_override_policy_wins_over_the_option() -> None:
    flow = begin(
        [SystemEntry(text="be kind"), *ASKED], options=TurnOptions(override_system="x"), system_policy="override"
    )
    request = sent(next(flow)).request
    assert request is not None
    assert request.override_system == "be kind"


def test_after_a_failure_that_left_nothing_the_next_call_is_another_attempt() -> None:
    memory = TurnMemory()
    flow = begin(memory=memory)
    first = otids(next(flow))
    assert asked(flow.send(failed())) == ("GET", "/v1/runs/run-1/messages")
    with pytest.raises(TurnFailed) as caught:
        flow.send([])
    assert caught.value.accepted is False
    assert otids(next(begin(memory=memory))) != first


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
    second = otids(flow.send([]))
    assert second != first
    assert finish(flow).turn == ANSWER


def test_a_new_failure_is_raised_and_not_tried_again_by_itself() -> None:
    flow = begin()
    next(flow)
    flow.send(failed(replayed=True))
    flow.send([])
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
    assert 1 < turns < 50


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


def test_a_plan_that_was_read_for_is_made_again_when_the_conversation_was_busy() -> None:
    flow = begin([SystemEntry(text="be kind"), *ASKED])
    next(flow)
    next(flow)
    turn = flow.send([])
    assert (len(otids(turn)), patience_of(turn)) == (2, 0)
    busy = TurnOutcome(result=ConversationBusy("busy", status=409), run_id=None, replayed=False)
    assert isinstance(flow.send(busy), Pause)
    assert isinstance(flow.send(None), Claim)
    assert asked(flow.send(None))[0] == "GET"
    assert len(otids(flow.send([SystemMessage(id="message-0", content="be kind", otid="other")]))) == 1


def test_what_the_other_turn_stores_is_read_only_after_its_run_is_over() -> None:
    flow = begin([SystemEntry(text="be kind"), *ASKED])
    next(flow)
    next(flow)
    flow.send([])
    busy = ConversationBusy("busy", status=409, run_id="run-9")
    assert isinstance(flow.send(TurnOutcome(result=busy, run_id=None, replayed=False)), Pause)
    assert asked(flow.send(None)) == ("GET", "/v1/runs/run-9")
    assert isinstance(flow.send(Run(id="run-9", status="running")), Pause)
    assert asked(flow.send(None)) == ("GET", "/v1/runs/run-9")
    assert isinstance(flow.send(Run(id="run-9", status="completed")), Claim)


def test_a_run_that_cannot_be_watched_does_not_fail_the_turn_that_waits_for_it() -> None:
    flow = begin([SystemEntry(text="be kind"), *ASKED])
    next(flow)
    next(flow)
    flow.send([])
    busy = ConversationBusy("busy", status=409, run_id="run-9")
    flow.send(TurnOutcome(result=busy, run_id=None, replayed=False))
    assert asked(flow.send(None)) == ("GET", "/v1/runs/run-9")
    assert isinstance(flow.throw(NotFound("gone", status=404)), Claim)


def test_waiting_for_a_busy_conversation_has_an_end() -> None:
    flow = begin([SystemEntry(text="be kind"), *ASKED], patience=Patience(1.0, clock=CLOCK))
    waited = 0.0
    next(flow)
    with pytest.raises(ConversationBusy):
        while True:
            next(flow)
            sent(flow.send([]))
            busy = TurnOutcome(result=ConversationBusy("busy", status=409), run_id=None, replayed=False)
            pause = flow.send(busy)
            assert isinstance(pause, Pause)
            waited += pause.seconds
            CLOCK.wait(pause.seconds)
            flow.send(None)
    assert waited == pytest.approx(1.0)


def test_failures_are_remembered_up_to_a_limit() -> None:
    memory = TurnMemory(limit=2)
    for name in "abc":
        memory.failed((name,), 1)
    assert [memory.attempt((name,)) for name in "abc"] == [1, 2, 2]


NAMELESS: list[Entry] = [HumanEntry(content="hello")]


def interrupted() -> TurnOutcome:
    return TurnOutcome(result=TurnInterrupted("lost", accepted=True), run_id="run-1", replayed=False)


def test_asking_again_after_a_lost_turn_attaches_to_it_in_the_same_conversation() -> None:
    memory = TurnMemory()
    flow = begin(NAMELESS, FOLLOWED, memory=memory)
    next(flow)
    first = flow.send(Conversation(id="conv-2", agent_id="agent-1"))
    with pytest.raises(TurnInterrupted):
        flow.send(interrupted())
    again = begin(NAMELESS, FOLLOWED, memory=memory)
    assert isinstance(next(again), Claim)
    assert asked(next(again)) == ("GET", "/v1/conversations/conv-2/messages")
    turn = again.send([PROMPT])  # it may still be in flight, and shows no row
    assert (sent(turn).conversation_id, otids(turn)) == ("conv-2", otids(first))


def test_only_one_caller_takes_up_a_lost_turn() -> None:
    memory = TurnMemory()
    flow = begin(NAMELESS, memory=memory)
    lost = otids(next(flow))
    with pytest.raises(TurnInterrupted):
        flow.send(interrupted())
    again = begin(NAMELESS, memory=memory)
    assert otids(next(again)) == lost
    assert otids(next(begin(NAMELESS, memory=memory))) != lost


def test_a_lost_turn_is_still_known_when_its_retry_does_not_get_through() -> None:
    memory = TurnMemory()
    flow = begin(NAMELESS, memory=memory)
    lost = otids(next(flow))
    with pytest.raises(TurnInterrupted):
        flow.send(interrupted())
    again = begin(NAMELESS, memory=memory)
    next(again)
    with pytest.raises(ConnectFailed):
        again.send(TurnOutcome(result=ConnectFailed("refused"), run_id=None, replayed=False))
    assert otids(next(begin(NAMELESS, memory=memory))) == lost


def test_a_lost_turn_is_forgotten_before_other_people_say_the_same() -> None:
    clock = Clock()
    memory = TurnMemory(clock=clock)
    flow = begin(NAMELESS, memory=memory)
    lost = otids(next(flow))
    with pytest.raises(TurnInterrupted):
        flow.send(interrupted())
    clock.wait(3600)
    assert otids(next(begin(NAMELESS, memory=memory))) != lost


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


def test_the_same_words_after_a_turn_that_went_well_are_a_new_turn() -> None:
    memory = TurnMemory()
    flow = begin(NAMELESS, memory=memory)
    first = otids(next(flow))
    finish(flow)
    assert otids(next(begin(NAMELESS, memory=memory))) != first


def test_a_pinned_plan_that_needs_to_know_more_keeps_other_turns_away_while_it_reads() -> None:
    flow = begin([SystemEntry(text="be kind"), *ASKED])
    claim = next(flow)
    assert isinstance(claim, Claim)
    assert (claim.conversation_id, claim.agent_id) == ("conv-1", "agent-1")


def test_a_system_text_that_this_very_request_stored_is_sent_again_so_that_it_attaches() -> None:
    transcript: list[Entry] = [SystemEntry(text="be kind"), *ASKED]
    first = begin(transcript)
    next(first)
    next(first)
    sent_before = otids(first.send([]))
    again = begin(transcript)
    next(again)
    next(again)
    told = SystemMessage(id="message-0", content="be kind", otid=sent_before[0], run_id="run-1")
    said = UserMessage(id="message-1", content="hello", otid=sent_before[1], run_id="run-1")
    assert otids(again.send([said, told])) == sent_before


@pytest.mark.parametrize(
    ("target", "server", "options"),
    [
        (Target(agent_id="agent-2"), "http://letta.test", None),
        (FOLLOWED, "http://other.test", None),
        (FOLLOWED, "http://letta.test", TurnOptions(override_model="a/b")),
    ],
    ids=["agent", "server", "options"],
)
def test_a_lost_turn_is_given_to_nobody_who_asks_something_else(
    target: Target, server: str, options: TurnOptions | None
) -> None:
    memory = TurnMemory()
    flow = begin(NAMELESS, FOLLOWED, memory=memory)
    next(flow)
    flow.send(Conversation(id="conv-2", agent_id="agent-1"))
    with pytest.raises(TurnInterrupted):
        flow.send(interrupted())
    assert asked(next(begin(NAMELESS, target, server=server, options=options, memory=memory)))[0] == "POST"


def test_a_conversation_given_without_its_agent_is_asked_for_it_once_so_that_the_anchor_is_whole() -> None:
    memory, target = TurnMemory(), Target(agent_id=None, conversation_id="conv-1")
    for asks in (True, False):
        flow = begin(target=target, memory=memory)
        next(flow)
        nameless = TurnOutcome(result=replace(ANSWER, agent_id=None), run_id="run-1", replayed=False)
        with pytest.raises(StopIteration) as stopped:
            step = flow.send(nameless)
            assert asks
            assert asked(step) == ("GET", "/v1/conversations/conv-1")
            flow.send(Conversation(id="conv-1", agent_id="agent-1"))
        assert stopped.value.value.anchor.agent_id == "agent-1"
