"""`letta-adapters demo`."""

from __future__ import annotations

import pytest

from letta_adapters import LettaClient
from letta_adapters.testing import FakeLetta
from tests.cli.conftest import CommandLine

SHOWN = """\
On an embedded double of a server; name an agent (LETTA_AGENT_ID) to talk to a real one.

A streamed answer
user     Hello, I am Ann. Name the seven days of the week.
agent    Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday.

Tools that this program runs
user     Add 19 and 23 with your tool, then multiply the sum by 2 with the other one.
call     add {"a": 19, "b": 23}
result   42
call     multiply {"a": 42, "b": 2}
result   84
agent    That makes 84.

Memory: another client, one new message
user     What is my name, and which numbers did I ask you to add?
agent    You are Ann, and the numbers were 19 and 23.

What the server stored
"""


@pytest.mark.parametrize("variables", [{}, {"LETTA_BASE_URL": "http://nowhere.invalid"}])
def test_without_an_agent_it_runs_on_the_double(variables: dict[str, str]) -> None:
    ended = CommandLine(variables=variables)("demo")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(SHOWN)
    stored = [line.split()[0] for line in ended.out.removeprefix(SHOWN).splitlines()]
    calls = ["call", "decision", "result"]
    assert stored == ["system", "user", "agent", "user", "agent", *calls, *calls, "agent", "user", "agent"]


def test_with_an_agent_of_yours_it_leaves_nothing_behind() -> None:
    with FakeLetta() as fake, LettaClient(base_url=fake.base_url) as client:
        agent_id = client.agents.create(name="ann").id
        ended = CommandLine(variables={"LETTA_BASE_URL": fake.base_url, "LETTA_AGENT_ID": agent_id})("demo")

        assert client.conversations.list(agent_id=agent_id) == []
        assert client.agents.retrieve(agent_id).name == "ann"
    assert ended.code == 0
    assert ended.out.startswith(f"With ann at {fake_url(fake.requests[0].headers)}.\n")
    assert "The language model behind this agent called no tool." in ended.err


def fake_url(headers: dict[str, str]) -> str:
    return f"http://{headers['host']}"


def test_an_agent_that_is_not_there_is_told() -> None:
    with FakeLetta() as fake:
        ended = CommandLine(variables={"LETTA_BASE_URL": fake.base_url})("demo", "agent-unknown")

    assert ended.code == 1
    assert ended.err.startswith("InvalidRequest: GET /v1/agents/agent-unknown was answered with HTTP 422.")
