"""Rules 2 to 4: results of tools, what people say, what others answered."""

from __future__ import annotations

import logging

import pytest

from letta_adapters.matching import same_answer
from letta_adapters.planner import plan
from letta_adapters.tail import result_of
from letta_adapters.transcript import HumanEntry, ToolEntry
from letta_adapters.wire import ApprovalCreate, Base64Image, ImageContent, TextContent, ToolReturn
from tests.planner.dialogue import (
    FOLLOWED,
    PINNED,
    anchor,
    following,
    foreign,
    human,
    newest,
    otids,
    ours,
    requested,
    responded,
    result,
    sent,
    stored,
    system,
    told,
    waiting,
)

PICTURE = ImageContent(source=Base64Image(media_type="image/png", data="aGk="))

# Rule 2: tool results.


def test_a_result_of_another_models_call_of_the_same_id_is_no_answer_to_ours() -> None:
    made = plan([human("a"), ours("", "call_0"), foreign("", "call_0"), result("call_0", "9"), human("b")], FOLLOWED)
    approval, *others = sent(made)
    assert approval == ("approval", [("call_0", "denied")])
    assert ("user", "[The tool look answered: 9]") in others


def test_a_result_of_a_call_of_before_is_no_answer_to_a_strangers_of_the_same_id() -> None:
    transcript = [human("a"), ours("", "call_0"), result("call_0", "3"), human("b")]
    rows = [responded("call_0"), waiting("call_0")]
    seen = following(*rows)
    ours_waits = plan(transcript, PINNED, seen=seen, settle=["call_0"], settle_in="message-9")
    another_waits = plan(transcript, PINNED, seen=seen, settle=["call_0"], settle_in="message-w")
    assert sent(ours_waits)[0] != ("approval", [("call_0", "denied")])
    assert sent(another_waits)[0] == ("approval", [("call_0", "denied")])


@pytest.mark.parametrize(
    ("given", "listed", "same"),
    [
        ((TextContent(text="seen"), PICTURE), "seen [Image omitted]", True),
        ((PICTURE,), "[Image omitted]", True),
        ((PICTURE, PICTURE), "[2 images omitted]", True),
        ((TextContent(text="seen"), PICTURE), "heard [Image omitted]", False),
        ((PICTURE,), "seen", False),
    ],
    ids=["text and image", "image", "images", "another text", "text instead"],
)
def test_a_result_with_images_is_known_by_what_a_list_shows_of_it(
    given: tuple[TextContent | ImageContent, ...], listed: str, same: bool
) -> None:
    sent_before = result_of(ToolEntry(tool_call_id="call-1", content=given))
    assert same_answer(sent_before, ToolReturn(tool_call_id="call-1", tool_return=listed, status="success")) is same


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


def test_a_result_of_text_and_images_is_answered_with_its_parts() -> None:
    entry = ToolEntry(tool_call_id="call-1", content=(TextContent(text="see"), PICTURE))
    made = plan([human("a"), ours("", "call-1"), entry], FOLLOWED)
    assert sent(made) == [("approval", [("call-1", [TextContent(text="see"), PICTURE])])]


def test_an_order_of_results_that_changed_makes_the_same_request() -> None:
    calls = [human("a"), ours("", "call-1", "call-2")]
    one, two = result("call-1", "3", id="t1"), result("call-2", "4", id="t2")
    there, back = plan([*calls, one, two], FOLLOWED), plan([*calls, two, one], FOLLOWED)
    assert stored(there) == stored(back)
    assert there.messages("conv-1", attempt=1, nonce="") == back.messages("conv-1", attempt=1, nonce="")


def test_an_answer_with_results_is_one_message_and_the_first() -> None:
    made = plan([system("new"), human("a"), ours("", "call-1"), human("c"), result("call-1")], FOLLOWED)
    assert [isinstance(item.message, ApprovalCreate) for item in made.items] == [True, False, False]


def test_a_denial_says_why() -> None:
    made = plan([human("a"), ours("", "call-1"), human("c")], FOLLOWED)
    (approval, _) = made.items
    assert isinstance(approval.message, ApprovalCreate)
    (answer,) = list(approval.message.approvals or ())
    assert "gave no result" in answer.model_dump()["reason"]


# Rule 2: results that stand in the transcript twice.


def test_a_result_that_stands_before_the_anchor_in_the_same_words_is_not_told_again() -> None:
    transcript = [human("a"), foreign("", "call-1"), result("call-1"), ours("b"), result("call-1"), human("c")]
    assert sent(plan(transcript, FOLLOWED)) == [("user", "c")]


@pytest.mark.parametrize("again", [result("call-1", "4"), result("call-1", error=True)], ids=["text", "status"])
def test_a_result_that_stands_before_the_anchor_in_other_words_is_told(again: ToolEntry) -> None:
    transcript = [human("a"), foreign("", "call-1"), result("call-1"), ours("b"), again, human("c")]
    assert len(sent(plan(transcript, FOLLOWED))) == 2


def test_a_call_id_that_is_used_again_is_answered_though_its_last_result_had_the_same_words() -> None:
    first, second = anchor("call_0", message_id="message-1"), anchor("call_0", message_id="message-2")
    transcript = [human("a"), ours("", "call_0", where=first), result("call_0"), ours("", "call_0", where=second)]
    assert sent(plan([*transcript, result("call_0")], FOLLOWED)) == [("approval", [("call_0", "3")])]


# Rule 2: results of calls that were answered meanwhile.

