"""What becomes of system messages (rule 5 of the planner). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from letta_adapters.anchoring import Position
from letta_adapters.identity import LEADING, Item
from letta_adapters.policies import SystemPolicy
from letta_adapters.tail import item
from letta_adapters.transcript import Entry, SystemEntry, sendable

__all__ = ["SystemText", "digest_of", "system_text"]


@dataclass(frozen=True, kw_only=True)
class SystemText:
    """The leading system messages as one text, and what is to become of it.

    Args:
        to_tell: The text that a conversation is to be told once.
        hash: Its digest, for the anchor of the answer.
        override: The system prompt of this request.
    """

    to_tell: str = ""
    hash: str | None = None
    override: str | None = None

    def news(self, here: Position, held: Collection[str] | None, reasons: list[str]) -> list[Item]:
        """The message to send, if any.

        Args:
            here: Where the conversation stands.
            held: The system texts that the conversation is known to have, where no anchor tells.
            reasons: Takes why.
        """
        if not self.to_tell or (here.anchor is not None and here.anchor.system_hash == self.hash):
            return []
        if held is not None and self.to_tell in held:
            reasons.append("rule 5: the conversation has the system text already")
            return []
        reasons.append("rule 5: the system text is new" if here.anchor is None else "rule 5: the system text changed")
        return [item("system", self.to_tell, LEADING, None)]


def system_text(here: Position, policy: SystemPolicy) -> SystemText:
    """What becomes of the system messages of a transcript."""
    text = _joined(here.leading)
    match policy:
        case "once":
            return SystemText(to_tell=text, hash=digest_of(text) if text else None)
        case "override":
            whole = "\n\n".join(filter(None, (text, _joined([entry for _, entry in here.tail]))))
            return SystemText(override=whole or None)
        case "ignore":
            return SystemText()


def digest_of(text: str) -> str:
    """What an anchor keeps of a system text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _joined(entries: Sequence[Entry]) -> str:
    return sendable("\n\n".join(entry.text for entry in entries if isinstance(entry, SystemEntry) and entry.text))
