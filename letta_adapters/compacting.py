"""Compacting a conversation while no turn of this process is under way in it."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from letta_adapters.client import AsyncLettaClient, LettaClient
from letta_adapters.client.asking import aask, ask
from letta_adapters.client.endpoints import Endpoint
from letta_adapters.driver import busy_here
from letta_adapters.events import FinishedTurn, Notice
from letta_adapters.locks import Hold
from letta_adapters.looking import check_that_it_is_over
from letta_adapters.wire import SummaryMessage

if TYPE_CHECKING:
    from letta_adapters.wire import CompactionResponse, CompactionSettings

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
        if not hold.acquire(busy_timeout):
            raise busy_here(busy_timeout)
        for _ in ask(client, _check_that_others_are_over(hold, conversation_id, agent_id)):
            pass
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
        if not await hold.acquire_async(busy_timeout):
            raise busy_here(busy_timeout)
        async for _ in aask(client, _check_that_others_are_over(hold, conversation_id, agent_id)):
            pass
        return await client.conversations.messages.compact(
            conversation_id, agent_id=agent_id, compaction_settings=settings
        )
    finally:
        hold.release()


def _check_that_others_are_over(
    hold: Hold, conversation_id: str, agent_id: str | None
) -> Generator[Endpoint[Any] | None, Any, None]:
    if hold.in_flight is not None:
        yield from check_that_it_is_over(conversation_id, agent_id, hold.in_flight)


def compactions_in(turn: FinishedTurn) -> list[dict[str, object]]:
    """What was summed up while a turn ran, in order: `message_id`, `summary` and, where told, `stats`."""
    told = [part.message for part in turn.parts if isinstance(part, Notice)]
    return [compaction_of(one) for one in told if isinstance(one, SummaryMessage)]


def compaction_of(message: SummaryMessage) -> dict[str, object]:
    """What an answer's metadata says of a summary."""
    stats = message.compaction_stats
    told = {"stats": stats.model_dump(mode="json", exclude_none=True)} if stats else {}
    return {"message_id": message.id, "summary": message.summary, **told}
