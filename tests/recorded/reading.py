"""What the package reads in an answer, and the shape of what was said."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import httpx

from letta_adapters.sse import SSEDecoder
from letta_adapters.wire import StreamEvent, Unknown, WireModel, parse_event, parse_messages
from tests.contract.wire import Json, whole_turn
from tests.recorded.exchange import Exchange


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Something that the server said, and what the package took it for."""

    recorded: Json
    parsed: StreamEvent

    @property
    def told(self) -> Any:
        """What the package would tell about it, in the shape of the recording."""
        return same_dates(self.parsed.model_dump(mode="json", exclude_unset=True))


def is_readable(exchange: Exchange) -> bool:
    """Whether an answer is a stream, or a page of messages."""
    if exchange.status != 200 or is_stream(exchange.response):
        return exchange.status == 200
    page = json.loads(exchange.answer)
    return isinstance(page, list) and all("message_type" in row for row in cast("list[Json]", page))


def readings(exchange: Exchange) -> list[Reading]:
    """Read each event of a stream, or each row of a page."""
    if is_stream(exchange.response):
        sent: Iterable[Json] = whole_turn(exchange.response).frames
        events = SSEDecoder().feed(exchange.answer.encode())
        parsed: Iterable[StreamEvent] = [parse_event(data) for _, data in events if data != b"[DONE]"]
    else:
        sent = json.loads(exchange.answer)
        parsed = parse_messages(exchange.answer.encode())
    return [Reading(recorded=one, parsed=other) for one, other in zip(sent, parsed, strict=True)]


def shape(exchange: Exchange) -> Any:
    """The names of all fields of a stream's frames or a page's rows, and the types of their values.

    Pings are left out: those come whenever the server is slow.
    """
    return [_shape(one.recorded) for one in readings(exchange) if one.recorded["message_type"] != "ping"]


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shape(one) for name, one in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_shape(one) for one in cast("list[Any]", value)]
    return type(value).__name__


def is_stream(response: httpx.Response) -> bool:
    return response.headers["content-type"].startswith("text/event-stream")


def same_dates(value: Any) -> Any:
    """Spell all dates alike: `Z` and `+00:00` say the same."""
    if isinstance(value, list):
        return [same_dates(one) for one in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Any]", value)
    return {name: _same_date(one) if name == "date" else same_dates(one) for name, one in fields.items()}


def _same_date(value: Any) -> Any:
    return datetime.fromisoformat(value.replace("Z", "+00:00")).isoformat() if isinstance(value, str) else value


def unknown_things(value: object) -> list[Unknown]:
    """Whatever was not known, at any depth."""
    if isinstance(value, Unknown):
        return [value]
    if isinstance(value, WireModel):
        inner: Iterable[object] = [one for _, one in value]
    elif isinstance(value, Mapping):
        inner = cast("Mapping[str, object]", value).values()
    elif isinstance(value, list):
        inner = cast("list[object]", value)
    else:
        inner = ()
    return [unknown for one in inner for unknown in unknown_things(one)]
