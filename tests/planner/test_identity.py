"""Rule 7: the same thing sent again has the same otids, and nothing else has."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letta_adapters.planner import Target, plan
from letta_adapters.transcript import Entry
from tests.planner.dialogue import AGENT, FOLLOWED, anchor, human, otids, ours, result


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


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=5), st.sampled_from([None, "h1", "h2"])), min_size=1, max_size=6)
)
def test_no_two_messages_of_a_request_share_an_otid(said: list[tuple[str, str | None]]) -> None:
    made = made_otids([human(text, id=id) for text, id in said])
    assert len(set(made)) == len(made)
    assert all(str(UUID(otid)) == otid for otid in made)
