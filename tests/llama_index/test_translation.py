"""Stored messages as LlamaIndex's and back: nothing is lost, and what was changed is what comes back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from letta_adapters import LettaClient
from letta_adapters.delivery_steps import Delivered
from letta_adapters.events import FinishedTurn, Notice, PendingCall, ServerToolCall, ServerToolResult, Text
from letta_adapters.matching import Row
from letta_adapters.transcript import anchor_of
from letta_adapters.wire import (
    ApprovalResponseMessage,
    AssistantMessage,
    ReasoningMessage,
    SummaryMessage,
    ToolReturn,
    ToolReturnMessage,
    UserMessage,
    returns_of,
)
from llama_index_letta import letta_from_llama_index, llama_index_from_letta
from llama_index_letta.agent_answers import answer_message
from llama_index_letta.messages import message_from_turns
from tests.conftest import Backend
from tests.snapshots import check
from tests.stored_conversations import STORED_TYPES, varied_rows
from tests.stored_types import CONVERSATIONS, EXAMPLES, ROWS, TURNS, Json, dumped, parsed, said

PLACE = {"conversation_id": "conv-1", "agent_id": "agent-1"}


def translated(rows: Sequence[Json]) -> list[ChatMessage]:
    """What rows become, by way of a file."""
    messages = llama_index_from_letta(parsed(rows), **PLACE)
    return [ChatMessage.model_validate(json.loads(message.model_dump_json())) for message in messages]


def test_rows_that_a_program_made_come_back_as_they_were() -> None:
    made = letta_from_llama_index([ChatMessage("Hello"), ChatMessage("Hi", role="assistant")])
    back = letta_from_llama_index(llama_index_from_letta(made, conversation_id="conv-1", agent_id="agent-1"))
    assert [row.message_type for row in back] == [row.message_type for row in made]
    assert [row.message_type for row in back] == ["user_message", "assistant_message"]


def test_an_answer_of_a_workflows_agent_keeps_the_calls_of_the_servers_tools() -> None:
    parts = (
        ServerToolCall(index=0, tool_call_id="c1", name="f", arguments="{}"),
        ServerToolResult(index=1, tool_call_id="c1", content="r", status="success"),
        Text(index=2, text="done"),
    )
    turn = FinishedTurn(
        conversation_id="conv-1", agent_id="agent-1", message_ids=("message-1",), parts=parts, stop_reason="end_turn"
    )
    anchor = anchor_of(turn, system_hash=None)
    message = answer_message(Delivered(turn=turn, anchor=anchor), anchor, "bob", [])
    kinds = [row.message_type for row in letta_from_llama_index([ChatMessage("hi"), message])]
    assert kinds == ["user_message", "tool_call_message", "tool_return_message", "assistant_message"]


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_each_type_comes_back_as_it_was(example: Json) -> None:
    assert dumped(letta_from_llama_index(translated([example]))) == dumped(parsed([example]))


@given(row=ROWS)
def test_whatever_a_row_says_it_comes_back_as_it_was(row: Json) -> None:
    assert dumped(letta_from_llama_index(translated([row]))) == dumped(parsed([row]))


@settings(max_examples=200)
@given(rows=CONVERSATIONS)
def test_every_row_of_a_conversation_comes_back_once_and_in_order(rows: list[Json]) -> None:
    assert dumped(letta_from_llama_index(translated(rows))) == dumped(parsed(rows))


IN_BLOCKS = (
    "system_message",
    "user_message",
    "assistant_message",
    "reasoning_message",
    "hidden_reasoning_message",
    "tool_call_message",
    "approval_request_message",
)
"""Types that LlamaIndex has blocks for: a message of it says all that they say."""


def _in_blocks_alone(row: Json) -> bool:
    """Whether LlamaIndex has blocks for all of a row, and tells its texts apart."""
    content = row.get("content", "")
    if row["message_type"] not in IN_BLOCKS or '"system_alert"' in content:
        return False
    return isinstance(content, str) or not any(_is_text(part) or _is_file(part) for part in content)


def _is_text(part: Json) -> bool:
    return part["type"] == "text"


def _is_file(part: Json) -> bool:
    return part["type"] == "image" and part["source"]["type"] == "letta"


@given(row=ROWS.filter(_in_blocks_alone))
def test_what_a_row_says_is_in_the_message_itself(row: Json) -> None:
    messages = translated([row])
    for message in messages:
        del message.additional_kwargs["letta"]["rows"]
    assert [_in_blocks(said(one)) for one in letta_from_llama_index(messages)] == [
        _in_blocks(said(one)) for one in parsed([row])
    ]


def _in_blocks(told: Any) -> Any:
    """What a row says, calls in any order."""
    return ("calls", sorted(told[1], key=str)) if told[0] == "asks" else told


def test_every_row_that_a_server_stores_comes_back_as_it_was(backend: Backend, conversation_id: str) -> None:
    with LettaClient(base_url=backend.base_url) as client:
        rows = varied_rows(client, conversation_id)
    assert {row.message_type for row in rows} == STORED_TYPES
    messages = llama_index_from_letta(rows, **PLACE)
    carried = [ChatMessage.model_validate_json(message.model_dump_json()) for message in messages]
    assert dumped(letta_from_llama_index(carried)) == dumped(rows)


# What was changed since.


def changed(position: int, *blocks: TextBlock | ThinkingBlock | ToolCallBlock, **kwargs: Any) -> list[Row]:
    """The rows of a history of which one message was changed."""
    messages = llama_index_from_letta(TURNS, **PLACE)
    messages[position].blocks = list(blocks)
    messages[position].additional_kwargs.update(kwargs)
    rows = letta_from_llama_index(messages)
    assert [row.message_type for row in rows] == [row.message_type for row in TURNS]
    return rows


def test_a_question_that_was_changed_keeps_its_place() -> None:
    rows = changed(0, TextBlock(text="I am X."))
    assert isinstance(rows[0], UserMessage)
    assert (rows[0].content, rows[0].id, rows[0].otid) == ("I am X.", "message-1", "o1")
    assert rows[1:] == TURNS[1:]


def test_a_step_that_was_changed_has_no_word_of_the_old_one() -> None:
    calls = [ToolCallBlock(tool_call_id=one, tool_name="add", tool_kwargs={"a": 1}) for one in ("call_1", "call_2")]
    rows = changed(1, ThinkingBlock(content="X"), *calls)
    assert [said(row) for row in rows[1:3]] == [
        ("reasoning", "X", None),
        ("asks", [("call_1", "add", {"a": 1}), ("call_2", "add", {"a": 1})]),
    ]
    assert isinstance(rows[1], ReasoningMessage)
    assert (rows[1].id, rows[1].run_id) == ("message-2", "run-1")


def test_a_result_that_was_changed_is_changed_wherever_it_stands_and_keeps_what_was_printed() -> None:
    rows = changed(2, TextBlock(text="three"), is_error=True)
    given, back = rows[3], rows[4]
    assert isinstance(given, ApprovalResponseMessage)
    assert isinstance(back, ToolReturnMessage)
    results = [one for one in given.approvals or () if isinstance(one, ToolReturn)]
    for told in (results, returns_of(back)):
        assert [(one.tool_return, one.status, one.stdout, one.stderr) for one in told] == [
            ("three", "error", ["s"], ["e"]),
            ("two", "success", None, None),
        ]


# Messages that were not read from a server.


def test_an_engines_answer_is_told_with_what_it_has_no_blocks_for() -> None:
    summary = SummaryMessage(id="message-9", summary="Tea.")
    turn = FinishedTurn(
        conversation_id="conv-1",
        run_id="run-1",
        message_ids=("message-1",),
        parts=(
            ServerToolCall(index=0, tool_call_id="call_1", name="search", arguments="{}"),
            ServerToolResult(
                index=1, tool_call_id="call_1", content="found", status="error", stdout=["s"], stderr=["e"]
            ),
            Text(index=2, text="Found."),
            Notice(index=3, message=summary),
            PendingCall(index=4, tool_call_id="call_2", name="add", arguments="not json"),
        ),
        stop_reason="requires_approval",
    )
    message = ChatMessage.model_validate(json.loads(message_from_turns([turn]).model_dump_json()))
    rows = letta_from_llama_index([message])
    assert [said(row) for row in rows] == [
        ("calls", [("call_1", "search", {})]),
        ("results", [("call_1", "found", "error", ["s"], ["e"])]),
        ("assistant", "Found."),
        ("summary", "summary_message", "Tea.", None),
        ("asks", [("call_2", "add", "not json")]),
    ]
    assert [row.run_id for row in rows] == ["run-1", "run-1", "run-1", None, "run-1"]


def test_messages_of_others_become_rows_with_an_id_of_their_own() -> None:
    call = ToolCallBlock(tool_call_id="call_1", tool_name="add", tool_kwargs={"a": "ü"})
    rows = letta_from_llama_index(
        [
            ChatMessage("Be kind.", role=MessageRole.SYSTEM),
            ChatMessage("Add.", additional_kwargs={"name": "Ann"}),
            ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text="Adding."), call]),
            ChatMessage("3", role=MessageRole.TOOL, additional_kwargs={"tool_call_id": "call_1", "is_error": True}),
            ChatMessage("4", role=MessageRole.TOOL, additional_kwargs={"tool_call_id": "call_2"}),
        ]
    )
    assert [said(row) for row in rows] == [
        ("system", "Be kind."),
        ("user", "Ann", "Add."),
        ("assistant", "Adding."),
        ("asks", [("call_1", "add", {"a": "ü"})]),
        ("answers", [("call_1", "3", "error", None, None), ("call_2", "4", "success", None, None)]),
    ]
    assert isinstance(rows[2], AssistantMessage)
    assert rows[2].id.startswith("message-")


def test_what_letta_does_not_have_is_named() -> None:
    messages = [ChatMessage("Hello"), ChatMessage(role=MessageRole.ASSISTANT, blocks=[AudioBlock(audio=b"x")])]
    with pytest.raises(ValueError, match="no block of type 'audio', as block 0"):
        letta_from_llama_index(messages)


SNAPSHOT = Path(__file__).with_name("translation.json")


def test_an_example_of_each_type_becomes_what_the_snapshot_shows() -> None:
    told = {
        name: {"stored": row, "messages": [_shown(one) for one in translated([row])]} for name, row in EXAMPLES.items()
    }
    check(SNAPSHOT, told)


def _shown(message: ChatMessage) -> Json:
    """A message without what is the same in all of them."""
    fields = message.model_dump(mode="json", exclude_none=True)
    for name in ("rows", "said"):
        del fields["additional_kwargs"]["letta"][name]
    return fields
