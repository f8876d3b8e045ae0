"""A conversation that is made once, whatever becomes of the process that makes it (rule 10 of the planner). No I/O."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import suppress
from typing import Any

from letta_adapters.client.endpoints import Endpoint, create_conversation, delete_conversation, list_conversations
from letta_adapters.errors import LettaError
from letta_adapters.wire import Conversation

__all__ = ["marked_conversation"]


def marked_conversation(agent_id: str, marker: str) -> Generator[Endpoint[Any], Any, str]:
    """The conversation whose summary carries a marker; the first of several that were made at once is the one.

    The server does not keep a marker unique, so it is looked for before and after one is made.
    """
    lookup = list_conversations(agent_id=agent_id, summary_search=marker)
    found: Sequence[Conversation] = yield lookup
    if found:
        return _oldest(found).id
    made: Conversation = yield create_conversation(agent_id=agent_id, summary=marker)
    found = yield lookup
    oldest = _oldest([*found, made])
    if oldest.id != made.id:
        with suppress(LettaError):  # an empty conversation that is left behind does no harm
            yield delete_conversation(made.id)
    return oldest.id


def _oldest(conversations: Sequence[Conversation]) -> Conversation:
    return min(conversations, key=lambda one: (str(one.created_at), one.id))
