"""What the package makes of an answer, in brief."""

from __future__ import annotations

import json

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
from letta_adapters.wire import (
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    AssistantMessage,
    KnownMessage,
    ReasoningMessage,
    SystemMessage,
    ToolCallMessage,
    ToolReturnMessage,
    Unknown,
    UserMessage,
    calls_of,
    parse_messages,
    returns_of,
    text_of,
)
from tests.contract.as_read.stage import Expected, Page, Refusal, Stream
from tests.contract.wire import Json
from tests.recorded.reading import is_stream


def outcome(response: httpx.Response) -> Expected:
    """What the package makes of an answer."""
    if response.status_code != 200:
        error = error_from_response(response.status_code, response.content, what="the request")
        return Refusal(status=response.status_code, error=type(error).__name__)
    if is_stream(response):
        return _outcome_of_stream(response)
    return Page(tuple(brief_row(row) for row in parse_messages(response.content)))


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
