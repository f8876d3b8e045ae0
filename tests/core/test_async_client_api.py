"""The twin for tasks has every endpoint of the client for threads, and does the same with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from letta_adapters import AsyncLettaClient
from letta_adapters.errors import NotFound
from letta_adapters.testing import FakeLetta
from letta_adapters.wire import AssistantMessage, CompactionSettings, UserMessage


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeLetta]:
    with FakeLetta() as server:
        yield server


@pytest.fixture
async def client(fake: FakeLetta) -> AsyncIterator[AsyncLettaClient]:
    async with AsyncLettaClient(base_url=fake.base_url) as made:
        yield made


@pytest.fixture
async def agent_id(client: AsyncLettaClient) -> str:
    return (await client.agents.create(name="a", model="vllm/scripted", include_base_tools=False)).id


@pytest.fixture
async def conversation_id(client: AsyncLettaClient, agent_id: str) -> str:
    return (await client.conversations.create(agent_id=agent_id)).id


async def test_a_turn_is_answered_as_json_or_streamed(
    client: AsyncLettaClient, agent_id: str, conversation_id: str
) -> None:
    assert (await client.agents.messages.create(agent_id, input="[[say one]]")).text == "one"
    assert (await client.agents.messages.create(agent_id, streaming=True, input="[[say two]]").result()).text == "two"
    assert (await client.agents.messages.stream(agent_id, input="[[say three]]").result()).text == "three"
    answer = await client.conversations.messages.create(conversation_id, streaming=False, input="[[say four]]")
    assert answer.text == "four"
    streamed = client.conversations.messages.create(conversation_id, input="[[say five]]")
    assert (await streamed.result()).text == "five"


async def test_a_run_is_waited_for_and_read_again(
    client: AsyncLettaClient, agent_id: str, conversation_id: str
) -> None:
    run = await client.agents.messages.create_async(agent_id, input="[[say six]]")
    told: list[str | None] = []
    ended = await client.runs.wait(run.id, on_progress=lambda one: told.append(one.status))
    assert (ended.stop_reason, told[-1]) == ("end_turn", "completed")
    assert [one.id async for one in client.runs.progress(run.id)] == [run.id]
    assert (await client.runs.usage(run.id)).total_tokens == 120
    assert [type(row) async for row in client.runs.iterate_messages(run.id)] == [UserMessage, AssistantMessage]
    turn = await client.conversations.messages.create(conversation_id, input="[[say seven]]").result()
    assert turn.run_id is not None
    assert (await (await client.runs.stream(turn.run_id)).result()).text == "seven"
    with pytest.raises(NotFound):
        await client.runs.wait("run-11111111-1111-4111-8111-111111111111")


async def test_lists_are_read_to_their_end_and_contexts_compacted_and_emptied(
    client: AsyncLettaClient, agent_id: str, conversation_id: str
) -> None:
    for number in range(4):
        await client.conversations.messages.create(conversation_id, input=f"[[say {number}]]").result()
    rows = [row async for row in client.conversations.messages.iterate(conversation_id, page_size=3)]
    assert [row.content for row in rows if isinstance(row, AssistantMessage)] == ["0", "1", "2", "3"]
    assert [one.id async for one in client.conversations.iterate(agent_id=agent_id)] == [conversation_id]
    assert [row async for row in client.agents.messages.iterate(agent_id, page_size=2)]
    settings = CompactionSettings(mode="all")
    done = await client.conversations.messages.compact(conversation_id, compaction_settings=settings)
    assert (done.num_messages_before, done.num_messages_after) == (9, 2)
    payload = await client.conversations.messages.preview_raw_payload(conversation_id, input="x")
    assert payload["messages"][-1]["content"] == "x"
    assert await client.conversations.recompile(conversation_id, dry_run=True)
    agent = await client.agents.messages.reset(agent_id)
    assert agent is not None
    assert agent.id == agent_id
