"""The compiled prompt: what changes it, and what stays."""

from __future__ import annotations

import pytest

from tests.conftest import Backend
from tests.contract.build import new_gate, user
from tests.contract.wire import Json, Wire


def recompile(wire: Wire, conversation_id: str) -> None:
    wire.http.post(f"/v1/conversations/{conversation_id}/recompile", json={}).raise_for_status()


def change_memory(wire: Wire, agent_id: str, value: str) -> None:
    path = f"/v1/agents/{agent_id}/core-memory/blocks/human"
    block = wire.http.patch(path, json={"value": value}).raise_for_status().json()
    assert (block["label"], block["value"]) == ("human", value)


def in_context(wire: Wire, conversation_id: str) -> list[str]:
    return wire.conversation(conversation_id)["in_context_message_ids"]


def without_text(row: Json) -> Json:
    return {**row, "content": ""}


def test_recompiling_changes_the_text_of_the_first_row_and_nothing_else(
    wire: Wire, agent_id: str, conversation_id: str
) -> None:
    wire.post(conversation_id, user("first [[say one]]"))
    (first, *others), ids = wire.rows(conversation_id), in_context(wire, conversation_id)
    change_memory(wire, agent_id, "They like cats.")
    recompile(wire, conversation_id)
    again, *rest = wire.rows(conversation_id)
    assert ("cats" in first["content"], "cats" in again["content"]) == (False, True)
    assert without_text(again) == without_text(first)
    assert (rest, in_context(wire, conversation_id)) == (others, ids)


def test_a_change_of_memory_or_prompt_changes_no_conversation_that_is_there(
    wire: Wire, agent_id: str, conversation_id: str
) -> None:
    wire.post(conversation_id, user("first [[say one]]"))
    before = wire.rows(conversation_id)
    change_memory(wire, agent_id, "They like cats.")
    wire.patch_agent(agent_id, system="You are a pirate.")
    assert wire.rows(conversation_id) == before
    wire.post(conversation_id, user("second [[say two]]"))
    assert wire.rows(conversation_id)[:3] == before


def test_a_new_conversation_and_a_fork_have_the_new_memory(wire: Wire, agent_id: str, conversation_id: str) -> None:
    wire.post(conversation_id, user("first [[say one]]"))
    change_memory(wire, agent_id, "They like cats.")
    fork = wire.http.post(f"/v1/conversations/{conversation_id}/fork").raise_for_status().json()["id"]
    for made in (fork, wire.new_conversation(agent_id)):
        assert "They like cats." in wire.rows(made)[0]["content"]


def test_the_default_conversation_has_new_memory_at_once_under_the_same_id(wire: Wire, agent_id: str) -> None:
    wire.post("default", user("first [[say one]]"), agent_id=agent_id)
    first, *others = wire.rows("default", agent_id=agent_id)
    change_memory(wire, agent_id, "They like cats.")
    again, *rest = wire.rows("default", agent_id=agent_id)
    assert ("cats" in first["content"], "cats" in again["content"]) == (False, True)
    assert (without_text(again), rest) == (without_text(first), others)


@pytest.mark.scripted("it holds the model at a gate")
def test_a_turn_in_flight_does_not_mind(wire: Wire, backend: Backend, agent_id: str, conversation_id: str) -> None:
    gate = new_gate()
    turn = wire.start(conversation_id, user(f"[[hold {gate} 1]] [[say Hello there]]"), stream_tokens=True)
    backend.wait_for_gate(gate)
    change_memory(wire, agent_id, "They like cats.")
    recompile(wire, conversation_id)
    backend.open_gate(gate)
    assert turn.result().stop_reasons == ["end_turn"]
    first, *others = wire.rows(conversation_id)
    assert "They like cats." in first["content"]
    assert len(others) == 2


def test_there_is_no_block_of_an_unknown_label(wire: Wire, agent_id: str) -> None:
    answer = wire.http.patch(f"/v1/agents/{agent_id}/core-memory/blocks/nope", json={"value": "x"})
    detail = f"No block with label 'nope' found for agent '{agent_id}'"
    assert (answer.status_code, answer.json()) == (404, {"detail": detail})
