"""All messages of a conversation, page by page, oldest first. Generators without I/O.

A conversation's own list is sorted by place. After a compaction on a self-hosted server the places are no order of time
any more, and several messages share one, so that pages lose messages (measured on 0.16.8). The agent's list of the same
conversation is in order of time always, but lacks what a fork shares with its origin. So the first is read, unless it
begins with a summary and the conversation is no fork. What is left is a fork that was compacted itself: its own list is
all there is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from letta_adapters.alignment import is_compiled_prompt
from letta_adapters.client.endpoints import (
    Endpoint,
    check_conversation_id,
    list_conversations,
    list_messages,
    retrieve_conversation,
)
from letta_adapters.client.message_endpoints import list_agent_messages
from letta_adapters.client.run_endpoints import list_run_messages
from letta_adapters.errors import ProtocolError
from letta_adapters.matching import Row, is_the_servers
from letta_adapters.wire import Conversation, Unknown

__all__ = [
    "LEAST_PAGE",
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

Listing = Generator["Endpoint[Any] | Page", Any, None]


@dataclass(frozen=True, kw_only=True)
class Page:
    """Rows of a list, oldest first; rows of one message are on one page."""

    rows: Sequence[Row]


def pages_of(conversation_id: str, agent_id: str | None = None, *, page_size: int = 100) -> Listing:
    """Yield what is to be asked for, and every page as it comes; what is kept meanwhile does not grow.

    Args:
        conversation_id: The conversation, or `default`.
        agent_id: Its agent; it is asked for where nobody knows it.
        page_size: Messages on a page, at least `LEAST_PAGE`.

    Raises:
        NotFound: The conversation is not there.
        ProtocolError: The server does not go on behind what it gave, but begins again.
    """
    check_conversation_id(conversation_id, agent_id)
    agent = agent_id or (yield retrieve_conversation(conversation_id)).agent_id

    def places(after: str | None = None, limit: int = page_size) -> Endpoint[list[Row]]:
        return list_messages(conversation_id, agent_id=agent, after=after, order="asc", limit=limit)

    def times(after: str | None = None) -> Endpoint[list[Row]]:
        return list_in_order_of_time(conversation_id, agent, after=after, limit=page_size)

    rows: Sequence[Row] = yield places()
    if conversation_id == "default":  # always in order of time (measured)
        yield from _onwards(places, rows)
        return
    if not rows:
        yield retrieve_conversation(conversation_id)  # one that is gone lists as empty (measured)
    if _begins_with_summary(rows):
        said: Sequence[Row] = yield times()
        beginning: Sequence[Row] = yield places(limit=_FIRST_PLACES)
        if not _is_fork(beginning, said):
            yield from _onwards(times, said)
            return
    yield from _onwards(places, rows)


def _begins_with_summary(rows: Sequence[Row]) -> bool:
    first = _ids(rows)[:LEAST_PAGE]
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
        if not is_the_servers(row) or _is_older(row, first):
            return True
    return True


def _is_older(row: Row, other: Row) -> bool:
    if isinstance(row, Unknown) or isinstance(other, Unknown):
        return False
    return isinstance(row.date, datetime) and isinstance(other.date, datetime) and row.date < other.date


def list_in_order_of_time(
    conversation_id: str, agent_id: str, *, after: str | None = None, limit: int, newest: bool = False
) -> Endpoint[list[Row]]:
    """One page of what was said in a conversation, out of the list of its agent.

    Args:
        conversation_id: The conversation.
        agent_id: Its agent.
        after: The message to go on after.
        limit: How many messages at most.
        newest: Whether to take the newest ones; a self-hosted server gives them oldest first, too (measured).
    """
    check_conversation_id(conversation_id, agent_id)
    return list_agent_messages(
        agent_id, conversation_id=conversation_id, after=after, limit=limit, order="desc" if newest else "asc"
    )


def pages_of_agent(agent_id: str, *, conversation_id: str | None = None, page_size: int = 100) -> Listing:
    """Yield what is to be asked for, and every page of an agent's list as it comes, oldest first.

    Args:
        agent_id: The agent.
        conversation_id: Those that were said in this conversation only.
        page_size: Messages on a page.

    Raises:
        NotFound: There is no such agent.
        ProtocolError: The server does not go on behind what it gave, but begins again.
    """

    def page(after: str | None = None) -> Endpoint[list[Row]]:
        return list_agent_messages(agent_id, conversation_id=conversation_id, after=after, limit=page_size, order="asc")

    yield from _onwards(page, (yield page()))


def pages_of_run(run_id: str, *, page_size: int = 100) -> Listing:
    """Yield what is to be asked for, and every page of what a run stored as it comes, oldest first.

    Args:
        run_id: The run.
        page_size: Messages on a page.

    Raises:
        NotFound: There is no such run.
        ProtocolError: The server does not go on behind what it gave, but begins again.
    """

    def page(after: str | None = None) -> Endpoint[list[Row]]:
        return list_run_messages(run_id, after=after, limit=page_size, order="asc")

    yield from _onwards(page, (yield page()))


def all_conversations(
    *, agent_id: str | None = None, summary_search: str | None = None, page_size: int = 50
) -> Generator[Endpoint[Any] | Conversation, Any, None]:
    """Yield what is to be asked for, and the conversations as they come, oldest first.

    Args:
        agent_id: Those of this agent only.
        summary_search: Those whose summary contains this text.
        page_size: Conversations on a page.

    Raises:
        ProtocolError: The server does not go on behind what it gave, but begins again.
    """

    def page(after: str | None = None) -> Endpoint[list[Conversation]]:
        return list_conversations(
            agent_id=agent_id, summary_search=summary_search, limit=page_size, after=after, order="asc"
        )

    found: Sequence[Conversation] = yield page()
    guard = _Guard(first=[one.id for one in found[:1]])
    while found:
        yield from found
        ids = [one.id for one in found]
        cursor = guard.next_cursor(ids)
        found = yield page(cursor)
        guard.check(cursor, [one.id for one in found])


def id_of(row: Row) -> str | None:
    """The id of a row, also of one whose type is not known."""
    if not isinstance(row, Unknown):
        return row.id
    raw: object = row.raw
    found = cast("dict[str, object]", raw).get("id") if isinstance(raw, dict) else None
    return found if isinstance(found, str) else None


def _onwards(after: Callable[[str], Endpoint[list[Row]]], rows: Sequence[Row]) -> Listing:
    """Read until a page is empty: a short one may be short because messages of it have nothing to show."""
    guard = _Guard(first=_ids(rows)[:1])
    while rows:
        yield Page(rows=rows)
        cursor = guard.next_cursor(_ids(rows))
        rows = yield after(cursor)
        guard.check(cursor, _ids(rows))


def _ids(rows: Sequence[Row]) -> list[str]:
    """The messages that the rows belong to, each once."""
    return list(dict.fromkeys(found for found in map(id_of, rows) if found is not None))


class _Guard:
    """Notices a server that goes round in circles, without remembering where it was: Brent's algorithm.

    Args:
        first: The first message of the list, to which a server returns that does not know a cursor (measured).
    """

    def __init__(self, *, first: Sequence[str]) -> None:
        self._first = first
        self._landmark = ""
        self._steps = 0
        self._until: int = 1

    def next_cursor(self, ids: Sequence[str]) -> str:
        """What to go on after."""
        if not ids:
            raise ProtocolError("A page of messages has no ids, so nobody can ask for the next one.")
        cursor = ids[-1]
        if cursor == self._landmark:
            raise _round_in_circles(cursor)
        self._steps += 1
        if self._steps == self._until:
            self._landmark, self._steps = cursor, 0
            self._until *= 2
        return cursor

    def check(self, cursor: str, ids: Sequence[str]) -> None:
        """Raise where a page is not what comes after the cursor."""
        if cursor in ids or (self._first and self._first[0] in ids):
            raise _round_in_circles(cursor)


def _round_in_circles(cursor: str) -> ProtocolError:
    return ProtocolError(
        f"The list of messages does not go on after {cursor}, it begins again.",
        hint="Read it again: the message may have been deleted while it was read.",
    )
