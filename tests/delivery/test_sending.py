"""What becomes of conversations that were made for one turn: `ephemeral`, and turns that were refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from letta_adapters.delivery_steps import Flow, Thread, TurnOutcome
from letta_adapters.errors import ConnectFailed, InvalidRequest, LettaError, NotFound, TurnFailed, TurnInterrupted
from letta_adapters.events import FinishedTurn, PendingCall
from letta_adapters.policies import Policies
from letta_adapters.transcript import AssistantEntry, Entry, HumanEntry, ToolEntry
from letta_adapters.wire import UserMessage
from tests.delivery.flows import (
    ANSWER,
    ASKED,
    FOLLOWED,
    NAMELESS,
    PROMPT,
    asked,
    begin,
    claim,
    conversation,
    ended,
    failed,
    knowing,
    returned,
    told,
)

EPHEMERAL = Policies(ephemeral=True)
GONE_AFTERWARDS = replace(ANSWER, conversation_id="conv-2")
CALLING = replace(
    GONE_AFTERWARDS,
    parts=(PendingCall(index=0, tool_call_id="call-1", name="add", arguments="{}"),),
    stop_reason="requires_approval",
)
DELETE = ("DELETE", "/v1/conversations/conv-2")
SEARCH = ("GET", "/v1/conversations/")
CREATE = ("POST", "/v1/conversations/")


def begun(transcript: list[Entry], *, policies: Policies | None = None, thread: Thread | None = None) -> Flow:
    """A delivery whose turn was sent to a conversation that was made for it."""
    flow = begin(transcript, FOLLOWED, policies=policies, thread=thread)
    step = next(flow)
    if asked(step) == SEARCH:
        step = flow.send([])
    assert asked(step) == CREATE
    made = conversation("conv-2", summary="letta-adapters mark" if thread is not None else None)
    flow.send(made)
    if thread is not None:
        claim(flow, flow.send([made]))
        flow.send([PROMPT])  # nobody was quicker
    return flow


# Ephemeral conversations.


def test_an_ephemeral_conversation_is_deleted_when_the_turn_has_ended() -> None:
    flow = begun(ASKED, policies=EPHEMERAL)
    assert asked(flow.send(ended(GONE_AFTERWARDS))) == DELETE
    assert returned(flow, None).turn == GONE_AFTERWARDS


def test_that_it_cannot_be_deleted_does_not_cost_the_answer() -> None:
    flow = begun(ASKED, policies=EPHEMERAL)
    flow.send(ended(GONE_AFTERWARDS))
    with pytest.raises(StopIteration) as stopped:
        flow.throw(ConnectFailed("gone"))
    assert stopped.value.value.turn == GONE_AFTERWARDS


def test_it_is_kept_while_tools_are_awaited() -> None:
    delivered = returned(begun(ASKED, policies=EPHEMERAL), ended(CALLING))
    assert (delivered.turn, delivered.anchor.is_over) == (CALLING, False)


def with_result(turn: FinishedTurn = CALLING) -> list[Entry]:
    anchor = returned(begun(ASKED, policies=EPHEMERAL), ended(turn)).anchor
    return [*ASKED, AssistantEntry(anchor=anchor), ToolEntry(tool_call_id="call-1", content="3")]


def test_it_is_deleted_after_the_results_are_in() -> None:
    flow = begin(with_result(), FOLLOWED, policies=EPHEMERAL, memory=knowing(conversation_id="conv-2"))
    claim(flow, next(flow))
    assert told(flow.send([])) == ["approval"]
    assert asked(flow.send(ended(GONE_AFTERWARDS))) == DELETE


def test_a_conversation_that_was_not_made_to_be_deleted_is_not_deleted() -> None:
    anchor = returned(begun(ASKED), ended(GONE_AFTERWARDS)).anchor
    transcript: list[Entry] = [*ASKED, AssistantEntry(text="hi", anchor=anchor), HumanEntry(content="go on")]
    flow = begin(transcript, FOLLOWED, policies=EPHEMERAL)
    assert asked(next(flow)) == CREATE
    assert told(flow.send(conversation("conv-3"))) == ["hello", "hi", "go on"]


def test_what_follows_an_ephemeral_answer_is_told_to_a_new_conversation_without_asking_for_the_old_one() -> None:
    flow = begun(ASKED, policies=EPHEMERAL)
    flow.send(ended(GONE_AFTERWARDS))
    anchor = returned(flow, None).anchor
    assert anchor.is_over
    transcript: list[Entry] = [*ASKED, AssistantEntry(text="hi", anchor=anchor), HumanEntry(content="go on")]
    assert asked(next(begin(transcript, FOLLOWED))) == CREATE


def test_a_turn_that_failed_after_its_input_was_stored_leaves_its_conversation() -> None:
    flow = begun(NAMELESS, policies=EPHEMERAL)
    flow.send(failed())
    with pytest.raises(TurnFailed):
        flow.send([UserMessage(id="message-0", content="hello")])


# Refused turns.

REFUSED = TurnOutcome(result=InvalidRequest("no", status=422, accepted=False), run_id=None, replayed=False)


@pytest.mark.parametrize("transcript", [NAMELESS, ASKED], ids=["without ids", "without a thread"])
def test_a_conversation_that_nobody_would_look_for_is_deleted_when_its_turn_was_refused(
    transcript: list[Entry],
) -> None:
    flow = begun(transcript)
    assert asked(flow.send(REFUSED)) == DELETE
    with pytest.raises(InvalidRequest):
        flow.send(None)


def test_one_for_a_turn_that_failed_and_left_nothing_is_deleted_too() -> None:
    flow = begun(NAMELESS)
    assert asked(flow.send(failed())) == ("GET", "/v1/runs/run-1/messages")
    assert asked(flow.send([])) == DELETE
    with pytest.raises(TurnFailed):
        flow.send(None)


def test_that_it_cannot_be_deleted_does_not_hide_the_refusal() -> None:
    flow = begun(NAMELESS)
    flow.send(REFUSED)
    with pytest.raises(InvalidRequest):
        flow.throw(NotFound("gone", status=404))


def test_with_a_mark_it_is_kept_since_a_rerun_would_look_for_it() -> None:
    flow = begun(ASKED, thread=Thread(thread_id="thread-1", namespace="model:task-1"))
    with pytest.raises(InvalidRequest):
        flow.send(REFUSED)


def test_one_that_has_no_prompt_yet_is_there_all_the_same() -> None:
    flow = begin(ASKED, FOLLOWED, thread=Thread(thread_id="thread-1", namespace="model:task-1"))
    next(flow)
    flow.send([])
    made = conversation("conv-2", summary="letta-adapters mark")
    flow.send(made)
    claim(flow, flow.send([made]))
    assert asked(flow.send([])) == ("GET", "/v1/conversations/conv-2")
    assert told(flow.send(made)) == told(next(begin(ASKED)))


@pytest.mark.parametrize(
    "error",
    [TurnInterrupted("lost", accepted=None), ConnectFailed("refused", accepted=False)],
    ids=["of unknown fate", "never sent"],
)
def test_a_conversation_in_which_the_turn_may_be_or_may_come_is_kept(error: LettaError) -> None:
    flow = begun(NAMELESS)
    with pytest.raises(type(error)):
        flow.send(TurnOutcome(result=error, run_id=None, replayed=False))


def test_a_conversation_that_was_there_before_is_never_deleted() -> None:
    flow = begin(NAMELESS)
    next(flow)
    with pytest.raises(InvalidRequest):
        flow.send(REFUSED)
