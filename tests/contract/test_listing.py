"""Reading a conversation back: order, cursors, forks, searches."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.conftest import Backend, fresh_agent
from tests.contract.build import CLIENT_TOOLS, answers, result, user
from tests.contract.wire import Json, Wire

CALL = '[[call add {"a": 1, "b": 2}]]'


@pytest.fixture
def talker(backend: Backend) -> Iterator[Wire]:
    with Wire(backend.base_url, api_key=backend.api_key) as opened:
        yield opened


@pytest.fixture
def talk_id(backend: Backend, talker: Wire) -> Iterator[str]:
    """A conversation of four turns, a tool call and a thought among them."""
    with fresh_agent(backend, system="You are brief.") as agent:
        talk_id = talker.new_conversation(agent)
        talker.post(talk_id, user("first [[say one]]"))
        talker.post(talk_id, user("second [[think hm]] [[say two]]"))
        call = talker.post(talk_id, user(f"third {CALL}"), client_tools=CLIENT_TOOLS).call_id
        talker.post(talk_id, answers(result(call, "3")))
        talker.post(talk_id, user("fourth [[say four]]"))
        yield talk_id


@pytest.fixture
def talk(talker: Wire, talk_id: str) -> list[Json]:
    """The rows of that conversation, oldest first."""
    return talker.rows(talk_id)


def keys(rows: list[Json]) -> list[tuple[str, str]]:
    return [(row["id"], row["message_type"]) for row in rows]


@pytest.mark.scripted("its model thinks when it is told to")
def test_all_rows_are_in_the_order_in_which_they_were_said(talk: list[Json]) -> None:
    assert [row["message_type"] for row in talk] == [
        "system_message",
        "user_message",
        "assistant_message",
        "user_message",
        "reasoning_message",
        "assistant_message",
        "user_message",
        "approval_request_message",
        "approval_response_message",
        "tool_return_message",
        "assistant_message",
        "user_message",
        "assistant_message",
    ]


def test_the_default_order_is_newest_first(wire: Wire, talk_id: str, talk: list[Json]) -> None:
    newest = wire.get(f"/v1/conversations/{talk_id}/messages")
    assert [row["id"] for row in newest] == [row["id"] for row in reversed(talk)]


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_ascending_pages_by_cursor_give_each_row_once(wire: Wire, talk_id: str, talk: list[Json], limit: int) -> None:
    seen: list[Json] = []
    page = wire.rows(talk_id, limit=limit)
    while page:
        seen += page
        page = wire.rows(talk_id, limit=limit, after=seen[-1]["id"])
    assert keys(seen) == keys(talk)


@pytest.mark.scripted("its model thinks when it is told to")
def test_the_limit_counts_stored_messages_not_rows(wire: Wire, talk_id: str, talk: list[Json]) -> None:
    page = wire.rows(talk_id, limit=5)
    assert keys(page) == keys(talk[:6])


@pytest.mark.self_hosted("Letta Cloud's cursors point where the order points")
def test_after_is_newer_and_before_is_older_in_both_orders(wire: Wire, talk_id: str, talk: list[Json]) -> None:
    cursor = talk[6]["id"]
    for order in ("asc", "desc"):
        after = {row["id"] for row in wire.rows(talk_id, order=order, after=cursor)}
        before = {row["id"] for row in wire.rows(talk_id, order=order, before=cursor)}
        assert after == {row["id"] for row in talk[7:]}
        assert before == {row["id"] for row in talk[:6]}


def test_an_unknown_cursor_is_ignored(wire: Wire, talk_id: str, talk: list[Json]) -> None:
    page = wire.rows(talk_id, after=f"message-{uuid4()}")
    assert keys(page) == keys(talk)


def test_the_cursor_of_the_last_row_gives_an_empty_page(wire: Wire, talk_id: str, talk: list[Json]) -> None:
    assert wire.rows(talk_id, after=talk[-1]["id"]) == []


def test_a_type_filter_applies_after_the_limit(wire: Wire, talk_id: str, talk: list[Json]) -> None:
    page = wire.rows(talk_id, limit=3, include_return_message_types=["assistant_message"])
    assert keys(page) == keys(talk[2:3])


def test_dates_have_the_precision_of_a_second(talk: list[Json]) -> None:
    assert {row["date"][19:] for row in talk} == {"+00:00"}


def test_the_context_is_the_ids_of_the_rows_in_order(wire: Wire, talk_id: str, talk: list[Json]) -> None:
    in_context = wire.conversation(talk_id)["in_context_message_ids"]
    assert in_context == list(dict.fromkeys(row["id"] for row in talk))


def test_a_fork_shares_the_messages_and_has_no_summary(wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user("first [[say one]]"))
    wire.http.patch(f"/v1/conversations/{conversation_id}", json={"summary": "a talk"}).raise_for_status()
    fork = wire.http.post(f"/v1/conversations/{conversation_id}/fork").raise_for_status().json()
    source = wire.conversation(conversation_id)
    assert fork["id"] != conversation_id
    assert fork["summary"] is None
    assert source["summary"] == "a talk"
    shared = wire.conversation(fork["id"])["in_context_message_ids"]
    assert len(shared) == 3
    assert shared[0] != source["in_context_message_ids"][0]
    assert shared[1:] == source["in_context_message_ids"][1:]


@pytest.mark.scripted("its model says what it sees")
def test_a_fork_of_a_conversation_leaves_its_list_alone_and_goes_its_own_way(wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user("first [[say one]]"))
    before = wire.rows(conversation_id)
    fork = wire.http.post(f"/v1/conversations/{conversation_id}/fork").raise_for_status().json()["id"]
    assert wire.story(fork) == [("user_message", "first [[say one]]"), ("assistant_message", "one")]
    turn = wire.post(fork, user("[[recall]] second"))
    assert turn.text == "user: first\nassistant: one\nuser: second"
    assert wire.rows(conversation_id) == before


def test_a_fresh_conversation_holds_at_most_its_system_message(wire: Wire, conversation_id: str) -> None:
    assert wire.stored(conversation_id) == []


def test_conversations_are_found_by_a_text_of_their_summary(wire: Wire, agent_id: str) -> None:
    blue, red = (wire.new_conversation(agent_id, summary=f"a {colour} talk") for colour in ("blue", "red"))
    found = wire.get("/v1/conversations/", agent_id=agent_id, summary_search="blue")
    assert [conversation["id"] for conversation in found] == [blue]
    everything = wire.get("/v1/conversations/", agent_id=agent_id)
    assert {conversation["id"] for conversation in everything} == {blue, red}


def test_a_deleted_conversation_lists_as_empty_and_takes_no_turn(wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user("first [[say one]]"))
    wire.http.delete(f"/v1/conversations/{conversation_id}").raise_for_status()
    assert wire.rows(conversation_id) == []
    assert wire.post(conversation_id, user("hello?")).status == 404
    assert wire.http.get(f"/v1/conversations/{conversation_id}").status_code == 404


def test_a_runs_messages_are_those_of_its_turn(wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user("first [[say one]]"))
    turn = wire.post(conversation_id, user("second [[say two]]"), background=True)
    messages = wire.get(f"/v1/runs/{turn.run_id}/messages")
    assert [(m["message_type"], m["content"]) for m in messages] == [
        ("user_message", "second [[say two]]"),
        ("assistant_message", "two"),
    ]


def test_runs_are_listed_by_conversation(wire: Wire, agent_id: str, conversation_id: str) -> None:
    turns = [wire.post(conversation_id, user("[[say ok]]"), background=flag) for flag in (True, False)]
    wire.post(wire.new_conversation(agent_id), user("[[say ok]]"))
    assert {run["id"] for run in wire.runs(conversation_id)} == {turn.run_id for turn in turns}
    ended = [wire.ended_run(turn.run_id) for turn in turns]
    assert {(run["status"], run["stop_reason"]) for run in ended} == {("completed", "end_turn")}


@pytest.mark.scripted("it counts the tokens of the scripted model")
def test_a_finished_run_knows_its_usage_and_its_steps(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user("[[say ok]]"), background=True)
    usage = wire.get(f"/v1/runs/{turn.run_id}/usage")
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (100, 20, 120)
    assert len(wire.get(f"/v1/runs/{turn.run_id}/steps")) == 1
