"""LangChain messages as entries of the neutral transcript, kind by kind."""

from __future__ import annotations

from typing import Any, cast

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_letta import ChatLetta
from langchain_letta.messages import from_langchain
from letta_adapters.transcript import (
    Anchor,
    AssistantEntry,
    Call,
    Entry,
    HumanEntry,
    PendingRef,
    SystemEntry,
    ToolEntry,
)
from letta_adapters.wire import Base64Image, ImageContent, LettaImage, TextContent, UrlImage

ANCHOR = Anchor(
    agent_id="agent-1",
    conversation_id="conv-1",
    run_id="run-1",
    message_id="message-2",
    message_ids=("message-1", "message-2"),
    stop_reason="requires_approval",
    pending=(PendingRef(tool_call_id="call_1", name="add"),),
    system_hash="abc",
)
CALL: Any = {"name": "add", "args": {"a": 1, "b": "ü"}, "id": "call_1", "type": "tool_call"}
BROKEN: Any = {"name": "add", "args": "{nope", "id": "call_2", "error": None, "type": "invalid_tool_call"}

ENTRIES: dict[str, tuple[BaseMessage, Entry]] = {
    "system": (SystemMessage("Be brief.", id="1"), SystemEntry(text="Be brief.", id="1")),
    "system of parts": (
        SystemMessage([{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]),
        SystemEntry(text="Be brief."),
    ),
    "human": (HumanMessage("hello", id="1", name="Ann"), HumanEntry(content="hello", id="1", name="Ann")),
    "human of parts": (
        HumanMessage([{"type": "text", "text": "one"}, "two"]),
        HumanEntry(content=(TextContent(text="one"), TextContent(text="two"))),
    ),
    "foreign answer": (AIMessage("hello", id="1", name="bob"), AssistantEntry(text="hello", id="1", name="bob")),
    "foreign answer of blocks": (
        AIMessage([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "hello"}]),
        AssistantEntry(text="hello"),
    ),
    "foreign calls": (
        AIMessage("", tool_calls=[CALL], invalid_tool_calls=[BROKEN]),
        AssistantEntry(
            calls=(
                Call(tool_call_id="call_1", name="add", arguments='{"a": 1, "b": "ü"}'),
                Call(tool_call_id="call_2", name="add", arguments="{nope"),
            )
        ),
    ),
    "our answer": (
        AIMessage("hello", response_metadata={"letta": {**ANCHOR.to_metadata(), "step_count": 1}}),
        AssistantEntry(text="hello", anchor=ANCHOR),
    ),
    "our streamed answer": (
        AIMessageChunk(content="hello", response_metadata={"letta": ANCHOR.to_metadata()}),
        AssistantEntry(text="hello", anchor=ANCHOR),
    ),
    "an answer whose stream broke": (
        AIMessageChunk(content="hel", response_metadata={"letta_run": {"run_id": "run-1"}}),
        AssistantEntry(text="hel"),
    ),
    "metadata that is no anchor": (
        AIMessage("hello", response_metadata={"letta": {"run_id": "run-1"}}),
        AssistantEntry(text="hello"),
    ),
    "metadata that is no mapping": (
        AIMessage("hello", response_metadata={"letta": "conv-1"}),
        AssistantEntry(text="hello"),
    ),
    "result": (
        ToolMessage("3", tool_call_id="call_1", name="add", id="1"),
        ToolEntry(tool_call_id="call_1", content="3", name="add", id="1"),
    ),
    "failed result": (
        ToolMessage("no", tool_call_id="call_1", status="error"),
        ToolEntry(tool_call_id="call_1", content="no", status="error"),
    ),
    "result of parts": (
        ToolMessage([{"type": "text", "text": "3"}], tool_call_id="call_1"),
        ToolEntry(tool_call_id="call_1", content=(TextContent(text="3"),)),
    ),
    "function": (
        FunctionMessage(name="find", content="tea", id="1"),
        HumanEntry(content="[The function find answered: tea]", id="1"),
    ),
    "role user": (ChatMessage(role="user", content="hello"), HumanEntry(content="hello")),
    "role human": (ChatMessage(role="human", content="hello"), HumanEntry(content="hello")),
    "role assistant": (ChatMessage(role="assistant", content="hello"), AssistantEntry(text="hello")),
    "role ai": (ChatMessage(role="ai", content="hello"), AssistantEntry(text="hello")),
    "role system": (ChatMessage(role="system", content="hello"), SystemEntry(text="hello")),
    "role developer": (ChatMessage(role="developer", content="hello"), SystemEntry(text="hello")),
}


