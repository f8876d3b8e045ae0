"""Rule 8, the rows: which of them are this transcript's, which are nobody's, and which are a stranger's."""

from __future__ import annotations

import json

import pytest

from letta_adapters.alignment import behind, is_compiled_prompt
from letta_adapters.identity import MAX_ATTEMPTS
from letta_adapters.matching import Row
from letta_adapters.planner import Seen, plan
from letta_adapters.plans import held_in
from letta_adapters.transcript import Entry
from letta_adapters.wire import AssistantMessage, EventMessage, SummaryMessage, SystemMessage, Unknown, UserMessage
from tests.planner.dialogue import (
    FOLLOWED,
    PINNED,
    anchor,
    following,
    foreign,
    human,
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

BASE: list[Entry] = [human("a"), ours("b", where=anchor(run_id="run-1"))]
ASKED: list[Entry] = [*BASE, human("c", id="h2")]
FIRST = plan(ASKED, FOLLOWED)
CALLED: list[Entry] = [human("a"), ours("", "call-1"), result("call-1")]
PROMPT = SystemMessage(id="message-p", content="You are an agent.")


def diverges(*rows: Row, transcript: list[Entry] = ASKED) -> bool:
    return plan(transcript, FOLLOWED, seen=following(*rows)).forks


# What is there already.


def test_where_nothing_follows_the_anchor_everything_is_sent() -> None:
    made = plan(ASKED, FOLLOWED, seen=following())
    assert (sent(made), made.stored_run_id, made.forks) == ([("user", "c")], None, False)


def test_a_request_that_is_there_is_known_with_the_run_that_has_it() -> None:
    made = plan(ASKED, FOLLOWED, seen=following(*stored(FIRST), replied()))
    assert (made.stored_run_id, made.forks) == ("run-2", False)
    assert requested(made) == requested(FIRST)


def test_of_two_messages_the_one_that_is_there_is_left_out() -> None:
    made = plan([*ASKED, human("d", id="h3")], FOLLOWED, seen=following(*stored(FIRST), replied()))
    assert (sent(made), made.stored_run_id, made.forks) == ([("user", "d")], None, False)


def test_what_is_left_has_the_otids_that_it_would_have_had_with_the_rest() -> None:
    both = [*ASKED, human("d", id="h3")]
    made = plan(both, FOLLOWED, seen=following(*stored(FIRST), replied()))
    assert requested(made) == requested(plan(both, FOLLOWED))[1:]


def test_an_answer_to_calls_is_known_by_what_it_says() -> None:
    made = plan(CALLED, FOLLOWED, seen=following(responded("call-1"), replied()))
    assert made.stored_run_id == "run-2"


def test_a_message_without_an_id_is_never_taken_for_one_that_is_there() -> None:
    nameless = [*BASE, human("c")]
    row = UserMessage(id="message-2", content="c", otid="otid-of-another-nonce", run_id="run-2")
    assert diverges(row, replied(), transcript=nameless)


@pytest.mark.parametrize("attempt", [1, 2, MAX_ATTEMPTS])
def test_a_request_is_known_again_whichever_attempt_of_it_went_well(attempt: int) -> None:
    made = plan(ASKED, FOLLOWED, seen=following(*stored(FIRST, attempt=attempt), replied()))
    assert (made.stored_run_id, made.forks) == ("run-2", False)


def test_attempts_have_an_end() -> None:
    assert diverges(*stored(FIRST, attempt=MAX_ATTEMPTS + 1), replied())


# Rows that are no news.


def test_what_the_anchors_own_run_stored_after_the_anchor_is_no_news() -> None:
    assert not diverges(AssistantMessage(id="message-10", content="and", run_id="run-1"))


def test_a_run_that_only_answers_calls_is_no_news() -> None:
    assert not diverges(responded("call-9", None, run_id="run-x"))


def test_a_run_that_answers_calls_and_goes_on_is_a_strangers() -> None:
    assert diverges(responded("call-9", None, run_id="run-x"), replied("so be it", run_id="run-x"))


def test_calls_that_still_wait_are_a_strangers_turn() -> None:
    assert diverges(strangers(), waiting("call-9", run_id="run-x"))


ALERT = UserMessage(id="message-s", content=json.dumps({"type": "system_alert", "message": "Note"}), run_id="run-z")


@pytest.mark.parametrize(
    "row",
    [
        PROMPT,
        ALERT,
        SummaryMessage(id="message-s", summary="They talked.", run_id="run-z"),
        EventMessage(id="message-s", event_type="compaction", event_data={}, run_id="run-z"),
        Unknown(raw={"message_type": "citation_message", "id": "message-u", "run_id": "run-z"}),
    ],
    ids=["the compiled prompt", "an alert", "a summary", "a note", "a type of the future"],
)
def test_what_the_server_writes_by_itself_is_no_news(row: Row) -> None:
    assert not diverges(row)


@pytest.mark.parametrize("content", ["{", "[1]", '{"type": "question"}'])
def test_json_that_a_person_wrote_is_no_alert(content: str) -> None:
    assert diverges(UserMessage(id="message-s", content=content, otid="otid-s", run_id="run-z"))


def test_an_alert_within_a_run_of_ours_does_not_make_it_somebody_elses() -> None:
    alert = ALERT.model_copy(update={"run_id": "run-2"})
    made = plan(ASKED, FOLLOWED, seen=following(*stored(FIRST), alert, replied()))
    assert (made.stored_run_id, made.forks) == ("run-2", False)


def test_what_came_after_all_of_the_request_is_another_story() -> None:
    rows = [*stored(FIRST), replied(), strangers(), replied("hm", run_id="run-x")]
    made = plan(ASKED, FOLLOWED, seen=following(*rows))
    assert (made.stored_run_id, made.forks) == ("run-2", False)


# A stranger's rows.


def test_a_message_of_somebody_else_means_that_the_conversation_went_another_way() -> None:
    assert diverges(strangers())


def test_it_did_so_too_where_the_strangers_turn_stands_between_ours() -> None:
    rows = [*stored(FIRST), replied(), strangers(), replied("hm", run_id="run-x")]
    assert diverges(*rows, transcript=[*ASKED, human("d", id="h3")])


def test_a_stranger_before_our_request_counts_though_all_of_it_is_there() -> None:
    assert diverges(strangers(), replied("hm", run_id="run-x"), *stored(FIRST), replied())


@pytest.mark.parametrize("kind", ["user", "system"])
def test_a_run_that_was_told_something_else_besides_is_a_strangers(kind: str) -> None:
    more = (
        UserMessage(id="message-m", content="and this", otid="otid-m", run_id="run-2")
        if kind == "user"
        else SystemMessage(id="message-m", content="be rude", otid="otid-m", run_id="run-2")
    )
    assert diverges(more, *stored(FIRST), replied())


def test_an_edited_message_is_somebody_elses() -> None:
    assert diverges(*stored(FIRST), replied(), transcript=[*BASE, human("C", id="h2")])


# Answers of others that were told, and answers that lost their anchors.


def test_what_an_assistant_said_is_known_by_its_text_in_the_run_that_was_told_it() -> None:
    seeded = [*BASE, human("c", id="h2"), foreign("d"), human("e", id="h3")]
    first = plan(seeded, FOLLOWED)
    made = plan(seeded, FOLLOWED, seen=following(*stored(first), replied()))
    assert (made.stored_run_id, requested(made)) == ("run-2", requested(first))


def test_a_dialogue_that_was_told_and_goes_on_is_continued_though_its_answer_lost_its_anchor() -> None:
    later = [*ASKED, foreign("so it is"), human("e", id="h3")]
    made = plan(later, FOLLOWED, seen=following(*stored(FIRST), replied("so it is")))
    assert (sent(made), made.forks) == ([("user", "e")], False)


def test_an_answer_in_several_messages_is_known_by_all_of_its_text() -> None:
    halves = [replied("so "), AssistantMessage(id="message-half", content="it is", run_id="run-2")]
    made = plan([*ASKED, foreign("so it is"), human("e", id="h3")], FOLLOWED, seen=following(*stored(FIRST), *halves))
    assert sent(made) == [("user", "e")]


def test_the_same_words_said_twice_are_there_only_if_they_were_said_twice() -> None:
    twice = [*ASKED, foreign("yes"), human("sure?", id="h3"), foreign("yes"), human("e", id="h4")]
    first = plan([*ASKED, foreign("yes"), human("sure?", id="h3")], FOLLOWED)
    rows = [*stored(first), replied("no")]
    made = plan(twice, FOLLOWED, seen=following(*rows))
    assert sent(made) == [("assistant", "yes"), ("user", "e")]


def test_the_same_words_in_a_strangers_run_are_not_the_answer() -> None:
    rows = [*stored(FIRST), replied(), strangers(), replied("hm", run_id="run-x")]
    assert diverges(*rows, transcript=[*ASKED, foreign("hm"), human("e", id="h3")])


# After a compaction.


def test_what_stands_behind_the_anchor_is_told_by_the_ids_in_context() -> None:
    assert behind("message-9", ["message-p", "message-8", "message-9", "message-10"]) == ["message-10"]


def test_an_anchor_that_was_compacted_away_is_older_than_all_that_is_left() -> None:
    assert behind("message-9", ["message-p", "message-summary", "message-10"]) == ["message-10"]


def test_what_is_there_and_no_list_shows_is_taken_for_another_way() -> None:
    made = plan(ASKED, FOLLOWED, seen=Seen(rows=[], anchored=True, unread=True))
    assert (made.forks, made.reasons[-1]) == (True, "rule 8: the conversation went another way; a fork")


def test_what_no_list_shows_does_not_matter_once_the_request_is_found() -> None:
    made = plan(ASKED, FOLLOWED, seen=Seen(rows=[*stored(FIRST), replied()], anchored=True, unread=True))
    assert (made.stored_run_id, made.forks) == ("run-2", False)


def test_only_the_row_that_no_run_made_is_the_compiled_prompt() -> None:
    assert is_compiled_prompt(PROMPT)
    assert not is_compiled_prompt(SystemMessage(id="message-1", content="x", otid="otid-1"))
    assert not is_compiled_prompt(SystemMessage(id="message-1", content="x", run_id="run-1"))
    assert not is_compiled_prompt(UserMessage(id="message-1", content="x"))


# The newest rows, where no anchor tells.


def test_the_newest_rows_tell_the_system_texts_and_the_calls() -> None:
    held = held_in([PROMPT, *stored(plan([system("be kind"), human("a")], FOLLOWED)), waiting("call-1", "call-2")])
    assert held.system_texts == {"You are an agent.", "be kind"}
    assert (held.pending, held.answered) == (("call-1", "call-2"), ())


def test_calls_that_were_answered_do_not_wait() -> None:
    held = held_in([waiting("call-1"), responded("call-1"), Unknown(raw={})])
    assert (held.pending, held.answered) == ((), (("call-1",),))


def test_an_old_result_in_a_transcript_without_an_anchor_is_not_told_again() -> None:
    rows = [
        *(waiting("call-1"), responded("call-1", run_id="run-1")),
        *(waiting("call-2"), responded("call-2", run_id="run-2")),
    ]
    transcript = [human("a"), foreign("", "call-1"), result("call-1")]
    made = plan(transcript, PINNED, seen=Seen(rows=rows, anchored=False))
    assert made.stored_run_id == "run-1"
