"""Stored messages of every type of the reference: an example of each, and random ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from letta_adapters.matching import Row
from letta_adapters.wire import (
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    AssistantMessage,
    Base64Image,
    ContentPart,
    EventMessage,
    HiddenReasoningMessage,
    ImageContent,
    LettaImage,
    ReasoningMessage,
    SummaryMessage,
    SystemMessage,
    TextContent,
    ToolCall,
    ToolCallDelta,
    ToolCallMessage,
    ToolReturn,
    ToolReturnMessage,
    Unknown,
    UrlImage,
    UserMessage,
    calls_of,
    packed_alert,
    parse_messages,
    returns_of,
    summary_of,
    text_of,
)

Json = dict[str, Any]

SHARED: Json = {
    "id": "message-1",
    "date": "2026-01-01T00:00:00Z",
    "otid": "otid-1",
    "run_id": "run-1",
    "step_id": "step-1",
    "sender_id": None,
}
PARTS: list[Json] = [
    {"type": "text", "text": "look"},
    {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
    {"type": "image", "source": {"type": "letta", "file_id": "file-1", "media_type": "image/png"}},
]
CALL = {"name": "add", "arguments": '{"a": 1, "b": 2}', "tool_call_id": "call_1"}
OTHER = {"name": "search", "arguments": '{"q": "tea"}', "tool_call_id": "call_2"}
RETURN = {
    "type": "tool",
    "tool_call_id": "call_1",
    "tool_return": "3",
    "status": "success",
    "stdout": ["adding"],
    "stderr": ["slow"],
}
FAILED = {"type": "tool", "tool_call_id": "call_2", "tool_return": PARTS[:2], "status": "error"}
TOP = {name: value for name, value in RETURN.items() if name != "type"}
STATS = {"trigger": "post_step", "context_window": 1000, "messages_count_before": 9, "messages_count_after": 3}


def _row(kind: str, **fields: Any) -> Json:
    return {"message_type": kind, **SHARED, **fields}


EXAMPLES: dict[str, Json] = {
    "system": _row("system_message", content="Be kind."),
    "user": _row("user_message", content="Hello", name="Ann"),
    "user, images by address, bytes and file id": _row("user_message", content=PARTS),
    "user, images with details": _row(
        "user_message",
        content=[
            {"type": "image", "source": {**PARTS[2]["source"], "detail": "low"}},
            {"type": "image", "source": {**PARTS[3]["source"], "detail": "high", "data": "iVBORw0KGgo="}},
        ],
    ),
    "assistant": _row("assistant_message", content="Hello, Ann."),
    "assistant, of parts": _row("assistant_message", content=[{"type": "text", "text": "Hi", "signature": "s"}]),
    "reasoning, signed": _row("reasoning_message", reasoning="Hm.", source="reasoner_model", signature="sig=="),
    "reasoning, redacted": _row("hidden_reasoning_message", state="redacted", hidden_reasoning="abc"),
    "reasoning, omitted": _row("hidden_reasoning_message", state="omitted"),
    "tool call": _row("tool_call_message", tool_call=CALL, tool_calls=[CALL]),
    "tool calls": _row("tool_call_message", tool_call=CALL, tool_calls=[CALL, OTHER]),
    "tool call, in the older field alone": _row("tool_call_message", tool_call=CALL),
    "tool return": _row("tool_return_message", **TOP, tool_returns=[RETURN]),
    "tool returns, one of parts": _row("tool_return_message", **TOP, tool_returns=[RETURN, FAILED]),
    "tool return, at the top alone": _row("tool_return_message", **TOP),
    "approval request": _row("approval_request_message", tool_call=CALL, tool_calls=[CALL, OTHER]),
    "approval response, results": _row("approval_response_message", approvals=[RETURN, FAILED]),
    "approval response, decisions": _row(
        "approval_response_message",
        approvals=[
            {"type": "approval", "tool_call_id": "call_1", "approve": False, "reason": "Not on a Sunday."},
            {"type": "approval", "tool_call_id": "call_2", "approve": True, "reason": None},
        ],
    ),
    "summary": _row("summary_message", summary="They spoke of tea.", compaction_stats=STATS),
    "summary, spelt as of old": _row("summary", summary="They spoke of tea."),
    "summary, packed": _row(
        "user_message",
        content=json.dumps(
            {"type": "system_alert", "message": "Note: prior messages (3 of 5) have been hidden from view. Tea."}
        ),
    ),
    "event": _row("event_message", event_type="compaction", event_data={"trigger": "post_step", "n": None}),
    "event, spelt as of old": _row("event", event_type="compaction", event_data={}),
    "of a type that is not known": {"message_type": "weather_message", "id": "message-1", "wind": [1, {"from": "N"}]},
}
"""Each type as the API sends it."""


def parsed(rows: Sequence[Json]) -> list[Row]:
    """Read rows as a client reads them."""
    return parse_messages(json.dumps(rows).encode())


def dumped(rows: Sequence[Row]) -> list[Any]:
    """Rows as they were sent."""
    return [row.model_dump(mode="json", exclude_unset=True) for row in rows]


TURNS = parsed(
    [
        {
            "message_type": "user_message",
            "id": "message-1",
            "run_id": "run-1",
            "otid": "o1",
            "content": "My name is Ann.",
        },
        {"message_type": "reasoning_message", "id": "message-2", "run_id": "run-1", "reasoning": "Hm."},
        {
            "message_type": "approval_request_message",
            "id": "message-2",
            "run_id": "run-1",
            "tool_calls": [
                {"name": "add", "arguments": "{}", "tool_call_id": "call_1"},
                {"name": "add", "arguments": "{}", "tool_call_id": "call_2"},
            ],
        },
        {
            "message_type": "approval_response_message",
            "id": "message-3",
            "run_id": "run-2",
            "approvals": [
                {"type": "tool", "tool_call_id": "call_1", "tool_return": "one", "stdout": ["s"], "stderr": ["e"]},
                {"type": "tool", "tool_call_id": "call_2", "tool_return": "two"},
            ],
        },
        {
            "message_type": "tool_return_message",
            "id": "message-4",
            "run_id": "run-2",
            "tool_call_id": "call_1",
            "tool_return": "one",
            "status": "success",
            "tool_returns": [
                {"type": "tool", "tool_call_id": "call_1", "tool_return": "one", "stdout": ["s"], "stderr": ["e"]},
                {"type": "tool", "tool_call_id": "call_2", "tool_return": "two"},
            ],
        },
        {"message_type": "assistant_message", "id": "message-5", "run_id": "run-2", "content": "Done, Ann."},
    ]
)
"""A question, a step with two calls, both results, the answer."""


# Random ones.

TEXTS = st.text(min_size=1, max_size=8)
_KEYS = st.text("abcdef0123456789", min_size=1, max_size=6)
_NAMES = st.none() | st.sampled_from(["Ann", "Bob"])
_LOGS = st.none() | st.lists(TEXTS, min_size=1, max_size=2)
_STATUS = st.sampled_from(["success", "error"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
_OBJECTS = st.dictionaries(st.text(max_size=3), _JSON, max_size=3)


def _some(needed: dict[str, st.SearchStrategy[str]], **optional: st.SearchStrategy[str]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(needed, optional=optional)


_TEXT = st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS})
_SIGNED_TEXT = st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS, "signature": st.none() | TEXTS})
_DETAILS = {"detail": st.sampled_from(["low", "high"])}
_MEDIA = st.sampled_from(["image/png", "image/jpeg"])
_SOURCES: st.SearchStrategy[Json] = st.one_of(
    _some({"type": st.just("url"), "url": _KEYS.map(lambda key: f"https://example.com/{key}.png")}),
    _some({"type": st.just("base64"), "media_type": _MEDIA, "data": st.just("iVBORw0KGgo=")}, **_DETAILS),
    _some(
        {"type": st.just("letta"), "file_id": _KEYS.map(lambda key: f"file-{key}")},
        **_DETAILS,
        media_type=_MEDIA,
        data=st.just("iVBORw0KGgo="),
    ),
)
_IMAGE = st.fixed_dictionaries({"type": st.just("image"), "source": _SOURCES})
_PARTS = st.lists(_TEXT | _IMAGE, min_size=1, max_size=3)
_ARGUMENTS = _OBJECTS.map(lambda value: json.dumps(value, ensure_ascii=False)) | st.sampled_from(
    ["", "{", '{"a": 1', '"text"', "[1]", "not json"]
)


def _by_call(one: Json) -> str:
    return str(one["tool_call_id"])


def _unique(answers: st.SearchStrategy[Json]) -> st.SearchStrategy[list[Json]]:
    return st.lists(answers, min_size=1, max_size=3, unique_by=_by_call)


_CALL_IDS = _KEYS.map(lambda key: f"call_{key}")
_CALLS = _unique(
    st.fixed_dictionaries(
        {"tool_call_id": _CALL_IDS, "name": st.sampled_from(["add", "search"]), "arguments": _ARGUMENTS}
    )
)
_RESULT = st.fixed_dictionaries(
    {
        "type": st.just("tool"),
        "tool_call_id": _CALL_IDS,
        "tool_return": TEXTS | _PARTS,
        "status": _STATUS,
        "stdout": _LOGS,
        "stderr": _LOGS,
    }
)
_DECISION = st.fixed_dictionaries(
    {
        "type": st.just("approval"),
        "tool_call_id": _CALL_IDS,
        "approve": st.booleans(),
        "reason": st.none() | TEXTS,
    }
)


def _with_calls(kind: str) -> st.SearchStrategy[Json]:
    def row(calls: list[Json], older: bool) -> Json:
        alone = older and len(calls) == 1  # servers of before had no list
        return {"message_type": kind, "tool_call": calls[0], **({} if alone else {"tool_calls": calls})}

    return st.builds(row, _CALLS, st.booleans())


def _returned(results: list[Json], older: bool) -> Json:
    first = {name: value for name, value in results[0].items() if name != "type"}
    alone = older and len(results) == 1 and isinstance(first["tool_return"], str)
    text = first["tool_return"] if isinstance(first["tool_return"], str) else "[parts]"
    told = {"message_type": "tool_return_message", **first, "tool_return": text}
    return told if alone else {**told, "tool_returns": results}


def _packed(alert: Json) -> Json:
    return {"message_type": "user_message", "content": json.dumps({"type": "system_alert", **alert})}


_STATS = st.fixed_dictionaries(
    {
        "trigger": TEXTS,
        "context_window": st.integers(0, 9),
        "messages_count_before": st.integers(0, 9),
        "messages_count_after": st.integers(0, 9),
    },
    optional={"context_tokens_before": st.none() | st.integers(0, 9), "context_tokens_after": st.integers(0, 9)},
)
_NOTE = TEXTS.map(lambda text: f"Note: prior messages (3 of 5) have been hidden from view. {text}")
_SUMMARY: dict[str, st.SearchStrategy[Any]] = {"summary": TEXTS}
_EVENT: dict[str, st.SearchStrategy[Any]] = {"event_type": TEXTS, "event_data": _OBJECTS}


def _fixed(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({"message_type": st.just(kind), **fields})


_FIELDS = st.one_of(
    _fixed("system_message", content=TEXTS),
    _fixed("user_message", content=TEXTS | _PARTS, name=_NAMES),
    _fixed("assistant_message", content=TEXTS | st.lists(_SIGNED_TEXT, min_size=1, max_size=2), name=_NAMES),
    _fixed(
        "reasoning_message",
        reasoning=TEXTS,
        signature=st.none() | TEXTS,
        source=st.sampled_from(["reasoner_model", "non_reasoner_model"]),
    ),
    _fixed(
        "hidden_reasoning_message",
        state=st.sampled_from(["redacted", "omitted"]),
        hidden_reasoning=st.none() | TEXTS,
    ),
    _with_calls("tool_call_message"),
    _with_calls("approval_request_message"),
    st.builds(_returned, _unique(_RESULT), st.booleans()),
    _fixed("approval_response_message", approvals=_unique(_RESULT | _DECISION)),
    _fixed("summary_message", **_SUMMARY, compaction_stats=st.none() | _STATS) | _fixed("summary", **_SUMMARY),
    st.fixed_dictionaries({"message": _NOTE}).map(_packed),
    st.fixed_dictionaries({"message": TEXTS, "compaction_stats": _STATS}).map(_packed),
    st.fixed_dictionaries({"message": TEXTS, "time": TEXTS}).map(_packed),
    _fixed("event_message", **_EVENT) | _fixed("event", **_EVENT),
    _fixed("weather_message", wind=_JSON),
)


def _row_of(fields: Json, key: str, otid: str | None, run: str | None, beside: Json) -> Json:
    shared = {"id": f"message-{key}", "date": "2026-01-01T00:00:00Z", "otid": otid, "run_id": run}
    return {**shared, **beside, **fields}


ROWS: st.SearchStrategy[Json] = st.builds(
    _row_of,
    _FIELDS,
    _KEYS,
    st.sampled_from([None, "otid-1"]),
    st.sampled_from([None, "run-1", "run-2"]),
    st.fixed_dictionaries(
        {},
        optional={
            "step_id": st.none() | st.just("step-1"),
            "sender_id": st.none() | st.just("identity-1"),
            "seq_id": st.none() | st.integers(0, 9),
            "is_err": st.none() | st.booleans(),
            "not_known_yet": _JSON,
        },
    ),
)
"""A row of any type."""

CONVERSATIONS = st.lists(ROWS, max_size=8, unique_by=lambda row: str(row["id"]))
"""Rows in any order."""


# What a row says, without where it comes from.


def said(row: Row) -> Any:
    """Role, content, calls, results, decisions, logs, signatures: what a framework's message has a place for."""
    if isinstance(row, UserMessage) and packed_alert(row) is not None:
        summary = summary_of(row)
        return _told(summary) if summary else ("unknown", row.model_dump(mode="json", exclude_unset=True))
    match row:
        case UserMessage():
            return ("user", row.name, _content(row.content))
        case ToolCallMessage():
            return ("calls", [_call(call) for call in calls_of(row)])
        case ApprovalRequestMessage():
            # A framework keeps calls that nobody can read in a list of their own.
            return ("asks", sorted((_call(call) for call in calls_of(row)), key=str))
        case ToolReturnMessage():
            return ("results", [_answer(one) for one in returns_of(row)])
        case ApprovalResponseMessage():
            return ("answers", [_answer(one) for one in row.approvals or ()])
        case Unknown():
            return ("unknown", row.raw)
        case _:
            return _told(row)


