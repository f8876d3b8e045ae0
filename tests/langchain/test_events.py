"""Turn events as chunks and a finished turn as a message: the chunks joined are the message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_letta.events import Chunks, message_from
from langchain_letta.messages import RUN_KEY
from letta_adapters.delivery_steps import Delivered
from letta_adapters.events import (
    FinishedTurn,
    HiddenReasoning,
    Notice,
    PendingCall,
    Reasoning,
    ReasoningDelta,
    ServerToolCall,
    ServerToolResult,
    Text,
    TextDelta,
    TurnDelta,
    TurnPart,
    TurnStarted,
)
from letta_adapters.transcript import Anchor, anchor_of
from letta_adapters.wire import Unknown, UsageStatistics
from tests.langchain.support import fold

USAGE = UsageStatistics(
    prompt_tokens=100,
    completion_tokens=20,
    total_tokens=120,
    step_count=2,
    context_tokens=90,
    cached_input_tokens=7,
    cache_write_tokens=3,
    reasoning_tokens=5,
)
SERVER_CALL = ServerToolCall(index=1, tool_call_id="call_s", name="search", arguments='{"q": "tea"}')
SERVER_RESULT = ServerToolResult(index=2, tool_call_id="call_s", content="green", status="success")
PENDING = PendingCall(index=1, tool_call_id="call_1", name="add", arguments='{"a": 1}')
NOTICE = Notice(index=1, message=Unknown(raw={"message_type": "weather_message", "id": "message-9"}))


def begun(conversation_id: str, run_id: str | None) -> Anchor:
    return Anchor(conversation_id=conversation_id, run_id=run_id)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One turn: its events, its parts, the content of its message."""

    events: list[TurnDelta]
    parts: list[TurnPart]
    content: Any


TEXT_BLOCK = {"type": "text", "text": "let me see"}
SEE: list[TurnDelta] = [TextDelta(index=0, text="let me "), TextDelta(index=0, text="see")]
THINK: list[TurnDelta] = [ReasoningDelta(index=0, text="hm "), ReasoningDelta(index=0, text="so", signature="s1")]
CALL_BLOCK = {"type": "server_tool_call", "id": "call_s", "name": "search", "args": {"q": "tea"}, "index": 1}
RESULT_BLOCK = {
    "type": "server_tool_result",
    "tool_call_id": "call_s",
    "status": "success",
    "output": "green",
    "index": 2,
}

