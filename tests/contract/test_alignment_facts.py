"""What the rows behind an anchor tell: whose they are, which run stored them, which were there before."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.contract.build import CLIENT_TOOLS, PIXEL, answers, assistant, denial, new_otid, result, system, user
from tests.contract.wire import Json, Wire, otid_of

CALL = '[[call add {"a": 1, "b": 2}]]'
TWO_CALLS = '[[call add {"a": 1}]] [[call multiply {"a": 2}]]'
PING = (
    "<system-alert>Automated keep-alive ping. Ignore this message and continue from where you stopped.</system-alert>"
)
MODES = pytest.mark.parametrize(
    "mode", [{"background": True}, {}, {"streaming": False}], ids=["background", "foreground", "JSON"]
)


def types(rows: list[Json]) -> list[str]:
    return [row["message_type"] for row in rows]


def marks(row: Json) -> tuple[Any, Any, Any]:
    return row["run_id"], row["otid"], row["step_id"]


@MODES
def test_all_that_was_sent_is_stored_with_its_run_and_but_for_seeded_answers_with_its_otid(
    wire: Wire, conversation_id: str, mode: dict[str, Any]
) -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    sent = [
        system("be kind"),
        user("first"),
        assistant("an old answer"),
        assistant("and another"),
        user([{"type": "text", "text": "second [[say ok]]"}, picture]),
    ]
    wire.post(conversation_id, *sent, **mode)
    *asked, answer = wire.stored(conversation_id)
    assert types(asked) == [f"{message['role']}_message" for message in sent]
    for row, message in zip(asked, sent, strict=True):
        seeded = message["role"] == "assistant"
        assert row["otid"] == (otid_of(row["id"], 0) if seeded else message["otid"])
    assert {row["run_id"] for row in asked} == {answer["run_id"]}
    assert answer["run_id"].startswith("run-")
    assert {row["step_id"] for row in asked} == {answer["step_id"]}
    assert answer["otid"] == otid_of(answer["id"], 0)


def test_the_compiled_prompt_is_the_only_row_without_run_and_step_and_the_first_in_context(
    wire: Wire, agent_id: str, conversation_id: str
) -> None:
    wire.post(conversation_id, system("be kind"), user(f"[[think hm]] [[say ok]] {CALL}"), client_tools=CLIENT_TOOLS)
    compiled, *others = wire.rows(conversation_id)
    assert marks(compiled) == (None, None, None)
    assert compiled["id"] == wire.conversation(conversation_id)["in_context_message_ids"][0]
    assert all(row["run_id"] and row["step_id"] and row["otid"] for row in others)
    wire.post("default", user("[[say ok]]"), agent_id=agent_id)
    first, *rest = wire.rows("default", agent_id=agent_id)
    assert marks(first) == (None, None, None)
    assert all(row["run_id"] for row in rest)


def test_answers_to_calls_carry_the_run_that_answered_and_the_step_that_asked(wire: Wire, conversation_id: str) -> None:
    asked = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS)
    follow_up = user("and more")
    answered = wire.post(conversation_id, answers(result(asked.call_id, "3")), follow_up, client_tools=CLIENT_TOOLS)
    _, request, response, returned, also_asked, answer = wire.stored(conversation_id)
    assert marks(request) == (asked.run_id, request["id"], request["step_id"])
    assert marks(response) == (answered.run_id, None, None)
    assert marks(returned) == (answered.run_id, otid_of(returned["id"], 0), request["step_id"])
    assert marks(also_asked) == (answered.run_id, follow_up["otid"], answer["step_id"])
    assert answer["step_id"] != request["step_id"]


def test_settling_stores_the_answers_and_their_echo_and_nothing_else(
    wire: Wire, agent_id: str, conversation_id: str
) -> None:
    wire.patch_agent(agent_id, model_settings={"provider_type": "openai", "parallel_tool_calls": True})
    calls = wire.post(conversation_id, user(TWO_CALLS), client_tools=CLIENT_TOOLS).call_ids
    before = wire.rows(conversation_id)
    settle = answers(*[denial(call, "gone") for call in calls])
    turn = wire.post(conversation_id, settle, max_steps=1, background=True)
    rows = wire.rows(conversation_id, after=before[-1]["id"])
    assert types(rows) == ["approval_response_message", "tool_return_message"]
    assert {row["run_id"] for row in rows} == {turn.run_id}
    assert [part["tool_call_id"] for part in rows[0]["approvals"]] == calls
    assert [part["tool_call_id"] for part in rows[1]["tool_returns"]] == calls


def test_a_message_behind_a_settling_answer_is_dropped_without_a_word(wire: Wire, conversation_id: str) -> None:
    call = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS).call_id
    turn = wire.post(conversation_id, answers(denial(call, "gone")), user("a question"), max_steps=1)
    assert turn.stop_reasons == ["max_steps"]
    assert types(wire.stored(conversation_id))[2:] == ["approval_response_message", "tool_return_message"]
    assert "a question" not in wire.post(conversation_id, user("[[recall]] next")).text


@pytest.mark.parametrize("cursor", ["message-5f0f0ec7-0000-4000-8000-000000000000", "lc_run--1", "nonsense", ""])
def test_behind_an_unknown_message_the_list_begins_with_the_compiled_prompt(
    wire: Wire, conversation_id: str, cursor: str
) -> None:
    wire.post(conversation_id, user("first [[say one]]"))
    whole = wire.rows(conversation_id)
    assert wire.rows(conversation_id, after=cursor) == whole
    assert wire.rows(conversation_id, after=cursor, limit=1) == whole[:1]
    assert whole[0]["id"] == wire.conversation(conversation_id)["in_context_message_ids"][0]


def test_a_message_of_another_conversation_is_an_unknown_one(wire: Wire, agent_id: str, conversation_id: str) -> None:
    wire.post(conversation_id, user("first [[say one]]"))
    other = wire.new_conversation(agent_id)
    wire.post(other, user("elsewhere [[say two]]"))
    cursor = wire.rows(other)[1]["id"]
    assert wire.rows(conversation_id, after=cursor) == wire.rows(conversation_id)


def test_in_the_default_conversation_an_unknown_message_is_not_found_and_a_foreign_one_counts_by_its_time(
    wire: Wire, agent_id: str, conversation_id: str
) -> None:
    wire.post("default", user("first [[say one]]"), agent_id=agent_id)
    wire.post(conversation_id, user("elsewhere [[say two]]"))
    wire.post("default", user("second [[say three]]"), agent_id=agent_id)
    cursor = wire.rows(conversation_id)[1]["id"]
    behind = wire.rows("default", agent_id=agent_id, after=cursor)
    assert [row["content"] for row in behind] == ["second [[say three]]", "three"]
    unknown = f"message-{uuid4()}"
    query = {"agent_id": agent_id, "order": "asc", "after": unknown}
    answer = wire.http.get("/v1/conversations/default/messages", params=query)
    detail = f"No message found with id '{unknown}' for agent '{agent_id}'."
    assert (answer.status_code, answer.json()) == (404, {"detail": detail})


@MODES
@pytest.mark.scripted("its model says what it sees")
def test_one_otid_twice_in_a_request_stores_both_messages(
    wire: Wire, conversation_id: str, mode: dict[str, Any]
) -> None:
    otid = new_otid()
    turn = wire.post(conversation_id, user("one", otid), user("[[recall]] two", otid), **mode)
    assert turn.status == 200
    *asked, answer = wire.stored(conversation_id)
    assert [(row["content"], row["otid"]) for row in asked] == [("one", otid), ("[[recall]] two", otid)]
    assert answer["content"] == "user: one\nuser: two"


@pytest.mark.scripted("its model says what it sees")
def test_the_same_text_twice_in_a_request_is_stored_and_seen_twice(wire: Wire, conversation_id: str) -> None:
    twice = [make(text) for make, text in ((system, "rule"), (assistant, "a"), (user, "[[recall]] u")) for _ in "12"]
    turn = wire.post(conversation_id, *twice, background=True)
    assert turn.text.splitlines() == [
        "system: rule",
        "system: rule",
        "assistant: a",
        "assistant: a",
        "user: u",
        "user: u",
    ]
    assert types(wire.stored(conversation_id)[:-1]) == [f"{message['role']}_message" for message in twice]


@pytest.mark.parametrize("start", ["", "ä ", "x" * 1000], ids=["short", "not ASCII", "long"])
def test_any_text_is_an_otid(wire: Wire, conversation_id: str, start: str) -> None:
    otid = start + uuid4().hex
    message = user("hello", otid)
    wire.post(conversation_id, message, background=True)
    assert wire.stored(conversation_id)[0]["otid"] == otid


def test_the_keep_alive_ping_has_the_run_that_answered_again_and_an_otid_of_the_servers(
    wire: Wire, conversation_id: str
) -> None:
    call = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS).call_id
    wire.post(conversation_id, answers(result(call, "3")))
    again = answers(result(call, "3"))
    turn = wire.post(conversation_id, again)
    ping, _ = wire.stored(conversation_id)[-2:]
    assert (ping["message_type"], ping["content"], ping["run_id"]) == ("user_message", PING, turn.run_id)
    assert ping["otid"] not in (None, again["otid"])


def test_a_person_may_say_what_the_server_says_and_is_told_by_the_otid(wire: Wire, conversation_id: str) -> None:
    said = [json.dumps({"type": "system_alert", "message": "mine"}), PING]
    sent = [user(text) for text in said]
    wire.post(conversation_id, *sent)
    rows = wire.stored(conversation_id)[:2]
    assert [(row["content"], row["otid"]) for row in rows] == [(m["content"], m["otid"]) for m in sent]


def test_the_server_begins_no_conversation_with_messages_of_its_own(wire: Wire, agent_id: str) -> None:
    assert types(wire.rows("default", agent_id=agent_id)) == ["system_message"]
    assert types(wire.rows(wire.new_conversation(agent_id))) == ["system_message"]
