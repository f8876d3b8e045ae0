"""A request and its answer, as a recording keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import itemgetter
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from tests.recorded.names import Names

JSON = "application/json"


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What was asked and what was answered; of the headers, the types of the bodies."""

    request: str
    """The method, the path with its query in order of names, and the JSON body in order of names."""
    status: int
    type: str
    answer: str

    @property
    def response(self) -> httpx.Response:
        """The answer as httpx gives it."""
        return httpx.Response(self.status, headers={"content-type": self.type}, content=self.answer.encode())

    def named(self, names: Names) -> Exchange:
        return replace(self, request=names.in_text(self.request), answer=names.in_text(self.answer))


def request_text(method: str, uri: str, body: bytes | None) -> str:
    """Spell a request; one that means the same is spelled the same."""
    address = urlsplit(uri)
    query = urlencode(sorted(parse_qsl(address.query, keep_blank_values=True), key=itemgetter(0)))
    sent = [json.dumps(json.loads(body), ensure_ascii=False, sort_keys=True)] if body else []
    return " ".join([method, f"{address.path}?{query}" if query else address.path, *sent])


def normalised(exchanges: Iterable[Exchange]) -> list[Exchange]:
    """Give a scenario's exchanges stable names for ids and times, and ask once what was asked until it was so."""
    settled = without_polls(list(exchanges))
    names = Names(text for exchange in settled for text in (exchange.request, exchange.answer))
    return [exchange.named(names) for exchange in settled]


def without_polls(exchanges: list[Exchange]) -> list[Exchange]:
    """Leave out what was read too early: of equal reads in a row, those with another answer than the last."""
    kept: list[Exchange] = []
    for exchange in reversed(exchanges):
        after = kept[-1] if kept else None
        early = after and after.request == exchange.request and after.answer != exchange.answer
        if not (early and exchange.request.startswith("GET ")):
            kept.append(exchange)
    return kept[::-1]
