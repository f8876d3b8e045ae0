"""A run that is cancelled by its id: the one way on `default`, and with or without Redis."""

from __future__ import annotations

import time
from concurrent.futures import Future

import pytest

from tests.conftest import Backend
from tests.contract.build import new_gate, user
from tests.contract.test_locking import CANCEL_CHECK
from tests.contract.wire import Turn, Wire

SAY = "[[say Hello there friend]]"
NO_RUN = "run-00000000-0000-4000-8000-000000000000"


def held(wire: Wire, backend: Backend, conversation_id: str, gate: str, **options: str) -> Future[Turn]:
    turn = wire.start(conversation_id, user(f"[[hold {gate} 1]] {SAY}"), stream_tokens=True, **options)
    backend.wait_for_gate(gate)
    return turn


def cancel_run(wire: Wire, agent_id: str, run_id: str) -> dict[str, str]:
    answer = wire.http.post(f"/v1/agents/{agent_id}/messages/cancel", json={"run_ids": [run_id]})
    return answer.raise_for_status().json()


def only_run(wire: Wire, **query: str) -> str:
    (run,) = wire.get("/v1/runs/", active="true", **query)
    return run["id"]


@pytest.mark.scripted("it holds the model at a gate")
@pytest.mark.not_recorded("requests at once")
def test_a_run_is_cancelled_by_its_id_and_no_other_is(
    wire: Wire, backend: Backend, agent_id: str, conversation_id: str
) -> None:
    gates, other = [new_gate(), new_gate()], wire.new_conversation(agent_id)
    turns = [held(wire, backend, place, gate) for place, gate in zip((conversation_id, other), gates, strict=True)]
    run_id = only_run(wire, conversation_id=conversation_id)
    assert cancel_run(wire, agent_id, run_id) == {run_id: "cancelled"}
    time.sleep(CANCEL_CHECK)
    for gate in gates:
        backend.open_gate(gate)
    assert [turn.result().stop_reasons[-1] for turn in turns] == ["cancelled", "end_turn"]
    assert wire.get(f"/v1/runs/{run_id}")["status"] == "cancelled"
    assert [len(wire.stored(place)) for place in (conversation_id, other)] == [0, 2]


@pytest.mark.scripted("it holds the model at a gate")
def test_a_run_of_default_is_cancelled_by_its_id(wire: Wire, backend: Backend, agent_id: str) -> None:
    gate = new_gate()
    turn = held(wire, backend, "default", gate, agent_id=agent_id)
    run_id = only_run(wire, agent_id=agent_id)
    assert cancel_run(wire, agent_id, run_id) == {run_id: "cancelled"}
    time.sleep(CANCEL_CHECK)
    backend.open_gate(gate)
    assert turn.result().stop_reasons[-1] == "cancelled"
    assert wire.stored("default", agent_id=agent_id) == []


@pytest.mark.scripted("it holds the model at a gate")
def test_a_conversation_is_cancelled_with_or_without_redis(wire: Wire, backend: Backend, conversation_id: str) -> None:
    gate = new_gate()
    turn = held(wire, backend, conversation_id, gate)
    answer = wire.cancel(conversation_id)
    time.sleep(CANCEL_CHECK)
    backend.open_gate(gate)
    assert answer.json() == {turn.result().run_id: "cancelled"}
    assert turn.result().stop_reasons[-1] == "cancelled"
    assert wire.stored(conversation_id) == []


def test_a_run_that_is_over_stays_what_it_is(wire: Wire, agent_id: str, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(SAY))
    assert cancel_run(wire, agent_id, turn.run_id) == {turn.run_id: "cancelled"}
    assert wire.get(f"/v1/runs/{turn.run_id}")["status"] == "completed"


def test_a_run_that_nobody_knows_is_told_as_failed(wire: Wire, agent_id: str) -> None:
    assert cancel_run(wire, agent_id, NO_RUN) == {NO_RUN: "failed"}
