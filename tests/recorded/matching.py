"""Whether a request is the recorded one: equal to the letter, but for the ids that its sender makes up.

An otid, a name or a marker is another one in every run. So the first request that has such an id binds it to the
recorded one; from then on either stands for the other, in requests and in answers.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.recorded.exchange import Exchange
from tests.recorded.names import TOKEN


class Bindings:
    """Which ids of this run stand for which of the recording."""

    def __init__(self, exchanges: Iterable[Exchange]) -> None:
        self._senders = _made_by_the_sender(exchanges)
        self._recorded: dict[str, str] = {}

    def agree(self, live: str, recorded: str) -> bool:
        """Whether a text of this run is a recorded one; if so, its ids are bound."""
        found = self._found(live, recorded)
        self._recorded.update(found or {})
        return found is not None

    def in_text(self, recorded: str) -> str:
        """Put the ids of this run into a recorded text."""
        live = {told: own for own, told in self._recorded.items()}
        return TOKEN.sub(lambda token: live.get(token.group(), token.group()), recorded)

    def _found(self, live: str, recorded: str) -> dict[str, str] | None:
        if TOKEN.sub("#", live) != TOKEN.sub("#", recorded):
            return None
        found: dict[str, str] = {}
        for own, told in zip(TOKEN.findall(live), TOKEN.findall(recorded), strict=True):
            bound = {**self._recorded, **found}
            if bound.get(own, own) == told:
                continue
            if len(own) != len(told) or own in bound or told in bound.values() or told not in self._senders:
                return None
            found[own] = told
        return found


def _made_by_the_sender(exchanges: Iterable[Exchange]) -> frozenset[str]:
    """The ids that a request has before any answer does."""
    own: set[str] = set()
    known: set[str] = set()
    for exchange in exchanges:
        own |= {*TOKEN.findall(exchange.request)} - known
        known |= own | {*TOKEN.findall(exchange.answer)}
    return frozenset(own)
