"""Lists: the parts that are asked for, and what a search finds. The server's lists disagree on what a cursor means."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from letta_adapters.testing.state import Page

__all__ = ["contains", "part_of"]


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=_Identified)


def part_of(
    items: Sequence[T], page: Page, *, after_is_newer: bool, where: Callable[[T], bool] = lambda _: True
) -> list[T]:
    """Cut the part that a page asks for out of all items, which come oldest first; an unknown cursor is no cursor.

    `after_is_newer` says which way the list's cursors point: whether `after` leaves what is newer than its item, and
    `before` what is older, or the other way round.
    """
    newer_than, older_than = (page.after, page.before) if after_is_newer else (page.before, page.after)
    positions = {item.id: position for position, item in enumerate(items)}
    first = positions[newer_than] + 1 if newer_than in positions else 0
    end = positions[older_than] if older_than in positions else len(items)
    chosen = [item for item in items[first:end] if where(item)]
    return (chosen[::-1] if page.descending else chosen)[: page.limit]


_SPECIAL = re.compile(r"\\(.)|[%_\\]", re.DOTALL)


def contains(text: str, wanted: str) -> bool:
    """Whether a database finds a text in another: `%` and `_` stand for anything and for one character."""
    if _SPECIAL.search(wanted) is None:
        return wanted in text
    return re.search(_as_expression(wanted), text, re.DOTALL) is not None


def _as_expression(wanted: str) -> str:
    expression, end = "", 0
    for found in _SPECIAL.finditer(wanted):
        expression += re.escape(wanted[end : found.start()])
        expression += {"%": ".*", "_": "."}.get(found.group()) or re.escape(found.group(1) or "")
        end = found.end()
    return expression + re.escape(wanted[end:])
