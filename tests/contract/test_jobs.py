"""Turns that nobody streams: waited for, and read when they are over."""

from __future__ import annotations

import pytest

from letta_adapters import LettaClient
from letta_adapters.errors import RequestTimeout
from letta_adapters.wire import AssistantMessage, Unknown, UserMessage
from tests.conftest import Backend
from tests.contract.build import new_gate


@pytest.mark.scripted("it counts the tokens of the scripted model")
@pytest.mark.not_recorded("waits for a run")
def test_an_async_turn_is_waited_for_and_read_back(client: LettaClient, agent_id: str) -> None:
    told: list[str | None] = []
    run = client.agents.messages.create_async(
        agent_id, input="[[say five]]", callback_url="http://127.0.0.1:9/nobody", max_steps=2
    )
    assert (run.background, run.callback_url) == (True, "http://127.0.0.1:9/nobody")
    ended = client.runs.wait(run.id, on_progress=lambda one: told.append(one.status))
    assert (ended.status, ended.stop_reason, told[-1]) == ("completed", "end_turn", "completed")
    assert ended.request_config is not None
    assert ended.request_config.assistant_message_tool_name == "send_message"
    assert client.runs.usage(run.id).total_tokens == 120
    rows = list(client.runs.iterate_messages(run.id, page_size=1))
    assert [type(row) for row in rows] == [UserMessage, AssistantMessage]
    (last,) = client.runs.messages(run.id, limit=1, order="desc", order_by="created_at")
    assert last == rows[-1]
    assert client.runs.messages(run.id, order="asc", after=rows[0].id if not isinstance(rows[0], Unknown) else None)


@pytest.mark.scripted("it holds the model at a gate")
@pytest.mark.not_recorded("waits for a run")
def test_waiting_for_a_run_is_bounded(client: LettaClient, backend: Backend, agent_id: str) -> None:
    gate = new_gate()
    run = client.agents.messages.create_async(agent_id, input=f"[[hold {gate}]] [[say late]]")
    backend.wait_for_gate(gate)
    with pytest.raises(RequestTimeout) as caught:
        client.runs.wait(run.id, timeout=0.01)
    assert (caught.value.run_id, caught.value.accepted) == (run.id, True)
    backend.open_gate(gate)
    assert [one.status for one in client.runs.progress(run.id)][-1] == "completed"
