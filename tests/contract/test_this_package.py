"""What this package itself sends: a recording has every field of it, so that one that goes missing is missed."""

from __future__ import annotations

import pytest
from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_letta import ChatLetta
from letta_adapters import AsyncLettaClient, LettaClient, TextDelta, run_turn
from letta_adapters.wire import ClientTool
from llama_index_letta import LettaChatEngine
from tests.conftest import Backend
from tests.contract.wire import Wire

SAY = "[[think hm]] [[say Hello there friend]]"
CALL = '[[call add {"a": 1, "b": 2}]]'


@pytest.fixture(autouse=True)
def no_letta_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LETTA_AGENT_ID", "LETTA_BASE_URL", "LETTA_API_KEY", "LETTA_ANCHOR_KEY"):
        monkeypatch.delenv(name, raising=False)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


def test_the_client_makes_agents_and_conversations_reads_them_and_deletes_them(backend: Backend) -> None:
    with LettaClient(base_url=backend.base_url, api_key=backend.api_key) as client:
        agent = client.agents.create(name="recorded", model=backend.handle)
        assert client.agents.retrieve(agent.id).name == "recorded"
        made = client.conversations.create(agent_id=agent.id, summary="a talk")
        fork = client.conversations.fork(made.id)
        assert {one.id for one in client.conversations.list(agent_id=agent.id)} == {made.id, fork.id}
        client.conversations.delete(fork.id)
        client.agents.delete(agent.id)


@pytest.mark.scripted("its model thinks when it is told to")
def test_the_client_sends_a_turn_and_reads_it_back(backend: Backend, conversation_id: str) -> None:
    with LettaClient(base_url=backend.base_url, api_key=backend.api_key) as client:
        with client.conversations.messages.create(conversation_id, input=SAY) as turn:
            assert "".join(event.text for event in turn if isinstance(event, TextDelta)) == "Hello there friend"
        rows = client.conversations.messages.list(conversation_id, order="asc")
        assert [row.message_type for row in rows][1:] == ["user_message", "reasoning_message", "assistant_message"]


@pytest.mark.scripted("its model thinks when it is told to")
async def test_the_client_does_so_in_tasks_too(backend: Backend, conversation_id: str) -> None:
    async with AsyncLettaClient(base_url=backend.base_url, api_key=backend.api_key) as client:
        turn = client.conversations.messages.create(conversation_id, input=SAY)
        text = "".join([event.text async for event in turn if isinstance(event, TextDelta)])
    assert text == "Hello there friend"


@pytest.mark.self_hosted("Letta Cloud always has background streams")
def test_the_client_goes_without_background_where_there_is_no_redis(no_redis_backend: Backend) -> None:
    with LettaClient(base_url=no_redis_backend.base_url) as client:
        agent = client.agents.create(name="recorded", model=no_redis_backend.handle)
        conversation = client.conversations.create(agent_id=agent.id)
        assert client.conversations.messages.create(conversation.id, input=SAY).result().text == "Hello there friend"
        client.agents.delete(agent.id)


def test_the_loop_runs_a_tool_and_sends_its_result(backend: Backend, wire: Wire, conversation_id: str) -> None:
    with LettaClient(base_url=backend.base_url, api_key=backend.api_key) as client:
        assert run_turn(client, conversation_id, CALL, tools=[add]).text == "The tools answered: 3"
    assert ("tool_return_message", "3") in wire.story(conversation_id)


def test_a_call_that_is_pending_is_settled(backend: Backend, wire: Wire, conversation_id: str) -> None:
    with LettaClient(base_url=backend.base_url, api_key=backend.api_key) as client:
        client.conversations.messages.create(
            conversation_id, input=CALL, client_tools=[ClientTool(name="add")]
        ).result()
        (settled,) = client.conversations.settle(conversation_id)
    assert settled.name == "add"
    assert [kind for kind, _ in wire.story(conversation_id)][-2:] == [
        "approval_response_message",
        "tool_return_message",
    ]


def test_a_chat_model_sends_what_is_new_in_a_transcript(backend: Backend, agent_id: str) -> None:
    model = ChatLetta(agent_id=agent_id, base_url=backend.base_url, api_key=backend.secret).bind_tools([tool(add)])
    messages: list[AnyMessage] = [HumanMessage("Hello.", id="m1")]
    messages.append(model.invoke(messages))
    messages.append(HumanMessage(CALL, id="m2"))
    asked = model.invoke(messages)
    messages += [asked, ToolMessage("3", tool_call_id=asked.tool_calls[0]["id"], id="m3")]
    assert "".join(chunk.text for chunk in model.stream(messages)) == "The tools answered: 3"


@pytest.mark.scripted("its model says what it sees")
def test_an_edited_transcript_is_told_to_a_fork(backend: Backend, agent_id: str) -> None:
    model = ChatLetta(agent_id=agent_id, base_url=backend.base_url, api_key=backend.secret)
    greeting = HumanMessage("Hello.", id="m1")
    answered = [greeting, model.invoke([greeting])]
    model.invoke([*answered, HumanMessage("Where is Oslo?", id="m2")])
    assert "Hello." in model.invoke([*answered, HumanMessage("[[recall]] And Rome?", id="m2")]).text


def test_an_answer_in_a_form_is_settled(backend: Backend, wire: Wire, conversation_id: str) -> None:
    model = ChatLetta(conversation_id=conversation_id, base_url=backend.base_url, api_key=backend.secret)
    made = model.with_structured_output(Person).invoke('[[call Person {"name": "Ann", "age": 34}]]')
    assert made == Person(name="Ann", age=34)
    assert wire.story(conversation_id)[-1][0] == "tool_return_message"


def test_a_chat_engine_runs_a_tool_and_streams(backend: Backend, agent_id: str) -> None:
    with LettaChatEngine.from_defaults(
        agent_id=agent_id, base_url=backend.base_url, api_key=backend.api_key, tools=[add]
    ) as engine:
        assert str(engine.chat(CALL)) == "The tools answered: 3"
        assert "".join(engine.stream_chat("[[say one two]]").response_gen) == "one two"
