"""A program that strips the metadata off answers loses its conversation: it is told so, once, and nobody else is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from letta_adapters.memory import TurnMemory
from letta_adapters.transcript import AssistantEntry, Entry, HumanEntry
from letta_adapters.wire import Conversation
from tests.delivery.flows import ASKED, FOLLOWED, begin, finish

MORE = HumanEntry(content="and now?", id="h2")
STRIPPED: list[Entry] = [*ASKED, AssistantEntry(text="hi"), MORE]
"""What `flows.ANSWER` answered, without its anchor."""


def deliver(transcript: Sequence[Entry], memory: TurnMemory) -> None:
    flow = begin(transcript, FOLLOWED, memory=memory)
    next(flow)
    flow.send(Conversation(id="conv-1", agent_id="agent-1"))
    finish(flow)


def test_an_answer_that_comes_back_without_its_anchor_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    memory = TurnMemory()
    deliver(ASKED, memory)
    assert caplog.messages == []
    deliver(STRIPPED, memory)
    deliver(STRIPPED, memory)
    (warning,) = caplog.messages
    assert "without the anchor of the agent's last answer" in warning
    assert "response_metadata" in warning


def test_an_answer_that_nobody_gave_here_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    deliver([*ASKED, AssistantEntry(text="another model's"), MORE], TurnMemory())
    assert caplog.messages == []


def test_prompts_that_stand_alone_are_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    memory = TurnMemory()
    for number in range(3):  # what a summarizer asks, time and again
        deliver([HumanEntry(content="Sum this up.", id=f"h{number}")], memory)
    assert caplog.messages == []