CALLED = [human("a"), ours("", "call-1"), result("call-1", "3", id="t1")]


def test_a_call_that_has_another_answer_is_not_answered_twice_and_its_result_is_told_as_text() -> None:
    made = plan(CALLED, PINNED, seen=following(responded("call-1", None)))
    assert sent(made) == [("user", "[The tool add answered: 3]")]


def test_of_two_calls_the_one_that_has_no_other_answer_is_still_answered() -> None:
    both = [human("a"), ours("", "call-1", "call-2"), result("call-1"), result("call-2")]
    made = plan(both, PINNED, seen=following(responded("call-1", "9")))
    assert sent(made) == [("approval", [("call-2", "3")]), ("user", "[The tool add answered: 3]")]


def test_a_result_of_a_call_that_has_this_very_answer_is_not_told_beside_the_calls_that_wait_now() -> None:
    made = plan(CALLED, PINNED, seen=newest(responded("call-1"), waiting("call-9")), settle=["call-9"])
    assert sent(made) == [("approval", [("call-9", "denied")])]


def test_a_result_of_a_call_that_has_another_answer_is_told_beside_the_calls_that_wait_now() -> None:
    made = plan(CALLED, PINNED, seen=newest(responded("call-1", "9"), waiting("call-9")), settle=["call-9"])
    assert sent(made) == [("approval", [("call-9", "denied")]), ("user", "[The tool add answered: 3]")]


def test_without_an_anchor_what_asked_for_the_calls_stands_for_one() -> None:
    transcript = [human("a"), foreign("", "call_0"), result("call_0")]
    rows = waiting("call_0")
    first = plan(transcript, PINNED, seen=newest(rows))
    again = plan(transcript, PINNED, seen=newest(rows.model_copy(update={"id": "message-w2"})))
    assert first.anchor_message_id == "message-w"
    assert sent(first) == sent(again)
    assert not set(otids(requested(first))) & set(otids(requested(again)))


# Rule 3: human messages.


def test_several_human_messages_in_a_row_stay_several_and_keep_their_names() -> None:
    made = plan([human("a", name="Ann"), human("b", name="Bo")], FOLLOWED)
    assert [(item.message.name, content) for item, (_, content) in zip(made.items, sent(made), strict=True)] == [  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        ("Ann", "a"),
        ("Bo", "b"),
    ]


def test_text_and_images_stay_in_order() -> None:
    parts = (TextContent(text="what is"), PICTURE, TextContent(text="this?"))
    assert sent(plan([HumanEntry(content=parts)], FOLLOWED)) == [("user", list(parts))]


def test_what_was_said_before_and_after_a_result_keeps_its_order_behind_the_answer() -> None:
    made = plan([human("a"), ours("", "call-1"), human("b"), result("call-1"), human("c")], FOLLOWED)
    assert sent(made) == [("approval", [("call-1", "3")]), ("user", "b"), ("user", "c")]


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


def test_the_author_of_a_foreign_turn_is_named() -> None:
    made = plan([foreign("b", name="helper"), human("c")], FOLLOWED)
    assert made.items[0].message.model_dump()["name"] == "helper"


def test_a_foreign_failure_is_told_as_one() -> None:
    made = plan([human("a"), foreign("", "call-9"), result("call-9", "boom", error=True), human("c")], FOLLOWED)
    assert ("user", "[The tool look failed with: boom]") in sent(made)


def test_a_foreign_result_whose_call_is_unknown_names_the_call() -> None:
    assert sent(plan([human("a"), result("call-8"), human("c")], FOLLOWED))[1] == (
        "user",
        "[The tool of call call-8 answered: 3]",
    )


def test_a_foreign_result_whose_call_stands_before_the_anchor_names_the_tool() -> None:
    transcript = [human("a"), foreign("", "call-8"), ours("b"), result("call-8"), human("c")]
    assert sent(plan(transcript, FOLLOWED))[0] == ("user", "[The tool look answered: 3]")


def test_a_foreign_result_keeps_its_images() -> None:
    entry = ToolEntry(tool_call_id="call-9", content=(PICTURE,))
    made = plan([human("a"), foreign("", "call-9"), entry], FOLLOWED)
    assert sent(made)[-1] == ("user", [TextContent(text="[The tool look answered: "), PICTURE, TextContent(text="]")])


def test_a_foreign_turn_of_calls_alone_may_end_the_transcript() -> None:
    assert sent(plan([human("a"), foreign("", "call-9")], FOLLOWED))[-1] == (
        "user",
        '[assistant called the tools: look({"q": 1})]',
    )


def test_a_foreign_turn_that_says_nothing_is_left_out() -> None:
    assert sent(plan([human("a"), foreign(""), human("c")], FOLLOWED)) == [("user", "a"), ("user", "c")]


def test_a_result_that_comes_again_with_another_call_of_that_id_is_another_result() -> None:
    once = [foreign("", "call_0"), result("call_0", "ok")]
    made = plan([human("a"), *once, ours("b"), human("c"), *once, human("d")], FOLLOWED)
    assert [text for _, text in sent(made)] == [
        "c",
        '[assistant called the tools: look({"q": 1})]',
        "[The tool look answered: ok]",
        "d",
    ]


def test_of_several_results_of_a_foreign_call_the_last_is_told() -> None:
    made = plan([human("a"), foreign("", "call-9"), result("call-9", "old"), result("call-9", "new")], FOLLOWED)
    assert [text for _, text in sent(made)][2:] == ["[The tool look answered: new]"]
