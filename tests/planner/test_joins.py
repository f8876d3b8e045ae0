"""Rule 1, where branches are joined: what came in before the anchor after it was given is told, too."""

from __future__ import annotations

from letta_adapters.anchoring import position_of
from letta_adapters.planner import plan
from letta_adapters.transcript import Entry
from tests.planner.dialogue import FOLLOWED, PINNED, anchor, foreign, human, otids, ours, requested, sent, system

ELSEWHERE = anchor(conversation_id="conv-2", message_id="message-2", length=1)
OTHERS = ours("from the other branch", where=ELSEWHERE)
ASKED = human("a", id="h1")


def joined(*, length: int | None = 1, new: tuple[Entry, ...] = (human("and?", id="h2"),)) -> list[Entry]:
    """Two branches answered `ASKED`, and the one of conv-1 stands last."""
    return [ASKED, OTHERS, ours("from this one", where=anchor(length=length, first=ASKED)), *new]


def test_what_another_branch_said_is_told_before_what_is_new() -> None:
    made = plan(joined(), FOLLOWED)
    assert made.conversation_id == "conv-1"
    assert sent(made) == [("assistant", "from the other branch"), ("user", "and?")]


def test_pinned_it_is_told_just_so() -> None:
    assert sent(plan(joined(), PINNED)) == [("assistant", "from the other branch"), ("user", "and?")]


def test_a_branch_that_had_several_messages_is_told_whole() -> None:
    branch = [human("b", id="h9"), foreign("c"), human("d", id="h8"), OTHERS]
    made = plan([ASKED, *branch, ours("e", where=anchor(length=1, first=ASKED)), human("f")], FOLLOWED)
    assert [content for _, content in sent(made)] == ["b", "c", "d", "from the other branch", "f"]


def test_of_several_branches_each_is_told() -> None:
    third = ours("from a third", where=anchor(conversation_id="conv-3", length=1))
    made = plan([ASKED, OTHERS, third, ours("e", where=anchor(length=1, first=ASKED)), human("f")], FOLLOWED)
    assert [content for _, content in sent(made)] == ["from the other branch", "from a third", "f"]


def test_a_join_that_was_told_is_not_told_again() -> None:
    transcript = joined()
    answered = anchor(message_id="message-5", length=plan(transcript, FOLLOWED).transcript_length, first=ASKED)
    made = plan([*transcript, ours("so it is", where=answered), human("good")], FOLLOWED)
    assert sent(made) == [("user", "good")]


def test_a_join_alone_is_told_as_the_users_text_since_the_agent_would_answer_to_its_own_words() -> None:
    assert sent(plan(joined(new=()), FOLLOWED)) == [("user", "[assistant said: from the other branch]")]


def test_its_messages_keep_their_otids_whatever_is_said_next() -> None:
    one = otids(requested(plan(joined(), FOLLOWED)))
    other = otids(requested(plan(joined(new=(human("or?", id="h3"),)), FOLLOWED)))
    assert one[0] == other[0]
    assert one[1] != other[1]


def test_no_message_of_a_join_has_the_position_of_another_one() -> None:
    branch = [human("b", id="h9"), OTHERS]
    transcript = [system("be kind"), ASKED, *branch, ours("e", where=anchor(length=1, first=ASKED)), human("f")]
    positions = [item.position for item in plan(transcript, FOLLOWED).items]
    assert positions == [-1, -3, -2, 0]


def test_an_older_answer_of_the_same_conversation_is_no_strangers() -> None:
    first = ours("b", where=anchor(message_id="message-1", length=1, first=ASKED))
    last = ours("d", where=anchor(message_id="message-2", length=2, first=ASKED))
    assert list(position_of([ASKED, first, human("c"), last, human("e")], FOLLOWED).inserted) == []


def test_a_foreign_turn_that_was_there_when_the_anchor_was_given_is_known() -> None:
    transcript = [ASKED, foreign("b"), human("c"), ours("d", where=anchor(length=3, first=ASKED)), human("e")]
    assert sent(plan(transcript, FOLLOWED)) == [("user", "e")]


def test_leading_system_messages_do_not_count() -> None:
    transcript = [system("one"), system("two"), ASKED, ours("b", where=anchor(length=1, first=ASKED)), human("c")]
    assert list(position_of(transcript, FOLLOWED).inserted) == []


def test_an_anchor_that_does_not_tell_how_much_was_there_hides_a_join() -> None:
    assert sent(plan(joined(length=None), FOLLOWED)) == [("user", "and?")]


def test_trimming_and_joining_at_once_hide_each_other() -> None:
    early = [human("x"), ours("y", where=anchor(message_id="message-1", length=1, first=human("x"))), ASKED]
    last = ours("b", where=anchor(length=3, first=human("x")))
    assert len(position_of([*early, OTHERS, last, human("c")], FOLLOWED).inserted) == 1
    assert list(position_of([*early[1:], OTHERS, last, human("c")], FOLLOWED).inserted) == []


def test_what_stands_before_the_first_message_that_the_anchor_knew_came_in_too() -> None:
    transcript = [human("before", id="h0"), ASKED, ours("b", where=anchor(length=1, first=ASKED)), human("c")]
    assert [content for _, content in sent(plan(transcript, FOLLOWED))] == ["before", "c"]


def test_a_beginning_that_is_not_the_anchors_any_more_says_nothing_of_joins() -> None:
    summary = human("a summary of what was said")
    transcript = [summary, OTHERS, ours("b", where=anchor(length=1, first=ASKED)), human("c")]
    assert sent(plan(transcript, FOLLOWED)) == [("user", "c")]


def test_the_plan_says_how_much_came_in() -> None:
    assert plan(joined(), FOLLOWED).reasons[0] == (
        "rule 1: goes on in conv-1 after message-9; 1 messages came in before it"
    )
