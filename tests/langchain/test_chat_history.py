"""What a conversation holds as a chat history: the same that `ChatLetta` returned, and good to go on with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from letta_client import Letta
from pydantic import SecretStr

from langchain_letta import ChatLetta, LettaChatMessageHistory, letta_from_langchain
from letta_adapters.errors import AuthenticationError, ConnectFailed, NotFound
from tests.conftest import NOWHERE, TIMEOUT, Backend, fresh_agent, fresh_conversation
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import CALL, PIXEL, TOOLS, call_ids, conversation_of, fold, letta, new_gate, said

Read = Callable[[LettaChatMessageHistory], Awaitable[list[BaseMessage]]]

ALL = {"mode": "all"}


async def by_messages(history: LettaChatMessageHistory) -> list[BaseMessage]:
    return history.messages


async def by_aget_messages(history: LettaChatMessageHistory) -> list[BaseMessage]:
    return await history.aget_messages()


each_way = pytest.mark.parametrize("read", [by_messages, by_aget_messages], ids=["blocking", "async"])


@pytest.fixture
def history(backend: Backend, agent_id: str, conversation_id: str) -> LettaChatMessageHistory:
    return LettaChatMessageHistory(conversation_id=conversation_id, agent_id=agent_id, base_url=backend.base_url)


def of(conversation_id: str, backend: Backend, **fields: Any) -> LettaChatMessageHistory:
    return LettaChatMessageHistory(conversation_id=conversation_id, base_url=backend.base_url, **fields)


def compact(backend: Backend, conversation_id: str) -> None:
    path = f"/v1/conversations/{conversation_id}/compact"
    with httpx.Client(base_url=backend.base_url, timeout=TIMEOUT) as http:
        http.post(path, json={"compaction_settings": ALL}).raise_for_status()


def dialogue(model: ChatLetta) -> list[BaseMessage]:
    """Four turns: thoughts, a picture, a tool that runs, one that fails while the user speaks on."""
    bound = model.bind_tools(TOOLS)
    picture = {"type": "image", "base64": PIXEL, "mime_type": "image/png"}
    messages: list[BaseMessage] = [HumanMessage("[[think hm]] [[say hello]]")]
    messages.append(bound.invoke(messages))
    messages.append(HumanMessage([{"type": "text", "text": f"look [[say I add]] {CALL}"}, picture], name="Ann"))
    messages.append(bound.invoke(messages))
    messages.append(ToolMessage("3", tool_call_id=call_ids(messages[-1])[0], name="add"))
    messages.append(bound.invoke(messages))
    messages.append(HumanMessage(CALL))
    messages.append(bound.invoke(messages))
    messages.append(ToolMessage("broken", tool_call_id=call_ids(messages[-1])[0], name="add", status="error"))
    messages.append(HumanMessage("[[say never mind]]"))
    messages.append(bound.invoke(messages))
    return messages


def told(message: BaseMessage) -> Any:
    """What of a message both the framework and the server know."""
    if isinstance(message, AIMessage):
        run, anchor = message.response_metadata["letta_run"], letta(message)
        same = ("agent_id", "conversation_id", "run_id", "message_id", "message_ids", "pending")
        return (
            message.content,
            message.tool_calls,
            message.response_metadata["model_name"],
            {key: anchor[key] for key in same},
            run["run_id"],
        )
    if isinstance(message, ToolMessage):
        return message.content, message.tool_call_id, message.status, message.name
    return message.type, message.text, message.name


@each_way
async def test_a_history_is_what_the_model_returned(
    read: Read, model: ChatLetta, backend: Backend, reader: Reader
) -> None:
    messages = dialogue(model)
    conversation_id = conversation_of(messages[-1])
    history = await read(of(conversation_id, backend))
    assert [told(message) for message in history] == [told(message) for message in messages]
    assert reader.story(conversation_id) == story_of(history)


@each_way
async def test_its_messages_have_the_ids_otids_and_dates_of_the_server(
    read: Read, model: ChatLetta, backend: Backend, reader: Reader
) -> None:
    conversation_id = conversation_of(dialogue(model)[-1])
    rows = [row.model_dump(mode="json") for row in letta_from_langchain(await read(of(conversation_id, backend)))]
    listed = reader.rows(conversation_id)
    for key in ("id", "otid", "message_type", "run_id", "step_id"):
        assert [row[key] for row in rows] == [row[key] for row in listed]
    assert all(row["date"] for row in rows)


@pytest.mark.parametrize("mode", ["pinned", "followed"])
def test_a_model_goes_on_behind_a_history_and_sends_nothing_of_it_again(
    mode: str, model: ChatLetta, backend: Backend, reader: Reader
) -> None:
    messages = [SystemMessage("Be brief."), *dialogue(model)]
    conversation_id = conversation_of(messages[-1])
    before = reader.story(conversation_id)
    other = model if mode == "followed" else ChatLetta(conversation_id=conversation_id, base_url=backend.base_url)
    answer = other.invoke([*of(conversation_id, backend).messages, HumanMessage("and now?")])
    assert conversation_of(answer) == conversation_id
    assert reader.story(conversation_id) == [*before, *said("and now?")]


def test_a_system_text_that_was_told_is_not_told_again(model: ChatLetta, backend: Backend, reader: Reader) -> None:
    prompt = SystemMessage("Be brief.")
    conversation_id = conversation_of(model.invoke([prompt, HumanMessage("one")]))
    model.invoke([prompt, *of(conversation_id, backend).messages, HumanMessage("two")])
    assert reader.story(conversation_id) == [("system", "Be brief."), *said("one", "two")]


def test_a_call_that_waits_is_answered_out_of_a_history(model: ChatLetta, backend: Backend, reader: Reader) -> None:
    bound = model.bind_tools(TOOLS)
    conversation_id = conversation_of(bound.invoke(CALL))
    messages = of(conversation_id, backend).messages
    answer = bound.invoke([*messages, ToolMessage("3", tool_call_id=call_ids(messages[-1])[0])])
    assert answer.text == "The tools answered: 3"
    assert [one["tool_return"] for one in reader.answers(conversation_id)] == ["3"]


def test_behind_calls_that_were_settled_a_model_goes_on_and_tells_nothing_of_them(
    model: ChatLetta, backend: Backend, reader: Reader
) -> None:
    conversation_id = conversation_of(model.bind_tools(TOOLS).invoke(CALL))
    model.client.conversations.settle(conversation_id)
    before = reader.story(conversation_id)
    history = of(conversation_id, backend).messages
    assert [message.type for message in history] == ["human", "ai", "tool", "ai"]
    model.invoke([*history, HumanMessage("go on")])
    assert reader.story(conversation_id) == [*before, *said("go on")]


@each_way
async def test_pages_are_as_small_as_they_are_wanted(read: Read, model: ChatLetta, backend: Backend) -> None:
    conversation_id = conversation_of(dialogue(model)[-1])
    assert await read(of(conversation_id, backend, page_size=3)) == await read(of(conversation_id, backend))


@each_way
async def test_a_fresh_conversation_has_no_messages(read: Read, history: LettaChatMessageHistory) -> None:
    assert await read(history) == []


@pytest.mark.parametrize("knows_agent", [True, False])
@each_way
async def test_a_conversation_that_is_gone_is_not_empty_but_not_found(
    read: Read, knows_agent: bool, agent_id: str, conversation_id: str, backend: Backend
) -> None:
    with httpx.Client(base_url=backend.base_url, timeout=TIMEOUT) as http:
        http.delete(f"/v1/conversations/{conversation_id}").raise_for_status()
    with pytest.raises(NotFound):
        await read(of(conversation_id, backend, agent_id=agent_id if knows_agent else None))


@each_way
async def test_the_default_conversation_has_a_history(
    read: Read, agent_id: str, backend: Backend, reader: Reader
) -> None:
    model = ChatLetta(agent_id=agent_id, conversation_id="default", base_url=backend.base_url)
    model.invoke("one")
    history = of("default", backend, agent_id=agent_id)
    assert story_of(await read(history)) == said("one")
    model.invoke([*await read(history), HumanMessage("two")])
    assert reader.story("default", agent_id=agent_id) == said("one", "two")


def test_a_conversation_is_of_its_own_agent_whatever_the_environment_says(
    model: ChatLetta, backend: Backend, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation_id = conversation_of(model.invoke("one"))
    with fresh_agent(backend) as other:
        monkeypatch.setenv("LETTA_AGENT_ID", other)
        model.invoke([*of(conversation_id, backend).messages, HumanMessage("two")])
    assert reader.story(conversation_id) == said("one", "two")


def test_a_turn_that_is_under_way_is_shown_when_it_is_stored(
    pinned: ChatLetta, conversation_id: str, backend: Backend
) -> None:
    history, gate = of(conversation_id, backend), new_gate()
    pinned.invoke("one")
    chunks = pinned.stream(f"[[hold {gate} 1]] [[say two words]]")
    next(chunks)
    assert [message.text for message in history.messages] == ["one", "You said: one"]
    backend.open_gate(gate)
    fold(chunks)
    assert [message.text for message in history.messages[3:]] == ["two words"]


@each_way
async def test_a_filter_leaves_the_other_types_out(read: Read, model: ChatLetta, backend: Backend) -> None:
    conversation_id = conversation_of(dialogue(model)[-1])
    texts = await read(of(conversation_id, backend, include=["user_message", "assistant_message"], page_size=3))
    assert {row.message_type for row in letta_from_langchain(texts)} == {"user_message", "assistant_message"}
    prompt, *_ = await read(of(conversation_id, backend, include=["system_message"]))
    assert isinstance(prompt, SystemMessage)


def test_after_a_compaction_all_that_was_said_is_shown_with_the_summary_in_its_place(
    pinned: ChatLetta, conversation_id: str, backend: Backend
) -> None:
    old = of(conversation_id, backend, page_size=3)
    for number in range(4):
        pinned.invoke(f"old {number}")
    before = old.messages
    compact(backend, conversation_id)
    for number in range(4):
        pinned.invoke(f"new {number}")
    after = old.messages
    assert [message.text for message in after[:8]] == [message.text for message in before]
    assert [message.text for message in after[8::2]] == [f"new {number}" for number in range(4)]
    assert [block["type"] for block in after[7].content_blocks] == ["text", "non_standard"]
    assert [row.message_type for row in letta_from_langchain(after)].count("user_message") == 9


@pytest.mark.parametrize("mode", ["pinned", "followed"])
def test_a_model_goes_on_behind_the_history_of_a_compacted_conversation(
    mode: str, model: ChatLetta, backend: Backend, reader: Reader
) -> None:
    first = model.invoke("one")
    conversation_id = conversation_of(first)
    pinned = ChatLetta(conversation_id=conversation_id, base_url=backend.base_url)
    for text in ("two", "three"):
        pinned.invoke(text)
    compact(backend, conversation_id)
    other = model if mode == "followed" else pinned
    answer = other.invoke([*of(conversation_id, backend).messages, HumanMessage("four")])
    assert conversation_of(answer) == conversation_id
    assert len(set(reader.runs(conversation_id))) == 4
    assert story_of(of(conversation_id, backend).messages) == said("one", "two", "three", "four")


def test_a_fork_shows_what_it_shares_and_a_model_goes_on_there(
    model: ChatLetta, backend: Backend, reader: Reader
) -> None:
    origin = conversation_of(model.invoke("one"))
    fork = model.client.conversations.fork(origin).id
    answer = model.invoke([*of(fork, backend).messages, HumanMessage("two")])
    assert conversation_of(answer) == fork
    assert reader.story(fork) == said("one", "two") == story_of(of(fork, backend).messages)
    assert reader.story(origin) == said("one")


def test_signed_anchors_are_good_for_a_model_with_the_same_key(agent_id: str, backend: Backend, reader: Reader) -> None:
    model = ChatLetta(agent_id=agent_id, base_url=backend.base_url, anchor_key=SecretStr("secret"))
    conversation_id = conversation_of(model.invoke("one"))
    history = of(conversation_id, backend, anchor_key="secret")
    assert conversation_of(model.invoke([*history.messages, HumanMessage("two")])) == conversation_id
    unsigned = of(conversation_id, backend).messages
    assert conversation_of(model.invoke([*unsigned, HumanMessage("three")])) != conversation_id


async def test_many_readers_at_once_read_the_same(model: ChatLetta, backend: Backend) -> None:
    history = of(conversation_of(dialogue(model)[-1]), backend, page_size=3)
    blocking = [asyncio.to_thread(lambda: history.messages) for _ in range(4)]
    readings = await asyncio.gather(*blocking, *(history.aget_messages() for _ in range(4)))
    assert all(reading == readings[0] for reading in readings)


def test_an_official_client_lends_its_address_and_its_key(agent_id: str, backend: Backend) -> None:
    conversation_id = fresh_conversation(backend, agent_id)
    with Letta(base_url=backend.base_url, api_key="not needed") as official:
        assert LettaChatMessageHistory(conversation_id=conversation_id, letta_client=official).messages == []


async def test_http_clients_of_ones_own_are_used_and_left_open(backend: Backend, conversation_id: str) -> None:
    used: list[str] = []

    def note(_: httpx.Request) -> None:
        used.append("blocking")

    async def anote(_: httpx.Request) -> None:
        used.append("async")

    with httpx.Client(event_hooks={"request": [note]}) as http:
        async with httpx.AsyncClient(event_hooks={"request": [anote]}) as async_http:
            history = of(conversation_id, backend, http_client=http, http_async_client=async_http)
            assert history.messages == await history.aget_messages() == []
            assert set(used) == {"blocking", "async"}
            assert (http.is_closed, async_http.is_closed) == (False, False)


def test_a_closed_port_is_a_typed_error() -> None:
    with pytest.raises(ConnectFailed):
        LettaChatMessageHistory(conversation_id="conv-1", base_url=NOWHERE, max_retries=0).open()


def test_without_a_server_and_a_key_nothing_is_sent() -> None:
    with pytest.raises(AuthenticationError):
        LettaChatMessageHistory(conversation_id="conv-1").open()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "conversation_id"),
        ({"conversation_id": "conv-1", "session_id": "ann"}, "conversation_id"),
        ({"session_id": "ann"}, "agent_id"),
        ({"conversation_id": "default"}, "agent_id"),
        ({"conversation_id": "../agents"}, "conversation_id"),
        ({"conversation_id": "conv-1", "agent_id": "ann"}, "agent_id"),
        ({"conversation_id": "conv-1", "page_size": 2}, "page_size"),
        ({"conversation_id": "conv-1", "on_new_messages": "buffer"}, "on_new_messages"),
        ({"conversation_id": "conv-1", "anchor_key": ""}, "anchor_key"),
        ({"conversation_id": "conv-1", "base_url": "localhost"}, "base_url"),
    ],
)
def test_bad_fields_are_refused_at_construction(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        LettaChatMessageHistory(**fields)


def test_neither_its_text_nor_its_errors_tell_the_key(backend: Backend) -> None:
    history = of(f"conv-{uuid4()}", backend, api_key="sk-let-secret", anchor_key="other-secret")
    with pytest.raises(NotFound) as error:
        history.open()
    assert "secret" not in f"{history!r} {history.__dict__!r} {error.value!r}"
