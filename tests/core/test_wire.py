"""The wire types: what a server sends is kept, what is sent has the bytes that the server wants."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from letta_adapters.wire import (
    Agent,
    ApprovalCreate,
    ApprovalRequestMessage,
    ApprovalReturn,
    AssistantMessage,
    ClientTool,
    Conversation,
    ErrorMessage,
    EventMessage,
    ImageContent,
    LettaResponse,
    MessageCreate,
    Ping,
    Run,
    StopReason,
    SummaryMessage,
    TextContent,
    ToolCallDelta,
    ToolCallMessage,
    ToolReturn,
    ToolReturnMessage,
    TurnRequest,
    Unknown,
    UrlImage,
    UsageStatistics,
    UserMessage,
    calls_of,
    parse_event,
    parse_messages,
    returns_of,
    text_of,
)

COMMON: dict[str, Any] = {
    "id": "message-9ec11d54-1235-48e3-bed7-1be73fa1122f",
    "date": "2026-11-21T09:13:20Z",
    "name": None,
    "otid": "9ec11d54-1235-48e3-bed7-1be73fa11201",
    "sender_id": None,
    "step_id": "step-9441b992-1a1b-4831-8443-0746f45291a2",
    "is_err": None,
    "seq_id": 6,
    "run_id": "run-c14462f4-28cf-47f3-b1ef-0a897bf5f0db",
}
CALL = {"name": "add", "arguments": '{"a": 1, "b": 2}', "tool_call_id": "call_097cf6a12256457884d1dd72"}
RESULT: dict[str, Any] = {
    "type": "tool",
    "tool_return": "3",
    "status": "success",
    "tool_call_id": "call_1",
    "stdout": [],
    "stderr": None,
}
IMAGE = {"type": "image", "source": {"type": "letta", "file_id": "file-1"}}
STORED: dict[str, dict[str, Any]] = {
    "system_message": {"content": "You are…"},
    "user_message": {"content": [{"type": "text", "text": "What is this?"}, IMAGE]},
    "assistant_message": {"content": 'Hello "you" there'},
    "reasoning_message": {"source": "reasoner_model", "reasoning": "let me see", "signature": None},
    "hidden_reasoning_message": {"state": "redacted", "hidden_reasoning": "gAAA"},
    "tool_call_message": {"tool_call": CALL, "tool_calls": [CALL]},
    "tool_return_message": {**RESULT, "tool_returns": [RESULT]},
    "approval_request_message": {"tool_call": CALL, "tool_calls": [CALL]},
    "approval_response_message": {
        "approvals": [RESULT, {"type": "approval", "tool_call_id": "call_2", "approve": False, "reason": "no"}]
    },
    "summary_message": {"summary": "So far", "compaction_stats": None},
    "event_message": {"event_type": "compaction", "event_data": {"trigger": "manual", "left": None}},
}
STORED["tool_return_message"].pop("type")


def _row(kind: str) -> dict[str, Any]:
    return {**COMMON, "message_type": kind, **STORED[kind]}


def _one(row: Any) -> Any:
    (message,) = parse_messages(json.dumps([row]).encode())
    return message


@pytest.mark.parametrize("kind", STORED)
def test_every_stored_type_makes_the_round_trip(kind: str) -> None:
    message = _one(_row(kind))
    assert type(message).__name__.lower() == kind.replace("_", "")
    assert message.model_dump(mode="json", exclude_unset=True) == _row(kind)


@pytest.mark.parametrize("kind", STORED)
def test_every_stored_type_is_read_from_a_stream_too(kind: str) -> None:
    assert parse_event(json.dumps(_row(kind)).encode()) == _one(_row(kind))


@pytest.mark.parametrize("kind", STORED)
def test_a_field_of_the_future_is_kept(kind: str) -> None:
    row = {**_row(kind), "mood": {"good": [True, None]}}
    assert _one(row).model_dump(mode="json", exclude_unset=True) == row


@pytest.mark.parametrize("kind", STORED)
def test_optional_fields_may_be_missing(kind: str) -> None:
    message = _one({"id": "message-1", "message_type": kind, **STORED[kind]})
    assert not isinstance(message, Unknown)


@pytest.mark.parametrize("kind", STORED)
def test_a_message_that_lost_its_id_is_kept_as_unknown(kind: str) -> None:
    row = {name: value for name, value in _row(kind).items() if name != "id"}
    message = _one(row)
    assert isinstance(message, Unknown)
    assert message.raw == row
    assert (message.message_type, message.seq_id, message.run_id) == (kind, 6, COMMON["run_id"])


@pytest.mark.parametrize(
    "row",
    [
        {"message_type": "hologram", "id": "message-1", "light": 7},
        {"message_type": "hologram", "id": "message-1", "raw": "a field that is called so"},
        {"no": "type"},
        {"message_type": None},
        {},
        [],
        "text",
        3,
        None,
    ],
    ids=["type", "type with raw", "no type", "null type", "empty", "list", "text", "number", "null"],
)
def test_what_is_no_known_message_is_kept_whole(row: Any) -> None:
    stored, streamed = _one(row), parse_event(json.dumps(row).encode())
    for message in (stored, streamed):
        assert isinstance(message, Unknown)
        assert message.raw == row


def test_one_unknown_row_does_not_spoil_the_page() -> None:
    page = parse_messages(json.dumps([_row("user_message"), {"message_type": "x"}, _row("system_message")]).encode())
    assert [type(message).__name__ for message in page] == ["UserMessage", "Unknown", "SystemMessage"]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "a", "signature": None},
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA", "detail": "low"}},
        IMAGE,
        {"type": "tool_call", "id": "call-1", "name": "add", "input": {"a": None}},
        {"type": "tool_return", "tool_call_id": "call-1", "content": "3", "is_error": False},
        {"type": "reasoning", "is_native": True, "reasoning": "hm", "signature": "s"},
        {"type": "redacted_reasoning", "data": "gAAA"},
        {"type": "omitted_reasoning"},
        {"type": "summarized_reasoning", "id": "rs-1", "summary": [{"index": 0, "text": "hm"}]},
    ],
    ids=lambda part: part["type"],
)
def test_every_content_part_makes_the_round_trip(part: dict[str, Any]) -> None:
    message = UserMessage.model_validate({"id": "m", "content": [part]})
    assert not isinstance(message.content[0], Unknown)
    assert message.model_dump(mode="json", exclude_unset=True)["content"] == [part]


@pytest.mark.parametrize(
    "part",
    [{"type": "video", "url": "x"}, {"type": "video", "raw": 1}, {"type": "text"}, {"text": "no type"}, "bare"],
    ids=["type", "type with raw", "lost a field", "no type", "bare"],
)
def test_an_unknown_part_is_kept_whole_beside_the_known_ones(part: Any) -> None:
    message = UserMessage.model_validate({"id": "m", "content": [part, {"type": "text", "text": "a"}]})
    unknown, known = message.content
    assert isinstance(unknown, Unknown)
    assert unknown.raw == part
    assert known == TextContent(text="a")
    assert text_of(message.content) == "a"


def test_an_unknown_row_makes_the_round_trip() -> None:
    row = {"message_type": "hologram", "id": "message-1", "light": 7}
    assert _one(row).model_dump(mode="json") == row


@pytest.mark.parametrize("kind", [ToolCallMessage, ApprovalRequestMessage])
def test_calls_are_read_as_a_list_as_one_delta_and_in_the_old_single_form(kind: Any) -> None:
    delta = {"name": None, "arguments": '{"a"', "tool_call_id": "call-1"}
    assert [
        c.name for c in calls_of(kind.model_validate({"id": "m", "tool_call": CALL, "tool_calls": [CALL, CALL]}))
    ] == [
        "add",
        "add",
    ]
    assert calls_of(kind.model_validate({"id": "m", "tool_call": delta, "tool_calls": delta})) == [
        ToolCallDelta(name=None, arguments='{"a"', tool_call_id="call-1")
    ]
    assert [c.name for c in calls_of(kind.model_validate({"id": "m", "tool_call": CALL}))] == ["add"]
    assert calls_of(kind.model_validate({"id": "m", "tool_call": None})) == []
    assert calls_of(kind.model_validate({"id": "m", "tool_call": CALL, "tool_calls": []})) == []


def test_results_are_read_from_the_list_else_from_the_top() -> None:
    both = ToolReturnMessage.model_validate(_row("tool_return_message"))
    assert [one.tool_return for one in returns_of(both)] == ["3"]
    top = ToolReturnMessage.model_validate({**_row("tool_return_message"), "tool_returns": None})
    assert [(one.tool_call_id, one.status) for one in returns_of(top)] == [("call_1", "success")]


def test_a_result_may_be_content_parts() -> None:
    result = ToolReturn.model_validate({**RESULT, "tool_return": [{"type": "text", "text": "a"}, IMAGE]})
    assert isinstance(result.tool_return, list)
    assert [type(part) for part in result.tool_return] == [TextContent, ImageContent]


@pytest.mark.parametrize("old", [{"message_type": "summary", "summary": "s"}, {"message_type": "event"}])
def test_the_older_spellings_are_read(old: dict[str, Any]) -> None:
    message = _one({"id": "m", "event_type": "e", "event_data": {}, **old})
    assert isinstance(message, SummaryMessage | EventMessage)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'{"id":"ping-1","date":"2026-11-21T09:13:20+00:00","message_type":"ping","seq_id":1,"run_id":"run-1"}', Ping),
        (b'{"message_type": "stop_reason", "stop_reason": "cancelled"}', StopReason),
        (b'{"message_type":"stop_reason","stop_reason":"a_reason_of_the_future"}', StopReason),
        (b'{"message_type":"usage_statistics","completion_tokens":20,"run_ids":null}', UsageStatistics),
        (
            b'{"message_type":"error_message","run_id":"run-1","error_type":"x","message":"m","detail":"d"}',
            ErrorMessage,
        ),
        (b'{"message_type":"error_message"}', ErrorMessage),
    ],
)
def test_the_types_of_streams_alone_are_read(data: bytes, kind: type) -> None:
    assert type(parse_event(data)) is kind


def test_usage_with_a_null_count_is_still_usage() -> None:
    event = parse_event(b'{"message_type":"usage_statistics","completion_tokens":20,"prompt_tokens":null}')
    assert isinstance(event, UsageStatistics)


def test_a_date_that_cannot_be_read_does_not_cost_the_text() -> None:
    event = parse_event(b'{"message_type":"assistant_message","id":"m","date":"yesterday","content":"Hi"}')
    assert isinstance(event, AssistantMessage)


def test_a_source_of_the_future_does_not_cost_the_reasoning() -> None:
    event = parse_event(b'{"message_type":"reasoning_message","id":"m","source":"oracle","reasoning":"hm"}')
    assert not isinstance(event, Unknown)


@pytest.mark.parametrize("data", [b"", b"{", b"[DONE]", b"<html>", b"\xff", b'{"a": 1} x', b"[" * 10_000])
def test_what_is_no_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_event(data)


@pytest.mark.parametrize("data", [b"{}", b"null", b"", b"<html>", b'"text"'])
def test_a_page_that_is_no_list_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_messages(data)


def test_a_minimal_request_has_exactly_these_bytes() -> None:
    request = TurnRequest(messages=[MessageCreate(role="user", content="Grüße", otid="o")])
    switches = b'"streaming":true,"stream_tokens":true,"background":true,"include_pings":true}'
    message = '{"type":"message","role":"user","content":"Grüße","otid":"o"}'.encode()
    assert request.to_json() == b'{"messages":[' + message + b"]," + switches


def test_answers_carry_the_inner_type_that_a_self_hosted_server_insists_on() -> None:
    answers = [
        ToolReturn(tool_call_id="1", tool_return="42"),
        ApprovalReturn(tool_call_id="2", approve=False, reason="no"),
    ]
    sent = json.loads(TurnRequest(messages=[ApprovalCreate(approvals=list(answers), otid="o")]).to_json())
    assert sent["messages"] == [
        {
            "type": "approval",
            "otid": "o",
            "approvals": [
                {"type": "tool", "tool_call_id": "1", "tool_return": "42", "status": "success"},
                {"type": "approval", "tool_call_id": "2", "approve": False, "reason": "no"},
            ],
        }
    ]


def test_nulls_inside_a_tools_schema_are_sent() -> None:
    schema = {"properties": {"a": {"default": None, "enum": [None, 1]}}}
    sent = json.loads(TurnRequest(input="x", client_tools=[ClientTool(name="t", parameters=schema)]).to_json())
    assert sent["client_tools"] == [{"name": "t", "parameters": schema}]


@pytest.mark.parametrize(
    "source", [{"type": "url", "url": "https://x/y.png"}, {"type": "base64", "media_type": "image/png", "data": "AA"}]
)
def test_images_are_sent_as_they_are(source: dict[str, str]) -> None:
    part = {"type": "image", "source": source}
    message = MessageCreate.model_validate({"role": "user", "content": [part]})
    assert json.loads(TurnRequest(messages=[message]).to_json())["messages"][0]["content"] == [part]
    assert isinstance(UrlImage(url="u"), UrlImage)


def test_a_part_that_the_api_does_not_take_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="audio"):
        MessageCreate.model_validate({"role": "user", "content": [{"type": "audio", "data": "AA"}]})


def test_a_field_that_the_api_does_not_have_is_refused() -> None:
    with pytest.raises(ValidationError):
        MessageCreate.model_validate({"role": "user", "content": "x", "colour": "red"})


def test_the_otids_of_a_request_are_in_order() -> None:
    messages = [
        ApprovalCreate(otid="a"),
        MessageCreate(role="user", content="x"),
        MessageCreate(role="user", content="y", otid="b"),
    ]
    assert TurnRequest(messages=list(messages)).otids == ("a", "b")


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        (Agent, {"id": "agent-1", "name": "a", "tools": [{"id": "tool-1"}]}),
        (Conversation, {"id": "conv-1", "agent_id": "agent-1", "isolated_block_ids": []}),
        (Run, {"id": "run-1", "status": "completed", "metadata": {"a": 1}}),
        (LettaResponse, {"messages": [], "stop_reason": {"stop_reason": "end_turn"}, "usage": {}}),
    ],
)
def test_resources_keep_what_they_do_not_name(kind: Any, row: dict[str, Any]) -> None:
    assert kind.model_validate(row).model_dump(mode="json", exclude_unset=True) == row
