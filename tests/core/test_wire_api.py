"""Every type of the API that is more than a stored message: settings, requests, token data, records."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from letta_adapters.wire import (
    AsyncTurnRequest,
    CompactionRequest,
    CompactionSettings,
    EventMessage,
    InternalMessage,
    LettaResponse,
    Logprobs,
    MessageCreate,
    MessageUpdate,
    ModelSettings,
    Run,
    RunUsage,
    StopReason,
    StopReasonType,
    SummaryMessage,
    TokenTurn,
    ToolReturnMessage,
    TurnRequest,
    Unknown,
    UserMessage,
    parse_event,
    parse_messages,
    summary_of,
)

SETTINGS: TypeAdapter[Any] = TypeAdapter(ModelSettings)
SHARED = {"max_output_tokens": 4096, "temperature": 0.5, "parallel_tool_calls": True}
FORMATTED = {**SHARED, "response_format": {"type": "json_schema", "json_schema": {"type": "object", "x": None}}}
GOOGLE = {
    **SHARED,
    "response_schema": {"type": "json_object"},
    "thinking_config": {"include_thoughts": True, "thinking_budget": 1024},
}
REASONING = {"reasoning": {"reasoning_effort": "high"}}
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "effort": "max", "verbosity": "low", "strict": True}
PROVIDERS: dict[str, dict[str, Any]] = {
    "openai": {**FORMATTED, **REASONING, "strict": True},
    "sglang": {**FORMATTED, **REASONING, "strict": True, "tool_call_parser": "qwen"},
    "anthropic": {**FORMATTED, **THINKING},
    "google_ai": GOOGLE,
    "google_vertex": GOOGLE,
    "azure": FORMATTED,
    "xai": FORMATTED,
    "moonshot": {**FORMATTED, "strict": False},
    "zai": {**FORMATTED, "thinking": {"type": "disabled", "clear_thinking": True}},
    "moonshot_coding": {**FORMATTED, **THINKING},
    "groq": FORMATTED,
    "deepseek": FORMATTED,
    "together": FORMATTED,
    "bedrock": {**SHARED, "response_format": {"type": "text"}},
    "baseten": SHARED,
    "openrouter": FORMATTED,
    "chatgpt_oauth": {**SHARED, "reasoning": {"reasoning_effort": "xhigh"}},
}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_settings_of_every_providers_model_are_sent_as_they_are(provider: str) -> None:
    row = {"provider_type": provider, **PROVIDERS[provider]}
    settings = SETTINGS.validate_python(row)
    request = CompactionRequest(compaction_settings=CompactionSettings(model="a/b", model_settings=settings))
    sent = json.loads(request.model_dump_json(exclude_none=True))
    assert sent == {"compaction_settings": {"model": "a/b", "model_settings": row}}


@pytest.mark.parametrize(
    "row",
    [
        {"provider_type": "nobody"},
        {"temperature": 1},
        {"provider_type": "openai", "temperature": 3},
        {"provider_type": "openai", "max_output_tokens": 0},
        {"provider_type": "openai", "effort": "max"},
        {"provider_type": "openai", "reasoning": {"reasoning_effort": "extreme"}},
        {"provider_type": "baseten", "response_format": {"type": "text"}},
        {"provider_type": "chatgpt_oauth", "reasoning": {"reasoning_effort": "minimal"}},
        {"provider_type": "zai", "thinking": {"budget_tokens": 1}},
        {"provider_type": "groq", "response_format": {"type": "xml"}},
    ],
)
def test_settings_that_a_provider_does_not_have_are_refused(row: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SETTINGS.validate_python(row)


@pytest.mark.parametrize("mode", ["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"])
def test_every_mode_of_compaction_is_sent(mode: Any) -> None:
    settings = CompactionSettings(
        mode=mode, prompt="short", prompt_acknowledgement=True, clip_chars=100, sliding_window_percentage=0.3
    )
    assert settings.model_dump(exclude_none=True) == {
        "mode": mode,
        "prompt": "short",
        "prompt_acknowledgement": True,
        "clip_chars": 100,
        "sliding_window_percentage": 0.3,
    }


@pytest.mark.parametrize(
    "row",
    [
        {"mode": "some"},
        {"model": "no-provider"},
        {"model": "/name"},
        {"clip_chars": 0},
        {"sliding_window_percentage": 1.5},
        {"colour": "red"},
    ],
)
def test_settings_of_a_compaction_that_make_no_sense_are_refused(row: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(row))):
        CompactionSettings.model_validate(row)


CONTROLS: dict[str, Any] = {
    "client_tools": [{"name": "add", "description": "adds", "parameters": {"type": "object"}}],
    "client_skills": [{"name": "sew", "description": "sews", "location": "skills/sew/SKILL.md"}],
    "max_steps": 3,
    "override_model": "vllm/other",
    "override_system": "Be brief.",
    "include_return_message_types": ["assistant_message", "summary_message"],
    "include_compaction_messages": True,
    "return_logprobs": True,
    "top_logprobs": 5,
    "return_token_ids": True,
    "use_assistant_message": False,
    "assistant_message_tool_name": "send_message",
    "assistant_message_tool_kwarg": "message",
    "enable_thinking": "True",
}
MESSAGE = {
    "type": "message",
    "role": "user",
    "content": "hi",
    "otid": "o",
    "name": "Ann",
    "sender_id": "identity-1",
    "group_id": "group-1",
    "batch_item_id": "batch-1",
}


@pytest.mark.parametrize("kind", [TurnRequest, AsyncTurnRequest])
def test_every_control_of_a_request_is_sent_as_it_is(kind: type[BaseModel]) -> None:
    request = kind.model_validate({"messages": [MESSAGE], **CONTROLS})
    sent = request.model_dump(mode="json", exclude_none=True)
    assert {name: sent[name] for name in CONTROLS} == CONTROLS
    assert sent["messages"] == [MESSAGE]


@pytest.mark.parametrize(
    ("controls", "named"),
    [
        ({"max_steps": 0}, "max_steps"),
        ({"override_model": "gpt"}, "override_model"),
        ({"include_return_message_types": ["hologram"]}, "include_return_message_types"),
        ({"top_logprobs": 21, "return_logprobs": True}, "top_logprobs"),
        ({"top_logprobs": 2}, "return_logprobs"),
        ({"client_tools": [{"name": ""}]}, "client_tools"),
        ({"client_tools": [{"name": "a"}, {"name": "a"}]}, "two are named 'a'"),
        ({"client_skills": [{"name": "a", "description": "b"}]}, "location"),
        ({"client_skills": [{"name": "a", "description": "b", "location": "c"}] * 2}, "two are named 'a'"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_control_that_makes_no_sense_is_named(controls: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        TurnRequest.model_validate({"input": "hi", **controls})


def test_two_messages_of_one_otid_are_refused() -> None:
    with pytest.raises(ValidationError, match="the same otid"):
        TurnRequest(messages=[MessageCreate(role="user", content=text, otid="o") for text in "ab"])


def test_a_callback_has_to_be_a_web_address() -> None:
    assert AsyncTurnRequest(input="x", callback_url="https://example.com/done").callback_url is not None
    with pytest.raises(ValidationError, match="callback_url"):
        AsyncTurnRequest(input="x", callback_url="ftp://example.com")


TOKEN = {"token": "Hi", "logprob": -0.25, "bytes": [72, 105], "top_logprobs": [{"token": "Ho", "logprob": -2.0}]}
USAGE = {
    "message_type": "usage_statistics",
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "step_count": 1,
    "run_ids": ["run-1"],
    "cached_input_tokens": 7,
    "cache_write_tokens": 5,
    "reasoning_tokens": 3,
    "context_tokens": 120,
}
ANSWER: dict[str, Any] = {
    "messages": [{"id": "message-1", "message_type": "assistant_message", "content": "Hi"}],
    "stop_reason": {"message_type": "stop_reason", "stop_reason": "end_turn"},
    "usage": USAGE,
    "logprobs": {"content": [TOKEN], "refusal": [TOKEN]},
    "turns": [
        {
            "role": "assistant",
            "content": "Hi",
            "output_ids": [1, 2],
            "output_token_logprobs": [[-0.1, 1, None], [-0.2, 2, [[-0.2, 2, "i"]]]],
        },
        {"role": "tool", "content": "3", "tool_name": "add"},
    ],
}


def test_an_answer_makes_the_round_trip_with_its_tokens_and_its_usage() -> None:
    answer = LettaResponse.model_validate(ANSWER)
    assert answer.model_dump(mode="json", exclude_unset=True) == ANSWER
    assert isinstance(answer.logprobs, Logprobs)
    assert answer.turns is not None
    assert all(isinstance(turn, TokenTurn) for turn in answer.turns)
    assert answer.text == "Hi"


def test_token_data_of_the_future_do_not_cost_the_answer() -> None:
    answer = LettaResponse.model_validate({**ANSWER, "logprobs": [1], "turns": [{"role": "oracle"}]})
    assert isinstance(answer.logprobs, Unknown)
    assert answer.turns == [Unknown(raw={"role": "oracle"})]


def test_there_are_13_stop_reasons_and_others_are_kept() -> None:
    assert len(get_args(StopReasonType)) == 13
    for reason in (*get_args(StopReasonType), "of_the_future"):
        event = parse_event(json.dumps({"message_type": "stop_reason", "stop_reason": reason}).encode())
        assert isinstance(event, StopReason)
        assert event.stop_reason == reason


RUN: dict[str, Any] = {
    "id": "run-1",
    "agent_id": "agent-1",
    "conversation_id": "conv-1",
    "base_template_id": "template-1",
    "status": "completed",
    "stop_reason": "end_turn",
    "background": True,
    "metadata": {"a": None},
    "request_config": {
        "use_assistant_message": True,
        "assistant_message_tool_name": "send_message",
        "assistant_message_tool_kwarg": "message",
        "include_return_message_types": ["assistant_message"],
    },
    "callback_url": "https://example.com",
    "callback_sent_at": "2026-11-21T09:13:20Z",
    "callback_status_code": 200,
    "callback_error": "none",
    "ttft_ns": 1,
    "total_duration_ns": 2,
    "created_at": "2026-11-21T09:13:20Z",
    "completed_at": "2026-11-21T09:13:21Z",
}


def test_the_record_of_a_run_makes_the_round_trip() -> None:
    assert Run.model_validate(RUN).model_dump(mode="json", exclude_unset=True) == RUN
    assert Run.model_validate({"id": "run-1", "status": "expired", "stop_reason": "of_the_future"}).status == "expired"
    assert RunUsage.model_validate({"prompt_tokens": 1, "completion_tokens": None}).completion_tokens == 0


def test_a_message_in_one_piece_makes_the_round_trip() -> None:
    row: dict[str, Any] = {
        "id": "message-1",
        "role": "approval",
        "content": [{"type": "text", "text": "x"}, {"type": "omitted_reasoning", "signature": "s"}],
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}],
        "tool_returns": [{"status": "success", "tool_call_id": "c", "func_response": "3", "stdout": ["a"]}],
        "approvals": [
            {"type": "approval", "tool_call_id": "c", "approve": False, "reason": "no"},
            {"status": "error", "func_response": [{"type": "text", "text": "y"}], "stderr": ["b"]},
        ],
        "denial_reason": "no",
        "created_at": "2026-11-21T09:13:20Z",
    }
    assert InternalMessage.model_validate(row).model_dump(mode="json", exclude_unset=True) == row


@pytest.mark.parametrize(
    "row",
    [
        {"message_type": "system_message", "content": "x"},
        {"message_type": "user_message", "content": [{"type": "image", "source": {"type": "url", "url": "u"}}]},
        {"message_type": "reasoning_message", "reasoning": "x"},
        {"message_type": "assistant_message", "content": [{"type": "text", "text": "x"}]},
    ],
)
def test_a_change_of_a_message_is_sent_as_it_is(row: dict[str, Any]) -> None:
    change: Any = TypeAdapter(MessageUpdate).validate_python(row)
    assert change.model_dump(mode="json", exclude_unset=True) == row


PACKED: dict[str, Any] = {
    "type": "system_alert",
    "message": "Note: prior messages have been hidden from view due to conversation memory constraints.\n…: So far.",
    "time": "2026-11-21 09:13:20 AM UTC+0000",
}
STATS = {
    "trigger": "post_step_context_check",
    "context_window": 130,
    "messages_count_before": 5,
    "messages_count_after": 2,
}


def _row(**fields: Any) -> Any:
    (message,) = parse_messages(json.dumps([{"id": "message-1", **fields}]).encode())
    return message


@pytest.mark.parametrize("stats", [None, STATS])
def test_a_packed_summary_is_recognised(stats: dict[str, Any] | None) -> None:
    content = json.dumps({**PACKED, "compaction_stats": stats})
    packed = _row(message_type="user_message", content=content, run_id="run-1", otid="o")
    assert isinstance(packed, UserMessage)
    summary = summary_of(packed)
    assert summary is not None
    assert (summary.id, summary.run_id, summary.otid) == ("message-1", "run-1", "o")
    assert summary.summary == PACKED["message"]
    assert (summary.compaction_stats.model_dump(exclude_unset=True) if summary.compaction_stats else None) == stats


@pytest.mark.parametrize("kind", ["summary_message", "summary"])
def test_a_summary_of_either_spelling_is_one(kind: str) -> None:
    message = _row(message_type=kind, summary="So far", compaction_stats=STATS)
    assert isinstance(message, SummaryMessage)
    assert summary_of(message) is message


def test_an_event_of_the_older_spelling_is_read() -> None:
    event = _row(message_type="event", event_type="compaction", event_data={"trigger": "x"})
    assert isinstance(event, EventMessage)
    assert summary_of(event) is None


@pytest.mark.parametrize(
    "content",
    [
        "hello",
        "{",
        json.dumps([1]),
        json.dumps({"type": "user_message", "message": "Note: 1 messages have been hidden from view"}),
        json.dumps({"type": "system_alert", "message": "[This is an automated system message] Automated keep-alive"}),
        [{"type": "text", "text": json.dumps(PACKED)}],
    ],
)
def test_what_the_user_says_and_other_alerts_are_no_summaries(content: Any) -> None:
    assert summary_of(_row(message_type="user_message", content=content)) is None


def test_results_of_many_parts_and_images_by_their_file_are_read() -> None:
    parts = [{"type": "text", "text": "see"}, {"type": "image", "source": {"type": "letta", "file_id": "file-1"}}]
    result = {"type": "tool", "tool_call_id": "c", "tool_return": parts, "status": "success"}
    message = _row(
        message_type="tool_return_message", tool_call_id="c", tool_return="see", status="success", tool_returns=[result]
    )
    assert isinstance(message, ToolReturnMessage)
    assert message.tool_returns is not None
    assert message.tool_returns[0].model_dump(mode="json", exclude_unset=True) == result
