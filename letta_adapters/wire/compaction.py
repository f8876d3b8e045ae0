"""What the server tells about a compaction of a conversation's context."""

from __future__ import annotations

from letta_adapters.wire.base import WireModel

__all__ = ["CompactionStats"]


class CompactionStats(WireModel):
    """What a compaction did; sizes in tokens and messages."""

    trigger: str
    context_window: int
    messages_count_before: int
    messages_count_after: int
    context_tokens_before: int | None = None
    context_tokens_after: int | None = None
