"""The examples that take one file and no second process, as a stranger runs them."""

from __future__ import annotations

import pytest

from letta_adapters import LettaClient
from letta_adapters.testing import FakeLetta
from tests.conftest import Backend
from tests.examples.running import printed_by

CHAIN = """\
invoke  It is a stamp, and you get it at a post office.
stream  It is an envelope, and you get it at a post office.
batch   It is a letter, and you get it at a post office.
batch   It is a postcard, and you get it at a post office.
"""

AGENT = """\
you     How many stamps are there? Fill them up to 100.
call    find_stock {"item": "stamps"}
result  40
call    order {"item": "stamps", "amount": 60}
result  60 stamps come tomorrow
agent   There were 40; 60 stamps come tomorrow.
you     How many did you order?
agent   I ordered 60.
"""

THREADS = """\
Hello Ann!   You are Ann.
Hello Bo!    You are Bo.
Hello Cem!   You are Cem.
Hello Dana!  You are Dana.
Hello Eli!   You are Eli.
Hello Fay!   You are Fay.
6 conversations, the same after the restart: True
"""

CUT = """\
agent   Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday.
cuts    2
stored  user_message, assistant_message
"""


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("chain.py", CHAIN),
        ("agent_with_tools.py", AGENT),
        ("parallel_threads.py", THREADS),
        ("surviving_a_cut.py", CUT),
    ],
)
def test_without_a_server_it_runs_on_the_double(name: str, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed_by(name, capsys) == output


@pytest.mark.parametrize("name", ["chain.py", "agent_with_tools.py", "parallel_threads.py", "surviving_a_cut.py"])
def test_on_a_server_of_yours_it_deletes_the_agent_that_it_created(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeLetta() as fake:
        printed_by(name, capsys, LETTA_BASE_URL=fake.base_url, LETTA_MODEL="vllm/scripted")
        created = [request for request in fake.requests if (request.method, request.path) == ("POST", "/v1/agents/")]
        deleted = [request for request in fake.requests if request.path.startswith("/v1/agents/agent-")]
    assert [request.method for request in deleted] == ["DELETE"]
    assert len(created) == 1


def test_a_chain_leaves_no_conversation_behind(
    backend: Backend, agent_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = printed_by("chain.py", capsys, LETTA_BASE_URL=backend.base_url, LETTA_AGENT_ID=agent_id)

    assert len(shown.splitlines()) == 4
    with LettaClient(base_url=backend.base_url) as client:
        assert client.conversations.list(agent_id=agent_id) == []


def test_a_cut_is_survived_on_any_server(backend: Backend, agent_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed_by("surviving_a_cut.py", capsys, LETTA_BASE_URL=backend.base_url, LETTA_AGENT_ID=agent_id)

    assert shown == (
        "agent   You said: Name the seven days of the week.\ncuts    2\nstored  user_message, assistant_message\n"
    )