CASES = {
    "nothing": Case(events=[], parts=[], content=""),
    "text": Case(events=SEE, parts=[Text(index=0, text="let me see")], content="let me see"),
    "reasoning and text": Case(
        events=[*THINK, TextDelta(index=1, text="done")],
        parts=[Reasoning(index=0, text="hm so", signature="s1"), Text(index=1, text="done")],
        content=[
            {"type": "reasoning", "reasoning": "hm so", "index": 0, "extras": {"signature": "s1"}},
            {"type": "text", "text": "done", "index": 1},
        ],
    ),
    "text and reasoning": Case(
        events=[*SEE, ReasoningDelta(index=1, text="hm"), TextDelta(index=2, text="done")],
        parts=[Text(index=0, text="let me see"), Reasoning(index=1, text="hm"), Text(index=2, text="done")],
        content=[
            TEXT_BLOCK,
            {"type": "reasoning", "reasoning": "hm", "index": 1},
            {"type": "text", "text": "done", "index": 2},
        ],
    ),
    "text, server tool, text": Case(
        events=[*SEE, SERVER_CALL, SERVER_RESULT, TextDelta(index=3, text="do"), TextDelta(index=3, text="ne")],
        parts=[Text(index=0, text="let me see"), SERVER_CALL, SERVER_RESULT, Text(index=3, text="done")],
        content=[TEXT_BLOCK, CALL_BLOCK, RESULT_BLOCK, {"type": "text", "text": "done", "index": 3}],
    ),
    "two texts": Case(
        events=[*SEE, TextDelta(index=1, text="done")],
        parts=[Text(index=0, text="let me see"), Text(index=1, text="done")],
        content=[TEXT_BLOCK, {"type": "text", "text": "done", "index": 1}],
    ),
    "hidden reasoning": Case(
        events=[HiddenReasoning(index=0, state="redacted", text="xyz"), TextDelta(index=1, text="done")],
        parts=[HiddenReasoning(index=0, state="redacted", text="xyz"), Text(index=1, text="done")],
        content=[
            {
                "type": "reasoning",
                "reasoning": "",
                "extras": {"state": "redacted", "hidden_reasoning": "xyz"},
                "index": 0,
            },
            {"type": "text", "text": "done", "index": 1},
        ],
    ),
    "a failed server tool with logs": Case(
        events=[
            ServerToolCall(index=0, tool_call_id="call_s", name="search", arguments="{nope"),
            ServerToolResult(
                index=1, tool_call_id="call_s", content="no", status="error", stdout=["out"], stderr=["err"]
            ),
        ],
        parts=[
            ServerToolCall(index=0, tool_call_id="call_s", name="search", arguments="{nope"),
            ServerToolResult(
                index=1, tool_call_id="call_s", content="no", status="error", stdout=["out"], stderr=["err"]
            ),
        ],
        content=[
            {
                "type": "server_tool_call",
                "id": "call_s",
                "name": "search",
                "args": {},
                "extras": {"arguments": "{nope"},
                "index": 0,
            },
            {
                "type": "server_tool_result",
                "tool_call_id": "call_s",
                "status": "error",
                "output": "no",
                "extras": {"stdout": ["out"], "stderr": ["err"]},
                "index": 1,
            },
        ],
    ),
    "an unknown message": Case(
        events=[*SEE, NOTICE],
        parts=[Text(index=0, text="let me see"), NOTICE],
        content=[TEXT_BLOCK, None],
    ),
    "a call": Case(
        events=[PendingCall(index=0, tool_call_id="call_1", name="add", arguments='{"a": 1}')],
        parts=[PendingCall(index=0, tool_call_id="call_1", name="add", arguments='{"a": 1}')],
        content="",
    ),
    "text and two calls": Case(
        events=[*SEE, PENDING, PendingCall(index=2, tool_call_id="call_2", name="add", arguments="")],
        parts=[
            Text(index=0, text="let me see"),
            PENDING,
            PendingCall(index=2, tool_call_id="call_2", name="add", arguments=""),
        ],
        content="let me see",
    ),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())

STARTED = TurnStarted(conversation_id="conv-1", run_id="run-1", otids=("otid-1",))


def delivered(parts: list[TurnPart], **fields: Any) -> Delivered:
    pending = any(isinstance(part, PendingCall) for part in parts)
    known: dict[str, Any] = {
        "conversation_id": "conv-1",
        "agent_id": "agent-1",
        "run_id": "run-1",
        "message_ids": ("message-1", "message-2"),
        "otids": ("otid-1",),
        "stop_reason": "requires_approval" if pending else "end_turn",
        "usage": USAGE,
    }
    turn = FinishedTurn(parts=tuple(parts), **{**known, **fields})
    return Delivered(turn=turn, anchor=anchor_of(turn, system_hash="abc"))


def chunks_of(events: list[TurnDelta], end: Delivered) -> list[AIMessageChunk]:
    chunks = Chunks(begun, model_name="letta/agent-1")
    told = [chunks.from_event(event) for event in (STARTED, *events, end)]
    return [cast("AIMessageChunk", chunk.message) for chunk in told if chunk is not None]


@each_case
def test_a_turn_is_one_message(case: Case) -> None:
    message = message_from(delivered(case.parts), begun, model_name="letta/agent-1")
    if isinstance(case.content, str):
        assert message.content == case.content
    else:
        for block, expected in zip(message.content, case.content, strict=True):
            assert expected is None or block == expected


@each_case
def test_joined_chunks_are_the_message(case: Case) -> None:
    end = delivered(case.parts)
    message, joined = message_from(end, begun, model_name="letta/agent-1"), fold(chunks_of(case.events, end))
    for name in ("content_blocks", "tool_calls", "invalid_tool_calls", "usage_metadata", "response_metadata", "id"):
        assert getattr(joined, name) == getattr(message, name)


