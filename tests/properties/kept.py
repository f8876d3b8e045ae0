"""What a conversation has, or had when it was deleted."""

from __future__ import annotations

from dataclasses import dataclass

from letta_adapters.testing.messages import StoredMessage
from letta_adapters.testing.state import Conversation, Store
from tests.properties.model import is_summary

__all__ = ["Kept", "is_a_summary", "kept", "text_of"]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A conversation at one moment.

    Args:
        id: Its name.
        agent_id: Whose it is.
        messages: All its messages, by id, the oldest first.
        context: What the model sees of them.
        deleted: Whether it was deleted after that.
    """

    id: str
    agent_id: str
    messages: dict[str, StoredMessage]
    context: tuple[StoredMessage, ...]
    deleted: bool = False

    @property
    def said(self) -> list[StoredMessage]:
        """All but the summaries."""
        return [message for message in self.messages.values() if not is_a_summary(message)]

    def upto(self, message_id: str) -> tuple[StoredMessage, ...]:
        """What the model saw at a message: what came after it is another story."""
        ids = [message.id for message in self.context]
        return self.context[: ids.index(message_id) + 1]

    def has_in_context(self, message_id: str) -> bool:
        """Whether the model still sees a message; a compaction may have taken it out."""
        return any(message.id == message_id for message in self.context)

    def behind(self, message_id: str) -> list[StoredMessage]:
        """What was stored after a message."""
        first = self.messages[message_id].sequence if message_id in self.messages else -1
        return [message for message in self.said if message.sequence > first]


def is_a_summary(message: StoredMessage) -> bool:
    """Whether a compaction wrote it."""
    return message.role == "user" and is_summary(text_of(message))


def text_of(message: StoredMessage) -> str:
    """The text of a message."""
    return " ".join(part.get("text", "") for part in message.content)


def kept(store: Store, conversation: Conversation) -> Kept:
    """A conversation as it is now."""
    messages = sorted((store.messages[message_id] for message_id in conversation.entries), key=_age)
    return Kept(
        id=conversation.id,
        agent_id=conversation.agent_id,
        messages={one.id: one for one in messages},
        context=tuple(store.context(conversation)),
    )


def _age(message: StoredMessage) -> int:
    return message.sequence
