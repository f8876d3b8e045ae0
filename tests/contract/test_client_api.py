"""Every endpoint of the client, on the double and on real servers: what is sent is taken, what comes back is typed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

import pytest

from letta_adapters import LettaClient
from letta_adapters.errors import InvalidRequest, NotFound
from letta_adapters.events import Notice
from letta_adapters.wire import (
    AnthropicModelSettings,
    AssistantMessage,
    AzureModelSettings,
    BasetenModelSettings,
    BedrockModelSettings,
    ChatGPTOAuthModelSettings,
    ClientSkill,
    ClientTool,
    CompactionSettings,
    DeepseekModelSettings,
    EventMessage,
    GoogleAIModelSettings,
    GoogleVertexModelSettings,
    GroqModelSettings,
    HiddenReasoningMessage,
    ImageContent,
    LettaImage,
    Logprobs,
    MessageCreate,
    MoonshotCodingModelSettings,
    MoonshotModelSettings,
    OpenAIModelSettings,
    OpenRouterModelSettings,
    Reasoning,
    SGLangModelSettings,
    SummaryMessage,
    SystemMessage,
    TextContent,
    TogetherModelSettings,
    Unknown,
    UserMessage,
    XAIModelSettings,
    ZAIModelSettings,
    summary_of,
)
from tests.conftest import Backend, fresh_agent

ADD = ClientTool(name="add", description="adds", parameters={"type": "object", "properties": {}})
SEW = ClientSkill(name="sew", description="sews", location="skills/sew/SKILL.md")
SMALL = 130
"""Tokens of a window that every answer of the scripted model fills, so that the server compacts it by itself."""
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg=="


@pytest.fixture
def small_agent_id(backend: Backend) -> Iterator[str]:
    fields: dict[str, Any] = {"system": "Be kind.", "memory_blocks": [], "context_window_limit": SMALL}
    with fresh_agent(backend, **fields) as made:
        yield made


@pytest.mark.scripted("it counts the tokens of the scripted model")
def test_an_agents_turn_is_answered_as_json_with_every_control(
    client: LettaClient, backend: Backend, agent_id: str
) -> None:
    answer = client.agents.messages.create(
        agent_id,
        messages=[MessageCreate(role="user", content="hi [[think hm]] [[say one]]", name="Ann", otid=str(uuid4()))],
        client_tools=[ADD],
        client_skills=[SEW],
        max_steps=3,
        override_model=backend.handle,
        override_system="Be brief.",
        include_return_message_types=["assistant_message"],
        include_compaction_messages=True,
        return_logprobs=True,
        top_logprobs=2,
        return_token_ids=True,
        use_assistant_message=True,
        assistant_message_tool_name="send_message",
        assistant_message_tool_kwarg="message",
        enable_thinking="True",
    )
    assert [type(message) for message in answer.messages] == [AssistantMessage]
    assert (answer.text, answer.stop_reason.stop_reason, answer.usage.total_tokens) == ("one", "end_turn", 120)
    assert isinstance(answer.logprobs, Logprobs)
    assert answer.turns is None  # only SGLang's models tell ids


@pytest.mark.scripted("it counts the tokens of the scripted model")
def test_an_agents_turn_is_streamed_and_stored_once(client: LettaClient, agent_id: str) -> None:
    turn = client.agents.messages.stream(agent_id, input="[[think hm]] [[say two]]").result()
    whole = client.agents.messages.create(
        agent_id, streaming=True, stream_tokens=False, include_pings=False, background=True, input="[[say three]]"
    ).result()
    assert (turn.text, turn.stop_reason, whole.text) == ("two", "end_turn", "three")
    listed = client.agents.messages.list(agent_id, conversation_id="default", order="asc")
    asked = [row.content for row in listed if isinstance(row, UserMessage)]
    assert asked == ["[[think hm]] [[say two]]", "[[say three]]"]


@pytest.mark.scripted("it has another model")
def test_the_payload_of_an_agent_and_of_a_conversation_is_shown_and_nothing_is_stored(
    client: LettaClient, backend: Backend, agent_id: str, conversation_id: str
) -> None:
    message = MessageCreate(role="user", content="[[say x]]")
    payload = client.agents.messages.preview_raw_payload(
        agent_id, messages=[message], client_tools=[ADD], client_skills=[SEW]
    )
    system, asked = payload["messages"]
    assert "<available_skills>" in system["content"]
    assert "SKILL.md (sews)" in system["content"]
    assert (asked["content"], payload["tools"][0]["function"]["name"]) == ("[[say x]]", "add")
    other = client.conversations.messages.preview_raw_payload(
        conversation_id, input="[[say y]]", override_system="Short.", override_model=backend.eager, client_skills=[SEW]
    )
    assert [one["content"] for one in other["messages"]] == ["Short.", "[[say y]]"]
    assert backend.eager.endswith(other["model"])
    assert len(client.conversations.messages.list(conversation_id)) <= 1


def test_a_conversations_turn_is_answered_as_json(client: LettaClient, conversation_id: str) -> None:
    answer = client.conversations.messages.create(conversation_id, streaming=False, input="[[say four]]")
    assert (answer.text, answer.usage.step_count) == ("four", 1)


def test_a_conversations_turn_is_streamed_with_every_control(
    client: LettaClient, backend: Backend, conversation_id: str
) -> None:
    turn = client.conversations.messages.create(
        conversation_id,
        messages=[MessageCreate(role="user", content="hi [[say five]]", name="Ann", sender_id="identity-1")],
        client_tools=[ADD],
        client_skills=[SEW],
        max_steps=2,
        override_model=backend.handle,
        override_system="Be brief.",
        include_return_message_types=["assistant_message"],
        include_compaction_messages=True,
        return_logprobs=True,
        top_logprobs=0,
        return_token_ids=True,
        use_assistant_message=True,
        assistant_message_tool_name="send_message",
        assistant_message_tool_kwarg="message",
        enable_thinking="True",
        stream_tokens=False,
        include_pings=False,
    ).result()
    assert turn.text == "five"
    (asked,) = client.conversations.messages.list(
        conversation_id, include_return_message_types=["user_message"], order_by="created_at", include_err=True
    )
    assert isinstance(asked, UserMessage)
    assert (asked.name, asked.sender_id) == ("Ann", "identity-1")


def test_messages_of_a_group_are_listed_alone(client: LettaClient, agent_id: str, conversation_id: str) -> None:
    group = f"group-{uuid4()}"
    asked = MessageCreate(role="user", content="hi [[say one]]", group_id=group, batch_item_id="batch_item-1")
    client.agents.messages.create(agent_id, messages=[asked])
    listed = client.agents.messages.list(
        agent_id,
        group_id=group,
        include_err=True,
        order_by="created_at",
        use_assistant_message=False,
        assistant_message_tool_name="x",
        assistant_message_tool_kwarg="y",
        include_return_message_types=["user_message"],
    )
    assert [row.content for row in listed if isinstance(row, UserMessage)] == ["hi [[say one]]"]
    assert client.conversations.messages.list(conversation_id, group_id=group) == []


def test_a_picture_by_its_file_comes_back_as_it_was_sent(client: LettaClient, conversation_id: str) -> None:
    source = LettaImage(file_id="file-1", media_type="image/png", data=PIXEL)
    parts = [TextContent(text="[[say seen]]"), ImageContent(source=source)]
    assert client.conversations.messages.create(conversation_id, input=parts).result().text == "seen"
    (row,) = client.conversations.messages.list(conversation_id, include_return_message_types=["user_message"])
    assert isinstance(row, UserMessage)
    assert not isinstance(row.content, str)
    picture = row.content[1]
    assert isinstance(picture, ImageContent)
    assert picture.source == LettaImage(file_id="file-1", media_type="image/png", data=PIXEL, detail=None)


def test_an_async_turn_loses_the_clients_tools(client: LettaClient, agent_id: str) -> None:
    run = client.agents.messages.create_async(agent_id, input="[[call add]] [[say x]]", client_tools=[ADD])
    assert client.runs.wait(run.id).stop_reason != "requires_approval"


def test_a_run_that_nobody_knows_is_not_found(client: LettaClient) -> None:
    unknown = "run-11111111-1111-4111-8111-111111111111"
    for ask in (client.runs.wait, client.runs.usage, client.runs.messages, client.runs.stream):
        with pytest.raises(NotFound):
            ask(unknown)


def test_a_run_is_streamed_again_by_its_id_and_by_an_otid(client: LettaClient, conversation_id: str) -> None:
    turn = client.conversations.messages.create(conversation_id, input="[[say six]]").result()
    assert turn.run_id is not None
    again = client.runs.stream(turn.run_id, starting_after=0, include_pings=False, poll_interval=0.05, batch_size=5)
    assert (again.result().text, again.result().usage) == ("six", turn.usage)
    by_otid = client.conversations.messages.stream(
        conversation_id, otid=turn.otids[0], include_pings=False, poll_interval=0.05, batch_size=5
    )
    assert by_otid.result().text == "six"


def test_a_run_of_the_foreground_cannot_be_streamed_again(client: LettaClient, conversation_id: str) -> None:
    turn = client.conversations.messages.create(conversation_id, input="[[say x]]", background=False).result()
    assert turn.run_id is not None
    with pytest.raises(InvalidRequest, match="not created in background mode"):
        client.runs.stream(turn.run_id).result()


@pytest.mark.not_recorded("sends a time")
def test_a_conversation_is_changed_forked_and_compiled_anew(
    client: LettaClient, backend: Backend, agent_id: str
) -> None:
    made = client.conversations.create(
        agent_id=agent_id,
        summary="first",
        model=backend.handle,
        model_settings=OpenAIModelSettings(temperature=0.5),
        description="d",
        hidden=False,
        context_window_limit=1000,
    )
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    client.conversations.update(
        made.id, summary="second", last_message_at=at, description="e", archived=False, context_window_limit=2000
    )
    changed = client.conversations.retrieve(made.id)
    assert (changed.summary, changed.model, changed.last_message_at) == ("second", backend.handle, at)
    assert changed.model_settings is not None
    assert changed.model_settings["temperature"] == 0.5
    assert client.conversations.fork(made.id, hidden=False).id != made.id
    assert "They like brevity." in client.conversations.recompile(made.id, dry_run=True)
    assert "They like brevity." in client.conversations.recompile("default", agent_id=agent_id)


def test_lists_are_read_to_their_end(client: LettaClient, agent_id: str, conversation_id: str) -> None:
    for number in range(3):
        client.conversations.messages.create(conversation_id, input=f"[[say {number}]]").result()
    client.agents.messages.create(agent_id, input="[[say default]]")
    rows = list(client.conversations.messages.iterate(conversation_id, page_size=3))
    texts = [row.content for row in rows if isinstance(row, AssistantMessage)]
    assert (texts, type(rows[0])) == (["0", "1", "2"], SystemMessage)
    of_agent = list(client.agents.messages.iterate(agent_id, page_size=2))
    assert [row.content for row in of_agent if isinstance(row, AssistantMessage)] == ["0", "1", "2", "default"]
    by_default = list(client.agents.messages.iterate(agent_id, conversation_id="default", page_size=2))
    assert [row.content for row in by_default if isinstance(row, AssistantMessage)] == ["default"]
    other = client.conversations.create(agent_id=agent_id).id
    found = [one.id for one in client.conversations.iterate(agent_id=agent_id, page_size=1)]
    assert found == [conversation_id, other]
    assert [one.id for one in client.conversations.list(agent_id=agent_id, order="desc", order_by="created_at")] == [
        other,
        conversation_id,
    ]


@pytest.mark.parametrize("mode", ["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"])
def test_a_conversation_is_compacted_in_every_mode(
    client: LettaClient, backend: Backend, conversation_id: str, mode: Any
) -> None:
    for number in range(4):
        client.conversations.messages.create(conversation_id, input=f"{number} [[say m{number}]]").result()
    settings = CompactionSettings(
        mode=mode,
        model=None if mode.startswith("self") else backend.handle,
        model_settings=OpenAIModelSettings(temperature=0.1, reasoning=Reasoning(reasoning_effort="low")),
        prompt="Go on: [[say summed up in many words]]",
        prompt_acknowledgement=True,
        clip_chars=9,
        sliding_window_percentage=0.3,
    )
    done = client.conversations.messages.compact(conversation_id, compaction_settings=settings)
    assert done.num_messages_after < done.num_messages_before == 9
    if mode.startswith("self"):
        assert done.summary == "summed up... [summary truncated to fit]"
    row = next(row for row in client.conversations.messages.list(conversation_id) if summary_of(row))
    summary = summary_of(row)
    assert summary is not None
    assert done.summary is not None
    assert done.summary in summary.summary


@pytest.mark.parametrize(
    "kind",
    [
        OpenAIModelSettings,
        SGLangModelSettings,
        AnthropicModelSettings,
        GoogleAIModelSettings,
        GoogleVertexModelSettings,
        AzureModelSettings,
        XAIModelSettings,
        ZAIModelSettings,
        GroqModelSettings,
        DeepseekModelSettings,
        TogetherModelSettings,
        BedrockModelSettings,
        BasetenModelSettings,
        OpenRouterModelSettings,
        ChatGPTOAuthModelSettings,
    ],
)
def test_settings_of_every_providers_model_are_taken(client: LettaClient, agent_id: str, kind: Any) -> None:
    client.agents.messages.create(agent_id, input="[[say n]]")
    settings = CompactionSettings(mode="all", model_settings=kind(temperature=0.2, max_output_tokens=100))
    assert client.agents.messages.compact(agent_id, compaction_settings=settings).num_messages_after == 2


@pytest.mark.self_hosted("the reference has these settings")
@pytest.mark.parametrize("kind", [MoonshotModelSettings, MoonshotCodingModelSettings])
def test_settings_that_a_self_hosted_server_does_not_know_are_refused(
    client: LettaClient, agent_id: str, kind: Any
) -> None:
    with pytest.raises(InvalidRequest, match="moonshot"):
        client.agents.messages.compact(agent_id, compaction_settings=CompactionSettings(model_settings=kind()))


@pytest.mark.scripted("its model says what it sees")
def test_an_agents_context_is_emptied(client: LettaClient, agent_id: str) -> None:
    client.agents.messages.create(agent_id, input="[[say one]]")
    agent = client.agents.messages.reset(agent_id, add_default_initial_messages=False)
    assert agent is not None
    assert agent.id == agent_id
    answer = client.agents.messages.create(agent_id, input="[[recall]] again")
    assert answer.text == "user: again"


@pytest.mark.self_hosted("Letta Cloud tells of it only where it is asked to")
def test_a_compaction_during_a_turn_is_seen(client: LettaClient, small_agent_id: str) -> None:
    conversation = client.conversations.create(agent_id=small_agent_id).id
    turn = client.conversations.messages.create(conversation, input="[[say hello]]").result()
    (notice,) = [part for part in turn.parts if isinstance(part, Notice)]
    assert isinstance(notice.message, SummaryMessage)
    assert "hello" in notice.message.summary
    assert notice.message.compaction_stats is not None
    assert notice.message.compaction_stats.trigger == "post_step_context_check"


@pytest.mark.self_hosted("Letta Cloud tells of the event as well, as its reference has it")
@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "whole"])
def test_asked_to_tell_of_a_compaction_a_conversation_tells_of_its_summary_as_it_does_unasked(
    client: LettaClient, small_agent_id: str, streaming: bool
) -> None:
    conversation_id = client.conversations.create(agent_id=small_agent_id).id
    create = client.conversations.messages.create
    if streaming:
        turn = create(conversation_id, input="[[say hello]]", include_compaction_messages=True).result()
        told = [part.message for part in turn.parts if isinstance(part, Notice)]
    else:
        answer = create(conversation_id, input="[[say hello]]", include_compaction_messages=True, streaming=False)
        read = [summary_of(message) or message for message in answer.messages]
        told = [message for message in read if isinstance(message, SummaryMessage | EventMessage)]
    (summary,) = told
    assert isinstance(summary, SummaryMessage)
    assert "hello" in summary.summary


@pytest.mark.scripted("its window is full by the count of the scripted model")
def test_a_compaction_shows_as_an_event_and_a_summary_where_they_are_asked_for(
    client: LettaClient, small_agent_id: str
) -> None:
    turn = client.agents.messages.stream(
        small_agent_id, input="[[say hello]]", include_compaction_messages=True
    ).result()
    event, summary = (part.message for part in turn.parts if isinstance(part, Notice))
    assert isinstance(event, EventMessage)
    assert isinstance(summary, SummaryMessage)
    assert (event.event_type, event.event_data["context_window"]) == ("compaction", SMALL)
    assert "hello" in summary.summary


def test_nothing_of_a_type_is_unknown(client: LettaClient, agent_id: str, conversation_id: str) -> None:
    client.conversations.messages.create(
        conversation_id, input="[[think hm]] [[call add]]", client_tools=[ADD]
    ).result()
    client.conversations.settle(conversation_id)
    rows = list(client.agents.messages.iterate(agent_id))
    assert rows
    assert not any(isinstance(row, (Unknown, HiddenReasoningMessage)) for row in rows)
