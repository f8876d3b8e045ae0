"""Which runs of a conversation are under way at the server. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from letta_adapters.exchange import Query
from letta_adapters.wire import Run

__all__ = ["is_stale", "is_under_way", "runs_in_flight"]

_STALE = timedelta(seconds=300)
"""Age of a run that still counts as in flight: a server that died leaves its runs so for ever.

The server's own lock of a conversation lasts as long (read in its source).
"""


def runs_in_flight(conversation_id: str, agent_id: str | None) -> Query:
    """What to ask for: those of `default` have no conversation (measured), so all of the agent's."""
    of_default = conversation_id == "default"
    return {
        "active": "true",
        "agent_id": agent_id if of_default else None,
        "conversation_id": None if of_default else conversation_id,
        "limit": 100,
    }


def is_under_way(run: Run, conversation_id: str) -> bool:
    """Whether a run that is listed as in flight is one of this conversation, and no dead server's."""
    elsewhere = conversation_id == "default" and run.conversation_id not in (None, "default")
    return not elsewhere and not is_stale(run)


def is_stale(run: Run) -> bool:
    """Whether a run that counts as in flight is too old to be so: its server died."""
    if run.created_at is None:
        return False
    created = run.created_at if run.created_at.tzinfo else run.created_at.replace(tzinfo=timezone.utc)
    return datetime.now(timezone.utc) - created > _STALE
