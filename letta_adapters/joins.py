"""What came into a transcript before an anchor after that was given: branches that were joined (rule 1). Pure.

An anchor says how many messages were answered and what their digests add up to. A transcript that only grew has as
many before it; one that has more is searched for the messages in a row that make the difference. The sum is carried on
from answer to answer, so that a turn looks at what is new alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from letta_adapters.transcript import Anchor, AssistantEntry, Entry, SystemEntry, ToolEntry

__all__ = ["Before", "Extent", "before_anchor", "extent_of"]

_MODULUS = 1 << 64


@dataclass(frozen=True, kw_only=True)
class Extent:
    """Messages, told by how many they are and what they say.

    Args:
        length: How many.
        digest: The sum of their digests, in hexadecimal digits.
    """

    length: int
    digest: str

    def plus(self, entries: Sequence[Entry]) -> Extent:
        """The same messages and more."""
        added = sum(map(_digest, entries))
        return Extent(length=self.length + len(entries), digest=_hex(int(self.digest, 16) + added))


@dataclass(frozen=True, kw_only=True)
class Before:
    """What stands before an answer.

    Args:
        extent: All of it, after the leading system messages; `None` where the anchor does not tell.
        inserted: What of it its conversation does not have: where in the transcript.
    """

    extent: Extent | None
    inserted: Sequence[int] = ()


def extent_of(entries: Sequence[Entry]) -> Extent:
    """The extent of all these messages."""
    return Extent(length=0, digest="0").plus(entries)


def before_anchor(transcript: Sequence[Entry], leading: int, index: int, anchor: Anchor) -> Before:
    """Tell what stands before an answer from what stood there when it was given.

    What was taken out cannot be told from what was changed, so neither is noticed.

    Args:
        transcript: The whole dialogue.
        leading: How many system messages it begins with.
        index: Where the answer is.
        anchor: The answer's.
    """
    if anchor.transcript_length is None or anchor.transcript_digest is None:
        return Before(extent=None)
    known = Extent(length=anchor.transcript_length, digest=anchor.transcript_digest)
    beside = _beside(transcript, leading, index, anchor)
    if beside:
        return Before(extent=extent_of(transcript[leading:index]), inserted=beside)
    if known.length == index - leading:
        return Before(extent=known)
    extent = extent_of(transcript[leading:index])
    if known.length > extent.length:
        return Before(extent=extent)
    window = _window(transcript, leading, index, known)
    told = _told_in(transcript, window, leading, anchor.conversation_id)
    return Before(extent=extent, inserted=[place for place in window if place not in told])


def _beside(transcript: Sequence[Entry], leading: int, index: int, anchor: Anchor) -> range:
    """Answers of others that stand where the question of this one stood, whose words the transcript did not keep.

    Nodes of a graph that run side by side, each with an instruction of its own, leave their answers alone behind.
    """
    start = end = leading + (index if anchor.asked_at is None else anchor.asked_at)
    first = transcript[start] if start < index else None
    if not isinstance(first, AssistantEntry) or _is_own(first, anchor):
        return range(0)
    if first.anchor is None and (anchor.transcript_length or 0) > index - leading:
        return range(0)  # one of its own whose metadata is lost, where much was taken out
    while end < index and not _is_own(transcript[end], anchor):
        end += 1
    return range(start, end)


def _is_own(entry: Entry, anchor: Anchor) -> bool:
    other = entry.anchor if isinstance(entry, AssistantEntry) else None
    return other is not None and other.conversation_id == anchor.conversation_id


def _window(transcript: Sequence[Entry], leading: int, index: int, known: Extent) -> range:
    """The messages in a row without which the rest is what was known.

    Where the same is said again and again, several would do: it is the first ones, since a branch's own words follow.
    """
    digests = [_digest(entry) for entry in transcript[leading:index]]
    length = len(digests) - known.length
    wanted = (sum(digests) - int(known.digest, 16)) % _MODULUS
    here = sum(digests[:length])
    for start in range(known.length + 1):
        if here % _MODULUS == wanted:
            return range(leading + start, leading + start + length)
        if start < known.length:
            here += digests[start + length] - digests[start]
    return range(0)


def _told_in(transcript: Sequence[Entry], window: range, leading: int, conversation_id: str) -> set[int]:
    """What of it was answered in the conversation itself: another dialogue's turns, if it has several."""
    told: set[int] = set()
    for place in window:
        entry = transcript[place]
        anchor = entry.anchor if isinstance(entry, AssistantEntry) else None
        if anchor is not None and anchor.conversation_id == conversation_id:
            own = (anchor.transcript_length or 0) - (window.start - leading)
            told.update(range(max(window.start, place - max(own, 0)), place + 1))
    return told


def _digest(entry: Entry) -> int:
    said = entry.text if isinstance(entry, (SystemEntry, AssistantEntry)) else entry.content
    parts = [said] if isinstance(said, str) else [part.model_dump_json(exclude_none=True) for part in said]
    parts += [call.tool_call_id for call in entry.calls] if isinstance(entry, AssistantEntry) else []
    parts += [entry.tool_call_id] if isinstance(entry, ToolEntry) else []
    return int.from_bytes(hashlib.sha256(repr((type(entry).__name__, *parts)).encode()).digest()[:8], "big")


def _hex(value: int) -> str:
    return f"{value % _MODULUS:016x}"
