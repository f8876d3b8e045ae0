"""All messages of a conversation, page by page, oldest or newest first. Generators without I/O.

A conversation's own list is sorted by place. After a compaction on a self-hosted server the places are no order of time
any more, and several messages share one, so that pages lose messages (measured on 0.16.8). The agent's list of the same
conversation is in order of time always, but lacks what a fork shares with its origin. So the first is read, unless it
begins with a summary and the conversation is no fork. What is left is a fork that was compacted itself: its own list is
all there is.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Literal

from letta_adapters.alignment import is_compiled_prompt
from letta_adapters.client.cursors import (
    AskPage,
    Guard,
    Listing,
    Page,
    backwards,
    id_of,
    ids_of,
    is_older,
    onwards,
)
from letta_adapters.client.endpoints import (
    Endpoint,
    check_conversation_id,
    list_conversations,
    list_messages,
    retrieve_conversation,
)
from letta_adapters.client.message_endpoints import list_agent_messages
from letta_adapters.client.run_endpoints import list_run_messages
from letta_adapters.matching import Row, is_the_servers
from letta_adapters.wire import Conversation

__all__ = [
    "LEAST_PAGE",
    "Listing",
    "Order",
    "Page",
    "all_conversations",
    "id_of",
    "list_in_order_of_time",
    "pages_of",
    "pages_of_agent",
    "pages_of_run",
]

LEAST_PAGE = 3
"""Messages that a page has at least: a summary is among the first three, if there is any (measured)."""

_FIRST_PLACES = 1000
"""Messages that are looked through for the one that was said first: every compaction puts another one beside it."""

Order = Literal["asc", "desc"]
"""Oldest first, or newest first."""


def pages_of(
    conversation_id: str, agent_id: str | None = None, *, page_size: int = 100, order: Order = "asc"
) -> Listing:
    """Yield what is to be asked for, and every page as it comes; what is kept meanwhile does not grow.

    Args:
        conversation_id: The conversation, or `default`.
        agent_id: Its agent; it is asked for where nobody knows it.
        page_size: Messages on a page, at least `LEAST_PAGE`.
        order: `asc` for oldest first; `desc` gives the same rows backwards.

    Raises:
        NotFound: The conversation is not there.
        ProtocolError: The server does not go on behind what it gave, but begins again.
    """
    check_conversation_id(conversation_id, agent_id)
    agent: str = agent_id or (yield retrieve_conversation(conversation_id)).agent_id
    # Nothing here may refer to the first page, which would be kept to the end.
    yield from (yield from _in_order_of_time(conversation_id, agent, page_size, order))


def _in_order_of_time(
    conversation_id: str, agent: str, page_size: int, order: Order
) -> Generator[Endpoint[Any], Any, Listing]:
    """Find out which list is in order of time; gives its pages."""

    def places(
        *, after: str | None = None, before: str | None = None, limit: int | None = None, order: Order = order
    ) -> Endpoint[list[Row]]:
        size = limit or page_size
        return list_messages(conversation_id, agent_id=agent, after=after, before=before, order=order, limit=size)

    def times(*, after: str | None = None, before: str | None = None, limit: int | None = None) -> Endpoint[list[Row]]:
        size, newest = limit or page_size, order == "desc"
        return list_in_order_of_time(conversation_id, agent, after=after, before=before, limit=size, newest=newest)

    if conversation_id == "default":  # always in order of time (measured)
        return _read(places, order)
    rows: Sequence[Row] = yield places(order="asc", limit=page_size if order == "asc" else LEAST_PAGE)
    if not rows:
        yield retrieve_conversation(conversation_id)  # one that is gone lists as empty (measured)
    if _begins_with_summary(rows):
        said: Sequence[Row] = yield list_in_order_of_time(conversation_id, agent, limit=page_size)
        beginning: Sequence[Row] = yield places(order="asc", limit=_FIRST_PLACES)
        if not _is_fork(beginning, said):
            return onwards(times, said) if order == "asc" else backwards(times)
    return onwards(places, rows) if order == "asc" else backwards(places, by_place=True)


def _read(ask: AskPage, order: Order) -> Listing:
    yield from onwards(ask, (yield ask())) if order == "asc" else backwards(ask)


def _begins_with_summary(rows: Sequence[Row]) -> bool:
    first = ids_of(rows)[:LEAST_PAGE]
    return any(is_the_servers(row) for row in rows if id_of(row) in first)


def _is_fork(beginning: Sequence[Row], said: Sequence[Row]) -> bool:
    """Whether what was said first in a compacted conversation was said elsewhere.

    Args:
        beginning: Its first places: the prompt, and what was said first beside the summaries of all compactions.
        said: What was said in itself, in order of time.
    """
    first = next((row for row in said if not is_compiled_prompt(row) and not is_the_servers(row)), None)
    for row in beginning:
        if first is None or is_compiled_prompt(row):
            continue
        if id_of(row) == id_of(first):
            return False
        if not is_the_servers(row) or is_older(row, first):
            return True
    return True


def list_in_order_of_time(
    conversation_id: str,
    agent_id: str,
    *,
    after: str | None = None,
    before: str | None = None,
    limit: int,
    newest: bool = False,
) -> Endpoint[list[Row]]:
    """One page of what was said in a conversation, out of the list of its agent.

    Args:
        conversation_id: The conversation.
        agent_id: Its agent.
        after: The message to go on after.
        before: The message to stop before, where newest ones are read.
        limit: How many messages at most.
        newest: Whether to take the newest ones; a self-hosted server gives them oldest first, too (measured).
    """
    check_conversation_id(conversation_id, agent_id)
    order = "desc" if newest else "asc"
    return list_agent_messages(
        agent_id, conversation_id=conversation_id, after=after, before=before, limit=limit, order=order
    )


def pages_of_agent(
    agent_id: str, *, conversation_id: str | None = None, page_size: int = 100, order: Order = "asc"
) -> Listing:
    """Yield what is to be asked for, and every page of an agent's list as it comes.

    Args:
        agent_id: The agent.
        conversation_id: Those that were said in this conversation only.
        page_size: Messages on a page.
        order: `asc` for oldest first; `desc` gives the same rows backwards.

    Raises:
        NotFound: There is no such agent.
        ProtocolError: The server does not go on behind what it gave, but begins again.
    """

    def page(*, after: str | None = None, before: str | None = None, limit: int | None = None) -> Endpoint[list[Row]]:
        size = limit or page_size
        return list_agent_messages(
            agent_id, conversation_id=conversation_id, after=after, before=before, limit=size, order=order
        )

    yield from _read(page, order)


def pages_of_run(run_id: str, *, page_size: int = 100) -> Listing:
    """Yield what is to be asked for, and every page of what a run stored as it comes, oldest first.

    Args:
        run_id: The run.
        page_size: Messages on a page.

    Raises:
        NotFound: There is no such run.
        ProtocolError: The server does not go on behind what it gave, but begins again.
    """

    def page(*, after: str | None = None, before: str | None = None, limit: int | None = None) -> Endpoint[list[Row]]:
        return list_run_messages(run_id, after=after, before=before, limit=limit or page_size, order="asc")

    yield from _read(page, "asc")


def all_conversations(
    *, agent_id: str | None = None, summary_search: str | None = None, page_size: int = 50, order: Order = "asc"
) -> Generator[Endpoint[Any] | Conversation, Any, None]:
    """Yield what is to be asked for, and the conversations as they come.

    Here cursors follow the order on every server (measured on 0.16.8).

    Args:
        agent_id: Those of this agent only.
        summary_search: Those whose summary contains this text.
        page_size: Conversations on a page.
        order: `asc` for oldest first, `desc` for newest first.

    Raises:
        ProtocolError: The server does not go on behind what it gave, but begins again.
    """

    def page(after: str | None = None) -> Endpoint[list[Conversation]]:
        return list_conversations(
            agent_id=agent_id, summary_search=summary_search, limit=page_size, after=after, order=order
        )

    found: Sequence[Conversation] = yield page()
    guard = Guard(first=[one.id for one in found[:1]])
    while found:
        yield from found
        ids = [one.id for one in found]
        cursor = guard.next_cursor(ids)
        found = yield page(cursor)
        guard.check(cursor, [one.id for one in found])
