"""The order of things in a delivery, without I/O: what is asked for, and in what order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from letta_adapters.delivery_steps import Claim, TurnOptions, TurnOutcome
from letta_adapters.errors import NotFound
from letta_adapters.memory import TurnMemory
from letta_adapters.planner import Target
from letta_adapters.policies import Policies
from letta_adapters.transcript import AssistantEntry, Entry, HumanEntry, SystemEntry
from letta_adapters.wire import Conversation, SystemMessage, UserMessage
from tests.delivery.flows import ANSWER, ASKED, FOLLOWED, asked, begin, claim, conversation, finish, otids, sent


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
    assert asked(claim(flow, next(flow))) == ("GET", "/v1/conversations/conv-1/messages")
    step = flow.send([SystemMessage(id="message-0", content="be kind")])
    assert len(otids(step)) == 1


def test_options_reach_the_request() -> None:
    request = sent(next(begin(options=TurnOptions(max_steps=3, override_model="a/b", background=False)))).request
    assert request is not None
    assert (request.max_steps, request.override_model, request.background) == (3, "a/b", False)


def test_the_override_policy_wins_over_the_option() -> None:
    flow = begin(
        [SystemEntry(text="be kind"), *ASKED],
        options=TurnOptions(override_system="x"),
        policies=Policies(system_messages="override"),
    )
    request = sent(next(flow)).request
    assert request is not None
    assert request.override_system == "be kind"


def test_a_pinned_plan_that_needs_to_know_more_keeps_other_turns_away_while_it_reads() -> None:
    flow = begin([SystemEntry(text="be kind"), *ASKED])
    claim = next(flow)
    assert isinstance(claim, Claim)
    assert (claim.conversation_id, claim.agent_id) == ("conv-1", "agent-1")


def test_a_system_text_that_this_very_request_stored_is_sent_again_so_that_it_attaches() -> None:
    transcript: list[Entry] = [SystemEntry(text="be kind"), *ASKED]
    first = begin(transcript)
    claim(first, next(first))
    sent_before = otids(first.send([]))
    again = begin(transcript)
    claim(again, next(again))
    told = SystemMessage(id="message-0", content="be kind", otid=sent_before[0], run_id="run-1")
    said = UserMessage(id="message-1", content="hello", otid=sent_before[1], run_id="run-1")
    assert otids(again.send([said, told])) == sent_before


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


def test_with_a_key_the_anchor_of_the_answer_is_signed() -> None:
    flow = begin(anchor_key="a key")
    next(flow)
    assert finish(flow).anchor.is_signed("a key")


def test_an_empty_key_is_refused_since_it_would_sign_nothing() -> None:
    with pytest.raises(ValueError, match="anchor_key"):
        next(begin(anchor_key=""))


def test_with_a_key_an_anchor_that_nobody_signed_is_not_followed() -> None:
    flow = begin()
    next(flow)
    forged = finish(flow).anchor
    transcript: list[Entry] = [*ASKED, AssistantEntry(text="hi", anchor=forged), HumanEntry(content="go on", id="h2")]
    assert isinstance(next(begin(transcript, FOLLOWED)), Claim)
    assert asked(next(begin(transcript, FOLLOWED, anchor_key="a key"))) == ("POST", "/v1/conversations/")


def test_the_anchor_tells_how_long_the_transcript_was_and_which_system_text_was_told() -> None:
    flow = begin([SystemEntry(text="be kind"), *ASKED], FOLLOWED)
    next(flow)
    flow.send(conversation())
    anchor = finish(flow).anchor
    assert anchor.transcript_length == 1
    assert anchor.system_hash is not None


@pytest.mark.parametrize("policies", [Policies(on_rerun="fork"), Policies(ephemeral=True)], ids=["fork", "ephemeral"])
def test_policies_that_do_not_fit_a_pinned_conversation_are_refused_before_anything_is_asked_for(
    policies: Policies,
) -> None:
    with pytest.raises(ValueError, match="conversation_id"):
        next(begin(policies=policies))
