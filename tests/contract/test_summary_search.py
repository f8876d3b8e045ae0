"""Searching conversations by what their summary says: what is found, and in which order."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Backend, fresh_agent
from tests.contract.build import user
from tests.contract.wire import Wire


def found(wire: Wire, agent_id: str, text: str, **query: Any) -> list[str]:
    conversations = wire.get("/v1/conversations/", agent_id=agent_id, summary_search=text, **query)
    return [conversation["id"] for conversation in conversations]


def test_each_of_two_tokens_finds_a_summary_and_both_do_in_their_order(wire: Wire, agent_id: str) -> None:
    shared, one, other = (str(uuid4()) for _ in range(3))
    first, second = (wire.new_conversation(agent_id, summary=f"letta-adapters {shared} {own}") for own in (one, other))
    assert found(wire, agent_id, one) == found(wire, agent_id, f"{shared} {one}") == [first]
    assert found(wire, agent_id, other) == [second]
    assert found(wire, agent_id, shared) == found(wire, agent_id, "letta-adapters") == [second, first]
    assert found(wire, agent_id, f"{one} {shared}") == []


def test_the_newest_comes_first_unless_told_otherwise_whatever_happens_in_them(wire: Wire, agent_id: str) -> None:
    marker = str(uuid4())
    made = [wire.new_conversation(agent_id, summary=marker) for _ in range(3)]
    wire.post(made[0], user("[[say ok]]"))
    wire.http.patch(f"/v1/conversations/{made[1]}", json={"summary": f"now {marker}"}).raise_for_status()
    assert found(wire, agent_id, marker) == made[::-1]
    assert found(wire, agent_id, marker, order="asc") == made
    assert found(wire, agent_id, marker, order="asc", limit=1) == made[:1]


def test_cursors_point_in_the_direction_of_the_order(wire: Wire, agent_id: str) -> None:
    marker = str(uuid4())
    made = [wire.new_conversation(agent_id, summary=marker) for _ in range(3)]
    assert found(wire, agent_id, marker, after=made[1]) == made[:1]
    assert found(wire, agent_id, marker, after=made[1], order="asc") == made[2:]


@pytest.mark.self_hosted("the reference has null where no messages were looked up")
def test_a_summary_is_changed_cleared_and_never_unset(wire: Wire, conversation_id: str) -> None:
    told: list[str | None] = []
    for summary in ("a talk", None, ""):
        path = f"/v1/conversations/{conversation_id}"
        changed = wire.http.patch(path, json={"summary": summary}).raise_for_status().json()
        assert changed["in_context_message_ids"] == []
        told.append(wire.conversation(conversation_id)["summary"])
    assert told == ["a talk", "a talk", ""]


@pytest.mark.not_recorded("100,000 characters")
def test_a_summary_may_be_long_and_is_found_by_its_end(wire: Wire, agent_id: str, conversation_id: str) -> None:
    marker = str(uuid4())
    summary = "x" * 100_000 + marker
    wire.http.patch(f"/v1/conversations/{conversation_id}", json={"summary": summary}).raise_for_status()
    created = wire.new_conversation(agent_id, summary=summary)
    assert found(wire, agent_id, marker, order="asc") == [conversation_id, created]


@pytest.mark.parametrize(
    ("text", "finds"),
    [("Blue", True), ("blue", False), ("B%talk", True), ("Bl_e", True), (r"B\%", False), (r"100\%", True)],
)
def test_case_counts_and_the_signs_of_a_pattern_stand_for_anything(
    wire: Wire, agent_id: str, conversation_id: str, text: str, finds: bool
) -> None:
    path = f"/v1/conversations/{conversation_id}"
    wire.http.patch(path, json={"summary": "a Blue talk, 100% new"}).raise_for_status()
    assert bool(found(wire, agent_id, text)) is finds


def test_another_agents_conversations_are_not_found(wire: Wire, backend: Backend, agent_id: str) -> None:
    marker = str(uuid4())
    with fresh_agent(backend) as other:
        made = wire.new_conversation(other, summary=marker)
        assert found(wire, agent_id, marker) == []
        everywhere = wire.get("/v1/conversations/", summary_search=marker)
        assert [conversation["id"] for conversation in everywhere] == [made]
