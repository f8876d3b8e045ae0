"""Rule 8: a transcript that went another way goes on in a fork, by the server's hand or by telling it anew."""

from __future__ import annotations

import pytest

from letta_adapters.delivery_steps import Claim, Flow, Pause
from letta_adapters.errors import ConversationBusy, NotFound
from letta_adapters.locks import Patience
from letta_adapters.memory import TurnMemory
from letta_adapters.policies import Policies
from letta_adapters.transcript import Entry
from letta_adapters.wire import Run
from tests.delivery.dialogues import NAMELESS_NEXT, NEXT, answer, of_strangers, rows_of, sent_rows
from tests.delivery.flows import (
    FOLLOWED,
    PROMPT,
    asked,
    begin,
    busy,
    claim,
    conversation,
    finish,
    knowing,
    otids,
    query,
    sent,
    told,
)

CONVERSATIONS = ("GET", "/v1/conversations/")
CREATE = ("POST", "/v1/conversations/")
FORK = ("POST", "/v1/conversations/conv-1/fork")
ANEW = Policies(on_rerun="fork")
WENT_ON = conversation("conv-1", "message-p", "message-1", "message-x-0")


def leaving(
    transcript: list[Entry] = NAMELESS_NEXT, *, memory: TurnMemory | None = None, policies: Policies | None = None
) -> tuple[Flow, object]:
    """A delivery that has seen that its conversation went another way, and its first step to leave it."""
    flow = begin(transcript, FOLLOWED, memory=memory, policies=policies)
    claim(flow, next(flow))
    flow.send(of_strangers())
    return flow, flow.send(WENT_ON)


# By the server.


def test_a_server_that_forks_at_messages_forks_after_the_anchor() -> None:
    flow, step = leaving()
    assert asked(step) == FORK
    assert query(step) == {"message_id": "message-1"}
    assert asked(flow.send(conversation("conv-2"))) == ("GET", "/v1/conversations/conv-2")
    step = flow.send(conversation("conv-2", "message-p2", "message-1"))
    assert asked(step) == ("PATCH", "/v1/conversations/conv-2")
    turn = flow.send(conversation("conv-2", summary="letta-adapters at-anchor"))
    assert (sent(turn).conversation_id, told(turn)) == ("conv-2", ["two"])


def test_a_fork_that_holds_more_is_deleted_and_the_transcript_told_anew() -> None:
    flow, _ = leaving()
    flow.send(conversation("conv-2"))
    step = flow.send(conversation("conv-2", "message-p2", "message-1", "message-x-0"))
    assert asked(step) == ("DELETE", "/v1/conversations/conv-2")
    assert asked(flow.send(None)) == CREATE
    turn = flow.send(conversation("conv-3"))
    assert (sent(turn).conversation_id, told(turn)) == ("conv-3", ["one", "1", "two"])


def test_a_fork_that_cannot_be_deleted_is_no_hindrance() -> None:
    flow, _ = leaving()
    flow.send(conversation("conv-2"))
    flow.send(conversation("conv-2", "message-p2", "message-1", "message-x-0"))
    assert asked(flow.throw(NotFound("gone", status=404))) == CREATE


def test_a_server_that_forks_at_the_end_only_is_asked_once() -> None:
    memory = TurnMemory()
    flow, _ = leaving(memory=memory)
    flow.send(conversation("conv-2"))
    flow.send(conversation("conv-2", "message-p2", "message-1", "message-x-0"))
    assert asked(leaving(memory=memory)[1]) == CREATE


def test_what_one_server_cannot_do_says_nothing_of_another() -> None:
    memory = TurnMemory()
    memory.keep_that_it_forks_at_the_end_only("http://other.test")
    assert asked(leaving(memory=memory)[1]) == FORK


def test_default_is_not_forked_since_that_would_take_its_messages_away() -> None:
    flow = begin([NEXT[0], answer("1", conversation_id="default"), NAMELESS_NEXT[-1]], FOLLOWED)
    claim(flow, next(flow))
    assert asked(flow.send(of_strangers())) == CREATE


# Found again.


def test_a_fork_of_a_request_with_ids_is_looked_for_by_its_mark_first() -> None:
    _, step = leaving(NEXT)
    assert asked(step) == CONVERSATIONS
    assert query(step)["summary_search"] == query(leaving(NEXT)[1])["summary_search"]


def test_another_request_after_the_same_anchor_has_another_mark() -> None:
    assert query(leaving(NEXT)[1])["summary_search"] != query(leaving([*NEXT, NEXT[0]])[1])["summary_search"]


