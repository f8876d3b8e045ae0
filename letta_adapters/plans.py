"""A plan and what it is made with: what is sent and where, and what a conversation was seen to hold. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from letta_adapters.identity import Item, with_otids
from letta_adapters.matching import Row
from letta_adapters.waiting import waiting_calls
from letta_adapters.wire import (
    ApprovalCreate,
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    InputMessage,
    SystemMessage,
    Unknown,
    calls_of,
)

__all__ = ["Held", "Into", "Plan", "Reads", "held_in"]

Reads = Literal["run", "after", "start", "newest"]
"""What has to be known before anything is sent: how the anchor's run ended, which rows follow the anchor, all rows, or
the newest ones."""


@dataclass(frozen=True, kw_only=True)
class Into:
    """A conversation that a transcript goes on in, whatever its anchors say.

    Args:
        conversation_id: The conversation.
        at_anchor: Whether it has everything up to the anchor; else all of the transcript is told.
        is_new: Whether nothing was sent to it yet.
        repeatable: Whether whoever has the same transcript is to make the same request of it.
    """

    conversation_id: str
    at_anchor: bool = False
    is_new: bool = False
    repeatable: bool = True


@dataclass(frozen=True, kw_only=True)
class Held:
    """What the newest rows of a conversation tell.

    Args:
        system_texts: Its system messages.
        pending: Ids of the calls that it waits for.
        answered: Ids of the calls that were answered, together as they were, the last first.
        asked_in: The message that asked for a call, by the call's id.
    """

    system_texts: frozenset[str] = frozenset()
    pending: tuple[str, ...] = ()
    answered: tuple[tuple[str, ...], ...] = ()
    asked_in: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to send.

    Args:
        conversation_id: The conversation to go on with; `None` to make one.
        agent_id: The agent.
        items: What to send, in order.
        repeatable: Whether whoever has the same transcript makes the same request of it.
        anchor_message_id: The message after which it is new; `None` at the start.
        asked_in: The message that asks for the calls that it answers, where that is a later one than the anchor's.
        system_hash: Digest of the leading system text, for the anchor of the answer.
        override_system: The system prompt of this request.
        transcript_length: How many messages are answered, for the anchor of the answer.
        transcript_digest: The sum of their digests, for the anchor of the answer.
        asked_at: Where the last words of a person stand in the transcript, for the anchor of the answer.
        nudged: Whether it asks for a tool call by name.
        reads: What has to be read, and the plan made again, before it is sent.
        run_id: The run whose end has to be read.
        stored_run_id: The run that has all of it already.
        forks: Whether the transcript goes on in a fork, since the conversation went another way.
        reasons: What was decided and why, for people.
    """

    conversation_id: str | None
    agent_id: str | None
    items: tuple[Item, ...] = ()
    repeatable: bool = False
    anchor_message_id: str | None = None
    asked_in: str | None = None
    system_hash: str | None = None
    override_system: str | None = None
    transcript_length: int | None = None
    transcript_digest: str | None = None
    asked_at: int | None = None
    nudged: bool = False
    reads: Reads | None = None
    run_id: str | None = None
    stored_run_id: str | None = None
    forks: bool = False
    reasons: tuple[str, ...] = ()

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

    def scope(self, conversation_id: str) -> list[str | None]:
        """What the otids belong to, but for the attempt: the conversation and the anchor in it."""
        agent_id = self.agent_id if conversation_id == "default" else None
        return [conversation_id, agent_id, self.anchor_message_id or "start"]

    def messages(self, conversation_id: str, *, attempt: int, nonce: str) -> list[InputMessage]:
        """The messages with their otids (rule 7).

        Args:
            conversation_id: The conversation that they go to.
            attempt: 1, and one more after every failure of the same request that left nothing at the server.
            nonce: Stands for the ids of messages that have none.
        """
        scope = [*self.scope(conversation_id), attempt]
        return with_otids(self.items, scope=scope, nonce=nonce, repeatable=self.repeatable)

    def because(self, reason: str) -> Plan:
        """The plan with one more reason."""
        return replace(self, reasons=(*self.reasons, reason))


def held_in(rows: Sequence[Row]) -> Held:
    """What the newest rows of a conversation tell, given oldest first."""
    known = [row for row in reversed(rows) if not isinstance(row, Unknown)]
    responses = [row for row in known if isinstance(row, ApprovalResponseMessage)]
    requests = [row for row in reversed(known) if isinstance(row, ApprovalRequestMessage)]
    return Held(
        system_texts=frozenset(row.content for row in known if isinstance(row, SystemMessage)),
        pending=tuple(call.tool_call_id or "" for call in waiting_calls(known)),
        answered=tuple(tuple(answer.tool_call_id for answer in row.approvals or ()) for row in responses),
        asked_in={call.tool_call_id or "": row.id for row in requests for call in calls_of(row)},
    )
