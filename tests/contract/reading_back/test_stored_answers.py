"""Answers to calls as they are listed: without their otid, so they are told by their ids and texts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.build import CLIENT_TOOLS, PIXEL, answers, denial, result, user
from tests.contract.wire import Json, Turn, Wire

CALL = '[[call add {"a": 1, "b": 2}]]'
TEXT: Json = {"type": "text", "text": "seen"}
IMAGE: Json = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
LIMIT = 102_400
"""Characters of a result that are stored: a fifth of the window of 128,000 tokens, at four characters each."""


def answered(wire: Wire, conversation_id: str, value: Any, **fields: Any) -> tuple[Turn, Json]:
    """Answer a call; the turn and the row of the answer."""
    call = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS).call_id
    turn = wire.post(conversation_id, answers(result(call, value, **fields)), client_tools=CLIENT_TOOLS)
    (row,) = [row for row in wire.stored(conversation_id) if row["message_type"] == "approval_response_message"]
    return turn, row


def test_the_row_of_an_answer_carries_its_run_and_no_otid(wire: Wire, conversation_id: str) -> None:
    turn, row = answered(wire, conversation_id, "3")
    assert (row["run_id"], row["otid"]) == (turn.run_id, None)
    rows = wire.get(f"/v1/runs/{turn.run_id}/messages", order="asc")
    kinds = ["approval_response_message", "tool_return_message", "assistant_message"]
    assert [row["message_type"] for row in rows] == kinds


@pytest.mark.parametrize("text", ["3", "", "  a \n", '{"status": "failed", "message": "boo"}', "ä €\U0001f600"])
def test_a_text_is_listed_as_it_was_sent(wire: Wire, conversation_id: str, text: str) -> None:
    _, row = answered(wire, conversation_id, text)
    (part,) = row["approvals"]
    assert (part["type"], part["tool_return"], part["status"]) == ("tool", text, "success")


def test_an_error_is_listed_as_one(wire: Wire, conversation_id: str) -> None:
    _, row = answered(wire, conversation_id, "no such file", status="error")
    (part,) = row["approvals"]
    assert (part["tool_return"], part["status"]) == ("no such file", "error")


def test_null_characters_are_dropped_from_a_result(wire: Wire, conversation_id: str) -> None:
    _, row = answered(wire, conversation_id, "a\0b\0")
    assert row["approvals"][0]["tool_return"] == "ab"
    assert wire.story(conversation_id)[3] == ("tool_return_message", "ab")


def test_null_characters_are_dropped_from_a_message_and_a_reason(wire: Wire, conversation_id: str) -> None:
    call = wire.post(conversation_id, user(f"a\0b {CALL}"), client_tools=CLIENT_TOOLS).call_id
    wire.post(conversation_id, answers(denial(call, "n\0o")), max_steps=1)
    asked, _, row, _ = wire.stored(conversation_id)
    assert asked["content"] == f"ab {CALL}"
    (part,) = row["approvals"]
    assert (part["tool_call_id"], part["approve"], part["reason"]) == (call, False, "no")


@pytest.mark.not_recorded("100,000 characters")
def test_a_long_result_is_listed_clipped(wire: Wire, conversation_id: str) -> None:
    _, row = answered(wire, conversation_id, "y" * (LIMIT + 7))
    assert row["approvals"][0]["tool_return"] == f"{'y' * LIMIT}... [truncated 7 chars]"


@pytest.mark.parametrize(
    ("parts", "listed"),
    [([TEXT], "seen"), ([TEXT, IMAGE], "seen [Image omitted]"), ([IMAGE], "[Image omitted]")],
    ids=["text", "text and image", "image"],
)
def test_parts_are_listed_as_text_without_their_images(
    wire: Wire, conversation_id: str, parts: list[Json], listed: str
) -> None:
    turn = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS)
    wire.post(conversation_id, answers(result(turn.call_id, parts)), client_tools=CLIENT_TOOLS, max_steps=1)
    (row,) = [row for row in wire.rows(conversation_id) if row["message_type"] == "approval_response_message"]
    assert row["approvals"][0]["tool_return"] == listed


def test_an_error_with_parts_is_listed_as_one(wire: Wire, conversation_id: str) -> None:
    _, row = answered(wire, conversation_id, [TEXT, IMAGE], status="error")
    assert row["approvals"][0]["status"] == "error"
