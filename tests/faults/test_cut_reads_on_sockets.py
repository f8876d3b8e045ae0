"""What is read before and behind a turn, cut on real sockets, on the double: it is read again, and nothing is lost."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from langchain_core.messages import BaseMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_letta import ChatLetta
from letta_adapters import LettaClient
from letta_adapters.wire import ClientTool
from tests.contract.build import CLIENT_TOOLS
from tests.faults.dialogues import RESULT, TOOL
from tests.faults.proxy import Cut, End, FaultProxy, Where
from tests.faults.stage import Stage, sleepless, sleepless_async
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import (
    TOOLS,
    TWO_CALLS,
    Ask,
    agent_of,
    asked,
    call_ids,
    conversation_of,
    each_way,
    human,
    said,
)

CUTS = [Cut(end=end, at=at) for end in End for at in (*Where, 0, 1, 100)]

each_cut = pytest.mark.parametrize("cut", CUTS, ids=str)


@pytest.fixture
def reading(proxy: FaultProxy, stage: Stage) -> Stage:
    return replace(stage, lane=proxy.lane(reads=True))


@pytest.fixture
def reader(proxy: FaultProxy) -> Iterator[Reader]:
    with Reader(proxy.upstream) as opened:
        yield opened


@each_cut
def test_asking_which_calls_the_server_kept_is_repeated(reading: Stage, cut: Cut) -> None:
    tools = [ClientTool(**tool) for tool in CLIENT_TOOLS]
    reading.lane.cut(None, cut, cut)
    with sleepless(LettaClient(base_url=reading.lane.base_url)) as client:
        turn = client.conversations.messages.create(reading.new_conversation(), input=TWO_CALLS, client_tools=tools)
        assert [call.name for call in turn.result().pending] == ["add"]
    assert reading.lane.left == []


@each_way
async def test_reading_a_pinned_conversation_is_repeated(reading: Stage, reader: Reader, ask: Ask) -> None:
    conversation = reading.new_conversation()
    model = ChatLetta(conversation_id=conversation, base_url=reading.lane.base_url)
    sleepless(model.client)
    sleepless_async(model.async_client)
    transcript: list[BaseMessage] = []
    for cut in random.Random(0).sample(CUTS, len(CUTS)):
        transcript.append(human(TOOL.asked))
        transcript.append(await ask(model.bind_tools(TOOLS), transcript[-1:]))
        transcript.append(ToolMessage(RESULT, tool_call_id=call_ids(transcript[-1])[0]))
        exchanged = len(reading.lane.exchanges)
        reading.lane.cut(cut)
        transcript.append(await ask(model.bind_tools(TOOLS), transcript))
        (met,) = [one for one in reading.lane.exchanges[exchanged:] if one.cut is cut]
        assert met.method == "GET", "a turn was cut, and nothing that was read for it"
    assert conversation_of(transcript[-1]) == conversation
    assert reader.story(conversation) == story_of(transcript)


@each_way
async def test_a_conversation_whose_making_is_cut_is_made_and_told_once(
    reading: Stage, reader: Reader, ask: Ask
) -> None:
    model = ChatLetta(agent_id=reading.agent_id, base_url=reading.lane.base_url)
    sleepless(model.client)
    sleepless_async(model.async_client)
    for cut in CUTS:
        reading.lane.cut(cut, cut)
        answer = await ask(model, [human("hello")])
        assert reading.lane.left == [], cut
        assert reader.story(conversation_of(answer)) == said("hello")
    told = [one for one in reader.conversations(reading.agent_id) if reader.story(one)]
    assert len(told) == len(CUTS), "a message was told to more conversations than one"


@pytest.mark.parametrize("ask", ["invoke", "ainvoke"])
async def test_a_thread_has_one_conversation_however_its_making_is_cut(
    reading: Stage, reader: Reader, ask: str
) -> None:
    model = ChatLetta(agent_id=reading.agent_id, base_url=reading.lane.base_url)
    sleepless(model.client)
    sleepless_async(model.async_client)
    agent = agent_of(model, checkpointer=InMemorySaver())
    for number, cut in enumerate(CUTS):
        config = {"configurable": {"thread_id": f"thread-{number}"}}
        reading.lane.cut(cut, cut)
        state = agent.invoke(asked("hello"), config) if ask == "invoke" else await agent.ainvoke(asked("hello"), config)
        assert reading.lane.left == [], cut
        assert reader.story(conversation_of(state["messages"][-1])) == said("hello")
    assert len(reader.conversations(reading.agent_id)) == len(CUTS)
