"""Stored messages as LangChain's and back: nothing is lost, and what was changed is what comes back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    messages_from_dict,
    messages_to_dict,
)

from langchain_letta import approval_result, langchain_from_letta, letta_from_langchain
from langchain_letta.stored_to_langchain import STORED_KEY
from letta_adapters import LettaClient
from letta_adapters.matching import Row
from letta_adapters.wire import (
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    AssistantMessage,
    ReasoningMessage,
    ToolReturn,
    ToolReturnMessage,
    UserMessage,
    returns_of,
)
from tests.conftest import Backend
from tests.snapshots import check
from tests.stored_conversations import STORED_TYPES, varied_rows
from tests.stored_types import CONVERSATIONS, EXAMPLES, ROWS, TURNS, Json, dumped, parsed, said

PLACE = {"conversation_id": "conv-1", "agent_id": "agent-1"}


def translated(rows: Sequence[Json]) -> list[BaseMessage]:
    """What rows become, by way of a file."""
    return messages_from_dict(json.loads(json.dumps(messages_to_dict(langchain_from_letta(parsed(rows), **PLACE)))))


def forgetful(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Messages that forgot what they were read from."""
    for message in messages:
        del message.response_metadata[STORED_KEY]
    return list(messages)


def test_rows_that_a_program_made_come_back_as_they_were() -> None:
    made = letta_from_langchain([HumanMessage("Hello"), AIMessage("Hi")])
    back = letta_from_langchain(langchain_from_letta(made, **PLACE))
    assert [(row.message_type, said(row)) for row in back] == [(row.message_type, said(row)) for row in made]
    assert [row.message_type for row in back] == ["user_message", "assistant_message"]


def test_an_answer_without_a_word_makes_no_row() -> None:
    call = AIMessage("", tool_calls=[{"id": "c1", "name": "f", "args": {}}])
    rows = letta_from_langchain([HumanMessage("a"), call, ToolMessage("r", tool_call_id="c1"), AIMessage("")])
    assert [row.message_type for row in rows] == [
        "user_message",
        "approval_request_message",
        "approval_response_message",
    ]


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_each_type_comes_back_as_it_was(example: Json) -> None:
    assert dumped(letta_from_langchain(translated([example]))) == dumped(parsed([example]))


@given(row=ROWS)
def test_whatever_a_row_says_it_comes_back_as_it_was(row: Json) -> None:
    assert dumped(letta_from_langchain(translated([row]))) == dumped(parsed([row]))


@settings(max_examples=200)
@given(rows=CONVERSATIONS)
def test_every_row_of_a_conversation_comes_back_once(rows: list[Json]) -> None:
    back = letta_from_langchain(translated(rows))
    assert sorted(map(str, dumped(back))) == sorted(map(str, dumped(parsed(rows))))


@given(row=ROWS)
def test_what_a_row_says_is_in_the_message_itself(row: Json) -> None:
    assert [said(one) for one in letta_from_langchain(forgetful(translated([row])))] == [said(parsed([row])[0])]


def test_every_row_that_a_server_stores_comes_back_as_it_was(backend: Backend, conversation_id: str) -> None:
    with LettaClient(base_url=backend.base_url) as client:
        rows = varied_rows(client, conversation_id)
    assert {row.message_type for row in rows} == STORED_TYPES
    messages = messages_from_dict(messages_to_dict(langchain_from_letta(rows, **PLACE)))
    assert sorted(map(str, dumped(letta_from_langchain(messages)))) == sorted(map(str, dumped(rows)))


def test_images_keep_their_details_in_the_blocks_themselves() -> None:
    row = EXAMPLES["user, images with details"]
    assert [said(one) for one in letta_from_langchain(forgetful(translated([row])))] == [said(parsed([row])[0])]


# What was changed since.


def changed(position: int, **update: Any) -> list[Row]:
    """The rows of a history of which one message was changed."""
    messages = langchain_from_letta(TURNS, **PLACE)
    messages[position] = messages[position].model_copy(update=update)
    rows = letta_from_langchain(messages)
    assert [row.message_type for row in rows] == [row.message_type for row in TURNS]
    return rows