def _told(
    row: SystemMessage | AssistantMessage | ReasoningMessage | HiddenReasoningMessage | SummaryMessage | EventMessage,
) -> Any:
    match row:
        case SystemMessage():
            return ("system", row.content)
        case AssistantMessage():
            return ("assistant", text_of(row.content))
        case ReasoningMessage():
            return ("reasoning", row.reasoning, row.signature)
        case HiddenReasoningMessage():
            return ("hidden", row.state, row.hidden_reasoning)
        case SummaryMessage():
            return ("summary", row.message_type, row.summary, row.compaction_stats)
        case EventMessage():
            return ("event", row.message_type, row.event_type, row.event_data)


def _content(content: str | list[ContentPart | Unknown]) -> Any:
    return content if isinstance(content, str) else [_part(part) for part in content]


def _part(part: ContentPart | Unknown) -> Any:
    match part:
        case TextContent():
            return part.text
        case ImageContent(source=UrlImage(url=url)):
            return ("url", url)
        case ImageContent(source=Base64Image(media_type=media_type, data=data, detail=detail)):
            return ("base64", media_type, data, detail)
        case ImageContent(source=LettaImage(file_id=file_id, media_type=media_type, data=data, detail=detail)):
            return ("file", file_id, media_type, data, detail)
        case _:
            return part.model_dump(mode="json")


def _call(call: ToolCall | ToolCallDelta) -> Any:
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError:
        arguments = None
    return (call.tool_call_id, call.name, arguments if isinstance(arguments, dict) else call.arguments)


def _answer(answer: Any) -> Any:
    if not isinstance(answer, ToolReturn):
        return (answer.tool_call_id, answer.approve, answer.reason)
    return (answer.tool_call_id, _content(answer.tool_return), answer.status, answer.stdout, answer.stderr)
