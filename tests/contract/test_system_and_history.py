"""System messages, seeded transcripts, and what is overridden for one request."""

from __future__ import annotations

import pytest

from tests.contract.build import assistant, system, user
from tests.contract.wire import Wire


def test_the_first_row_is_the_compiled_system_message(wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user("[[say ok]]"))
    first = wire.rows(conversation_id)[0]
    assert first["message_type"] == "system_message"
    assert "They like brevity." in first["content"]


@pytest.mark.scripted("its model says what it sees")
def test_a_transcript_is_seeded_in_one_request(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(
        conversation_id, system("be kind"), user("first"), assistant("an old answer"), user("[[recall]] second")
    )
    assert turn.text == "system: be kind\nuser: first\nassistant: an old answer\nuser: second"
    assert turn.usage["step_count"] == 1
    assert wire.story(conversation_id) == [
        ("system_message", "be kind"),
        ("user_message", "first"),
        ("assistant_message", "an old answer"),
        ("user_message", "[[recall]] second"),
        ("assistant_message", turn.text),
    ]


@pytest.mark.scripted("its model says what it sees")
def test_a_system_message_stays_where_it_was_said(wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user("first [[say one]]"))
    wire.post(conversation_id, system("now in French"), user("second [[say deux]]"))
    turn = wire.post(conversation_id, user("[[recall]] third"))
    assert turn.text.splitlines() == [
        "user: first",
        "assistant: one",
        "system: now in French",
        "user: second",
        "assistant: deux",
        "user: third",
    ]


@pytest.mark.scripted("its model says what it sees")
def test_a_request_that_ends_in_an_assistant_message_still_calls_the_model(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user("[[recall]] first"), assistant("an old answer"))
    assert turn.usage["step_count"] == 1
    assert turn.text == "user: first\nassistant: an old answer"


@pytest.mark.scripted("its model says what it sees")
def test_a_request_that_ends_in_a_system_message_still_calls_the_model(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user("[[recall]] first"), system("be kind"))
    assert turn.usage["step_count"] == 1
    assert turn.text == "user: first\nsystem: be kind"


def test_override_system_replaces_the_compiled_prompt_and_its_memory(wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user("[[say ok]]"))
    path = f"/v1/conversations/{conversation_id}/messages/preview-raw-payload"
    plain = {"messages": [user("hi")]}
    seen = wire.http.post(path, json=plain).raise_for_status().json()["messages"][0]["content"]
    assert "They like brevity." in seen
    overridden = {**plain, "override_system": "You are a pirate."}
    seen = wire.http.post(path, json=overridden).raise_for_status().json()["messages"][0]["content"]
    assert seen == "You are a pirate."


def test_override_system_is_not_stored(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user("hello"), override_system="You are a pirate.")
    assert turn.text == "You said: hello"
    assert "They like brevity." in wire.rows(conversation_id)[0]["content"]


def test_a_preview_stores_nothing(wire: Wire, conversation_id: str) -> None:
    path = f"/v1/conversations/{conversation_id}/messages/preview-raw-payload"
    preview = wire.http.post(path, json={"messages": [user("hello")]}).raise_for_status().json()
    assert preview["messages"][-1]["role"] == "user"
    assert wire.stored(conversation_id) == []
