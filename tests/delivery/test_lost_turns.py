"""Turns whose end was not seen: the same call made again takes them up, once."""

from __future__ import annotations

import pytest

from letta_adapters.delivery_steps import TurnOptions, TurnOutcome
from letta_adapters.errors import ConnectFailed, InvalidRequest, TurnInterrupted
from letta_adapters.memory import TurnMemory
from letta_adapters.planner import Target
from letta_adapters.transcript import HumanEntry
from letta_adapters.wire import Conversation
from tests.core.play import Clock
from tests.delivery.flows import FOLLOWED, GONE, NAMELESS, PROMPT, asked, begin, claim, finish, interrupted, otids, sent


def test_asking_again_after_a_lost_turn_attaches_to_it_in_the_same_conversation() -> None:
    memory = TurnMemory()
    flow = begin(NAMELESS, FOLLOWED, memory=memory)
    next(flow)
    first = flow.send(Conversation(id="conv-2", agent_id="agent-1"))
    with pytest.raises(TurnInterrupted):
        flow.send(interrupted())
    again = begin(NAMELESS, FOLLOWED, memory=memory)
    assert asked(claim(again, next(again))) == ("GET", "/v1/conversations/conv-2/messages")
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


def test_a_lost_turn_is_still_known_when_a_call_that_says_more_is_given_up() -> None:
    memory = TurnMemory()
    flow = begin(NAMELESS, memory=memory)
    lost = otids(next(flow))
    with pytest.raises(TurnInterrupted):
        flow.send(interrupted())
    longer = begin([*NAMELESS, HumanEntry(content="and more")], memory=memory)
    next(longer)
    longer.close()
    assert otids(next(begin(NAMELESS, memory=memory))) == lost


@pytest.mark.parametrize(("accepted", "is_lost"), [(None, True), (False, False)], ids=["perhaps", "surely not"])
def test_a_server_that_went_away_may_have_the_turn(accepted: bool | None, is_lost: bool) -> None:
    memory = TurnMemory()
    flow = begin(NAMELESS, memory=memory)
    first = otids(next(flow))
    with pytest.raises(ConnectFailed):
        gone = ConnectFailed("gone", accepted=accepted)
        flow.send(TurnOutcome(result=gone, run_id=None, replayed=False))
    assert (otids(next(begin(NAMELESS, memory=memory))) == first) is is_lost


def test_a_lost_turn_is_forgotten_before_other_people_say_the_same() -> None:
    clock = Clock()
    memory = TurnMemory(clock=clock)
    flow = begin(NAMELESS, memory=memory)
    lost = otids(next(flow))
    with pytest.raises(TurnInterrupted):
        flow.send(interrupted())
    clock.wait(3600)
    assert otids(next(begin(NAMELESS, memory=memory))) != lost


def test_the_same_words_after_a_turn_that_went_well_are_a_new_turn() -> None:
    memory = TurnMemory()
    flow = begin(NAMELESS, memory=memory)
    first = otids(next(flow))
    finish(flow)
    assert otids(next(begin(NAMELESS, memory=memory))) != first


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


def test_the_conversation_of_a_lost_turn_is_not_deleted_when_its_retry_is_refused() -> None:
    memory = TurnMemory()
    flow = begin(NAMELESS, FOLLOWED, memory=memory)
    next(flow)
    flow.send(Conversation(id="conv-2", agent_id="agent-1"))
    with pytest.raises(TurnInterrupted):
        flow.send(interrupted())
    again = begin(NAMELESS, FOLLOWED, memory=memory)
    claim(again, next(again))
    sent(again.send([PROMPT]))
    refusal = InvalidRequest("no", status=422, accepted=False)
    with pytest.raises(InvalidRequest):
        again.send(TurnOutcome(result=refusal, run_id=None, replayed=False))


def test_a_lost_turn_whose_conversation_is_gone_is_told_to_a_new_one() -> None:
    memory = TurnMemory()
    flow = begin(NAMELESS, FOLLOWED, memory=memory)
    next(flow)
    flow.send(Conversation(id="conv-2", agent_id="agent-1"))
    with pytest.raises(TurnInterrupted):
        flow.send(interrupted())
    again = begin(NAMELESS, FOLLOWED, memory=memory)
    assert asked(claim(again, next(again))) == ("GET", "/v1/conversations/conv-2/messages")
    assert asked(again.send([])) == ("GET", "/v1/conversations/conv-2")
    assert asked(again.throw(GONE)) == ("POST", "/v1/conversations/")
