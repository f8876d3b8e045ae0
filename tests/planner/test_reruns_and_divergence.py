"""Rule 8, the policies: what is read, what becomes of a re-run, and of a conversation that went another way."""

from __future__ import annotations

import pytest

from letta_adapters.errors import Divergence
from letta_adapters.planner import Plan, Seen, Target, plan
from letta_adapters.policies import OnDivergence, Policies
from letta_adapters.transcript import Entry
from letta_adapters.wire import ApprovalCreate
from tests.planner.dialogue import (
    FOLLOWED,
    PINNED,
    following,
    foreign,
    human,
    newest,
    ours,
    replied,
    requested,
    responded,
    result,
    sent,
    stored,
    strangers,
    system,
    waiting,
)

ASKED: list[Entry] = [human("a"), ours("b"), human("c", id="h2")]
ANSWERED = following(*stored(plan(ASKED, FOLLOWED)), replied())
WENT_ON = following(strangers(), replied("hm", run_id="run-x"))


def planned(
    target: Target = FOLLOWED,
    *,
    seen: Seen | None = None,
    on_rerun: str = "attach",
    on_divergence: OnDivergence | None = None,
    transcript: list[Entry] = ASKED,
) -> Plan:
    policies = Policies(on_rerun="fork" if on_rerun == "fork" else "attach", on_divergence=on_divergence)
    return plan(transcript, target, policies=policies, seen=seen)


# What has to be read.


@pytest.mark.parametrize(
    ("target", "transcript", "reads"),
    [
        (FOLLOWED, [human("a")], None),
        (FOLLOWED, ASKED, "after"),
        (PINNED, ASKED, None),
        (PINNED, [human("a")], None),
        (PINNED, [*ASKED, human("d")], "after"),
        (PINNED, [human("a"), human("b")], "newest"),
        (PINNED, [human("a"), ours("", "call-1"), result("call-1")], "after"),
        (PINNED, [system("be kind"), human("a")], "newest"),
        (PINNED, [human("a"), foreign("", "call-1"), result("call-1")], "newest"),
    ],
    ids=[
        "followed, new",
        "followed, one message",
        "pinned, one message",
        "pinned, one message and no anchor",
        "pinned, two messages",
        "pinned, two messages and no anchor",
        "pinned, a result",
        "pinned, a system text and no anchor",
        "pinned, a result and no anchor",
    ],
)
def test_a_plan_says_what_it_has_to_know(target: Target, transcript: list[Entry], reads: str | None) -> None:
    assert plan(transcript, target).reads == reads


def test_a_pinned_conversation_that_may_have_gone_another_way_is_always_looked_at_where_that_is_an_error() -> None:
    assert planned(PINNED, on_divergence="error").reads == "after"
    assert planned(PINNED, on_divergence="error", transcript=[human("a")]).reads == "newest"


def test_what_was_read_is_not_asked_for_again() -> None:
    assert planned(seen=following()).reads is None


# A re-run.


@pytest.mark.parametrize("target", [FOLLOWED, PINNED], ids=["followed", "pinned"])
def test_a_rerun_attaches(target: Target) -> None:
    made = planned(target, seen=ANSWERED)
    assert (made.stored_run_id, made.forks) == ("run-2", False)
    assert "its answer is given again" in made.reasons[-1]


def test_a_rerun_is_answered_anew_in_a_fork_where_that_is_asked_for() -> None:
    made = planned(seen=ANSWERED, on_rerun="fork")
    assert (made.stored_run_id, made.forks) == ("run-2", True)
    assert "a fork answers anew" in made.reasons[-1]


def test_nothing_is_forked_when_nothing_was_sent_before() -> None:
    assert not planned(seen=following(), on_rerun="fork").forks


def test_a_rerun_is_found_among_the_newest_rows_of_a_pinned_conversation() -> None:
    transcript: list[Entry] = [human("a", id="h1"), human("b", id="h2")]
    first = plan(transcript, PINNED)
    made = plan(transcript, PINNED, seen=newest(*stored(first), replied()))
    assert (made.stored_run_id, requested(made)) == ("run-2", requested(first))


def test_a_rerun_in_a_process_that_knows_its_nonce_attaches_without_ids() -> None:
    nameless: list[Entry] = [human("a"), ours("b"), human("c")]
    first = plan(nameless, FOLLOWED)
    rows = stored(first)  # with the nonce ""
    assert plan(nameless, FOLLOWED, seen=Seen(rows=rows, anchored=True)).stored_run_id == "run-2"
    assert plan(nameless, FOLLOWED, seen=Seen(rows=rows, anchored=True, nonce="another")).stored_run_id is None


# Another way.


