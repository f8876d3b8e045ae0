"""The agent's own list of a conversation's messages: in order of time, whatever a compaction did to the places."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.contract.build import user
from tests.contract.wire import Json, Wire

pytestmark = pytest.mark.self_hosted("it packs summaries in what the user said, and lists by places")

ALL = {"compaction_settings": {"mode": "all"}}


def play(wire: Wire, conversation_id: str, name: str, count: int) -> list[str]:
    """Play turns; what was said in them."""
    for number in range(count):
        wire.post(conversation_id, user(f"[[say {name} {number}]]"))
    return [line for number in range(count) for line in (f"[[say {name} {number}]]", f"{name} {number}")]


def compact(wire: Wire, conversation_id: str, **body: Any) -> str:
    """Compact a conversation; what the summary says."""
    wire.http.post(f"/v1/conversations/{conversation_id}/compact", json=body).raise_for_status()
    summary_id = wire.conversation(conversation_id)["in_context_message_ids"][1]
    return next(row["content"] for row in wire.rows(conversation_id, limit=1000) if row["id"] == summary_id)


def in_order_of_time(wire: Wire, agent_id: str, conversation_id: str, **query: Any) -> list[Json]:
    path = f"/v1/agents/{agent_id}/messages"
    rows: list[Json] = wire.get(path, conversation_id=conversation_id, order="asc", **query)
    return rows


def contents(rows: list[Json]) -> list[str]:
    return [row["content"] for row in rows if row["message_type"] != "system_message"]


def test_all_messages_are_listed_as_they_were_said_with_each_summary_in_its_place(
    wire: Wire, agent_id: str, conversation_id: str
) -> None:
    said = play(wire, conversation_id, "old", 4)
    said.append(compact(wire, conversation_id, **ALL))
    said += play(wire, conversation_id, "new", 4)
    said.append(compact(wire, conversation_id))
    said += play(wire, conversation_id, "last", 1)
    assert contents(in_order_of_time(wire, agent_id, conversation_id)) == said


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_its_pages_give_each_message_once_after_a_compaction(
    wire: Wire, agent_id: str, conversation_id: str, limit: int
) -> None:
    said = play(wire, conversation_id, "old", 4)
    said.append(compact(wire, conversation_id, **ALL))
    said += play(wire, conversation_id, "new", 2)
    seen: list[Json] = []
    page = in_order_of_time(wire, agent_id, conversation_id, limit=limit)
    while page:
        seen += page
        page = in_order_of_time(wire, agent_id, conversation_id, limit=limit, after=seen[-1]["id"])
    assert contents(seen) == said


@pytest.mark.not_recorded("order by chance")
def test_the_pages_of_the_conversations_list_lose_messages_after_a_compaction(wire: Wire, conversation_id: str) -> None:
    play(wire, conversation_id, "old", 4)
    compact(wire, conversation_id, **ALL)
    play(wire, conversation_id, "new", 4)
    whole = wire.rows(conversation_id)
    seen: list[Json] = []
    page = wire.rows(conversation_id, limit=1)
    while page:
        seen += page
        page = wire.rows(conversation_id, limit=1, after=seen[-1]["id"])
    assert len(seen) < len(whole)


@pytest.mark.parametrize("times", [1, 2])
def test_a_summary_is_among_the_first_three_messages_of_the_conversations_list(
    wire: Wire, conversation_id: str, times: int
) -> None:
    summaries: set[str] = set()
    for number in range(times):
        play(wire, conversation_id, f"part {number}", 4)
        summaries.add(compact(wire, conversation_id, **ALL))
    play(wire, conversation_id, "new", 1)
    assert {row["content"] for row in wire.rows(conversation_id, limit=3)} & summaries


def test_what_was_said_first_stays_at_the_beginning_of_the_conversations_list(wire: Wire, conversation_id: str) -> None:
    first, *_ = play(wire, conversation_id, "old", 4)
    compact(wire, conversation_id, **ALL)
    play(wire, conversation_id, "new", 4)
    compact(wire, conversation_id, **ALL)
    play(wire, conversation_id, "last", 1)
    assert first in contents(wire.rows(conversation_id, limit=4))


def test_a_fork_of_a_compacted_conversation_begins_with_its_summary_too_but_it_was_not_said_there(
    wire: Wire, agent_id: str, conversation_id: str
) -> None:
    play(wire, conversation_id, "old", 4)
    summary = compact(wire, conversation_id, **ALL)
    fork = wire.http.post(f"/v1/conversations/{conversation_id}/fork").raise_for_status().json()["id"]
    own = play(wire, fork, "own", 1)
    assert contents(wire.rows(fork)) == [summary, *own]
    assert contents(in_order_of_time(wire, agent_id, fork)) == own


def test_of_a_fork_it_has_what_was_said_there_and_not_what_it_shares(
    wire: Wire, agent_id: str, conversation_id: str
) -> None:
    shared = play(wire, conversation_id, "shared", 2)
    fork = wire.http.post(f"/v1/conversations/{conversation_id}/fork").raise_for_status().json()["id"]
    own = play(wire, fork, "own", 1)
    assert contents(wire.rows(fork)) == [*shared, *own]
    assert contents(in_order_of_time(wire, agent_id, fork)) == own


def test_newest_first_means_the_newest_ones_in_order_of_time(wire: Wire, agent_id: str, conversation_id: str) -> None:
    said = play(wire, conversation_id, "one", 3)
    rows = wire.get(f"/v1/agents/{agent_id}/messages", conversation_id=conversation_id, order="desc", limit=2)
    assert contents(rows) == said[-2:]


def test_an_unknown_cursor_is_not_found_there(wire: Wire, agent_id: str, conversation_id: str) -> None:
    play(wire, conversation_id, "one", 1)
    query = {"conversation_id": conversation_id, "after": f"message-{uuid4()}"}
    assert wire.http.get(f"/v1/agents/{agent_id}/messages", params=query).status_code == 404
