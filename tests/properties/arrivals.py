"""Answers as they came, for whoever compares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from letta_adapters.delivery_steps import Delivered
from letta_adapters.policies import Policies
from letta_adapters.transcript import Anchor, AssistantEntry, Entry, SystemEntry
from tests.properties.dialogues import identity_of

__all__ = ["Arrival", "anchor_at", "arrival_of", "in_front"]


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A delivery that brought an answer.

    Args:
        agent_id: Who answered.
        policies: How it was asked.
        entries: The transcript that was passed, with the anchors that count.
        followed: The anchor of its last answer by the same agent.
        tail: What came after that and after the instructions in front.
        delivered: The answer.
        overtaken: Whether another process stored something between the last look and the sending.
    """

    agent_id: str
    policies: Policies
    entries: tuple[Entry, ...]
    followed: Anchor | None
    tail: tuple[object, ...]
    delivered: Delivered
    overtaken: bool = False

    @property
    def conversation_id(self) -> str:
        """Where the answer is."""
        return self.delivered.anchor.conversation_id

    @property
    def went_on(self) -> bool:
        """Whether the conversation of the last answer went on with it."""
        return self.followed is not None and self.conversation_id == self.followed.conversation_id

    @property
    def goes_its_own_way(self) -> bool:
        """Whether its conversation must be its own.

        Of two processes this cannot be had: what one stores between the other's look and its sending goes unnoticed
        (a limit, docs/planner.md).
        """
        return self.policies.on_divergence != "append" and not self.overtaken

    def repeats(self, others: Sequence[Arrival]) -> bool:
        """Whether it may be an answer that was given before."""
        tails = [other.tail for other in others]
        return any(self.tail[: len(tail)] == tail[: len(self.tail)] for tail in tails)

    def is_part_of(self, others: Sequence[Arrival]) -> bool:
        """Whether it was asked before, with more behind it."""
        length = len(self.tail)
        return any(len(other.tail) > length and other.tail[:length] == self.tail for other in others)

    def is_given_again(self, others: Sequence[Arrival]) -> bool:
        """Whether it is an answer that was given before."""
        return any(self.delivered.anchor.message_id == other.delivered.anchor.message_id for other in others)

    def is_asked_as(self, other: Arrival) -> bool:
        """Whether the same was asked of the same agent."""
        return self.agent_id == other.agent_id and identity_of(self.entries) == identity_of(other.entries)


def in_front(entries: Sequence[Entry]) -> list[Entry]:
    """The instructions that a transcript begins with."""
    return list(takewhile(lambda entry: isinstance(entry, SystemEntry), entries))


def anchor_at(entries: Sequence[Entry], agent_id: str) -> tuple[int, Anchor | None]:
    """Where the last answer of an agent is, and its anchor; -1 and none without one."""
    for index in range(len(entries) - 1, -1, -1):
        entry = entries[index]
        if isinstance(entry, AssistantEntry) and entry.anchor is not None and entry.anchor.agent_id == agent_id:
            return index, entry.anchor
    return -1, None


def arrival_of(
    entries: Sequence[Entry], delivered: Delivered, *, agent_id: str, policies: Policies, overtaken: bool = False
) -> Arrival:
    """Note an answer."""
    index, followed = anchor_at(entries, agent_id)
    begins = max(index + 1, len(in_front(entries)))  # other instructions do not make it another request
    return Arrival(
        agent_id=agent_id,
        policies=policies,
        entries=tuple(entries),
        followed=followed,
        tail=identity_of(entries[begins:]),
        delivered=delivered,
        overtaken=overtaken,
    )