def test_a_followed_transcript_goes_on_in_a_fork() -> None:
    made = planned(seen=WENT_ON)
    assert (made.forks, made.stored_run_id, sent(made)) == (True, None, [("user", "c")])
    assert made.reasons[-1] == "rule 8: the conversation went another way, in run-x; a fork"


def test_a_pinned_one_is_appended() -> None:
    made = planned(PINNED, seen=WENT_ON)
    assert (made.forks, made.conversation_id, sent(made)) == (False, "conv-1", [("user", "c")])


def test_a_followed_one_is_appended_where_that_is_asked_for() -> None:
    made = planned(seen=WENT_ON, on_divergence="append")
    assert (made.forks, made.conversation_id, sent(made)) == (False, "conv-1", [("user", "c")])


@pytest.mark.parametrize("target", [FOLLOWED, PINNED], ids=["followed", "pinned"])
def test_it_is_an_error_where_that_is_asked_for(target: Target) -> None:
    with pytest.raises(Divergence, match="after message-9") as caught:
        planned(target, seen=WENT_ON, on_divergence="error")
    assert (caught.value.conversation_id, caught.value.run_id) == ("conv-1", "run-x")
    assert "on_divergence='fork'" in (caught.value.hint or "")


def test_an_error_for_another_way_is_none_while_there_is_one_way() -> None:
    assert sent(planned(seen=following(), on_divergence="error")) == [("user", "c")]


def test_the_newest_rows_prove_no_other_way() -> None:
    rows = newest(strangers(), replied("hm", run_id="run-x"))
    transcript: list[Entry] = [human("a"), human("b")]
    assert not planned(PINNED, seen=rows, on_divergence="error", transcript=transcript).forks


def test_a_message_is_appended_once_though_strangers_talked_in_between() -> None:
    first = planned(PINNED, seen=WENT_ON)
    again = planned(PINNED, seen=following(*WENT_ON.rows, *stored(first), replied()))
    assert again.stored_run_id == "run-2"


# Rule 9, as far as it is planned: calls that the server says it waits for.


def test_calls_that_the_server_waits_for_are_answered_first_with_a_denial() -> None:
    made = plan(ASKED, PINNED, seen=newest(waiting("call-9")), settle=["call-9"])
    assert sent(made) == [("approval", [("call-9", "denied")]), ("user", "c")]


def test_a_call_that_the_server_waits_for_gets_the_result_that_the_transcript_has_for_it() -> None:
    transcript: list[Entry] = [human("a"), foreign("", "call-9"), result("call-9"), human("c")]
    made = plan(transcript, PINNED, seen=newest(waiting("call-9")), settle=["call-9"])
    assert sent(made) == [("approval", [("call-9", "3")]), ("user", "c")]


def test_denials_that_were_given_before_a_crash_are_found_with_the_message_that_went_with_them() -> None:
    first = plan(ASKED, PINNED, seen=newest(waiting("call-9")), settle=["call-9"])
    denial = first.items[0].message
    assert isinstance(denial, ApprovalCreate)
    rows = [responded("call-9", None).model_copy(update={"approvals": denial.approvals}), *stored(first)[1:]]
    again = plan(ASKED, PINNED, seen=newest(*rows), settle=["call-9"])
    assert (again.stored_run_id, requested(again)) == ("run-2", requested(first))


# What a pinned conversation cannot have.


@pytest.mark.parametrize(
    "policies",
    [Policies(on_rerun="fork"), Policies(on_divergence="fork"), Policies(ephemeral=True)],
    ids=["on_rerun", "on_divergence", "ephemeral"],
)
def test_a_pinned_conversation_is_never_left_and_never_deleted(policies: Policies) -> None:
    with pytest.raises(ValueError, match="conversation_id"):
        policies.check(pinned=True)
    policies.check(pinned=False)


# The last message is there, an earlier one is not.

EDITED_BEFORE: list[Entry] = [human("a"), ours("b"), human("new", id="h1"), human("c", id="h2")]
BEFORE: list[Entry] = [human("a"), ours("b"), human("old", id="h1"), human("c", id="h2")]


def test_an_edit_before_a_message_that_is_there_is_another_way_and_followed_by_a_fork() -> None:
    seen = following(*stored(plan(BEFORE, FOLLOWED)), replied())
    assert planned(transcript=EDITED_BEFORE, seen=seen).forks


def test_pinned_what_came_in_before_a_message_that_is_there_is_told_after_it() -> None:
    made = planned(PINNED, transcript=EDITED_BEFORE, seen=following(*stored(plan(BEFORE, PINNED)), replied()))
    assert sent(made) == [("user", "new")]
    assert made.stored_run_id is None
