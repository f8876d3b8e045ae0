"""Lists page by page, oldest or newest first, and what is done about a server that goes in circles. No I/O.

Oldest first, `after` means the same to every server. Newest first it does not: on a self-hosted one `before` is what is
older, on Cloud `after` is, since there cursors follow the order. And the lists of agents give their newest messages
oldest first (measured on 0.16.8). So what a list does is seen by what it gives.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Protocol, cast

from letta_adapters.client.calls import Endpoint
from letta_adapters.errors import ProtocolError
from letta_adapters.matching import Row
from letta_adapters.wire import Unknown

__all__ = ["AskPage", "Guard", "Listing", "Page", "backwards", "id_of", "ids_of", "is_older", "onwards"]


@dataclass(frozen=True, kw_only=True)
class Page:
    """Rows of a list, in the order that was asked for; rows of one message are on one page."""

    rows: Sequence[Row]


Listing = Generator["Endpoint[Any] | Page", Any, None]


class AskPage(Protocol):
    """Makes the request for a page of a list: the first one, or what comes after or before a message of it."""

    def __call__(
        self, *, after: str | None = None, before: str | None = None, limit: int | None = None
    ) -> Endpoint[list[Row]]:
        """Make it."""
        ...


def onwards(ask: AskPage, rows: Sequence[Row]) -> Listing:
    """Read on, oldest first, until a page is empty: a short one may be so since messages of it have nothing to show.

    Args:
        ask: Makes the request for a page.
        rows: The first page.

    Raises:
        ProtocolError: The server does not go on behind what it gave, but begins again.
    """
    guard = Guard(first=ids_of(rows)[:1])
    while rows:
        yield Page(rows=rows)
        cursor = guard.next_cursor(ids_of(rows))
        del rows  # it is not kept while the next one is read
        rows = yield ask(after=cursor)
        guard.check(cursor, ids_of(rows))


def backwards(ask: AskPage, *, by_place: bool = False) -> Listing:
    """Read a list newest first: the very rows of the other direction, backwards.

    Args:
        ask: Makes the request for a page of the list in descending order.
        by_place: Whether it is sorted by place, always as it is asked for: dates say nothing there, since a fork has a
            prompt that is newer than what follows it.

    Raises:
        ProtocolError: The server does not go on behind what it gave, but begins again.
    """
    rows: Sequence[Row] = yield ask()
    guard: Guard | None = None
    way = _Way(ask, by_place=by_place)
    while rows:
        messages = yield from way.newest_first(_messages(rows))
        yield Page(rows=[row for message in messages for row in reversed(message)])
        ids = [id for message in messages if (id := id_of(message[0])) is not None]
        guard = guard or Guard(first=ids[:1])
        cursor = guard.next_cursor(ids)
        rows = yield from way.older(cursor, messages)
        guard.check(cursor, ids_of(rows))


class _Way:
    """How a list is read newest first, as far as it has shown it."""

    def __init__(self, ask: AskPage, *, by_place: bool) -> None:
        self._ask = ask
        self._by_place = by_place
        self._is_ascending = False if by_place else None  # whether its pages are oldest first all the same
        self._cursor: str | None = None  # the one that leads to what is older

    def newest_first(self, messages: list[list[Row]]) -> Generator[Endpoint[Any], Any, list[list[Row]]]:
        """The messages of a page, newest first."""
        if len(messages) > 1 and self._is_ascending is None:
            self._is_ascending = yield from self._looks_ascending(messages)
        return messages[::-1] if self._is_ascending else messages

    def _looks_ascending(self, messages: list[list[Row]]) -> Generator[Endpoint[Any], Any, bool]:
        first, last = messages[0][0], messages[-1][0]
        if is_older(first, last) or is_older(last, first):
            return is_older(first, last)
        newest: Sequence[Row] = yield self._ask(limit=1)  # all were stored in one second, which is all that dates tell
        return id_of(last) in ids_of(newest)

    def older(self, cursor: str, page: list[list[Row]]) -> Generator[Endpoint[Any], Any, Sequence[Row]]:
        """What comes behind the last message of a page; nothing at the end."""
        if self._cursor is not None:
            return (yield self._page(self._cursor, cursor))
        for name in ("before", "after"):
            rows: Sequence[Row] = yield self._page(name, cursor)
            if rows and not _goes_back(rows, page, by_place=self._by_place):
                self._cursor = name
                return rows
        return ()

    def _page(self, name: str, cursor: str) -> Endpoint[list[Row]]:
        return self._ask(before=cursor) if name == "before" else self._ask(after=cursor)


def _messages(rows: Sequence[Row]) -> list[list[Row]]:
    return [list(group) for _, group in groupby(rows, id_of)]


def _goes_back(rows: Sequence[Row], page: Iterable[list[Row]], *, by_place: bool) -> bool:
    """Whether rows lead to where a page came from, and not behind its last message."""
    messages = list(page)
    known = {id_of(message[0]) for message in messages}
    return any(id_of(row) in known or (not by_place and is_older(messages[-1][0], row)) for row in rows)


def id_of(row: Row) -> str | None:
    """The id of a row, also of one whose type is not known."""
    if not isinstance(row, Unknown):
        return row.id
    raw: object = row.raw
    found = cast("dict[str, object]", raw).get("id") if isinstance(raw, dict) else None
    return found if isinstance(found, str) else None


def ids_of(rows: Sequence[Row]) -> list[str]:
    """The messages that the rows belong to, each once."""
    return list(dict.fromkeys(found for found in map(id_of, rows) if found is not None))


def is_older(row: Row, other: Row) -> bool:
    """Whether the date of a row is before that of another; dates tell seconds (measured)."""
    if isinstance(row, Unknown) or isinstance(other, Unknown):
        return False
    return isinstance(row.date, datetime) and isinstance(other.date, datetime) and row.date < other.date


class Guard:
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