def test_a_fork_that_was_told_anew_is_read_from_its_beginning_and_attached_to() -> None:
    memory = TurnMemory()
    memory.keep_that_it_forks_at_the_end_only("http://letta.test")
    flow, _ = leaving(NEXT, memory=memory)
    flow.send([])
    flow.send(conversation("conv-2"))
    claim(flow, flow.send([conversation("conv-2")]))
    turn = flow.send([PROMPT])  # nobody was quicker
    again, _ = leaving(NEXT, memory=memory)
    step = claim(again, again.send([conversation("conv-2")]))
    assert asked(step) == ("GET", "/v1/conversations/conv-2/messages")
    assert query(step) == {"agent_id": "agent-1", "order": "asc", "limit": 100}
    assert sent(again.send(sent_rows(turn))).stored_run_id == "run-2"


def test_a_fork_at_the_anchor_is_known_by_its_summary_and_read_after_it() -> None:
    flow, _ = leaving(NEXT)
    step = flow.send([conversation("conv-2", summary="letta-adapters x at-anchor")])
    assert query(claim(flow, step))["after"] == "message-1"
    assert asked(flow.send([])) == ("GET", "/v1/conversations/conv-2")
    assert told(flow.send(conversation("conv-2", "message-p2", "message-1"))) == ["two"]


def test_a_fork_of_a_request_without_ids_is_made_at_once_and_its_request_is_never_found_again() -> None:
    def fork_of() -> tuple[str, ...]:
        memory = TurnMemory()
        memory.keep_that_it_forks_at_the_end_only("http://letta.test")
        flow, step = leaving(memory=memory)
        assert asked(step) == CREATE
        return otids(flow.send(conversation("conv-2")))

    assert not set(fork_of()) & set(fork_of())


# Answered anew.


def answering_anew() -> tuple[Flow, object]:
    flow = begin(NEXT, FOLLOWED, policies=ANEW)
    claim(flow, next(flow))
    return flow, flow.send(rows_of())


def test_a_request_is_answered_anew_once_its_turn_is_over() -> None:
    flow, step = answering_anew()
    assert asked(step) == ("GET", "/v1/runs/run-2")
    step = flow.send(Run(id="run-2", status="completed"))
    assert asked(step) == FORK


def test_a_request_whose_turn_is_still_under_way_is_attached_to() -> None:
    flow, _ = answering_anew()
    turn = flow.send(Run(id="run-2", status="running"))
    assert (sent(turn).conversation_id, sent(turn).stored_run_id) == ("conv-1", "run-2")


def test_the_fork_that_answers_anew_is_never_looked_for() -> None:
    flow, _ = answering_anew()
    flow.send(Run(id="run-2", status="completed"))
    flow.send(conversation("conv-2"))
    flow.send(conversation("conv-2", "message-p2", "message-1"))
    turn = flow.send(conversation("conv-2", summary="letta-adapters at-anchor"))
    assert (sent(turn).conversation_id, told(turn), sent(turn).stored_run_id) == ("conv-2", ["two"], None)


# Two branches at once.


def test_a_branch_that_waited_for_another_plans_again_and_ends_in_another_conversation() -> None:
    flow = begin(NEXT, FOLLOWED, memory=knowing())
    claim(flow, next(flow))
    flow.send([])
    assert isinstance(flow.send(busy()), Pause)
    step = flow.send(None)
    assert isinstance(step, Claim)
    claim(flow, step)
    flow.send(of_strangers())
    assert asked(flow.send(WENT_ON)) == CONVERSATIONS


def test_a_branch_that_does_not_wait_is_busy() -> None:
    flow = begin(NEXT, FOLLOWED, patience=Patience(0.0), memory=knowing())
    claim(flow, next(flow))
    flow.send([])
    with pytest.raises(ConversationBusy):
        flow.send(busy())


def test_a_server_that_refuses_to_fork_at_the_anchor_is_told_the_transcript_anew() -> None:
    flow, _ = leaving()
    assert asked(flow.throw(NotFound("not in the context", status=404))) == ("POST", "/v1/conversations/")


def test_when_no_conversation_can_be_made_for_a_fork_either_that_is_the_error() -> None:
    flow, _ = leaving()
    flow.throw(NotFound("no such conversation", status=404))
    with pytest.raises(NotFound, match="no such agent"):
        flow.throw(NotFound("no such agent", status=404))


def test_the_answer_of_a_fork_carries_the_anchor_of_the_fork() -> None:
    flow, _ = leaving()
    flow.send(conversation("conv-2"))
    flow.send(conversation("conv-2", "message-p2", "message-1"))
    flow.send(conversation("conv-2", summary="letta-adapters at-anchor"))
    assert finish(flow).anchor.transcript_length == 3
