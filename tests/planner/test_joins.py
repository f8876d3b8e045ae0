"""Rule 1, where branches are joined: what came in before the anchor after it was given is told, too."""

from __future__ import annotations

from collections.abc import Sequence

from letta_adapters.anchoring import position_of
from letta_adapters.joins import extent_of
from letta_adapters.planner import Target, plan
from letta_adapters.transcript import Anchor, Entry
from tests.planner.dialogue import (
    FOLLOWED,
    PINNED,
    anchor,
    foreign,
    human,
    otids,
    ours,
    requested,
    result,
    sent,
    system,
)

ASKED = human("a", id="h1")
ELSEWHERE = anchor(conversation_id="conv-2", message_id="message-2", knew=[ASKED])
OTHERS = ours("from the other branch", where=ELSEWHERE)
HERE = anchor(knew=[ASKED])


def joined(*, where: Anchor = HERE, new: tuple[Entry, ...] = (human("and?", id="h2"),)) -> list[Entry]:
    """Two branches answered `ASKED`, and the one of conv-1 stands last."""
    return [ASKED, OTHERS, ours("from this one", where=where), *new]


def told(transcript: Sequence[Entry], target: Target = FOLLOWED) -> list[object]:
    return [content for _, content in sent(plan(transcript, target))]


def test_what_another_branch_said_is_told_before_what_is_new() -> None:
    made = plan(joined(), FOLLOWED)
    assert made.conversation_id == "conv-1"
    assert sent(made) == [("assistant", "from the other branch"), ("user", "and?")]


def test_pinned_it_is_told_just_so() -> None:
    assert sent(plan(joined(), PINNED)) == [("assistant", "from the other branch"), ("user", "and?")]


def test_a_branch_that_had_several_messages_is_told_whole() -> None:
    branch = [human("b", id="h9"), foreign("c"), human("d", id="h8"), OTHERS]
    assert told([ASKED, *branch, ours("e", where=HERE), human("f")]) == ["b", "c", "d", "from the other branch", "f"]


def test_of_several_branches_each_is_told() -> None:
    third = ours("from a third", where=anchor(conversation_id="conv-3", knew=[ASKED]))
    transcript = [ASKED, OTHERS, third, ours("e", where=HERE), human("f")]
    assert told(transcript) == ["from the other branch", "from a third", "f"]


def test_what_nobody_answered_at_the_end_of_a_branch_is_told() -> None:
    unanswered = human("are you there?", id="h9")
    assert told([ASKED, OTHERS, unanswered, ours("e", where=HERE), human("f")]) == [
        "from the other branch",
        "are you there?",
        "f",
    ]


def test_the_branch_of_the_anchor_may_have_parted_later_and_have_messages_of_its_own() -> None:
    own = [ASKED, ours("early", where=HERE), human("b", id="h3")]
    last = ours("late", where=anchor(message_id="message-12", knew=own))
    branch = [human("x", id="h9"), ours("y", where=ELSEWHERE)]
    assert told([*own[:2], *branch, own[2], last, human("f")]) == ["x", "y", "f"]


def test_a_branch_that_has_answers_of_the_anchors_conversation_from_before_is_told_by_what_it_says() -> None:
    known = [ASKED, ours("early", where=HERE)]
    forked = ours("late", where=anchor(conversation_id="conv-3", knew=[*known, human("b", id="h3")]))
    transcript = [*known, human("x", id="h9"), OTHERS, human("b", id="h3"), forked, human("f")]
    assert told(transcript) == ["x", "from the other branch", "f"]


def test_a_join_that_was_told_is_not_told_again() -> None:
    transcript = joined()
    answered = anchor(message_id="message-5", knew=transcript)
    assert sent(plan([*transcript, ours("so it is", where=answered), human("good")], FOLLOWED)) == [("user", "good")]


def test_a_join_alone_is_told_as_the_users_text_since_the_agent_would_answer_to_its_own_words() -> None:
    assert sent(plan(joined(new=()), FOLLOWED)) == [("user", "[assistant said: from the other branch]")]


