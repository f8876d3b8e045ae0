"""The planner: what of a transcript the server does not have yet, as one request. Pure, no I/O.

`plan` works by rules, each a small function below, numbered:

1. anchor and tail: what follows the last answer of this agent (pinned: of this conversation) is new;
2. tool results: one approval message, first, that answers every pending call;
3. human messages, with their text and images;
4. foreign turns, of another model or another agent, are told: as the assistant's words, or as text;
5. system messages: sent when new or changed, or as an override, or not at all;
6. an empty tail sends nothing: there is nothing to answer;
7. identity: otids that are the same whenever the same thing is sent again;
9. pending calls that the transcript does not know of are denied, where that may be done (`pending.py`).

Where a rule needs to know what the server holds, the plan says so (`needs_held`) and is made again with the
answer.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from letta_adapters.identity import Item, is_repeatable, with_otids
from letta_adapters.tail import Tail, answers, item, said
from letta_adapters.transcript import Anchor, AssistantEntry, Entry, HumanEntry, SystemEntry, ToolEntry
from letta_adapters.wire import ApprovalCreate, InputMessage

__all__ = ["Held", "Plan", "SystemPolicy", "Target", "plan"]

_LOG = logging.getLogger("letta_adapters.planner")

SystemPolicy = Literal["once", "override", "ignore"]
"""What becomes of system messages: told once, sent as `override_system` every time, or left out."""


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
class Held:
    """What a pinned conversation holds, where no anchor tells.

    Args:
        system_texts: Its system messages.
        pending: Ids of the calls that it waits for.
        answered: Ids of the calls that were answered last.
    """

    system_texts: frozenset[str] = frozenset()
    pending: tuple[str, ...] = ()
    answered: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to send.

    Args:
        conversation_id: The conversation to go on with; `None` to create one.
        agent_id: The agent.
        items: What to send, in order.
        anchor_message_id: The message after which it is new; `None` at the start.
        system_hash: Digest of the leading system text, for the anchor of the answer.
        override_system: The system prompt of this request.
        needs_held: Whether the plan has to be made again with what the conversation holds.
        stored_run_id: The run that has all of it already.
        reasons: What was decided and why, for people.
    """

    conversation_id: str | None
    agent_id: str | None
    items: tuple[Item, ...]
    anchor_message_id: str | None = None
    system_hash: str | None = None
    override_system: str | None = None
    needs_held: bool = False
    stored_run_id: str | None = None
    reasons: tuple[str, ...] = ()

    @property
    def repeatable(self) -> bool:
        """Whether whoever has the same transcript makes the same request of it."""
        return is_repeatable(self.items)

    @property
    def answering(self) -> set[str]:
        """Ids of the calls that the request answers."""
        messages = (item.message for item in self.items)
        return {
            answer.tool_call_id
            for message in messages
            if isinstance(message, ApprovalCreate)
            for answer in message.approvals or ()
        }

    def messages(self, conversation_id: str, *, attempt: int, nonce: str) -> list[InputMessage]:
        """The messages with their otids (rule 7).

        Args:
            conversation_id: The conversation that they go to.
            attempt: 1, and one more after every failure of the same request that left nothing at the server.
            nonce: Stands for the ids of messages that have none.
        """
        agent_id = self.agent_id if conversation_id == "default" else None
        scope = [conversation_id, agent_id, self.anchor_message_id or "start", attempt]
        return with_otids(self.items, scope=scope, nonce=nonce)


def plan(
    transcript: Sequence[Entry],
    target: Target,
    *,
    system_policy: SystemPolicy = "once",
    held: Held | None = None,
    settle: Sequence[str] = (),
    too_late: Collection[str] = (),
) -> Plan:
    """Work out what to send.

    Args:
        transcript: The whole dialogue.
        target: Where it goes.
        system_policy: What becomes of system messages.
        held: What the conversation holds, when a plan asked for it.
        settle: Ids of the calls that the server waits for, where it said so; each is answered or denied.
        too_late: Ids of calls that somebody answered already, in other words.

    Raises:
        ValueError: There is nothing to send: an empty transcript, only system messages, an empty human message, or
            nothing after the last answer.
    """
    _check_something_is_said(transcript)
    anchor_index = _find_anchor(transcript, target)
    anchored = transcript[anchor_index] if anchor_index is not None else None
    anchor = anchored.anchor if isinstance(anchored, AssistantEntry) else None
    boundary = anchor_index if anchor_index is not None else _find_boundary(transcript, target)
    leading = _leading_system(transcript)
    start = max(boundary + 1 if boundary is not None else 0, leading)
    tail = list(enumerate(transcript[start:]))
    _check_nothing_is_empty(tail, start)
    reasons = [_tell_anchor(anchor, boundary, target)]

    answered = transcript[boundary] if boundary is not None else None
    pending = [call_id for call_id in settle or _pending(anchor, tail, held) if call_id not in too_late]
    system = _System.of(transcript[:leading], tail, system_policy)
    needs_held = held is None and anchor is None and target.pinned and (bool(system.to_tell) or _has_results(tail))
    leading_system = system.decide(anchor, held, reasons)
    items = [
        *answers(tail, pending, reasons),
        *([leading_system] if leading_system else []),
        *said(tail, answered, pending, too_late=too_late, keep_system=system_policy == "once"),
    ]
    if not items and not needs_held:
        raise ValueError(
            "There is nothing new to send: the transcript ends with the agent's own answer. "
            "Add a human message or a tool result after it."
        )
    result = Plan(
        conversation_id=target.conversation_id or (anchor.conversation_id if anchor else None),
        agent_id=target.agent_id,
        items=tuple(items),
        anchor_message_id=anchor.message_id if anchor else None,
        system_hash=system.hash,
        override_system=system.override,
        needs_held=needs_held,
        reasons=tuple(reasons),
    )
    _LOG.debug("plan: %s", "; ".join(result.reasons))
    return result


