"""A conversation is of its own agent, whichever agent the environment names."""

from __future__ import annotations

import pytest

from langchain_letta import ChatLetta
from tests.conftest import Backend, fresh_agent
from tests.langchain.readback import Reader
from tests.langchain.support import Ask, each_way

pytestmark = pytest.mark.timeout(60)


@each_way
async def test_an_answer_names_the_agent_that_gave_it(
    ask: Ask, backend: Backend, agent_id: str, conversation_id: str, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fresh_agent(backend) as another:
        monkeypatch.setenv("LETTA_AGENT_ID", another)
        followed = ChatLetta(base_url=backend.base_url)
        pinned = ChatLetta(base_url=backend.base_url, conversation_id=conversation_id)
        bound = followed.bind(conversation_id=conversation_id)
        for model in (pinned, bound):
            answer = await ask(model, "hello")
            letta = answer.response_metadata["letta"]
            assert (letta["agent_id"], letta["conversation_id"]) == (agent_id, conversation_id)
            assert answer.response_metadata["model_name"] == f"letta/{conversation_id}"
        assert reader.conversations(another) == []
        assert followed.agent_id == another


@pytest.mark.parametrize("conversation_id", [None, "default"])
def test_otherwise_the_environment_names_the_agent(
    conversation_id: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_AGENT_ID", "agent-1")
    assert ChatLetta(conversation_id=conversation_id).agent_id == "agent-1"


def test_an_agent_that_was_passed_goes_with_every_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTA_AGENT_ID", "agent-1")
    assert ChatLetta(agent_id="agent-2", conversation_id="conv-1").agent_id == "agent-2"