def test_its_messages_keep_their_otids_whatever_is_said_next() -> None:
    one = otids(requested(plan(joined(), FOLLOWED)))
    other = otids(requested(plan(joined(new=(human("or?", id="h3"),)), FOLLOWED)))
    assert one[0] == other[0]
    assert one[1] != other[1]


def test_no_message_of_a_join_has_the_position_of_another_one() -> None:
    branch = [human("b", id="h9"), OTHERS]
    transcript = [system("be kind"), ASKED, *branch, ours("e", where=HERE), human("f")]
    positions = [item.position for item in plan(transcript, FOLLOWED).items]
    assert positions == [-1, -3, -2, 0]


def test_turns_of_another_dialogue_in_the_same_conversation_are_there_already() -> None:
    first = human("x", id="h8")
    other: list[Entry] = [first, ours("y", where=anchor(message_id="message-1", knew=[first]))]
    transcript = [*other, ASKED, ours("b", where=HERE), human("c")]
    assert sent(plan(transcript, PINNED)) == [("user", "c")]


def test_turns_in_the_same_words_in_the_same_conversation_are_there_already() -> None:
    first = [ASKED, ours("b", where=HERE)]
    again = [human("a", id="h2"), ours("c", where=anchor(message_id="message-12", knew=[ASKED]))]
    assert sent(plan([*first, *again, human("d")], PINNED)) == [("user", "d")]


def test_a_branch_that_asks_in_the_same_words_is_told_with_its_own_question() -> None:
    question = human("and?", id="h7")
    branch = [question, ours("x", where=ELSEWHERE)]
    known = [ASKED, ours("b", where=HERE), human("and?", id="h8")]
    last = ours("y", where=anchor(message_id="message-12", knew=known))
    made = plan([*known[:2], *branch, known[2], last, human("d")], FOLLOWED)
    assert [item.framework_id for item in made.items] == ["h7", None, None]


def test_what_nobody_answered_in_another_dialogue_of_the_same_conversation_is_told() -> None:
    first = human("x", id="h8")
    other = [first, ours("y", where=anchor(message_id="message-1", knew=[first])), human("still there?", id="h9")]
    assert told([*other, ASKED, ours("b", where=HERE), human("c")], PINNED) == ["still there?", "c"]


def test_an_older_answer_of_the_same_conversation_is_no_strangers() -> None:
    known = [ASKED, ours("b", where=HERE), human("c")]
    last = ours("d", where=anchor(message_id="message-2", knew=known))
    assert list(position_of([*known, last, human("e")], FOLLOWED).inserted) == []


def test_a_foreign_turn_that_was_there_when_the_anchor_was_given_is_known() -> None:
    known = [ASKED, foreign("b"), human("c")]
    assert sent(plan([*known, ours("d", where=anchor(knew=known)), human("e")], FOLLOWED)) == [("user", "e")]


def test_leading_system_messages_do_not_count() -> None:
    transcript = [system("one"), system("two"), ASKED, ours("b", where=HERE), human("c")]
    assert list(position_of(transcript, FOLLOWED).inserted) == []


def test_an_anchor_that_does_not_tell_what_was_there_hides_a_join() -> None:
    assert sent(plan(joined(where=anchor()), FOLLOWED)) == [("user", "and?")]


def test_trimming_and_joining_at_once_hide_each_other() -> None:
    early = [human("x"), ours("y", where=anchor(message_id="message-1", knew=[human("x")])), ASKED]
    last = ours("b", where=anchor(knew=early))
    assert len(position_of([*early, OTHERS, last, human("c")], FOLLOWED).inserted) == 1
    assert list(position_of([*early[1:], OTHERS, last, human("c")], FOLLOWED).inserted) == []


def test_what_was_trimmed_and_answered_is_the_beginning_for_whatever_is_joined_later() -> None:
    trimmed = [ours("y", where=anchor(message_id="message-1", knew=[human("x")])), ASKED]
    answered = plan([*trimmed, ours("b", where=anchor(knew=[human("x"), *trimmed])), human("c")], FOLLOWED)
    extent = extent_of([*trimmed, ours("b"), human("c")])
    assert (answered.transcript_length, answered.transcript_digest) == (extent.length, extent.digest)


