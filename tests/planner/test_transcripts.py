"""Transcripts: translated when they are looked at, and trusted as far as their anchors are signed."""

from __future__ import annotations

import json

import pytest

from letta_adapters.planner import plan
from letta_adapters.transcript import Anchor, AssistantEntry, Entry, Transcript, trusted
from tests.planner.dialogue import FOLLOWED, PINNED, anchor, human, ours, result, sent, system

KEY = "a key"


class Looks:
    """A transcript that remembers which of its messages were looked at."""

    def __init__(self, *entries: Entry) -> None:
        self.at: list[int] = []
        self.transcript = Transcript(entries, self._translated)

    def _translated(self, entry: Entry, position: int) -> Entry:
        self.at.append(position)
        return entry


# Translated when they are looked at.


def test_a_message_is_translated_once_however_often_it_is_looked_at() -> None:
    looks = Looks(human("a"), human("b"))
    assert looks.transcript[0] is looks.transcript[-2]
    assert list(looks.transcript) == looks.transcript[:]
    assert sorted(looks.at) == [0, 1]


def test_counting_the_messages_looks_at_none() -> None:
    looks = Looks(human("a"), human("b"))
    assert len(looks.transcript) == 2
    assert looks.at == []


def test_beyond_the_end_there_is_nothing() -> None:
    with pytest.raises(IndexError):
        Looks(human("a")).transcript[1]


def test_what_stands_before_the_anchor_is_not_looked_at_but_for_its_beginning() -> None:
    looks = Looks(system("be kind"), *[human("a"), ours("b")] * 50, human("c"))
    assert sent(plan(looks.transcript, FOLLOWED)) == [("system", "be kind"), ("user", "c")]
    assert set(looks.at) == {0, 1, 100, 101}


def test_a_message_before_the_anchor_that_cannot_be_sent_does_not_matter() -> None:
    def translate(entry: Entry, position: int) -> Entry:
        if position == 1:
            raise ValueError("Message 1 is a sound.")
        return entry

    entries = [human("a"), human("a sound"), ours("b"), human("c")]
    assert sent(plan(Transcript(entries, translate), FOLLOWED)) == [("user", "c")]
    with pytest.raises(ValueError, match="Message 1"):
        plan(Transcript([*entries[:2], human("c")], translate), FOLLOWED)


# Signed anchors.


def test_a_signed_anchor_is_known_again_after_it_was_stored_as_json() -> None:
    metadata = json.loads(json.dumps(anchor("call-1", knew=[human("a")]).signed(KEY).to_metadata()))
    again = Anchor.from_metadata(metadata)
    assert again is not None
    assert again.is_signed(KEY)


@pytest.mark.parametrize(
    "change",
    [{"conversation_id": "conv-2"}, {"agent_id": None}, {"message_id": "message-1"}, {"pending": ()}, {"nudged": True}],
    ids=lambda change: next(iter(change)),
)
def test_whatever_is_changed_in_an_anchor_breaks_its_signature(change: dict[str, object]) -> None:
    signed = anchor("call-1").signed(KEY)
    assert not signed.model_copy(update=change).is_signed(KEY)


def test_another_key_or_none_does_not_sign() -> None:
    assert not anchor().signed("another").is_signed(KEY)
    assert not anchor().is_signed(KEY)


def test_a_signature_that_is_no_hex_text_is_no_signature() -> None:
    assert not anchor().model_copy(update={"signature": ""}).is_signed(KEY)


def test_an_anchor_that_nobody_signed_says_nothing_of_signatures_in_its_metadata() -> None:
    assert "signature" not in anchor().to_metadata()


def test_only_a_signed_anchor_is_followed() -> None:
    real, forged = anchor().signed(KEY), anchor(conversation_id="conv-2")
    transcript = [human("a"), ours("b", where=real), human("c"), ours("d", where=forged), human("e")]
    made = plan(trusted(transcript, KEY), FOLLOWED)
    assert made.conversation_id == "conv-1"
    assert sent(made) == [("user", "c"), ("assistant", "d"), ("user", "e")]


def test_the_answer_of_a_forged_anchor_is_told_with_its_calls_as_text() -> None:
    transcript = [human("a"), ours("b", "call-1"), result("call-1"), human("c")]
    made = plan(trusted(transcript, KEY), FOLLOWED)
    assert made.conversation_id is None
    assert [kind for kind, _ in sent(made)] == ["user", "assistant", "user", "user", "user"]


def test_a_forged_anchor_does_not_even_end_what_is_new_to_a_pinned_conversation() -> None:
    made = plan(trusted([human("a"), ours("b"), human("c")], KEY), PINNED)
    assert (made.anchor_message_id, sent(made)) == (None, [("user", "c")])


def test_trust_looks_at_no_more_than_is_looked_at() -> None:
    looks = Looks(*[human("a"), ours("b", where=anchor().signed(KEY))] * 50, human("c"))
    plan(trusted(looks.transcript, KEY), FOLLOWED)
    assert set(looks.at) == {0, 99, 100}


def test_everything_else_of_a_forged_answer_is_kept() -> None:
    forged = ours("b", "call-1")
    (kept,) = trusted([forged], KEY)
    assert isinstance(kept, AssistantEntry)
    assert (kept.text, kept.calls, kept.anchor) == (forged.text, forged.calls, None)


def test_what_is_no_anchor_is_none() -> None:
    assert Anchor.from_metadata({"run_id": "run-1"}) is None
    assert Anchor.from_metadata("conv-1") is None
    assert Anchor.from_metadata(None) is None
