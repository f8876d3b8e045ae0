"""Rule 1: the last answer of this agent (pinned: of this conversation) is the anchor, and what follows it is new."""

from __future__ import annotations

import pytest

from letta_adapters.planner import Target, plan
from letta_adapters.plans import Into
from letta_adapters.transcript import without_anchors
from tests.planner.dialogue import (
    AGENT,
    FOLLOWED,
    PINNED,
    anchor,
    following,
    foreign,
    human,
    ours,
    requested,
    result,
    sent,
    system,
)


def test_a_transcript_without_an_anchor_is_sent_whole_to_a_new_conversation() -> None:
    made = plan([human("a"), foreign("b"), human("c")], FOLLOWED)
    assert made.conversation_id is None
    assert sent(made) == [("user", "a"), ("assistant", "b"), ("user", "c")]


def test_only_what_follows_the_last_own_answer_is_sent_and_goes_where_that_answer_came_from() -> None:
    made = plan([human("a"), ours("b", where=anchor(conversation_id="conv-7")), human("c")], FOLLOWED)
    assert made.conversation_id == "conv-7"
    assert sent(made) == [("user", "c")]


def test_the_last_of_several_anchors_counts() -> None:
    first, last = anchor(message_id="message-1"), anchor(message_id="message-2")
    made = plan([human("a"), ours("b", where=first), human("c"), ours("d", where=last), human("e")], FOLLOWED)
    assert made.anchor_message_id == "message-2"
    assert sent(made) == [("user", "e")]


def test_another_agents_answer_is_no_boundary() -> None:
    others = foreign("from the other", where=anchor(agent_id="agent-2", conversation_id="conv-2"))
    made = plan([human("a"), ours("b"), human("c"), others, human("d")], FOLLOWED)
    assert made.conversation_id == "conv-1"
    assert sent(made) == [("user", "c"), ("assistant", "from the other"), ("user", "d")]


def test_a_pinned_conversation_ignores_anchors_of_other_conversations() -> None:
    elsewhere = ours("b", where=anchor(conversation_id="conv-2"))
    made = plan([human("a"), ours("x"), human("c"), elsewhere, human("d")], PINNED)
    assert made.conversation_id == "conv-1"
    assert sent(made) == [("user", "c"), ("assistant", "b"), ("user", "d")]


def test_pinned_without_an_anchor_sends_what_follows_the_last_answer() -> None:
    made = plan([human("a"), foreign("b"), human("c")], PINNED)
    assert sent(made) == [("user", "c")]


def test_pinned_without_an_anchor_does_not_stop_at_another_agents_answer() -> None:
    others = foreign("b", where=anchor(agent_id="agent-2", conversation_id="conv-2"))
    made = plan([human("a"), others, human("c")], PINNED)
    assert sent(made) == [("user", "a"), ("assistant", "b"), ("user", "c")]


def test_an_anchor_in_the_default_conversation_counts_for_its_agent_only() -> None:
    target = Target(agent_id=AGENT, conversation_id="default")
    own, others = anchor(conversation_id="default"), anchor(conversation_id="default", agent_id="agent-2")
    assert sent(plan([human("a"), ours("b", where=own), human("c")], target)) == [("user", "c")]
    assert plan([human("a"), ours("b", where=others), human("c")], target).anchor_message_id is None


def test_pinned_to_default_an_anchor_in_another_conversation_of_the_agent_does_not_count() -> None:
    target = Target(agent_id=AGENT, conversation_id="default")
    made = plan([human("a"), ours("b", where=anchor(conversation_id="conv-2")), human("c")], target)
    assert (made.conversation_id, made.anchor_message_id) == ("default", None)


def test_without_an_anchor_nothing_says_after_which_message_it_is_new() -> None:
    assert plan([human("a"), foreign("b"), human("c")], FOLLOWED).anchor_message_id is None


def test_the_new_anchor_counts_all_messages_but_the_leading_system_ones() -> None:
    answer = ours("b", where=anchor(knew=[human("a")]))
    transcript = [system("be kind"), human("a"), answer, system("mind"), human("c")]
    assert plan(transcript, FOLLOWED).transcript_length == 4


