"""Followed transcripts for deliveries, and what their conversation lists."""

from __future__ import annotations

from collections.abc import Sequence

from letta_adapters.joins import extent_of
from letta_adapters.matching import Row
from letta_adapters.transcript import Anchor, AssistantEntry, Entry, HumanEntry
from letta_adapters.wire import AssistantMessage, MessageCreate, UserMessage
from tests.delivery.flows import FOLLOWED, begin, claim, knowing, sent


def answer(text: str, *, conversation_id: str = "conv-1", message_id: str | None = "message-1") -> AssistantEntry:
    """The answer of run-1 to `one`."""
    knew = extent_of([HumanEntry(content="one")])
    anchor = Anchor(
        agent_id="agent-1",
        conversation_id=conversation_id,
        run_id="run-1",
        message_id=message_id,
        transcript_length=knew.length,
        transcript_digest=knew.digest,
    )
    return AssistantEntry(text=text, anchor=anchor)


BEFORE: list[Entry] = [HumanEntry(content="one", id="h1"), answer("1")]
NEXT: list[Entry] = [*BEFORE, HumanEntry(content="two", id="h2")]
NAMELESS_NEXT: list[Entry] = [*BEFORE, HumanEntry(content="two")]
MESSAGES = ("GET", "/v1/conversations/conv-1/messages")


def sent_rows(turn: object, run_id: str = "run-2") -> list[Row]:
    """A turn as its conversation lists it."""
    request = sent(turn).request
    assert request is not None
    rows: list[Row] = []
    for number, message in enumerate(request.messages or ()):
        assert isinstance(message, MessageCreate)
        id, text = f"message-{run_id}-{number}", str(message.content)
        if message.role == "assistant":  # listed with an otid of the server's
            rows.append(AssistantMessage(id=id, content=text, otid=f"otid-{id}", run_id=run_id))
        else:
            rows.append(UserMessage(id=id, content=text, otid=message.otid, run_id=run_id))
    return [*rows, AssistantMessage(id=f"message-{run_id}-answer", content="2", run_id=run_id)]


def rows_of(transcript: Sequence[Entry] = NEXT, run_id: str = "run-2") -> list[Row]:
    """What the conversation holds once a transcript was sent."""
    flow = begin(transcript, FOLLOWED, memory=knowing())
    claim(flow, next(flow))
    return sent_rows(flow.send([]), run_id)


def of_strangers(number: int = 1, *, first: int = 0) -> list[Row]:
    """Messages that the transcript knows nothing of."""
    return [
        UserMessage(id=f"message-x-{one}", content="other", otid=f"otid-x-{one}", run_id=f"run-x-{one}")
        for one in range(first, first + number)
    ]
