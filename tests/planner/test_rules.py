"""The planner's rules, one by one: a transcript in, what is sent out."""

from __future__ import annotations

import logging

import pytest

from letta_adapters.planner import Target, plan
from letta_adapters.policies import Policies
from letta_adapters.transcript import Content, HumanEntry
from letta_adapters.wire import Base64Image, ImageContent, TextContent
from tests.planner.dialogue import (
    AGENT,
    FOLLOWED,
    PINNED,
    anchor,
    foreign,
    human,
    newest,
    ours,
    result,
    sent,
    system,
    told,
    waiting,
)

# Rule 1: anchor and tail.


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


# Rule 2: tool results.


def test_results_of_all_pending_calls_go_first_in_one_message() -> None:
    made = plan([human("a"), ours("", "call-1", "call-2"), result("call-2", "4"), result("call-1", "3")], FOLLOWED)
    assert sent(made) == [("approval", [("call-1", "3"), ("call-2", "4")])]


def test_an_unanswered_call_is_denied_and_the_human_message_follows_in_the_same_request() -> None:
    made = plan([human("a"), ours("", "call-1", "call-2"), result("call-1"), human("never mind")], FOLLOWED)
    assert sent(made) == [("approval", [("call-1", "3"), ("call-2", "denied")]), ("user", "never mind")]


def test_of_several_results_for_one_call_the_last_counts() -> None:
    made = plan([human("a"), ours("", "call-1"), result("call-1", "old"), result("call-1", "new")], FOLLOWED)
    assert sent(made) == [("approval", [("call-1", "new")])]


def test_a_failed_tool_is_reported_as_an_error() -> None:
    made = plan([human("a"), ours("", "call-1"), result("call-1", "boom", error=True)], FOLLOWED)
    assert sent(made) == [("approval", [("call-1", ("error", "boom"))])]


def test_the_result_of_a_call_that_the_server_did_not_keep_is_dropped_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = ours("", "call-1", also_called=("call-2",), where=anchor("call-1"))
    with caplog.at_level(logging.WARNING):
        made = plan([human("a"), answer, result("call-1"), result("call-2")], FOLLOWED)
    assert sent(made) == [("approval", [("call-1", "3")])]
    assert "call-2" in caplog.text


def test_pinned_without_an_anchor_it_asks_which_calls_wait_before_it_takes_a_result_for_an_answer() -> None:
    transcript = [human("a"), foreign("", "call-1"), result("call-1")]
    assert plan(transcript, PINNED).reads == "newest"
    assert sent(plan(transcript, PINNED, seen=newest(waiting("call-1")))) == [("approval", [("call-1", "3")])]
    assert sent(plan(transcript, PINNED, seen=newest())) == [("user", "[The tool look answered: 3]")]


def test_a_waiting_call_that_the_transcript_does_not_know_is_left_alone() -> None:
    transcript = [system("be kind"), human("a")]
    made = plan(transcript, PINNED, seen=newest(told("be kind"), waiting("call-9")))
    assert sent(made) == [("user", "a")]


# Rule 3: human messages.


def test_several_human_messages_in_a_row_stay_several_and_keep_their_names() -> None:
    made = plan([human("a", name="Ann"), human("b", name="Bo")], FOLLOWED)
    assert [(item.message.name, content) for item, (_, content) in zip(made.items, sent(made), strict=True)] == [  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        ("Ann", "a"),
        ("Bo", "b"),
    ]


def test_text_and_images_stay_in_order() -> None:
    parts = (
        TextContent(text="what is"),
        ImageContent(source=Base64Image(media_type="image/png", data="aGk=")),
        TextContent(text="this?"),
    )
    assert sent(plan([HumanEntry(content=parts)], FOLLOWED)) == [("user", list(parts))]


# Rule 4: foreign turns.


def test_a_foreign_tool_history_is_told_as_text() -> None:
    made = plan([human("a"), foreign("let me see", "call-9"), result("call-9", "sunny"), human("thanks")], FOLLOWED)
    assert sent(made) == [
        ("user", "a"),
        ("assistant", "let me see"),
        ("user", '[assistant called the tools: look({"q": 1})]'),
        ("user", "[The tool look answered: sunny]"),
        ("user", "thanks"),
    ]