def _check_something_is_said(transcript: Sequence[Entry]) -> None:
    if not transcript:
        raise ValueError("The list of messages is empty; there is nothing to send.")
    if all(isinstance(entry, SystemEntry) for entry in transcript):
        raise ValueError("There are only system messages; add a human message to answer.")


def _check_nothing_is_empty(tail: Tail, start: int) -> None:
    for position, entry in tail:
        if isinstance(entry, HumanEntry) and not entry.content:
            raise ValueError(f"Message {start + position} (human) is empty; a Letta server refuses that.")


# Rule 1: anchor and tail.


def _find_anchor(transcript: Sequence[Entry], target: Target) -> int | None:
    for index in range(len(transcript) - 1, -1, -1):
        entry = transcript[index]
        if isinstance(entry, AssistantEntry) and entry.anchor is not None and target.holds(entry.anchor):
            return index
    return None


def _find_boundary(transcript: Sequence[Entry], target: Target) -> int | None:
    """Pinned without an anchor: the server has everything up to the last answer that is not from elsewhere."""
    if not target.pinned:
        return None
    for index in range(len(transcript) - 1, -1, -1):
        entry = transcript[index]
        if isinstance(entry, AssistantEntry) and entry.anchor is None:
            return index
    return None


def _tell_anchor(anchor: Anchor | None, boundary: int | None, target: Target) -> str:
    if anchor is not None:
        return f"rule 1: goes on in {anchor.conversation_id} after {anchor.message_id}"
    if boundary is not None:
        return f"rule 1: no anchor; what follows message {boundary} is new to {target.conversation_id}"
    return "rule 1: no anchor; the whole transcript is new"


# Rule 2: the calls that wait.


def _pending(anchor: Anchor | None, tail: Tail, held: Held | None) -> Sequence[str]:
    if anchor is not None:
        return [call.tool_call_id for call in anchor.pending]
    given = {entry.tool_call_id for _, entry in tail if isinstance(entry, ToolEntry)}
    held = held or Held()
    # Calls that this transcript has no result for are somebody else's. Those that were answered last are answered
    # again in the same words: when it was by this very request, the server knows its otids.
    for calls in (held.pending, held.answered):
        if given.intersection(calls):
            return calls
    return ()


def _has_results(tail: Tail) -> bool:
    return any(isinstance(entry, ToolEntry) for _, entry in tail)


# Rule 5: system messages.


def _leading_system(transcript: Sequence[Entry]) -> int:
    """How many messages the leading run of system messages has."""
    count = 0
    while count < len(transcript) and isinstance(transcript[count], SystemEntry):
        count += 1
    return count


@dataclass(frozen=True, kw_only=True)
class _System:
    """The leading system text and what is to become of it."""

    text: str
    hash: str | None
    override: str | None
    policy: SystemPolicy

    @classmethod
    def of(cls, leading: Sequence[Entry], tail: Tail, policy: SystemPolicy) -> _System:
        text = _joined(leading)
        whole = "\n\n".join(filter(None, (text, _joined([entry for _, entry in tail]))))
        return cls(
            text=text,
            hash=hashlib.sha256(text.encode()).hexdigest()[:16] if text and policy == "once" else None,
            override=whole or None if policy == "override" else None,
            policy=policy,
        )

    @property
    def to_tell(self) -> str:
        """The text that a conversation is to be told."""
        return self.text if self.policy == "once" else ""

    def decide(self, anchor: Anchor | None, held: Held | None, reasons: list[str]) -> Item | None:
        """The message to send, if any."""
        if not self.to_tell or (anchor is not None and anchor.system_hash == self.hash):
            return None
        if held is not None and self.text in held.system_texts:
            reasons.append("rule 5: the conversation holds the system text already")
            return None
        reasons.append("rule 5: the system text is new" if anchor is None else "rule 5: the system text changed")
        return item("system", self.text, -1, None)


def _joined(entries: Sequence[Entry]) -> str:
    return "\n\n".join(entry.text for entry in entries if isinstance(entry, SystemEntry) and entry.text)
