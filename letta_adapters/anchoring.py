"""Where a transcript stands: its anchor and what is new since then (rule 1 of the planner). Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from letta_adapters.joins import Before, Extent, before_anchor, extent_of
from letta_adapters.transcript import Anchor, AssistantEntry, Call, Entry, HumanEntry, SystemEntry, ToolEntry

__all__ = ["Position", "Tail", "Target", "extent_before", "position_of", "without_repeated_results"]

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
        extent: The transcript after its leading system messages; `None` where it is not known without looking at all.
    """

    transcript: Sequence[Entry]
    leading: Sequence[Entry]
    answered: AssistantEntry | None
    anchor: Anchor | None
    inserted: Tail
    tail: Tail
    start: int
    extent: Extent | None

    @property
    def asked_at(self) -> int | None:
        """Where, after the leading system messages, the last words of a person stand."""
        for number, entry in reversed(self.tail):
            if isinstance(entry, HumanEntry):
                return self.start + number - len(self.leading)
        return self.anchor.asked_at if self.anchor is not None else None


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
    anchor = answered.anchor if isinstance(answered, AssistantEntry) and index is not None else None
    before = before_anchor(transcript, leading, index, anchor) if index is not None and anchor is not None else None
    return Position(
        transcript=transcript,
        leading=transcript[:leading],
        answered=answered if isinstance(answered, AssistantEntry) else None,
        anchor=anchor,
        inserted=_numbered(transcript, before.inserted) if before is not None else (),
        tail=list(enumerate(transcript[start:])),
        start=start,
        extent=_extent(transcript, leading, start, before),
    )


def _extent(transcript: Sequence[Entry], leading: int, start: int, before: Before | None) -> Extent | None:
    if before is not None:
        return before.extent.plus(transcript[start - 1 :]) if before.extent is not None else None
    return extent_of(transcript[start:]) if start == leading else None


def _numbered(transcript: Sequence[Entry], places: Sequence[int]) -> Tail:
    """Messages that came in before the anchor, each with its position, which ends with the leading system text's."""
    earliest = _LAST_INSERTED - len(places) + 1
    return [(earliest + number, transcript[place]) for number, place in enumerate(places)]


def extent_before(transcript: Sequence[Entry], index: int) -> Extent:
    """What an answer was given to, by all of it."""
    return extent_of(transcript[_leading_system(transcript) : index])


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


def _last(transcript: Sequence[Entry], fits: Callable[[Anchor | None], bool]) -> int | None:
    for index in range(len(transcript) - 1, -1, -1):
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