@pytest.mark.parametrize(("message", "entry"), ENTRIES.values(), ids=ENTRIES.keys())
def test_a_message_becomes_an_entry(message: BaseMessage, entry: Entry) -> None:
    assert list(from_langchain([message])) == [entry]


PNG = ImageContent(source=Base64Image(media_type="image/png", data="AAAA"))
LINKED = ImageContent(source=UrlImage(url="https://x.test/a.png"))
PARTS: dict[str, tuple[dict[str, Any], TextContent | ImageContent]] = {
    "text": ({"type": "text", "text": "hello"}, TextContent(text="hello")),
    "plain text": ({"type": "text-plain", "text": "hello", "mime_type": "text/plain"}, TextContent(text="hello")),
    "base64": ({"type": "image", "base64": "AAAA", "mime_type": "image/png"}, PNG),
    "base64 of version 0": (
        {"type": "image", "source_type": "base64", "data": "AAAA", "mime_type": "image/png"},
        PNG,
    ),
    "base64 by OpenAI": ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, PNG),
    "base64 by Anthropic": (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        PNG,
    ),
    "url": ({"type": "image", "url": "https://x.test/a.png"}, LINKED),
    "url of version 0": ({"type": "image", "source_type": "url", "url": "https://x.test/a.png"}, LINKED),
    "url by OpenAI": ({"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}, LINKED),
    "url by Anthropic": ({"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}, LINKED),
    "file": ({"type": "image", "file_id": "file-1"}, ImageContent(source=LettaImage(file_id="file-1"))),
}


@pytest.mark.parametrize(("part", "expected"), PARTS.values(), ids=PARTS.keys())
def test_a_part_becomes_a_part(part: dict[str, Any], expected: TextContent | ImageContent) -> None:
    assert list(from_langchain([HumanMessage([cast("Any", part)])])) == [HumanEntry(content=(expected,))]


def test_a_part_that_is_refused_is_named_with_its_place() -> None:
    audio = {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}
    message = HumanMessage(content=[{"type": "text", "text": "hear"}, cast("Any", audio)])
    with pytest.raises(ValueError, match=r"part 1 of message 2 \(human\) is of type 'audio'"):
        list(from_langchain([HumanMessage("one"), AIMessage("two"), message]))


def test_a_part_of_a_result_that_is_refused_is_named_with_its_place() -> None:
    part = cast("Any", {"type": "file", "base64": "AAAA", "mime_type": "application/pdf"})
    with pytest.raises(ValueError, match=r"part 0 of message 0 \(tool\) is of type 'file'"):
        list(from_langchain([ToolMessage([part], tool_call_id="call_1")]))


DATA: dict[str, tuple[dict[str, Any], str]] = {
    "json": ({"type": "json", "json": {"city": "Oslo"}}, '{"city": "Oslo"}'),
    "search result": ({"type": "search_result", "title": "Æ"}, '{"type": "search_result", "title": "Æ"}'),
}


@pytest.mark.parametrize(("part", "told"), DATA.values(), ids=DATA.keys())
def test_data_in_a_result_is_told_as_json(part: dict[str, Any], told: str) -> None:
    content: Any = [{"type": "text", "text": "found:"}, part]
    (entry,) = from_langchain([ToolMessage(content, tool_call_id="call_1")])
    assert isinstance(entry, ToolEntry)
    assert entry.content == (TextContent(text="found:"), TextContent(text=told))


def test_a_picture_in_a_system_message_is_refused() -> None:
    part = cast("Any", {"type": "image", "base64": "AAAA", "mime_type": "image/png"})
    with pytest.raises(ValueError, match=r"message 0 \(system\)"):
        list(from_langchain([SystemMessage([part])]))


def test_an_anchor_survives_its_metadata() -> None:
    assert Anchor.from_metadata(ANCHOR.to_metadata()) == ANCHOR


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([], "[]"),
        ([{"type": "text", "text": ""}], ""),
        ("", ""),
        ([{"city": "Oslo"}], '[{"city": "Oslo"}]'),
    ],
    ids=["empty list", "empty text", "empty", "data"],
)
def test_a_result_is_never_sent_as_parts_without_anything_in_them(content: Any, told: str) -> None:
    # Measured: a real server stores such a result and then fails every later turn of the conversation.
    (entry,) = from_langchain([ToolMessage(content=content, tool_call_id="call-1")])
    assert isinstance(entry, ToolEntry)
    assert entry.content == told


def test_an_overridden_field_is_checked_like_a_given_one() -> None:
    model = ChatLetta(agent_id="agent-1", base_url="http://letta.test")
    with pytest.raises(ValueError, match="timeout"):
        model.invoke("x", timeout="soon")
