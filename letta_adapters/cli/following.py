"""Which conversations nobody follows any more, as far as that can be told. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from letta_adapters.cli.words import time_of
from letta_adapters.waiting import newest_first, waiting_calls
from letta_adapters.wire import Conversation, KnownMessage, Run, Unknown

__all__ = ["Verdict", "verdict_on"]

Reason = Literal["idle", "used lately", "a call waits", "a turn is in flight", "age unknown"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a conversation may be deleted.

    Args:
        reason: Why, or why not; only `idle` may.
        last_used: When something happened in it for the last time, as far as it is known.
    """

    reason: Reason
    last_used: datetime | None = None

    @property
    def unfollowed(self) -> bool:
        """Whether nobody seems to follow it."""
        return self.reason == "idle"


def verdict_on(
    conversation: Conversation,
    newest: Sequence[KnownMessage | Unknown],
    runs: Sequence[Run],
    *,
    idle: timedelta,
    now: datetime,
) -> Verdict:
    """Judge a conversation that followed mode made.

    Args:
        conversation: The conversation.
        newest: Its newest messages.
        runs: Its runs that have not ended.
        idle: How long nothing may have happened in it.
        now: The time.
    """
    used = [conversation.created_at, conversation.updated_at, conversation.last_message_at, *map(time_of, newest)]
    last_used = max((date for date in used if date is not None), default=None)
    if runs:
        return Verdict(reason="a turn is in flight", last_used=last_used)
    if waiting_calls(newest_first(newest)):
        return Verdict(reason="a call waits", last_used=last_used)
    if last_used is None:
        return Verdict(reason="age unknown")
    return Verdict(reason="idle" if now - last_used >= idle else "used lately", last_used=last_used)
