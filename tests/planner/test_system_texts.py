"""Rule 5: system messages are told once, sent as an override, or left out."""

from __future__ import annotations

import pytest

from letta_adapters.planner import plan
from letta_adapters.policies import Policies, SystemPolicy
from tests.planner.dialogue import (
    FOLLOWED,
    PINNED,
    anchor,
    following,
    human,
    newest,
    ours,
    replied,
    result,
    sent,
    stored,
    system,
    told,
)


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


def test_a_system_text_that_is_taken_out_is_not_missed() -> None:
    heard = anchor(system_hash=plan([system("be kind"), human("a")], FOLLOWED).system_hash)
    made = plan([human("a"), ours("b", where=heard), human("c")], FOLLOWED)
    assert (sent(made), made.system_hash) == ([("user", "c")], None)


def test_an_empty_system_message_is_not_sent() -> None:
    assert sent(plan([system(""), human("a"), system(""), human("b")], FOLLOWED)) == [("user", "a"), ("user", "b")]


def test_the_digest_goes_into_the_next_anchor_also_where_the_conversation_had_the_text() -> None:
    transcript = [system("be kind"), human("a")]
    made = plan(transcript, PINNED, seen=newest(told("be kind")))
    assert made.system_hash == plan(transcript, FOLLOWED).system_hash is not None


def test_a_rerun_that_told_the_system_text_is_known_again_with_it() -> None:
    first = plan([system("be kind"), human("a", id="h1")], PINNED, seen=newest())
    rows = [*stored(first), replied()]
    assert plan([system("be kind"), human("a", id="h1")], PINNED, seen=newest(*rows)).stored_run_id == "run-2"


def test_another_system_text_with_the_same_question_is_another_request_and_forks() -> None:
    rest = [human("a"), ours("b"), human("c", id="h2")]
    first = plan([system("be brief"), *rest], FOLLOWED)
    rows = following(*stored(first), replied())
    assert plan([system("be brief"), *rest], FOLLOWED, seen=rows).stored_run_id == "run-2"
    changed = plan([system("be kind"), *rest], FOLLOWED, seen=rows)
    assert (changed.forks, changed.stored_run_id) == (True, None)


def test_an_answer_that_is_given_again_tells_of_the_system_text_that_the_conversation_has_heard() -> None:
    heard = anchor(system_hash=plan([system("be kind"), human("a")], FOLLOWED).system_hash)
    rest = [human("a"), ours("b", where=heard), human("c", id="h2")]
    rows = following(*stored(plan([system("be kind"), *rest], FOLLOWED)), replied())
    again = plan([system("be brief"), *rest], FOLLOWED, seen=rows)
    assert (again.stored_run_id, again.system_hash) == ("run-2", heard.system_hash)


@pytest.mark.parametrize("policy", ["override", "ignore"])
def test_without_a_text_to_tell_a_pinned_conversation_is_not_asked_for_those_it_holds(policy: SystemPolicy) -> None:
    transcript = [system("be kind"), human("a")]
    assert plan(transcript, PINNED, policies=Policies(system_messages=policy)).reads is None


def test_with_the_override_policy_nothing_is_remembered_as_told() -> None:
    made = plan([system("be kind"), human("a")], FOLLOWED, policies=Policies(system_messages="override"))
    assert made.system_hash is None