def test_a_foreign_turn_that_ends_the_transcript_is_told_as_the_users_text() -> None:
    made = plan([human("a"), ours("b"), human("c"), foreign("d", name="helper")], FOLLOWED)
    assert sent(made) == [("user", "c"), ("user", "[helper said: d]")]


# Rule 5: system messages.


def test_the_leading_system_messages_are_sent_once_as_one() -> None:
    first = plan([system("be kind"), system("be short"), human("a")], FOLLOWED)
    assert sent(first) == [("system", "be kind\n\nbe short"), ("user", "a")]
    heard = anchor(system_hash=first.system_hash)
    later = plan([system("be kind"), system("be short"), human("a"), ours("b", where=heard), human("c")], FOLLOWED)
    assert sent(later) == [("user", "c")]


def test_a_changed_system_text_is_sent_again_before_the_new_message() -> None:
    heard = anchor(system_hash=plan([system("be kind"), human("a")], FOLLOWED).system_hash)
    made = plan([system("be brief"), human("a"), ours("b", where=heard), human("c")], FOLLOWED)
    assert sent(made) == [("system", "be brief"), ("user", "c")]


def test_a_changed_system_text_never_goes_before_the_answers_to_pending_calls() -> None:
    made = plan([system("new"), human("a"), ours("", "call-1"), result("call-1")], FOLLOWED)
    assert sent(made) == [("approval", [("call-1", "3")]), ("system", "new")]


def test_a_system_message_in_the_tail_is_sent_where_it_stands() -> None:
    made = plan([human("a"), ours("b"), human("c"), system("mind the gap"), human("d")], FOLLOWED)
    assert sent(made) == [("user", "c"), ("system", "mind the gap"), ("user", "d")]


def test_pinned_without_an_anchor_asks_what_the_conversation_holds_before_it_sends_a_system_text() -> None:
    transcript = [system("be kind"), human("a")]
    assert plan(transcript, PINNED).reads == "newest"
    assert sent(plan(transcript, PINNED, seen=newest(told("other")))) == [
        ("system", "be kind"),
        ("user", "a"),
    ]
    assert sent(plan(transcript, PINNED, seen=newest(told("be kind")))) == [("user", "a")]


def test_the_override_policy_sends_every_system_text_as_override_and_none_as_a_message() -> None:
    transcript = [system("be kind"), human("a"), ours("b"), system("be brief"), human("c")]
    made = plan(transcript, FOLLOWED, policies=Policies(system_messages="override"))
    assert made.override_system == "be kind\n\nbe brief"
    assert sent(made) == [("user", "c")]


def test_the_ignore_policy_sends_no_system_text_at_all() -> None:
    made = plan([system("be kind"), human("a")], FOLLOWED, policies=Policies(system_messages="ignore"))
    assert (made.override_system, sent(made)) == (None, [("user", "a")])


# Rule 6: nothing to send.


def test_an_empty_transcript_is_refused() -> None:
    with pytest.raises(ValueError, match="list of messages is empty"):
        plan([], FOLLOWED)


@pytest.mark.parametrize("content", ["", ()], ids=["text", "parts"])
def test_an_empty_new_message_is_refused_with_its_position(content: Content) -> None:
    with pytest.raises(ValueError, match=r"Message 3 \(human\) is empty"):
        plan([system("s"), human("a"), ours("b"), HumanEntry(content=content)], FOLLOWED)


def test_system_messages_alone_are_refused() -> None:
    with pytest.raises(ValueError, match="only system messages"):
        plan([system("be kind")], FOLLOWED)


def test_a_transcript_that_ends_with_our_own_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing new to send"):
        plan([human("a"), ours("b")], FOLLOWED)


def test_a_changed_system_text_is_reason_enough_to_send() -> None:
    assert sent(plan([system("new"), human("a"), ours("b")], FOLLOWED)) == [("system", "new")]


def test_the_plan_says_what_it_decided() -> None:
    made = plan([human("a"), ours("", "call-1", "call-2"), result("call-1")], FOLLOWED)
    assert made.reasons == ("rule 1: goes on in conv-1 after message-9", "rule 2: 1 results and 1 denials")
