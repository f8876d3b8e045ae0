"""`streaming: false` on a conversation."""

from __future__ import annotations

import pytest

from tests.contract.build import CLIENT_TOOLS, answers, new_otid, result, user
from tests.contract.wire import Wire

CALL = '[[call add {"a": 1, "b": 2}]]'


@pytest.mark.scripted("it counts the tokens of the scripted model")
def test_a_json_turn_has_messages_a_stop_reason_and_usage(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user("[[say Hello there friend]]"), streaming=False)
    assert turn.status == 200
    assert [(m["message_type"], m["content"]) for m in turn.body["messages"]] == [
        ("assistant_message", "Hello there friend")
    ]
    assert turn.body["stop_reason"] == {"message_type": "stop_reason", "stop_reason": "end_turn"}
    assert turn.body["usage"]["total_tokens"] == 120


@pytest.mark.scripted("its model thinks when it is told to")
def test_a_json_turn_has_its_reasoning(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user("[[think hm]] [[say ok]]"), streaming=False)
    assert [m["message_type"] for m in turn.body["messages"]] == ["reasoning_message", "assistant_message"]
    assert wire.story(conversation_id)[1:] == [("reasoning_message", "hm"), ("assistant_message", "ok")]


def test_a_json_turn_stores_its_otid(wire: Wire, conversation_id: str) -> None:
    otid = new_otid()
    wire.post(conversation_id, user("[[say ok]]", otid), streaming=False)
    assert wire.stored(conversation_id)[0]["otid"] == otid


def test_a_json_turn_asks_for_tools_and_takes_their_results(wire: Wire, conversation_id: str) -> None:
    first = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS, streaming=False)
    assert first.body["stop_reason"]["stop_reason"] == "requires_approval"
    (call,) = first.body["messages"][-1]["tool_calls"]
    second = wire.post(conversation_id, answers(result(call["tool_call_id"], "3")), streaming=False)
    assert second.body["messages"][-1]["content"] == "The tools answered: 3"


def test_the_run_of_a_json_turn_stays_created_and_belongs_to_no_conversation(
    wire: Wire, agent_id: str, conversation_id: str
) -> None:
    wire.post(conversation_id, user("[[say ok]]"), streaming=False)
    assert wire.runs(conversation_id) == []
    (run,) = wire.get("/v1/runs/", agent_id=agent_id)
    assert (run["status"], run["stop_reason"], run["conversation_id"]) == ("created", None, None)
