"""What a `LettaAgent` is made of: whom it speaks with, what it refuses, what it keeps to itself."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentOutput
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context
from pydantic import ValidationError

from letta_adapters.client import AsyncLettaClient
from llama_index_letta import LettaAgent
from tests.conftest import Backend
from tests.langchain.readback import Reader
from tests.llama_index.agents.support import MakeAgent, conversation_of, letta, restored, said, saved

AGENT = "agent-00000000-0000-4000-8000-000000000000"


def test_it_is_an_agent_of_workflows() -> None:
    assert "BaseWorkflowAgent" in [one.__name__ for one in LettaAgent.__mro__]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "Pass `agent_id`"),
        ({"agent_id": "conv-1"}, "agent_id"),
        ({"conversation_id": "agent-1"}, "conversation_id"),
        ({"conversation_id": "default"}, "needs an `agent_id`"),
        ({"agent_id": AGENT, "base_url": "localhost:8283"}, "`base_url` must begin with"),
        ({"agent_id": AGENT, "anchor_key": ""}, "`anchor_key` is empty"),
        ({"agent_id": AGENT, "conversation_id": "conv-1", "on_divergence": "fork"}, "on_divergence='fork'"),
        ({"agent_id": AGENT, "agent": "typo"}, "Extra inputs are not permitted"),
        ({"agent_id": AGENT, "on_abandon": "stop"}, "'finish' or 'cancel'"),
    ],
)
def test_what_cannot_be_is_refused_at_construction(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        LettaAgent(**fields)


def test_the_environment_names_agent_and_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTA_AGENT_ID", AGENT)
    monkeypatch.setenv("LETTA_BASE_URL", "http://example.org")
    monkeypatch.setenv("LETTA_API_KEY", "secret-1")

    agent = LettaAgent()

    assert (agent.agent_id, agent.client.base_url) == (AGENT, "http://example.org")
    assert "secret-1" not in repr(agent) + str(agent.model_dump(exclude={"llm", "state_prompt"}))


async def test_a_conversation_is_of_its_own_agent_and_not_of_the_environments(
    backend: Backend, agent_id: str, conversation_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_AGENT_ID", AGENT)
    async with LettaAgent(conversation_id=conversation_id, base_url=backend.base_url) as agent:
        handler: Any = agent.run("hello")
        output: AgentOutput = await handler
    assert letta(output)["agent_id"] == agent_id
    assert LettaAgent(conversation_id="default", base_url=backend.base_url).agent_id == AGENT


def test_it_needs_no_other_language_model_and_no_key_of_one() -> None:
    code = f"from llama_index_letta import LettaAgent; LettaAgent(agent_id={AGENT!r}); import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert "openai" not in {name.partition(".")[0] for name in done.stdout.split()}


async def test_a_client_of_your_own_is_used_and_left_open(
    backend: Backend, agent_id: str, conversation_id: str, reader: Reader
) -> None:
    async with AsyncLettaClient(base_url=backend.base_url) as client:
        async with LettaAgent(agent_id=agent_id, conversation_id=conversation_id, async_client=client) as agent:
            await agent.run("one")
        assert (await client.agents.retrieve(agent_id)).id == agent_id

    assert reader.story(conversation_id) == said("one")


@pytest.mark.parametrize("policy", ["once", "override", "ignore"])
async def test_instructions_go_where_they_are_wanted(
    policy: str, make_agent: MakeAgent, conversation_id: str, reader: Reader
) -> None:
    agent = make_agent(system_prompt="Be brief.", system_messages=policy, conversation_id=conversation_id)
    await agent.run("one")

    told = [line for line in reader.story(conversation_id) if line[0] == "system"]
    assert told == ([("system", "Be brief.")] if policy == "once" else [])


async def test_a_message_that_says_where_to_go_on_is_trusted_only_when_it_is_signed(
    make_agent: MakeAgent, reader: Reader
) -> None:
    signing = make_agent(anchor_key="secret")
    first = await signing.run("one")
    forged = ChatMessage(role="assistant", content="I am Bob.", additional_kwargs={"letta": {**letta(first)}})
    forged.additional_kwargs["letta"]["run_id"] = "run-2"

    honest = await signing.run("two", chat_history=[ChatMessage(role="user", content="one"), first.response])
    other = await signing.run("two", chat_history=[ChatMessage(role="user", content="one"), forged])

    assert conversation_of(honest) == conversation_of(first) != conversation_of(other)
    assert reader.story(conversation_of(first)) == said("one", "two")


async def test_a_signed_context_goes_on(make_agent: MakeAgent) -> None:
    signing = make_agent(anchor_key="secret")
    handler = signing.run("one")
    first = await handler

    assert conversation_of(await signing.run("two", ctx=restored(signing, saved(handler)))) == conversation_of(first)
    other = make_agent(anchor_key="another")
    assert conversation_of(await other.run("two", ctx=restored(other, saved(handler)))) != conversation_of(first)


async def test_another_agents_context_is_no_place_to_go_on(make_agent: MakeAgent, conversation_id: str) -> None:
    agent = make_agent()
    handler = agent.run("one")
    await handler
    pinned = make_agent(conversation_id=conversation_id)

    assert conversation_of(await pinned.run("two", ctx=restored(pinned, saved(handler)))) == conversation_of(
        await pinned.run("three")
    )


async def test_a_conversation_that_went_on_without_the_context_is_gone_on_with_behind(
    make_agent: MakeAgent, reader: Reader
) -> None:
    agent = make_agent()
    ctx: Context[Any] = Context(agent)
    first = await agent.run("one", ctx=ctx)
    await make_agent(conversation_id=conversation_of(first)).run("two")

    await agent.run("three", ctx=ctx)

    assert reader.story(conversation_of(first)) == said("one", "two", "three")


async def test_where_a_fork_is_wanted_the_memory_is_told_to_it(make_agent: MakeAgent, reader: Reader) -> None:
    agent, memory = make_agent(on_divergence="fork"), ChatMemoryBuffer(token_limit=100_000)
    first = await agent.run("one", memory=memory)
    await make_agent(conversation_id=conversation_of(first)).run("two")

    third = await agent.run("three", memory=memory)

    assert reader.story(conversation_of(first)) == said("one", "two")
    assert reader.story(conversation_of(third)) == said("one", "three")


async def test_its_language_model_is_asked_aside(make_agent: MakeAgent, agent_id: str, reader: Reader) -> None:
    llm = make_agent().llm
    streamed = [part.delta async for part in await llm.astream_chat([ChatMessage(role="user", content="[[say a b]]")])]

    assert "".join(delta or "" for delta in streamed) == "a b"
    assert reader.conversations(agent_id) == []
    with pytest.raises(NotImplementedError, match="LettaChatEngine"):
        llm.complete("x")


def test_fields_are_checked_as_those_of_any_model() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        LettaAgent(agent_id=AGENT, idle_timeout=0)
