"""A dialogue as a framework keeps it, and what programs do to it before they pass it on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import dropwhile

from letta_adapters.transcript import Anchor, AssistantEntry, Entry, HumanEntry, SystemEntry, ToolEntry
from tests.properties.model import numbers_in

__all__ = ["FORGED", "Dialogue", "counting", "identity_of", "numbers_of"]

FORGED = "forged"
"""What an anchor that somebody altered says of how its turn ended; by that these tests know it."""

_NO_ANSWER = Anchor(conversation_id="")


def numbers_of(entries: Iterable[Entry]) -> list[int]:
    """The numbers of what the user said, in order."""
    return [number for entry in entries if isinstance(entry, HumanEntry) for number in numbers_in(str(entry.content))]


def counting(entries: Iterable[Entry], *, ephemeral: bool = False) -> list[Entry]:
    """The messages with the anchors that a model may go by.

    Those that were altered count as none. So do those of conversations that were deleted at the end of the turn; a
    model that deletes its conversations takes no other ones.
    """
    return [
        replace(entry, anchor=None)
        if isinstance(entry, AssistantEntry) and entry.anchor and not _counts(entry.anchor, ephemeral)
        else entry
        for entry in entries
    ]


def _counts(anchor: Anchor, ephemeral: bool) -> bool:
    is_over = anchor.ephemeral and not anchor.pending
    return anchor.stop_reason != FORGED and not is_over and (anchor.ephemeral or not ephemeral)


def identity_of(entries: Iterable[Entry]) -> tuple[object, ...]:
    """What makes messages the same messages."""
    return tuple((type(entry).__name__, entry.id, _said(entry)) for entry in entries)


def _said(entry: Entry) -> object:
    match entry:
        case SystemEntry():
            return entry.text
        case HumanEntry():
            return entry.content
        case ToolEntry():
            return (entry.tool_call_id, entry.content, entry.status)
        case AssistantEntry():
            return (entry.text, entry.anchor.message_id if entry.anchor else None)


@dataclass(kw_only=True)
class Dialogue:
    """The transcript of one dialogue.

    Args:
        entries: Its messages.
        thread_id: The thread that it is in, which its copies are in too.
        forgotten: What the transcript no longer has though the server may: how often each number.
        in_order: Whether the server must have all messages in this order; after a join it need not.
        crowded: Whether its conversation may have more than it says.
    """

    thread_id: str
    entries: list[Entry] = field(default_factory=list["Entry"])
    forgotten: Counter[int] = field(default_factory=Counter[int])
    in_order: bool = True
    crowded: bool = False

    def copy(self, upto: int | None = None) -> Dialogue:
        """A dialogue of its own that begins with the first messages of this one."""
        return replace(self, entries=self.entries[:upto], forgotten=Counter(self.forgotten))

    def answers_so_far(self) -> list[int]:
        """Where the model's answers are."""
        return [i for i, entry in enumerate(self.entries) if isinstance(entry, AssistantEntry)]

    def is_only_instructions(self) -> bool:
        """Whether nobody said anything."""
        return all(isinstance(entry, SystemEntry) for entry in self.entries)

    def said_so_far(self) -> list[int]:
        """Where the user said something."""
        return [i for i, entry in enumerate(self.entries) if isinstance(entry, HumanEntry)]

    def askable(self) -> list[int]:
        """Where the model was asked, or will be: behind the last of what users and tools said in a row."""
        ends = [*(isinstance(entry, AssistantEntry) for entry in self.entries[1:]), True]
        said = [isinstance(entry, HumanEntry | ToolEntry) for entry in self.entries]
        return [i for i, (is_said, ends_there) in enumerate(zip(said, ends, strict=False)) if is_said and ends_there]

    def anchors(self) -> list[Anchor]:
        """The anchors of all answers, as they were given."""
        return [anchor for _, anchor in self.anchored()]

    def anchored(self) -> list[tuple[int, Anchor]]:
        """The same with the places of the answers."""
        return [
            (i, entry.anchor)
            for i, entry in enumerate(self.entries)
            if isinstance(entry, AssistantEntry) and entry.anchor and entry.anchor.stop_reason != FORGED
        ]

    def waits_for(self) -> Anchor | None:
        """The anchor of the last answer, if it asked for calls and nothing came after it."""
        anchored = self.anchored()
        if not anchored or anchored[-1][0] != len(self.entries) - 1:
            return None
        return anchored[-1][1] if anchored[-1][1].pending else None

    def since_the_last_answer(self, conversation_id: str) -> Dialogue:
        """What a pinned conversation is to be told: what came after its last answer, or any that is nobody else's."""
        anchors = [entry.anchor if isinstance(entry, AssistantEntry) else _NO_ANSWER for entry in self.entries]
        anchors = [None if anchor and anchor.stop_reason == FORGED else anchor for anchor in anchors]
        own = [i for i, anchor in enumerate(anchors) if anchor and anchor.conversation_id == conversation_id]
        nameless = [i for i, anchor in enumerate(anchors) if anchor is None]
        start = (own or nameless or [-1])[-1] + 1
        return replace(self, entries=self.entries[start:])

    def without_system(self) -> Dialogue:
        """All but the instructions."""
        return replace(self, entries=[entry for entry in self.entries if not isinstance(entry, SystemEntry)])

    def put_anchor(self, place: int, anchor: Anchor) -> None:
        """Give an answer another anchor."""
        entry = self.entries[place]
        assert isinstance(entry, AssistantEntry), "only answers have anchors"
        self.entries[place] = replace(entry, anchor=anchor)

    def strip(self) -> None:
        """Lose all metadata."""
        self.entries = [
            replace(entry, anchor=None) if isinstance(entry, AssistantEntry) else entry for entry in self.entries
        ]

    def trim(self, keep: int) -> None:
        """Keep the last messages only."""
        keep = max(1, keep)
        self.forgotten.update(numbers_of(self.entries[:-keep]))
        self.entries = self.entries[-keep:]

    def put_system(self, text: str, *, leading: bool) -> None:
        """Give instructions."""
        if not leading:
            self.entries.append(SystemEntry(text=text))
        elif self.entries and isinstance(self.entries[0], SystemEntry):
            self.entries[0] = SystemEntry(text=text)
        else:
            self.entries.insert(0, SystemEntry(text=text))

    def without_front(self) -> list[Entry]:
        """Its messages after the instructions that it begins with."""
        return list(dropwhile(lambda entry: isinstance(entry, SystemEntry), self.entries))

    def joined_with(self, other: Dialogue) -> Dialogue:
        """This dialogue, and behind it what the other one has more."""
        mine, theirs = self.without_front(), other.without_front()
        common = 0
        for one, another in zip(mine, theirs, strict=False):
            if identity_of([one]) != identity_of([another]):
                break
            common += 1
        joined = self.copy()
        joined.entries = [*self.entries, *theirs[common:]]
        joined.forgotten = self.forgotten | other.forgotten
        joined.in_order = False
        return joined
