"""LlamaIndex messages as the neutral content and transcript, and turns as messages."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from letta_adapters.events import (
    FinishedTurn,
    HiddenReasoning,
    Notice,
    PendingCall,
    Reasoning,
    ServerToolCall,
    ServerToolResult,
    Text,
)
from letta_adapters.transcript import Anchor, AssistantEntry, Call, HumanEntry, SystemEntry, ToolEntry
from letta_adapters.wire import (
    Base64Image,
    EventMessage,
    ImageContent,
    LettaImage,
    TextContent,
    Unknown,
    UrlImage,
    UserMessage,
)
from llama_index_letta.messages import (
    Message,
    blocks_from_content,
    from_llama_index,
    letta_of,
    message_from_turns,
    tool_kwargs,
    user_input,
)
from tests.llama_index.support import PIXEL

BYTES = base64.b64decode(PIXEL)
IMAGE = ImageContent(source=Base64Image(media_type="image/png", data=PIXEL))
CACHE = CachePoint(cache_control=CacheControl(type="ephemeral"))


def assistant(*blocks: Any, **kwargs: Any) -> ChatMessage:
    return ChatMessage(role="assistant", blocks=list(blocks), additional_kwargs=kwargs)


def tool(text: str, **kwargs: Any) -> ChatMessage:
    return ChatMessage(role="tool", content=text, additional_kwargs=kwargs)


# What a user says.


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        ("hello", "hello"),
        (ChatMessage(content="hello"), "hello"),
        ([TextBlock(text="a"), CACHE, TextBlock(text="b")], "a\nb"),
        ([TextBlock(text="a"), ImageBlock(image=BYTES)], [TextContent(text="a"), IMAGE]),
        ([ImageBlock(image=PIXEL.encode())], [IMAGE]),
        ([ImageBlock(url=f"data:image/png;base64,{PIXEL}")], [IMAGE]),
        ([ImageBlock(url="https://x.org/y.png")], [ImageContent(source=UrlImage(url="https://x.org/y.png"))]),
    ],
    ids=str,
)
def test_texts_and_images_are_sent_as_they_are(message: Message, sent: Any) -> None:
    assert user_input(message) == sent


def test_texts_among_blocks_are_blocks() -> None:
    assert user_input(["a", TextBlock(text="b")]) == "a\nb"  # pyright: ignore[reportArgumentType]


def test_images_are_read_from_files(tmp_path: Path) -> None:
    path = tmp_path / "without a suffix"
    path.write_bytes(BYTES)
    assert user_input([ImageBlock(path=path)]) == [IMAGE]


@pytest.mark.parametrize(
    ("block", "told"),
    [
        (AudioBlock(audio=b"x"), "block 1 of the message is of type 'audio'"),
        (DocumentBlock(data=b"x"), "of type 'document'"),
        (ThinkingBlock(content="hm"), "of type 'thinking'"),
        (ImageBlock(url="ftp://x/y.png"), "begins with 'ftp'"),
        (ImageBlock(image=b"no picture"), "no `image_mimetype`"),
        (ImageBlock(), "cannot be sent"),
        (3, "of type 'int'"),
    ],
    ids=str,
)
def test_what_cannot_be_sent_is_told_with_its_place(block: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        user_input([TextBlock(text="a"), block])


# A transcript.


def test_each_role_has_an_entry() -> None:
    call = ToolCallBlock(tool_call_id="c1", tool_name="add", tool_kwargs={"ü": 1})
    entries = from_llama_index(
        [
            ChatMessage(role="system", content="Be brief."),
            ChatMessage(role="developer", content="Really."),
            ChatMessage(content="hello"),
            assistant(ThinkingBlock(content="hm"), TextBlock(text="I add"), call),
            tool("3", tool_call_id="c1", name="add"),
            tool("broken", tool_call_id="c2", is_error=True),
            tool("lost", name="add"),
            assistant(ToolCallBlock(tool_name="add", tool_kwargs="not json")),
            ChatMessage(role="model", content="It is 3"),
        ]
    )
    assert list(entries) == [
        SystemEntry(text="Be brief."),
        SystemEntry(text="Really."),
        HumanEntry(content="hello"),
        AssistantEntry(text="I add", calls=(Call(tool_call_id="c1", name="add", arguments='{"ü": 1}'),)),
        ToolEntry(tool_call_id="c1", content="3", name="add"),
        ToolEntry(tool_call_id="c2", content="broken", status="error"),
        HumanEntry(content="[A tool (add) answered: lost]"),
        AssistantEntry(calls=(Call(tool_call_id="", name="add", arguments="not json"),)),
        AssistantEntry(text="It is 3"),
    ]


def test_instructions_are_text() -> None:
    with pytest.raises(ValueError, match=r"message 0 \(system\) has an image"):
        list(from_llama_index([ChatMessage(role="system", blocks=[ImageBlock(image=BYTES)])]))


def test_an_answer_knows_where_it_was_given() -> None:
    entry = from_llama_index([message_from_turns([TURN])])[0]
    assert isinstance(entry, AssistantEntry)
    assert entry.anchor is not None
    assert (entry.anchor.conversation_id, entry.anchor.message_id) == ("conv-1", "message-2")
    assert [one.tool_call_id for one in entry.anchor.pending] == ["c2"]


# A turn.

TURN = FinishedTurn(
    conversation_id="conv-1",
    agent_id="agent-1",
    run_id="run-1",
    message_ids=("message-1", "message-2"),
    stop_reason="requires_approval",
    parts=(
        Reasoning(index=0, text="hm", signature="s"),
        HiddenReasoning(index=1, state="redacted", text="xyz"),
        ServerToolCall(index=2, tool_call_id="c1", name="search", arguments='{"q": 1}'),
        ServerToolResult(index=3, tool_call_id="c1", content=[TextContent(text="found")], status="success"),
        Notice(index=4, message=EventMessage(id="message-9", event_type="x", event_data={})),
        Text(index=5, text="Let me see"),
        PendingCall(index=6, tool_call_id="c2", name="add", arguments=""),
    ),
)


def test_a_turn_is_a_message_of_blocks_in_order() -> None:
    message = message_from_turns([TURN])
    assert message.role is MessageRole.ASSISTANT
    assert message.blocks == [
        ThinkingBlock(content="hm", additional_information={"signature": "s"}),
        ThinkingBlock(additional_information={"state": "redacted", "data": "xyz"}),
        ToolCallBlock(tool_call_id="c1", tool_name="search", tool_kwargs={"q": 1}),
        TextBlock(text="Let me see"),
        ToolCallBlock(tool_call_id="c2", tool_name="add", tool_kwargs={}),
    ]


def test_what_has_no_block_is_kept() -> None:
    letta = letta_of(message_from_turns([TURN]))
    assert letta is not None
    assert [part["kind"] for part in letta["parts"]] == [type(part).__name__ for part in TURN.parts]
    assert letta["parts"][3]["content"] == [{"type": "text", "text": "found"}]
    assert letta["parts"][4]["message"]["event_type"] == "x"
    assert Anchor.from_metadata(letta) is not None


def test_a_message_of_a_turn_survives_json() -> None:
    message = message_from_turns([TURN, TURN], direct="3")
    assert ChatMessage.model_validate_json(message.model_dump_json()) == message
    assert message.content == "Let me see\nLet me see\n3"


@pytest.mark.parametrize(
    ("arguments", "kwargs"),
    [('{"a": 1}', {"a": 1}), ("", {}), ("[1]", "[1]"), ("{broken", "{broken"), ("[" * 100_000, "[" * 100_000)],
    ids=["object", "nothing", "list", "broken", "deep"],
)
def test_arguments_are_an_object_or_the_text_that_is_none(arguments: str, kwargs: Any) -> None:
    assert tool_kwargs(arguments) == kwargs


# Stored content.


def test_each_stored_part_has_a_block() -> None:
    stored = UserMessage.model_validate(
        {
            "id": "message-1",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                {"type": "reasoning", "is_native": True, "reasoning": "hm", "signature": "s"},
                {"type": "redacted_reasoning", "data": "xyz"},
                {"type": "omitted_reasoning"},
                {"type": "summarized_reasoning", "id": "r", "summary": [{"index": 0, "text": "short"}]},
                {"type": "tool_call", "id": "c1", "name": "add", "input": {"a": 1}},
                {"type": "tool_return", "tool_call_id": "c1", "content": "3", "is_error": False},
                {"type": "hologram"},
            ],
        }
    )
    blocks = blocks_from_content(stored.content)
    assert blocks[0] == TextBlock(text="a")
    assert isinstance(blocks[1], ImageBlock)
    assert user_input([blocks[1]]) == [IMAGE]
    assert blocks[2:] == [
        ThinkingBlock(content="hm", additional_information={"signature": "s"}),
        ThinkingBlock(additional_information={"state": "redacted", "data": "xyz"}),
        ThinkingBlock(additional_information={"state": "omitted"}),
        ThinkingBlock(content="short"),
        ToolCallBlock(tool_call_id="c1", tool_name="add", tool_kwargs={"a": 1}),
        TextBlock(text="3"),
    ]


def test_an_image_that_the_server_keeps_is_told_by_its_name() -> None:
    kept = ImageContent(source=LettaImage(file_id="file-1"))
    shown = ImageContent(source=LettaImage(file_id="file-1", media_type="image/png", data=PIXEL))
    first, second = blocks_from_content([kept, shown, Unknown(raw={"type": "x"})])
    assert first == TextBlock(text="[image file-1]")
    assert isinstance(second, ImageBlock)
    assert second.resolve_image().read() == BYTES
