"""Compacting a conversation while no turn of this process is under way in it."""

from __future__ import annotations

from letta_adapters.client import AsyncLettaClient, LettaClient
from letta_adapters.drivers import busy_here
from letta_adapters.events import FinishedTurn, Notice
from letta_adapters.locks import Hold
from letta_adapters.wire import CompactionResponse, CompactionSettings, SummaryMessage

__all__ = ["acompact", "compact", "compaction_of", "compactions_in"]


def compact(
    client: LettaClient,
    conversation_id: str,
    agent_id: str | None,
    settings: CompactionSettings | None,
    *,
    busy_timeout: float,
) -> CompactionResponse:
    """Compact a conversation, after the turn of this process that is being sent.

    Raises:
        ConversationBusy: A turn of this process takes too long, or goes on at the server: it and the compaction would
            both write the context.
        InvalidRequest: There is too little to summarize.
    """
    hold = client.hold(conversation_id, agent_id)
    try:
        _check(hold, taken=hold.acquire(busy_timeout), seconds=busy_timeout)
        return client.conversations.messages.compact(conversation_id, agent_id=agent_id, compaction_settings=settings)
    finally:
        hold.release()


async def acompact(
    client: AsyncLettaClient,
    conversation_id: str,
    agent_id: str | None,
    settings: CompactionSettings | None,
    *,
    busy_timeout: float,
) -> CompactionResponse:
    """Compact a conversation; the twin of `compact`."""
    hold = client.hold(conversation_id, agent_id)
    try:
        _check(hold, taken=await hold.acquire_async(busy_timeout), seconds=busy_timeout)
        return await client.conversations.messages.compact(
            conversation_id, agent_id=agent_id, compaction_settings=settings
        )
    finally:
        hold.release()


def _check(hold: Hold, *, taken: bool, seconds: float) -> None:
    if not taken or hold.in_flight is not None:
        raise busy_here(seconds)


def compactions_in(turn: FinishedTurn) -> list[dict[str, object]]:
    """What was summed up while a turn ran, in order: `message_id`, `summary` and, where told, `stats`."""
    told = [part.message for part in turn.parts if isinstance(part, Notice)]
    return [compaction_of(one) for one in told if isinstance(one, SummaryMessage)]


def compaction_of(message: SummaryMessage) -> dict[str, object]:
    """What an answer's metadata says of a summary."""
    stats = message.compaction_stats
    told = {"stats": stats.model_dump(mode="json", exclude_none=True)} if stats else {}
    return {"message_id": message.id, "summary": message.summary, **told}