def test_what_stands_before_the_first_message_that_the_anchor_knew_came_in_too() -> None:
    assert told([human("before", id="h0"), ASKED, ours("b", where=HERE), human("c")]) == ["before", "c"]


def test_a_transcript_that_does_not_hold_what_the_anchor_knew_says_nothing_of_joins() -> None:
    summary = human("a summary of what was said")
    transcript = [summary, OTHERS, ours("b", where=HERE), human("c")]
    assert sent(plan(transcript, FOLLOWED)) == [("user", "c")]


def test_the_sum_that_is_carried_on_is_the_sum_of_all_messages() -> None:
    known: list[Entry] = [ASKED, result("call-1"), foreign("b")]
    extent = extent_of([*known, ours("c"), human("d")])
    carried = plan([*known, ours("c", where=anchor(knew=known)), human("d")], FOLLOWED)
    assert (carried.transcript_length, carried.transcript_digest) == (extent.length, extent.digest)


def test_the_plan_says_how_much_came_in() -> None:
    assert plan(joined(), FOLLOWED).reasons[0] == (
        "rule 1: goes on in conv-1 after message-9; 1 messages came in before it"
    )


# Branches with words of their own, which their graph does not keep.

PRIVATE = human("be a critic")
CRITIC = ours("too long", where=anchor(conversation_id="conv-2", message_id="message-2", knew=[ASKED], asked_at=1))
FAN = anchor(knew=[ASKED, PRIVATE], asked_at=1)


def test_a_branch_is_told_to_one_whose_own_question_was_not_kept() -> None:
    assert told([ASKED, CRITIC, ours("how nice", where=FAN), human("and?")]) == ["too long", "and?"]


def test_several_are_and_so_are_those_of_other_models() -> None:
    transcript = [ASKED, CRITIC, foreign("so what"), ours("how nice", where=FAN), human("and?")]
    assert told(transcript) == ["too long", "so what", "and?"]


def test_the_results_in_a_branch_are_told_with_it() -> None:
    calling = ours("", "call-1", where=anchor("call-1", conversation_id="conv-2", knew=[ASKED], asked_at=1))
    transcript = [ASKED, calling, result("call-1", "9"), CRITIC, ours("how nice", where=FAN), human("and?")]
    assert len(told(transcript)) > len(told([ASKED, CRITIC, ours("how nice", where=FAN), human("and?")]))


def test_what_the_branch_knew_is_not_told_again() -> None:
    first = ours("first", where=anchor(conversation_id="conv-2", knew=[ASKED], asked_at=0))
    knew = [ASKED, first, PRIVATE]
    here = ours("how nice", where=anchor(knew=knew, asked_at=2))
    assert told([ASKED, first, CRITIC, here, human("and?")]) == ["too long", "and?"]
    assert told([ASKED, first, here, human("and?")]) == ["and?"]


def test_its_own_answers_are_not_told_again_where_much_was_taken_out() -> None:
    knew = [human("x"), foreign("y"), ASKED, PRIVATE]
    here = ours("how nice", where=anchor(knew=knew, asked_at=1))
    without_metadata = foreign("mine")
    assert told([ASKED, without_metadata, here, human("and?")]) == ["and?"]
    assert told([ASKED, ours("mine", where=HERE), here, human("and?")]) == ["and?"]


def test_a_plan_says_where_the_last_words_of_a_person_stand() -> None:
    assert plan([system("s"), ASKED, human("b")], FOLLOWED).asked_at == 1
    assert plan([ASKED, ours("b", where=HERE), human("c")], FOLLOWED).asked_at == 2
    calling = ours("", "call-1", where=anchor("call-1", knew=[ASKED], asked_at=0))
    assert plan([ASKED, calling, result("call-1", "9")], FOLLOWED).asked_at == 0