# Anchors of answers whose end was not seen.

BEGUN = anchor(message_id=None, run_id="run-1")


@pytest.mark.parametrize("target", [FOLLOWED, PINNED], ids=["followed", "pinned"])
def test_after_a_part_of_an_answer_nothing_is_planned_before_the_end_of_its_run_is_read(target: Target) -> None:
    made = plan([human("a"), ours("b", where=BEGUN), human("c")], target)
    assert (made.reads, made.run_id, made.conversation_id, made.items) == ("run", "run-1", "conv-1", ())


def test_a_part_of_an_earlier_answer_does_not_matter() -> None:
    made = plan([human("a"), ours("b", where=BEGUN), human("c"), ours("d"), human("e")], FOLLOWED)
    assert (made.reads, sent(made)) == ("after", [("user", "e")])


def test_an_anchor_without_message_and_run_is_no_part_of_an_answer() -> None:
    empty = anchor(message_id=None)
    assert not empty.is_partial
    assert sent(plan([human("a"), ours("b", where=empty), human("c")], FOLLOWED)) == [("user", "c")]


# Transcripts that are told anew.


def test_a_conversation_that_is_new_is_told_everything_whatever_the_anchors_say() -> None:
    transcript = [system("be kind"), human("a"), ours("b"), human("c")]
    made = plan(transcript, FOLLOWED, into=Into(conversation_id="conv-2", is_new=True))
    assert (made.conversation_id, made.anchor_message_id, made.reads) == ("conv-2", None, None)
    assert sent(made) == [("system", "be kind"), ("user", "a"), ("assistant", "b"), ("user", "c")]


def test_a_conversation_that_was_forked_at_the_anchor_is_told_what_follows_it() -> None:
    into = Into(conversation_id="conv-2", at_anchor=True, is_new=True)
    made = plan([human("a"), ours("b"), human("c")], FOLLOWED, into=into)
    assert (made.conversation_id, made.anchor_message_id) == ("conv-2", "message-9")
    assert sent(made) == [("user", "c")]


@pytest.mark.parametrize(
    ("into", "reads"),
    [
        (Into(conversation_id="conv-2"), "start"),
        (Into(conversation_id="conv-2", at_anchor=True), "after"),
        (Into(conversation_id="conv-2", is_new=True), None),
    ],
    ids=["told anew", "forked at the anchor", "new"],
)
def test_a_conversation_that_was_found_again_is_read_from_where_it_began(into: Into, reads: str | None) -> None:
    assert plan([human("a"), ours("b"), human("c")], FOLLOWED, into=into).reads == reads


def test_calls_are_told_as_text_to_a_conversation_that_never_made_them() -> None:
    transcript = [human("a"), ours("", "call-1"), result("call-1")]
    made = plan(transcript, FOLLOWED, into=Into(conversation_id="conv-2", is_new=True))
    assert sent(made) == [
        ("user", "a"),
        ("user", "[assistant called the tools: add({})]"),
        ("user", "[The tool add answered: 3]"),
    ]


def test_answers_without_their_anchors_are_told_like_anybodys() -> None:
    gone, there = anchor(conversation_id="conv-1"), anchor(conversation_id="conv-2")
    transcript = [human("a"), ours("b", where=there), human("c"), ours("d", where=gone), human("e")]
    stripped = without_anchors(transcript, lambda one: one.conversation_id == "conv-1")
    made = plan(stripped, FOLLOWED)
    assert made.conversation_id == "conv-2"
    assert sent(made) == [("user", "c"), ("assistant", "d"), ("user", "e")]


def test_an_edit_before_the_anchor_looks_like_trimming_and_is_not_noticed() -> None:
    before = plan([human("a", id="h1"), ours("b"), human("c", id="h2")], FOLLOWED, seen=following())
    edited = plan([human("A", id="h1"), ours("b"), human("c", id="h2")], FOLLOWED, seen=following())
    assert (requested(edited), edited.forks) == (requested(before), False)
