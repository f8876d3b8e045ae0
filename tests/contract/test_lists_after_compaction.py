"""Lists after a compaction: only the ids in context say what is where, and what is new.

A list is sorted by place. What stays in context is numbered anew, what was taken out keeps its old place; so both lie
among each other, and a cursor cuts anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.conftest import Backend
from tests.contract.build import CLIENT_TOOLS, answers, new_gate, result, user
from tests.contract.wire import Json, Turn, Wire

pytestmark = pytest.mark.self_hosted("it packs summaries in what the user said, and lists by places")

ALL = {"compaction_settings": {"mode": "all"}}
SMALL_WINDOW = 130
"""Tokens: nine tenths of it are less than what the scripted model says it has read and written."""


@pytest.fixture
def small_agent_id(wire: Wire, backend: Backend) -> Iterator[str]:
    """An agent whose context is full after every answer, so that the server compacts it by itself."""
    fields: Json = {
        "name": f"agent-{uuid4().hex}",
        "agent_type": "letta_v1_agent",
        "model": backend.handle,
        "system": "Be kind.",
        "memory_blocks": [],
        "include_base_tools": False,
        "context_window_limit": SMALL_WINDOW,
    }
    agent = str(wire.http.post("/v1/agents/", json=fields).raise_for_status().json()["id"])
    yield agent
    wire.http.delete(f"/v1/agents/{agent}").raise_for_status()


@pytest.fixture
def small_id(wire: Wire, small_agent_id: str) -> str:
    return wire.new_conversation(small_agent_id)


def turns(wire: Wire, conversation_id: str, name: str, count: int) -> list[str]:
    """Play turns; the ids of their answers."""
    played = [wire.post(conversation_id, user(f"{name}{n} [[say {name} {n}]]")) for n in range(count)]
    return [turn.parts[0]["id"] for turn in played]


def compacted(wire: Wire, conversation_id: str, body: Json) -> Json:
    """Compact a conversation; the row of the summary."""
    wire.http.post(f"/v1/conversations/{conversation_id}/compact", json=body).raise_for_status()
    summary_id = context(wire, conversation_id)[1]
    return next(row for row in wire.rows(conversation_id) if row["id"] == summary_id)


def context(wire: Wire, conversation_id: str) -> list[str]:
    return wire.conversation(conversation_id)["in_context_message_ids"]


def contents(wire: Wire, conversation_id: str) -> list[str]:
    """What the model sees behind the prompt and the summary, told in the order of the ids in context."""
    by_id = {row["id"]: row["content"] for row in wire.rows(conversation_id)}
    return [by_id[message_id] for message_id in context(wire, conversation_id)[2:]]


def answers_behind(wire: Wire, conversation_id: str, cursor: str) -> set[str]:
    rows = wire.rows(conversation_id, after=cursor)
    return {row["content"] for row in rows if row["message_type"] == "assistant_message"}


def summary_of(turn: Turn) -> Json:
    """The one summary that a turn streamed."""
    (summary,) = turn.of("user_message")
    return summary


def test_the_summary_that_was_asked_for_has_no_run_and_no_otid(wire: Wire, conversation_id: str) -> None:
    turns(wire, conversation_id, "old", 4)
    summary = compacted(wire, conversation_id, {})
    assert (summary["run_id"], summary["otid"], summary["step_id"]) == (None, None, None)
    assert set(json.loads(summary["content"])) == {"type", "message", "time"}


def test_the_context_goes_on_from_prompt_and_summary_in_order(wire: Wire, conversation_id: str) -> None:
    turns(wire, conversation_id, "old", 4)
    compiled = context(wire, conversation_id)[0]
    compacted(wire, conversation_id, {})
    turns(wire, conversation_id, "new", 1)
    assert context(wire, conversation_id)[0] == compiled
    assert contents(wire, conversation_id)[-3:] == ["old 3", "new0 [[say new 0]]", "new 0"]


def test_behind_the_newest_answer_old_rows_are_listed(wire: Wire, conversation_id: str) -> None:
    turns(wire, conversation_id, "old", 4)
    compacted(wire, conversation_id, ALL)
    (head,) = turns(wire, conversation_id, "new", 1)
    assert context(wire, conversation_id)[-1] == head
    assert answers_behind(wire, conversation_id, head) == {"old 1", "old 2", "old 3"}


def test_behind_the_last_answer_before_it_new_rows_are_missing(wire: Wire, conversation_id: str) -> None:
    *_, last = turns(wire, conversation_id, "old", 4)
    compacted(wire, conversation_id, ALL)
    turns(wire, conversation_id, "new", 3)
    assert wire.rows(conversation_id, after=last) == []
    assert last not in context(wire, conversation_id)
    assert contents(wire, conversation_id)[1::2] == ["new 0", "new 1", "new 2"]


def test_where_only_the_oldest_rows_went_the_newest_answer_is_still_a_good_cursor(
    wire: Wire, conversation_id: str
) -> None:
    *_, last = turns(wire, conversation_id, "old", 4)
    compacted(wire, conversation_id, {})
    assert wire.rows(conversation_id, after=last) == []
    turns(wire, conversation_id, "new", 1)
    assert answers_behind(wire, conversation_id, last) == {"new 0"}


def test_a_call_that_waits_stays_in_context_and_is_answered(wire: Wire, conversation_id: str) -> None:
    turns(wire, conversation_id, "old", 3)
    asked = wire.post(conversation_id, user("[[call add {}]] [[say one moment]]"), client_tools=CLIENT_TOOLS)
    request = wire.rows(conversation_id)[-1]["id"]
    compacted(wire, conversation_id, ALL)
    assert context(wire, conversation_id)[2:] == [request]
    assert answers_behind(wire, conversation_id, request) >= {"old 1", "old 2"}
    turn = wire.post(conversation_id, answers(result(asked.call_id, "3")), client_tools=CLIENT_TOOLS)
    assert turn.text == "The tools answered: 3"


def test_a_fork_lists_what_is_in_context_in_order_and_knows_nothing_else(wire: Wire, conversation_id: str) -> None:
    first, *_ = turns(wire, conversation_id, "old", 4)
    compacted(wire, conversation_id, ALL)
    turns(wire, conversation_id, "new", 2)
    fork = wire.http.post(f"/v1/conversations/{conversation_id}/fork").raise_for_status().json()["id"]
    rows = wire.stored(fork)
    assert [row["id"] for row in rows] == context(wire, conversation_id)[1:]
    assert wire.rows(fork, after=first) == wire.rows(fork)


def test_the_default_conversation_lists_in_order_of_time(wire: Wire, agent_id: str) -> None:
    for number in range(4):
        wire.post("default", user(f"old{number} [[say old {number}]]"), agent_id=agent_id)
    before = wire.rows("default", agent_id=agent_id)
    wire.http.post("/v1/conversations/default/compact", json={"agent_id": agent_id, **ALL}).raise_for_status()
    wire.post("default", user("new [[say new]]"), agent_id=agent_id)
    summary, asked, answer = wire.rows("default", agent_id=agent_id, after=before[-1]["id"])
    assert json.loads(summary["content"])["type"] == "system_alert"
    assert (asked["content"], answer["content"]) == ("new [[say new]]", "new")
    ids = [before[0]["id"], summary["id"], asked["id"], answer["id"]]
    assert wire.get(f"/v1/agents/{agent_id}")["message_ids"] == ids


def test_a_turn_in_flight_undoes_a_compaction(wire: Wire, backend: Backend, conversation_id: str) -> None:
    turns(wire, conversation_id, "old", 2)
    before, gate = context(wire, conversation_id), new_gate()
    turn = wire.start(conversation_id, user(f"[[hold {gate} 1]] [[say a new one]]"), stream_tokens=True)
    backend.wait_for_gate(gate)
    summary = compacted(wire, conversation_id, ALL)
    backend.open_gate(gate)
    assert turn.result().stop_reasons == ["end_turn"]
    assert context(wire, conversation_id)[:-2] == before
    assert summary["id"] in {row["id"] for row in wire.rows(conversation_id)}


@pytest.mark.parametrize("background", [True, False])
def test_a_full_context_is_compacted_behind_the_answer_and_the_answer_itself_is_taken_out(
    wire: Wire, small_id: str, background: bool
) -> None:
    asked = user("hello [[say hello]]")
    turn = wire.post(small_id, asked, background=background, stream_tokens=True)
    assert turn.types == ["assistant_message", "user_message", "stop_reason", "usage_statistics"]
    assert turn.stop_reasons == ["end_turn"]
    summary = summary_of(turn)
    assert context(wire, small_id)[1:] == [summary["id"]]
    packed = json.loads(summary["content"])
    assert packed["type"] == "system_alert"
    assert packed["compaction_stats"]["trigger"] == "post_step_context_check"
    stored = wire.get(f"/v1/runs/{turn.run_id}/messages", order="asc")
    assert [row["content"] for row in stored] == ["hello [[say hello]]", "hello", summary["content"]]
    assert (stored[2]["run_id"], stored[2]["otid"]) == (turn.run_id, summary["otid"])
    assert summary["otid"] not in (None, asked["otid"])
    assert (summary["step_id"], stored[2]["step_id"]) == (None, stored[1]["step_id"])


def test_a_type_filter_keeps_the_summary_out_of_a_body_but_not_out_of_a_stream(wire: Wire, small_id: str) -> None:
    wanted = ["assistant_message"]
    streamed = wire.post(small_id, user("hello"), include_return_message_types=wanted)
    assert streamed.types[:2] == ["assistant_message", "user_message"]
    whole = wire.post(small_id, user("hello"), include_return_message_types=wanted, streaming=False)
    assert [message["message_type"] for message in whole.body["messages"]] == wanted


def test_a_turn_that_ends_with_a_call_has_its_summary_before_the_call(wire: Wire, small_id: str) -> None:
    asked = wire.post(small_id, user("[[say one moment]] [[call add {}]]"), client_tools=CLIENT_TOOLS)
    assert asked.stop_reasons == ["requires_approval"]
    request = asked.of("approval_request_message")[0]["id"]
    assert context(wire, small_id)[1:] == [summary_of(asked)["id"], request]
    answered = wire.post(small_id, answers(result(asked.call_id, "3")), client_tools=CLIENT_TOOLS)
    assert answered.text == "The tools answered: 3"
    assert answered.types[:3] == ["tool_return_message", "assistant_message", "user_message"]
    assert context(wire, small_id)[1:] == [summary_of(answered)["id"]]


def test_where_the_model_gives_no_summary_the_turn_ends_as_ever_and_nothing_is_compacted(
    wire: Wire, small_id: str
) -> None:
    turn = wire.post(small_id, user("[[call add {}]]"), client_tools=CLIENT_TOOLS, background=True)
    assert turn.types == ["approval_request_message", "stop_reason", "usage_statistics"]
    assert turn.stop_reasons == ["requires_approval"]
    assert len(context(wire, small_id)) == 3
    answer = wire.http.post(f"/v1/conversations/{small_id}/compact", json=ALL)
    assert answer.status_code == 500
    assert answer.json()["error"]["detail"] == "Unhandled LLM error: Summary failed to generate"


def test_the_default_conversation_lists_each_summary_behind_its_answer(wire: Wire, small_agent_id: str) -> None:
    found: list[str] = []
    for word in ("one", "two"):
        turn = wire.post("default", user(f"[[say {word}]]"), agent_id=small_agent_id)
        found += [f"[[say {word}]]", word, summary_of(turn)["content"]]
    assert [row["content"] for row in wire.stored("default", agent_id=small_agent_id)] == found
