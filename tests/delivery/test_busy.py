"""Another turn of the conversation is under way: it is waited for, and what it brought is read."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from letta_adapters.delivery_steps import Claim, Flow, Pause
from letta_adapters.errors import ConversationBusy, NotFound
from letta_adapters.locks import InFlight, Patience
from letta_adapters.planner import Target
from letta_adapters.transcript import Entry, HumanEntry, SystemEntry
from letta_adapters.wire import Run, SystemMessage
from tests.core.play import CLOCK
from tests.delivery.dialogues import NEXT
from tests.delivery.flows import (
    ASKED,
    FOLLOWED,
    asked,
    asks_for_runs,
    begin,
    busy,
    claim,
    knowing,
    otids,
    patience_of,
    query,
    sent,
    told,
)

KIND: list[Entry] = [SystemEntry(text="be kind"), *ASKED]
"""A transcript for which a pinned conversation is looked at."""


def test_a_plan_that_was_read_for_is_made_again_when_the_conversation_was_busy() -> None:
    flow = begin(KIND)
    claim(flow, next(flow))
    turn = flow.send([])
    assert (len(otids(turn)), patience_of(turn)) == (2, 0)
    assert isinstance(flow.send(busy()), Pause)
    assert asked(claim(flow, flow.send(None))) == ("GET", "/v1/conversations/conv-1/messages")
    assert len(otids(flow.send([SystemMessage(id="message-0", content="be kind", otid="other")]))) == 1


def test_what_the_other_turn_stores_is_read_only_after_its_run_is_over() -> None:
    flow = begin(KIND)
    claim(flow, next(flow))
    flow.send([])
    assert isinstance(flow.send(busy("run-9")), Pause)
    assert asked(flow.send(None)) == ("GET", "/v1/runs/run-9")
    assert isinstance(flow.send(Run(id="run-9", status="running")), Pause)
    assert asked(flow.send(None)) == ("GET", "/v1/runs/run-9")
    assert isinstance(flow.send(Run(id="run-9", status="completed")), Claim)


def test_a_run_that_cannot_be_watched_does_not_fail_the_turn_that_waits_for_it() -> None:
    flow = begin(KIND)
    claim(flow, next(flow))
    flow.send([])
    flow.send(busy("run-9"))
    assert asked(flow.send(None)) == ("GET", "/v1/runs/run-9")
    assert isinstance(flow.throw(NotFound("gone", status=404)), Claim)


def test_waiting_for_a_busy_conversation_has_an_end() -> None:
    flow = begin(KIND, patience=Patience(1.0, clock=CLOCK))
    waited = 0.0
    step: object = next(flow)
    with pytest.raises(ConversationBusy):
        while True:
            claim(flow, step)
            sent(flow.send([]))
            pause = flow.send(busy())
            assert isinstance(pause, Pause)
            waited += pause.seconds
            CLOCK.wait(pause.seconds)
            step = flow.send(None)
    assert waited == pytest.approx(1.0)


# The other turn is one of this process: accepted, so that the lock is free, and not over.


def test_a_turn_of_this_process_that_is_over_is_no_hindrance() -> None:
    flow = begin(KIND)
    assert asked(claim(flow, next(flow), other="run-9")) == ("GET", "/v1/runs/run-9")
    assert asked(flow.send(Run(id="run-9", status="completed"))) == ("GET", "/v1/conversations/conv-1/messages")


def test_while_another_turn_of_this_process_runs_nothing_is_read_and_nothing_sent() -> None:
    flow = begin(KIND)
    claim(flow, next(flow), other="run-9")
    assert isinstance(flow.send(Run(id="run-9", status="running")), Pause)
    assert asked(flow.send(None)) == ("GET", "/v1/runs/run-9")
    again = flow.send(Run(id="run-9", status="completed"))
    assert asked(claim(flow, again)) == ("GET", "/v1/conversations/conv-1/messages")
    assert told(flow.send([])) == ["be kind", "hello"]


def test_a_turn_of_this_process_that_is_not_on_record_yet_is_waited_for() -> None:
    flow = begin(KIND)
    claim(flow, next(flow), other="run-9")
    assert isinstance(flow.throw(NotFound("not yet", status=404)), Pause)


def test_a_turn_of_this_process_that_does_not_end_in_time_is_an_error_that_names_it() -> None:
    flow = begin(KIND, patience=Patience(0.0, clock=CLOCK))
    claim(flow, next(flow), other="run-9")
    with pytest.raises(ConversationBusy) as caught:
        flow.send(Run(id="run-9", status="running"))
    assert caught.value.run_id == "run-9"


# The other turn is another process's, or of one that died: the server lists what is under way.

MINE = Run(id="run-9", status="running", conversation_id="conv-1")
TWO: list[Entry] = [*ASKED, HumanEntry(content="are you there?", id="h9")]
"""A transcript whose first question may have been sent before."""


def test_who_asks_again_what_is_under_way_does_not_wait_for_its_end() -> None:
    sent_before = otids(claimed_turn(begin(NEXT, FOLLOWED, memory=knowing())))
    flow = begin(NEXT, FOLLOWED, memory=knowing())
    next(flow)
    assert asked(flow.send(InFlight(run_id="run-9", otids=sent_before))) == ("GET", "/v1/conversations/conv-1/messages")


def claimed_turn(flow: Flow) -> object:
    """The turn that a flow sends when nothing of it is there."""
    claim(flow, next(flow))
    return flow.send([])


def test_while_a_run_of_the_conversation_is_under_way_nothing_is_read_and_nothing_sent() -> None:
    flow = begin(TWO)
    assert isinstance(claim(flow, next(flow), in_flight=[MINE]), Pause)
    assert asked(flow.send(None)) == ("GET", "/v1/runs/run-9")


def test_the_runs_of_the_conversation_are_asked_for() -> None:
    flow = begin(TWO)
    next(flow)
    assert query(flow.send(None)) == {"active": "true", "conversation_id": "conv-1", "limit": 100}


def test_a_run_that_a_dead_server_left_behind_is_no_hindrance() -> None:
    dead = MINE.model_copy(update={"created_at": datetime(2020, 1, 1, tzinfo=timezone.utc)})
    flow = begin(TWO)
    assert asked(claim(flow, next(flow), in_flight=[dead])) == ("GET", "/v1/conversations/conv-1/messages")


def test_a_run_of_another_conversation_does_not_keep_default_busy() -> None:
    target = Target(agent_id="agent-1", conversation_id="default")
    for run, is_busy in ((MINE, False), (MINE.model_copy(update={"conversation_id": None}), True)):
        flow = begin(TWO, target)
        assert isinstance(claim(flow, next(flow), in_flight=[run]), Pause) is is_busy


def test_the_process_that_gave_the_last_answer_does_not_ask_before_one_message() -> None:
    flow = begin(NEXT, FOLLOWED, memory=knowing())
    next(flow)
    assert asked(flow.send(None)) == ("GET", "/v1/conversations/conv-1/messages")


def test_before_several_messages_it_asks_since_the_first_of_them_may_be_under_way() -> None:
    flow = begin([*NEXT, HumanEntry(content="three", id="h3")], FOLLOWED, memory=knowing())
    next(flow)
    assert asks_for_runs(flow.send(None))


def test_it_asks_after_a_turn_of_this_process_that_was_left_before_its_run_was_known() -> None:
    flow = begin(NEXT, FOLLOWED, memory=knowing())
    next(flow)
    assert asks_for_runs(flow.send(InFlight(run_id=None, otids=())))


def test_a_pinned_message_that_needs_no_look_waits_as_long_as_its_patience_lasts() -> None:
    turn = next(begin(patience=Patience(7.0, clock=CLOCK)))
    assert (patience_of(turn), otids(turn)) == (7.0, otids(next(begin())))
