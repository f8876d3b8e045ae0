"""Where a transcript stands: its anchor and what is new since then (rule 1 of the planner). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from letta_adapters.transcript import Anchor, AssistantEntry, Call, Entry, SystemEntry, ToolEntry

__all__ = ["Position", "Tail", "Target", "fingerprint", "position_of", "without_repeated_results"]

Tail = Sequence[tuple[int, Entry]]
"""What is new, each with its position: 0 is the first message after the anchor."""

_LAST_INSERTED = -2
"""Position of the last message that came in before the anchor; -1 is the leading system text's."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a transcript goes.

    Args:
        agent_id: The agent; needed in followed mode and for `default`.
        conversation_id: The conversation in pinned mode, `None` in followed mode.
    """

    agent_id: str | None
    conversation_id: str | None = None

    @property
    def pinned(self) -> bool:
        """Whether the conversation is given."""
        return self.conversation_id is not None

    def holds(self, anchor: Anchor) -> bool:
        """Whether an anchor lies in this conversation (pinned) or with this agent (followed)."""
        if self.pinned and self.conversation_id != "default":
            return anchor.conversation_id == self.conversation_id
        if anchor.agent_id != self.agent_id:
            return False
        return not self.pinned or anchor.conversation_id == "default"


@dataclass(frozen=True, kw_only=True)
class Position:
    """A transcript, cut where the conversation stands.

    Args:
        transcript: All of it.
        leading: The system messages that it begins with.
        answered: The last answer that the conversation has, with or without an anchor.
        anchor: That answer's anchor.
        inserted: What came in before the anchor after it was given: another branch's turns, where two were joined.
        tail: What follows the anchor.
        start: Where in the transcript the tail begins.
        length: How many messages the transcript has after its leading system messages.
        first: Fingerprint of the first of them.
    """

    transcript: Sequence[Entry]
    leading: Sequence[Entry]
    answered: AssistantEntry | None
    anchor: Anchor | None
    inserted: Tail
    tail: Tail
    start: int
    length: int
    first: str | None


def position_of(transcript: Sequence[Entry], target: Target, *, afresh: bool = False) -> Position:
    """Find the last answer of this agent (pinned: of this conversation); what follows it is new.

    Answers of others are no boundary. Without an anchor everything is new (followed), or what follows the last answer
    that is nobody else's (pinned).

    Args:
        transcript: The whole dialogue.
        target: Where it goes.
        afresh: Whether all of it is told to a conversation that is new, whatever the anchors say.
    """
    leading = _leading_system(transcript)
    index = None if afresh else _last(transcript, lambda anchor: anchor is not None and target.holds(anchor))
    boundary = index
    if boundary is None and target.pinned and not afresh:
        boundary = _last(transcript, lambda anchor: anchor is None)
    answered = transcript[boundary] if boundary is not None else None
    start = max(boundary + 1 if boundary is not None else 0, leading)
    return Position(
        transcript=transcript,
        leading=transcript[:leading],
        answered=answered if isinstance(answered, AssistantEntry) else None,
        anchor=answered.anchor if isinstance(answered, AssistantEntry) and index is not None else None,
        inserted=_inserted(transcript, leading, index, target) if index is not None else (),
        tail=list(enumerate(transcript[start:])),
        start=start,
        length=len(transcript) - leading,
        first=fingerprint(transcript[leading]) if len(transcript) > leading else None,
    )


def without_repeated_results(here: Position) -> Tail:
    """What is new, but for results that stand before the anchor in the same words."""
    return [(position, entry) for position, entry in here.tail if not _stands_before(here, entry)]


def _stands_before(here: Position, entry: Entry) -> bool:
    if not isinstance(entry, ToolEntry) or here.anchor is None:
        return False
    asked = [*here.anchor.pending, *(call for _, one in here.tail for call in _calls_of(one))]
    if any(call.tool_call_id == entry.tool_call_id for call in asked):
        return False  # some models use the same ids again and again
    words = (entry.content, entry.status)
    earlier = (here.transcript[index] for index in range(here.start - 1, -1, -1))  # the nearest first
    return any(
        isinstance(other, ToolEntry)
        and other.tool_call_id == entry.tool_call_id
        and (other.content, other.status) == words
        for other in earlier
    )


def _calls_of(entry: Entry) -> Sequence[Call]:
    return entry.calls if isinstance(entry, AssistantEntry) else ()


def _last(
    transcript: Sequence[Entry], fits: Callable[[Anchor | None], bool], *, before: int | None = None
) -> int | None:
    for index in range((len(transcript) if before is None else before) - 1, -1, -1):
        entry = transcript[index]
        if isinstance(entry, AssistantEntry) and fits(entry.anchor):
            return index
    return None


def _leading_system(transcript: Sequence[Entry]) -> int:
    """How many messages the leading run of system messages has."""
    count = 0
    while count < len(transcript) and isinstance(transcript[count], SystemEntry):
        count += 1
    return count


def _inserted(transcript: Sequence[Entry], leading: int, index: int, target: Target) -> Tail:
    """What stands before an anchor and did not when it was given, as far as numbers can tell.

    It can stand before what was the first message then. The rest of it are branches that were joined, which come one
    after the other: they stand before all that the anchor's own conversation said last.
    """
    entry = transcript[index]
    anchor = entry.anchor if isinstance(entry, AssistantEntry) else None
    if anchor is None or anchor.transcript_length is None:
        return ()
    count = index - leading - anchor.transcript_length
    if count <= 0:
        return ()
    firsts = range(leading, leading + count + 1)
    first = next((place for place in firsts if fingerprint(transcript[place]) == anchor.first), None)
    if first is None:
        return ()
    strangers = list(range(leading, first))
    end = _last(transcript, lambda other: not _same_place(other, anchor, target), before=index)
    if end is not None and len(strangers) < count:
        strangers += range(max(first + 1, end + 1 - (count - len(strangers))), end + 1)
    earliest = _LAST_INSERTED - len(strangers) + 1
    return [(earliest + number, transcript[place]) for number, place in enumerate(strangers)]


def fingerprint(entry: Entry) -> str:
    """What a message is known by: who speaks and what is said."""
    said = entry.text if isinstance(entry, (SystemEntry, AssistantEntry)) else entry.content
    parts = [said] if isinstance(said, str) else [part.model_dump_json(exclude_none=True) for part in said]
    return hashlib.sha256(repr((type(entry).__name__, *parts)).encode()).hexdigest()[:16]


def _same_place(other: Anchor | None, anchor: Anchor, target: Target) -> bool:
    return other is not None and target.holds(other) and other.conversation_id == anchor.conversation_id
