"""The calls that a conversation waits for, and how they are denied. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from letta_adapters.matching import is_the_servers
from letta_adapters.wire import (
    ApprovalCreate,
    ApprovalRequestMessage,
    ApprovalReturn,
    KnownMessage,
    SystemMessage,
    ToolCall,
    ToolCallDelta,
    Unknown,
    calls_of,
)

__all__ = ["denials", "newest_first", "waiting_calls"]


def newest_first(rows: Sequence[KnownMessage | Unknown]) -> list[KnownMessage]:
    """The rows of a page that was asked for newest first, which a self-hosted server turns round for `default`."""
    known = [row for row in rows if not isinstance(row, Unknown)]
    if known and _oldest_first(known):
        known.reverse()
    return known


def _oldest_first(rows: Sequence[KnownMessage]) -> bool:
    first, last = rows[0].date, rows[-1].date
    if isinstance(first, datetime) and isinstance(last, datetime) and first != last:
        return first < last
    return isinstance(rows[0], SystemMessage)  # times are in whole seconds; the compiled prompt is the oldest row


def waiting_calls(rows: Sequence[KnownMessage]) -> list[ToolCall | ToolCallDelta]:
    """The calls that wait for an answer: those of the last message of all, if it is a request for approval.

    Args:
        rows: The newest rows of the conversation, newest first.
    """
    # A summary that was made while they wait is stored after their request.
    last = next((row.id for row in rows if not is_the_servers(row)), None)
    return [
        call for row in rows if isinstance(row, ApprovalRequestMessage) and row.id == last for call in calls_of(row)
    ]


def denials(calls: Sequence[ToolCall | ToolCallDelta], reason: str) -> ApprovalCreate:
    """One message that denies all of these calls."""
    return ApprovalCreate(
        approvals=[ApprovalReturn(tool_call_id=call.tool_call_id or "", approve=False, reason=reason) for call in calls]
    )
