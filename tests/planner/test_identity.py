"""Rule 7: the same thing sent again has the same otids, and nothing else has."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letta_adapters.identity import conversation_marker
from letta_adapters.planner import Target, plan
from letta_adapters.plans import Into
from letta_adapters.transcript import AssistantEntry, Entry
from tests.planner.dialogue import AGENT, FOLLOWED, anchor, foreign, human, otids, ours, result, system


def made_otids(
    transcript: Sequence[Entry],
    *,
    target: Target = FOLLOWED,
    conversation_id: str = "conv-1",
    attempt: int = 1,
    nonce: str = "n",
) -> list[str]:
    return otids(plan(transcript, target).messages(conversation_id, attempt=attempt, nonce=nonce))


def test_a_message_with_an_id_has_the_same_otid_whenever_it_is_sent() -> None:
    transcript = [human("a"), ours("b"), human("c", id="h2")]
    assert made_otids(transcript, nonce="one") == made_otids(transcript, nonce="two")


def test_messages_without_ids_are_new_every_time() -> None:
    assert made_otids([human("a")], nonce="one") != made_otids([human("a")], nonce="two")


def test_answers_to_calls_need_no_id_to_be_recognised() -> None:
    transcript = [human("a"), ours("", "call-1"), result("call-1"), human("and?")]
    assert made_otids(transcript, nonce="one") == made_otids(transcript, nonce="two")


def test_one_id_makes_the_whole_request_recognisable() -> None:
    transcript = [human("a"), human("b", id="h2")]
    assert made_otids(transcript, nonce="one") == made_otids(transcript, nonce="two")


BASE = [human("a"), ours("b", where=anchor(message_id="message-1")), human("c", id="h2")]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(made_otids([*BASE[:2], human("C", id="h2")]), id="edited text"),
        pytest.param(made_otids([*BASE[:2], human("c", id="h3")]), id="another message with the same text"),
        pytest.param(made_otids(BASE, conversation_id="conv-2"), id="another conversation"),
        pytest.param(made_otids(BASE, attempt=2), id="another attempt"),
        pytest.param(
            made_otids([human("a"), ours("b", where=anchor(message_id="message-2")), human("c", id="h2")]),
            id="after another answer",
        ),
    ],
)
def test_whatever_makes_a_message_another_one_makes_its_otid_another_one(other: list[str]) -> None:
    assert not set(made_otids(BASE)) & set(other)


def test_a_call_id_that_repeats_does_not_repeat_an_otid() -> None:
    first = [human("a"), ours("", "call_0", where=anchor("call_0", message_id="message-1")), result("call_0")]
    second = [human("a"), ours("", "call_0", where=anchor("call_0", message_id="message-2")), result("call_0")]
    assert made_otids(first) != made_otids(second)


def test_default_is_another_conversation_for_every_agent() -> None:
    transcript = [human("a", id="h1")]
    one = Target(agent_id=AGENT, conversation_id="default")
    two = Target(agent_id="agent-2", conversation_id="default")
    assert made_otids(transcript, target=one, conversation_id="default") != made_otids(
        transcript, target=two, conversation_id="default"
    )


def test_naming_the_agent_of_a_conversation_changes_nothing() -> None:
    transcript = [human("a", id="h1")]
    assert made_otids(transcript, target=Target(agent_id=AGENT, conversation_id="conv-1")) == made_otids(
        transcript, target=Target(agent_id=None, conversation_id="conv-1")
    )


# Repeatable or not.


@pytest.mark.parametrize(
    ("transcript", "repeatable"),
    [
        ([human("a"), ours("b"), human("c")], False),
        ([human("a"), ours("b"), human("c", id="h2")], True),
        ([human("a"), ours("", "call-1"), result("call-1")], True),
        ([system("be kind"), human("a")], False),
        ([human("a"), foreign("b"), human("c", id="h2")], True),
        ([human("a", id="h1"), ours("b"), human("c")], False),
    ],
    ids=["no ids", "an id", "a result", "a system text", "an id among others", "an id before the anchor only"],
)
def test_a_plan_says_whether_whoever_has_the_same_transcript_makes_the_same_request(
    transcript: Sequence[Entry], repeatable: bool
) -> None:
    assert plan(transcript, FOLLOWED).repeatable is repeatable


def test_a_fork_of_a_request_without_ids_stays_a_request_of_its_own() -> None:
    # Told anew, the transcript has ids of messages that stand before the anchor; the new message still has none.
    transcript = [human("a", id="h1"), ours("b"), human("c")]
    first = plan(transcript, FOLLOWED)
    fork = plan(transcript, FOLLOWED, into=Into(conversation_id="conv-2", is_new=True, repeatable=first.repeatable))
    assert (first.repeatable, fork.repeatable) == (False, False)
    one, other = (otids(fork.messages("conv-2", attempt=1, nonce=nonce)) for nonce in ("one", "two"))
    assert not set(one) & set(other)


def test_a_fork_of_a_request_with_ids_is_the_same_for_everybody() -> None:
    transcript = [human("a"), ours("b"), human("c", id="h2")]
    fork = plan(transcript, FOLLOWED, into=Into(conversation_id="conv-2", is_new=True))
    one, other = (otids(fork.messages("conv-2", attempt=1, nonce=nonce)) for nonce in ("one", "two"))
    assert one == other


def test_the_same_text_in_another_place_of_the_tail_is_another_message() -> None:
    first = made_otids([human("a", id="h1"), human("b", id="h2")])
    assert made_otids([human("b", id="h2"), human("a", id="h1")])[0] not in first


def test_the_same_text_in_another_role_is_another_message() -> None:
    users = made_otids([human("a", id="h1"), human("b", id="h2")])
    assistants = made_otids([AssistantEntry(text="a", id="h1"), human("b", id="h2")])
    assert (users[0] != assistants[0], users[1] == assistants[1]) == (True, True)


def test_the_same_words_of_another_speaker_are_another_message() -> None:
    assert made_otids([human("a", id="h1", name="Ann")]) != made_otids([human("a", id="h1", name="Bo")])


def test_otids_stay_the_same_from_version_to_version() -> None:
    # A process that runs an older version may have sent the request: changed otids would store it twice.
    assert made_otids(BASE) == ["8522930e-3e63-5cb7-9fdc-a72eae6aa047"]
    assert conversation_marker("a", None) == "6e3b3b55-4d94-5e3e-9295-01313a99ebe6"


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=5), st.sampled_from([None, "h1", "h2"])), min_size=1, max_size=6)
)
def test_no_two_messages_of_a_request_share_an_otid(said: list[tuple[str, str | None]]) -> None:
    made = made_otids([human(text, id=id) for text, id in said])
    assert len(set(made)) == len(made)
    assert all(str(UUID(otid)) == otid for otid in made)
