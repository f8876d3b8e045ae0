"""Why turns end: reasons that a provider and the rules of an agent bring about, streamed and whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from letta_adapters import LettaClient
from tests.conftest import Backend
from tests.contract.wire import Wire

pytestmark = pytest.mark.scripted("its model ends as it is told to")

SOURCE = '''
def NAME(text: str) -> str:
    """Give it back.

    Args:
        text (str): What to give back.
    """
    return text
'''
Ends = Callable[[str], tuple[str, str]]


@pytest.fixture
def client(backend: Backend) -> Iterator[LettaClient]:
    with LettaClient(base_url=backend.base_url, api_key=backend.api_key) as made:
        yield made


@pytest.fixture(params=["token by token", "message by message", "whole", "of the agent"])
def way(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def ends(way: str, client: LettaClient, agent_id: str, conversation_id: str) -> Ends:
    """Sends a message and tells what was said and why the turn ended."""

    def end_of(text: str) -> tuple[str, str]:
        if way == "whole":
            answer = client.conversations.messages.create(conversation_id, streaming=False, input=text)
            return answer.text, answer.stop_reason.stop_reason
        if way == "of the agent":
            answer = client.agents.messages.create(agent_id, input=text)
            return answer.text, answer.stop_reason.stop_reason
        by_token = way == "token by token"
        turn = client.conversations.messages.create(conversation_id, stream_tokens=by_token, input=text).result()
        return turn.text, turn.stop_reason

    return end_of


def test_an_answer_that_the_providers_limit_cut_off_ends_so_but_not_token_by_token(ends: Ends, way: str) -> None:
    told = "end_turn" if way == "token by token" else "max_tokens_exceeded"
    assert ends("[[say hello]] [[cut]]") == ("hello", told)


def test_a_tool_that_ends_turns(ends: Ends, wire: Wire, agent_id: str) -> None:
    name = f"tool_{uuid4().hex}"
    tool = wire.http.post("/v1/tools/", json={"source_code": SOURCE.replace("NAME", name)}).raise_for_status().json()
    wire.http.patch(f"/v1/agents/{agent_id}/tools/attach/{tool['id']}").raise_for_status()
    wire.patch_agent(agent_id, tool_rules=[{"type": "exit_loop", "tool_name": name}])
    called = f'[[call {name} {{"text": "hi"}}]] [[next]] [[say never]]'
    assert ends(called) == ("", "tool_rule")
    wire.patch_agent(agent_id, tool_rules=[])
    assert ends(called) == ("never", "end_turn")