@each_case
def test_no_two_blocks_or_calls_of_a_turn_share_an_index(case: Case) -> None:
    """LangChain joins by index in `v1` and in its events of version 3."""
    kinds: dict[int, set[str]] = {}
    for chunk in chunks_of(case.events, delivered(case.parts)):
        blocks = [{"type": "text", "index": 0}] if chunk.content and isinstance(chunk.content, str) else chunk.content
        for block in cast("list[dict[str, Any]]", blocks or []):
            kinds.setdefault(block["index"], set()).add(block["type"])
        for call in chunk.tool_call_chunks:
            kinds.setdefault(cast("int", call["index"]), set()).add(f"call {call['id']}")
    assert [found for found in kinds.values() if len(found) > 1] == []


def test_metadata_tells_where_the_turn_stands() -> None:
    message = message_from(delivered([Text(index=0, text="hi")]), begun, model_name="letta/agent-1")
    assert message.response_metadata == {
        "letta_run": {"conversation_id": "conv-1", "run_id": "run-1", "otids": ["otid-1"]},
        "model_provider": "letta",
        "model_name": "letta/agent-1",
        "finish_reason": "stop",
        "letta": {
            "agent_id": "agent-1",
            "conversation_id": "conv-1",
            "run_id": "run-1",
            "message_id": "message-2",
            "message_ids": ["message-1", "message-2"],
            "stop_reason": "end_turn",
            "pending": [],
            "system_hash": "abc",
            "transcript_length": None,
            "transcript_digest": None,
            "asked_at": None,
            "step_count": 2,
            "context_tokens": 90,
        },
    }
    assert message.usage_metadata == {
        "input_tokens": 100,
        "output_tokens": 20,
        "total_tokens": 120,
        "input_token_details": {"cache_read": 7, "cache_creation": 3},
        "output_token_details": {"reasoning": 5},
    }


@pytest.mark.parametrize(
    ("stop_reason", "expected"),
    [
        ("end_turn", "stop"),
        ("requires_approval", "tool_calls"),
        ("max_tokens_exceeded", "length"),
        ("max_steps", "max_steps"),
        ("a_new_one", "a_new_one"),
    ],
)
def test_a_stop_reason_is_told_as_others_tell_it(stop_reason: str, expected: str) -> None:
    message = message_from(delivered([], stop_reason=stop_reason), begun, model_name="m")
    assert message.response_metadata["finish_reason"] == expected


def test_a_turn_without_usage_has_none() -> None:
    message = message_from(delivered([], usage=None), begun, model_name="m")
    assert message.usage_metadata is None
    assert "step_count" not in message.response_metadata["letta"]


def test_the_first_chunk_tells_the_run_and_the_last_one_the_rest() -> None:
    first, second, last = chunks_of(SEE, delivered([Text(index=0, text="let me see")]))
    assert list(first.response_metadata) == ["letta_run"]
    assert (second.response_metadata, second.usage_metadata) == ({}, None)
    assert (last.content, last.chunk_position) == ("", "last")
    assert "letta" in last.response_metadata


def test_an_empty_turn_tells_everything_in_one_chunk() -> None:
    (only,) = chunks_of([], delivered([]))
    assert {"letta_run", "letta"} <= only.response_metadata.keys()


@pytest.mark.parametrize("arguments", ["nonsense", '"text"', "[1]", '{"a": 1, "b"', '{"a": 1} more'])
def test_arguments_that_are_no_json_object_are_an_invalid_call(arguments: str) -> None:
    call = PendingCall(index=0, tool_call_id="call_1", name="add", arguments=arguments)
    end = delivered([call])
    answers: list[AIMessage] = [message_from(end, begun, model_name="m"), fold(chunks_of([call], end))]
    for answer in answers:
        assert answer.tool_calls == []
        assert [(c["id"], c["name"]) for c in answer.invalid_tool_calls] == [("call_1", "add")]
    whole, joined = answers
    assert [c["args"] for c in joined.invalid_tool_calls] == [c["args"] for c in whole.invalid_tool_calls]


def test_a_run_that_is_named_after_the_first_words_is_told_with_the_next() -> None:
    chunks = Chunks(begun, model_name="letta/agent-1")
    told = [chunks.from_event(event) for event in (TextDelta(index=0, text="a"), STARTED, TextDelta(index=0, text="b"))]
    assert [RUN_KEY in chunk.message.response_metadata for chunk in told if chunk is not None] == [False, True]
