"""The loop on a server without Redis: in the foreground, under the lock, and with nothing left pending either."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from letta_adapters import LettaClient, TextDelta
from letta_adapters.loop import stream_turn
from letta_adapters.wire import MessageCreate
from tests.conftest import Backend, fresh_agent, fresh_conversation
from tests.contract.wire import Wire
from tests.loop.support import IN_SEQUENCE, Blocking, InTasks, RunTurn, add, multiply, new_gate, results


@pytest.fixture
def wire(no_redis_backend: Backend) -> Iterator[Wire]:
    with Wire(no_redis_backend.base_url) as opened:
        yield opened


@pytest.fixture
def conversation_id(no_redis_backend: Backend) -> Iterator[str]:
    with fresh_agent(no_redis_backend) as agent:
        yield fresh_conversation(no_redis_backend, agent)


@pytest.fixture(params=[Blocking, InTasks], ids=["run_turn", "arun_turn"])
def run(request: pytest.FixtureRequest, no_redis_backend: Backend) -> RunTurn:
    return request.param(no_redis_backend.base_url)


def test_the_loop_runs_there_too(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    assert run(conversation_id, IN_SEQUENCE, tools=[add, multiply]).text == "It is 3 and 12"
    assert results(wire, conversation_id) == [("success", "3"), ("success", "12")]


def test_the_same_message_sent_again_runs_no_tool_again(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    message = MessageCreate(role="user", content=IN_SEQUENCE, otid=str(uuid4()))
    run(conversation_id, messages=[message], tools=[add, multiply])
    stored = wire.rows(conversation_id)
    again = run(conversation_id, messages=[message], tools=[add, multiply])
    assert (again.text, again.executions) == ("It is 3 and 12", ())
    assert wire.rows(conversation_id) == stored


def test_a_loop_that_is_stopped_in_mid_stream_denies_what_comes(
    no_redis_backend: Backend, wire: Wire, conversation_id: str
) -> None:
    gate = new_gate()
    script = f"[[hold {gate} 1]] [[say Let me see]] [[call add {{}}]]"
    with LettaClient(base_url=no_redis_backend.base_url) as client:
        loop = stream_turn(client, conversation_id, script, tools=[add])
        next(event for event in loop if isinstance(event, TextDelta))
        loop.stop()
        no_redis_backend.open_gate(gate)
        assert loop.wait(60)
    assert [kind for kind, _ in results(wire, conversation_id)] == ["denied"]
