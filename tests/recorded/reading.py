"""What the package reads in a recorded answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import httpx
from typing_extensions import assert_never

from letta_adapters.assembly import Assembly
from letta_adapters.events import (
    HiddenReasoning,
    Notice,
    PendingCall,
    Reasoning,
    ServerToolCall,
    ServerToolResult,
    Text,
    TurnPart,
)
from letta_adapters.exchange import error_from_response
from letta_adapters.run_stream import RunStream
from letta_adapters.sse import SSEDecoder
from letta_adapters.wire import (
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    AssistantMessage,
    KnownMessage,
    ReasoningMessage,
    StreamEvent,
    SystemMessage,
    ToolCallMessage,
    ToolReturnMessage,
    Unknown,
    UserMessage,
    WireModel,
    calls_of,
    parse_event,
    parse_messages,
    returns_of,
    text_of,
)
from tests.contract.wire import Json, whole_turn
from tests.recorded.stage import Expected, Page, Refusal, Stream


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Something that the server said, and what the package took it for."""

    recorded: Json
    parsed: StreamEvent

    @property
    def told(self) -> Any:
        """What the package would tell about it, in the shape of the recording."""
        return same_dates(self.parsed.model_dump(mode="json", exclude_unset=True))


def readings(response: httpx.Response) -> list[Reading]:
    """Read each event of a stream, or each row of a page; an error answer has none."""
    if response.status_code != 200:
        return []
    if _is_stream(response):
        sent: Iterable[Json] = whole_turn(response).frames
        events = [event.data for event in SSEDecoder().feed(response.content)]
        parsed: Iterable[StreamEvent] = [parse_event(data) for data in events if data != b"[DONE]"]
    else:
        sent = response.json()
        parsed = parse_messages(response.content)
    return [Reading(recorded=one, parsed=other) for one, other in zip(sent, parsed, strict=True)]


def outcome(response: httpx.Response) -> Expected:
    """What the package makes of an answer."""
    if response.status_code != 200:
        error = error_from_response(response.status_code, response.content, what="the request")
        return Refusal(status=response.status_code, error=type(error).__name__)
    if _is_stream(response):
        return _outcome_of_stream(response)
    return Page(tuple(brief_row(row) for row in parse_messages(response.content)))


def shape(response: httpx.Response) -> Any:
    """The names of all fields of an answer, and the types of their values.

    Pings are left out: those come whenever the server is slow.
    """
    if _is_stream(response):
        return [_shape(frame) for frame in whole_turn(response).frames if frame["message_type"] != "ping"]
    return _shape(response.json())


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shape(one) for name, one in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_shape(one) for one in cast("list[Any]", value)]
    return type(value).__name__


def _is_stream(response: httpx.Response) -> bool:
    return response.headers["content-type"].startswith("text/event-stream")


def _outcome_of_stream(response: httpx.Response) -> Stream:
    assembly = Assembly(own_results=_own_results(json.loads(response.request.content)))
    stream = RunStream(assembly, conversation_id="conv-1")
    stream.feed(response.content)
    assert stream.complete
    assert stream.stop is not None
    assembly.finish()
    error = stream.failure({})
    return Stream(
        parts=tuple(brief_part(part) for part in assembly.parts()),
        stop=stream.stop.stop_reason,
        error=type(error).__name__ if error else None,
        done=stream.marked_end,
    )


def _own_results(body: Json) -> list[str]:
    """Ids of the calls that a request answers itself; an approved one is answered by the server."""
    answers = [part for message in body["messages"] for part in message.get("approvals", ())]
    return [part["tool_call_id"] for part in answers if not part.get("approve")]


def brief_part(part: TurnPart) -> str:
    """The type and the text of a finished part."""
    return f"{type(part).__name__}: {_text_of_part(part)}"


def _text_of_part(part: TurnPart) -> str:
    match part:
        case Text() | Reasoning():
            return part.text
        case ServerToolCall() | PendingCall():
            return f"{part.name} {part.arguments}"
        case ServerToolResult():
            return str(part.content)
        case HiddenReasoning():
            return part.state
        case Notice():
            return part.message.message_type
        case _:
            assert_never(part)


def brief_row(row: KnownMessage | Unknown) -> str:
    """The type and the text of a stored message."""
    return f"{row.message_type}: {_text_of_row(row)}"


def _text_of_row(row: KnownMessage | Unknown) -> str:
    match row:
        case SystemMessage():
            return row.content.splitlines()[0]  # memory blocks follow
        case UserMessage() | AssistantMessage():
            return text_of(row.content)
        case ReasoningMessage():
            return row.reasoning
        case ToolCallMessage() | ApprovalRequestMessage():
            return " | ".join(f"{call.name} {call.arguments}" for call in calls_of(row))
        case ToolReturnMessage():
            return " | ".join(str(returned.tool_return) for returned in returns_of(row))
        case ApprovalResponseMessage():
            return " | ".join(approval.type for approval in row.approvals or ())
        case _:
            return ""


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
