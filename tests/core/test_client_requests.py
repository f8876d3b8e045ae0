"""What the client's endpoints send, and what they refuse before anything is sent."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, cast

import pytest

from letta_adapters.client import endpoints, message_endpoints, turns
from letta_adapters.client.calls import Endpoint
from letta_adapters.wire import (
    ClientSkill,
    ClientTool,
    CompactionSettings,
    MessageCreate,
    OpenAIModelSettings,
    Run,
)

AGENT = "agent-1"
CONTROLS: dict[str, Any] = {
    "messages": [MessageCreate(role="user", content="hi", otid="o")],
    "client_tools": [ClientTool(name="add")],
    "client_skills": [ClientSkill(name="sew", description="sews", location="skills/sew/SKILL.md")],
    "max_steps": 3,
    "override_model": "vllm/other",
    "override_system": "Be brief.",
    "include_return_message_types": ["assistant_message"],
    "include_compaction_messages": True,
    "return_logprobs": True,
    "top_logprobs": 5,
    "return_token_ids": True,
    "use_assistant_message": False,
    "assistant_message_tool_name": "send_message",
    "assistant_message_tool_kwarg": "message",
    "enable_thinking": "True",
}
SENT = {
    **CONTROLS,
    "messages": [{"type": "message", "role": "user", "content": "hi", "otid": "o"}],
    "client_tools": [{"name": "add"}],
    "client_skills": [{"name": "sew", "description": "sews", "location": "skills/sew/SKILL.md"}],
}


def body(endpoint: Endpoint[Any]) -> dict[str, Any]:
    return json.loads(endpoint.request.body or b"{}")


def test_every_control_is_sent() -> None:
    assert body(message_endpoints.answer_agent_message(AGENT, **CONTROLS)) == {**SENT, "streaming": False}
    assert body(message_endpoints.answer_message("conv-1", **CONTROLS)) == {**SENT, "streaming": False}
    assert body(message_endpoints.preview_agent_message(AGENT, **CONTROLS)) == SENT
    callback = {"callback_url": "https://example.com/x"}
    assert body(message_endpoints.create_async_message(AGENT, **callback, **CONTROLS)) == {**SENT, **callback}
    streamed = turns.stream_agent_message(AGENT, stream_tokens=False, include_pings=False, **CONTROLS)
    assert streamed.request is not None
    how = {"streaming": True, "stream_tokens": False, "background": False, "include_pings": False}
    assert json.loads(streamed.request.to_json()) == {**SENT, **how}


def test_the_default_conversation_names_its_agent() -> None:
    settings = CompactionSettings(mode="all", clip_chars=None)
    compact = message_endpoints.compact_conversation("default", agent_id=AGENT, compaction_settings=settings)
    assert compact.request.path == "/v1/conversations/default/compact"
    # A null says that nothing is cut; what is not said is the server's default.
    assert body(compact) == {"compaction_settings": {"mode": "all", "clip_chars": None}, "agent_id": AGENT}
    assert body(message_endpoints.answer_message("default", agent_id=AGENT, input="x"))["agent_id"] == AGENT
    assert body(message_endpoints.preview_message("default", agent_id=AGENT, input="x"))["agent_id"] == AGENT
    assert body(endpoints.recompile_conversation("default", agent_id=AGENT)) == {"agent_id": AGENT}
    assert "agent_id" not in body(message_endpoints.answer_message("conv-1", agent_id=AGENT, input="x"))


def test_a_list_asks_for_what_it_was_told() -> None:
    listed = message_endpoints.list_agent_messages(AGENT, before="message-1", include_err=False)
    given = {name: value for name, value in listed.request.query.items() if value is not None}
    assert given == {"before": "message-1", "include_err": "false"}
    conversations = endpoints.list_conversations(archive_status="all", order_by="last_message_at")
    assert conversations.request.query["archive_status"] == "all"
    assert conversations.request.query["order_by"] == "last_message_at"


def test_a_conversation_is_made_and_changed_with_what_it_was_told() -> None:
    settings = OpenAIModelSettings(temperature=0.5)
    made = endpoints.create_conversation(agent_id=AGENT, isolated_block_labels=["human"], model_settings=settings)
    sent = {"provider_type": "openai", "temperature": 0.5}
    assert body(made) == {"isolated_block_labels": ["human"], "model_settings": sent}
    at = datetime(2026, 1, 2, tzinfo=timezone.utc)
    changed = endpoints.update_conversation("conv-1", model="a/b", model_settings=settings, last_message_at=at)
    assert body(changed) == {"model": "a/b", "model_settings": sent, "last_message_at": "2026-01-02T00:00:00+00:00"}
    assert (changed.request.method, changed.repeatable) == ("PATCH", True)


def test_what_makes_an_answer_is_never_sent_twice_and_a_preview_may_be() -> None:
    assert not message_endpoints.answer_agent_message(AGENT, input="x").repeatable
    assert not message_endpoints.create_async_message(AGENT, input="x").repeatable
    assert not message_endpoints.compact_agent(AGENT).repeatable
    assert message_endpoints.preview_agent_message(AGENT, input="x").repeatable


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"input": "x", "client_skills": [{"name": "a", "description": "b"}]}, r"`client_skills\[0\]\.location`"),
        ({"input": "x", "max_steps": 0}, "`max_steps`: .*greater than or equal to 1"),
        ({"input": "x", "override_model": "gpt"}, "`override_model`"),
        ({"input": "x", "top_logprobs": 2}, "`top_logprobs` needs `return_logprobs=True`"),
        ({"input": "x", "colour": "red"}, "`colour`"),
        ({"messages": [{"role": "user", "content": "x", "type": "message", "size": 1}]}, r"`messages\[0\]\.size`"),
        ({"input": [{"type": "image", "source": {"type": "url"}}]}, r"takes\. `input\[0\]\.source\.url`: Field"),
        ({"input": [{"type": "audio"}]}, r"takes\. `input\[0\]`: .*'audio'"),
        ({}, "either `messages` or `input`"),
        ({"messages": [], "input": None}, "nothing to send"),
    ],
)
@pytest.mark.parametrize(
    "build",
    [message_endpoints.answer_agent_message, message_endpoints.create_async_message, turns.stream_agent_message],
)
def test_what_the_api_does_not_take_is_named_with_its_place(build: Any, request_: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        build(AGENT, **request_)


@pytest.mark.parametrize("name", ["starting_after", "poll_interval", "batch_size"])
def test_a_stream_is_not_read_from_before_its_beginning(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        turns.attach_to_run("conv-1", **cast("Any", {name: -1}))


def test_a_recorded_run_is_streamed_at_its_own_address() -> None:
    turn = turns.attach_to_recorded_run(Run(id="run-1", agent_id=AGENT), starting_after=3, poll_interval=0.5)
    assert (turn.conversation_id, turn.agent_id, turn.run_id, turn.starting_after) == ("default", AGENT, "run-1", 3)
    assert turn.route is not None
    assert (turn.route.attach, turn.route.options) == ("/v1/runs/run-1/stream", {"poll_interval": 0.5})


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("nmae", "'nmae'. Did you mean `name`?"),
        ("system_prompt", "'system_prompt'. Did you mean `system`?"),
        ("colour", r"'colour'\.$"),
    ],
)
def test_a_field_that_no_agent_has_is_refused_with_the_one_that_was_meant(field: str, told: str) -> None:
    given: dict[str, Any] = {field: "x"}
    with pytest.raises(TypeError, match=f"An agent has no field {told}"):
        endpoints.create_agent(**given)
