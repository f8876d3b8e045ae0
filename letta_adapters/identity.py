"""Identity: otids that are the same whenever the same thing is sent again (rule 7 of the planner).

The server dedupes a request by all its otids in order, in one name space for all conversations, and replays what it
answered before, failures too (measured on 0.16.8). So an otid is derived from everything that makes a message this
message of this request: conversation, anchor, attempt, position, role, framework id and content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID, uuid5

from letta_adapters.wire import ApprovalCreate, InputMessage, MessageCreate

__all__ = ["LEADING", "MAX_ATTEMPTS", "Item", "conversation_marker", "is_repeatable", "with_otids"]

_NAMESPACE = UUID("6b1f6a3e-0c55-5d0a-9d53-5f9d7f0a4c11")
"""Name space of derived otids; changing it would make every re-run a new turn."""

MAX_ATTEMPTS = 21
"""Times that one request may have been made anew, because it had failed and left nothing."""


LEADING = -1
"""Position of the leading system text: before everything that the tail says."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """A message to send, with what makes it itself.

    Args:
        message: The message, still without an otid.
        position: Where it stood in the tail of the transcript; -1 for the leading system text.
        framework_id: The id that the framework gave it.
    """

    message: MessageCreate | ApprovalCreate
    position: int
    framework_id: str | None = None

    @cached_property
    def digest(self) -> str:
        """A digest of what it says, made once: it may be an image of 20 MB, and each attempt has otids of its own."""
        body = self.message.model_dump(mode="json", exclude={"otid"}, exclude_none=True)
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def is_repeatable(items: Sequence[Item]) -> bool:
    """Whether a request has the same otids whoever makes it: any of it has an id of its framework or answers a call."""
    return any(item.framework_id or isinstance(item.message, ApprovalCreate) for item in items)


def conversation_marker(*parts: str | None) -> str:
    """What a conversation that is made for a thread is found by again."""
    return _otid(*parts)


def with_otids(
    items: Sequence[Item], *, scope: Sequence[str | int | None], nonce: str, repeatable: bool
) -> list[InputMessage]:
    """Give every message of a request its otid.

    Args:
        items: The messages of one request.
        scope: What the request belongs to: conversation, anchor, attempt.
        nonce: A random text.
        repeatable: Whether all otids can be made again by whoever has the same transcript; otherwise the same text
            twice means two turns, and the nonce keeps them apart.
    """
    return [
        item.message.model_copy(
            update={
                "otid": _otid(
                    *scope,
                    item.position,
                    item.message.role if isinstance(item.message, MessageCreate) else item.message.type,
                    item.framework_id if repeatable else nonce,
                    item.digest,
                )
            }
        )
        for item in items
    ]


def _otid(*parts: Any) -> str:
    return str(uuid5(_NAMESPACE, json.dumps(parts, separators=(",", ":"))))
