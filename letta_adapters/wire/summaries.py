"""Summaries as a self-hosted server shows them: JSON, packed in what looks like a message of the user."""

from __future__ import annotations

import json
import re
from typing import Any, cast

from pydantic import ValidationError

from letta_adapters.wire.base import Unknown
from letta_adapters.wire.messages import CompactionStats, KnownMessage, SummaryMessage, UserMessage

__all__ = ["packed_alert", "summary_of"]

_SUMMARY = re.compile(r"Note: (prior messages|.{0,200}? hidden from view)")


def packed_alert(message: UserMessage) -> dict[str, Any] | None:
    """Unpack what the server says by itself in a user's message, or give `None` where it is the user who speaks."""
    text = message.content
    if not isinstance(text, str) or not text.startswith("{"):
        return None
    try:
        packed: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    alert = cast("dict[str, Any]", packed) if isinstance(packed, dict) else {}
    return alert if alert.get("type") == "system_alert" else None


def summary_of(message: KnownMessage | Unknown) -> SummaryMessage | None:
    """Give the summary that a message is, whichever way the server shows it; `None` where it is none.

    Letta Cloud has `summary_message`. A self-hosted server packs summaries in a user's message, as it does with other
    alerts, which are no summaries (measured on 0.16.8).

    Example:
        ```python
        for message in client.conversations.messages.list(conversation.id):
            if summary := summary_of(message):
                print(summary.summary)
        ```
    """
    if isinstance(message, SummaryMessage):
        return message
    alert = packed_alert(message) if isinstance(message, UserMessage) else None
    if alert is None:
        return None
    text: object = alert.get("message")
    stats = _stats(alert.get("compaction_stats"))
    if not isinstance(text, str) or not (stats or _SUMMARY.match(text)):
        return None
    shared = message.model_dump(exclude={"message_type", "content"}, exclude_unset=True)
    return SummaryMessage(**shared, summary=text, compaction_stats=stats)


def _stats(value: object) -> CompactionStats | None:
    try:
        return CompactionStats.model_validate(value)
    except ValidationError:
        return None