def test_a_question_that_was_changed_keeps_its_place() -> None:
    rows = changed(0, content="My name is X.")
    assert isinstance(rows[0], UserMessage)
    assert (rows[0].content, rows[0].id, rows[0].otid) == ("My name is X.", "message-1", "o1")
    assert rows[1:] == TURNS[1:]


def test_an_answer_that_was_changed_says_the_new_words() -> None:
    rows = changed(4, content="Done.")
    assert isinstance(rows[-1], AssistantMessage)
    assert (rows[-1].content, rows[-1].id, rows[-1].run_id) == ("Done.", "message-5", "run-2")
    assert rows[:-1] == TURNS[:-1]


def test_a_step_that_was_changed_has_no_word_of_the_old_one() -> None:
    rows = changed(1, content=[{"type": "reasoning", "reasoning": "X"}])
    assert isinstance(rows[1], ReasoningMessage)
    assert isinstance(rows[2], ApprovalRequestMessage)
    assert (rows[1].reasoning, rows[1].id, rows[1].run_id) == ("X", "message-2", "run-1")


def test_a_result_that_was_changed_is_changed_wherever_it_stands() -> None:
    rows = changed(3, content="three", status="error")
    given, back = rows[3], rows[4]
    assert isinstance(given, ApprovalResponseMessage)
    assert isinstance(back, ToolReturnMessage)
    results = [one for one in given.approvals or () if isinstance(one, ToolReturn)]
    for told in (results, returns_of(back)):
        assert [(one.tool_return, one.status, one.stdout) for one in told] == [
            ("one", "success", ["s"]),
            ("three", "error", None),
        ]


# Messages that no server gave.


def test_messages_of_others_become_rows_with_an_id_of_their_own() -> None:
    rows = letta_from_langchain(
        [
            SystemMessage("Be kind."),
            HumanMessage("Add.", id="h"),
            AIMessage("Adding.", tool_calls=[{"name": "add", "args": {"a": "ü"}, "id": "call_1"}], name="Bob"),
            ToolMessage("3", tool_call_id="call_1", artifact={"stdout": ["s"], "other": 1}),
            approval_result("call_2", False, "No."),
            FunctionMessage(content="4", name="count"),
        ]
    )
    assert [said(row) for row in rows] == [
        ("system", "Be kind."),
        ("user", None, "Add."),
        ("assistant", "Adding."),
        ("asks", [("call_1", "add", {"a": "ü"})]),
        ("answers", [("call_1", "3", "success", ["s"], None), ("call_2", False, "No.")]),
        ("user", None, "[The function count answered: 4]"),
    ]
    ids = [row.id for row in rows if isinstance(row, (UserMessage, AssistantMessage, ApprovalResponseMessage))]
    assert ids[0] == "h"
    assert all(id.startswith("message-") for id in ids[1:])
    assert isinstance(rows[2], AssistantMessage)
    assert rows[2].name == "Bob"


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (HumanMessage([{"type": "audio", "url": "https://x/y"}]), "part 0 of message 1"),
        (AIMessage([{"type": "image", "url": "https://x/y"}]), "part of type 'image', as block 0"),
    ],
)
def test_what_letta_does_not_have_is_named(message: BaseMessage, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        letta_from_langchain([HumanMessage("Hello"), message])


def test_messages_kept_without_a_digest_are_taken_for_unchanged() -> None:
    messages = langchain_from_letta(TURNS, **PLACE)
    for message in messages:
        del message.response_metadata[STORED_KEY]["said"]
    assert letta_from_langchain(messages) == TURNS


SNAPSHOT = Path(__file__).with_name("translation.json")


def test_an_example_of_each_type_becomes_what_the_snapshot_shows() -> None:
    told = {
        name: {"stored": row, "messages": [_shown(one) for one in translated([row])]} for name, row in EXAMPLES.items()
    }
    check(SNAPSHOT, told)


def _shown(message: BaseMessage) -> Json:
    """A message without what is the same in all of them."""
    fields = message.model_dump(mode="json", exclude_defaults=True)
    metadata = fields["response_metadata"]
    del metadata[STORED_KEY]
    if "letta" in metadata:  # an anchor says nothing where it has nothing to say
        metadata["letta"] = {name: value for name, value in metadata["letta"].items() if value not in (None, [])}
    return {"type": message.type, **fields}
