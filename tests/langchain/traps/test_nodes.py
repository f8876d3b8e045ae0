"""Nodes of graphs in asyncio: however one asks the model, the call is known to belong to it, and to it alone.

From Python 3.11 on LangGraph sees to that itself: only on 3.10, in `make matrix`, do these show that `nodes.py` works.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig, RunnableGenerator, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver

from langchain_letta import ChatLetta
from tests.langchain.readback import Reader
from tests.langchain.support import agent_of, asked, conversation_of, human
from tests.langchain.traps.dying import Died, Wire, async_client, client
from tests.langchain.traps.support import Node, chain_of, expect, message_graph, thread

Asks = Callable[[ChatLetta, list[BaseMessage]], Awaitable[BaseMessage]]


async def awaits(model: ChatLetta, messages: list[BaseMessage]) -> BaseMessage:
    return await model.ainvoke(messages)


async def makes_a_task(model: ChatLetta, messages: list[BaseMessage]) -> BaseMessage:
    return await asyncio.wait_for(asyncio.create_task(model.ainvoke(messages)), None)


async def uses_a_thread(model: ChatLetta, messages: list[BaseMessage]) -> BaseMessage:
    return await asyncio.to_thread(model.invoke, messages)


async def streams(model: ChatLetta, messages: list[BaseMessage]) -> BaseMessage:
    chunks = [chunk async for chunk in model.astream(messages)]
    return AIMessage(
        "".join(chunk.text for chunk in chunks), id=chunks[-1].id, response_metadata=chunks[-1].response_metadata
    )


async def uses_a_chain(model: ChatLetta, messages: list[BaseMessage]) -> BaseMessage:
    def same(messages: list[BaseMessage]) -> list[BaseMessage]:
        return messages

    return await (RunnableLambda(same) | model).ainvoke(messages)


def node(ask: Asks, model: ChatLetta) -> Node:
    async def answer(state: Any) -> Any:
        return {"messages": [await ask(model, state["messages"])]}

    return answer


def blocking_node(model: ChatLetta) -> Node:
    def answer(state: Any) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    return answer


each_way = pytest.mark.parametrize("ask", [awaits, makes_a_task, uses_a_thread, streams, uses_a_chain, None])


def graph_of(ask: Asks | None, model: ChatLetta, saver: Any = None) -> Any:
    """A graph of one node, which asks the model in a way, or is no coroutine."""
    return chain_of(("answer", node(ask, model) if ask else blocking_node(model)), saver=saver)


@asynccontextmanager
async def dying(model: ChatLetta) -> AsyncGenerator[ChatLetta]:
    """The model in a process that dies in its first turn, which ends the block."""
    with client(Wire()) as http:
        async with async_client(Wire()) as async_http:
            with pytest.raises((Died, AttributeError)):  # LangChain takes what is no `Exception` for an answer
                yield model.model_copy(update={"http_client": http, "http_async_client": async_http})


@each_way
async def test_a_node_that_died_in_the_first_turn_goes_on_in_its_conversation(
    ask: Asks | None, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    saver, config = InMemorySaver(), thread()
    async with dying(model) as lost:
        await graph_of(ask, lost, saver).ainvoke(asked("hello"), config, durability="sync")
    messages = (await graph_of(ask, model, saver).ainvoke(None, config))["messages"]
    expect(reader, messages)
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


async def test_an_agent_that_died_in_the_first_turn_goes_on_in_its_conversation(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    saver, config = InMemorySaver(), thread()
    async with dying(model) as lost:
        await agent_of(lost, checkpointer=saver).ainvoke(asked("hello"), config, durability="sync")
    messages = (await agent_of(model, checkpointer=saver).ainvoke(None, config))["messages"]
    expect(reader, messages)
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


@each_way
async def test_a_call_after_the_graph_belongs_to_no_node(
    ask: Asks | None, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    question = human("hello")
    (_, answer) = (await graph_of(ask, model).ainvoke({"messages": [question]}, thread()))["messages"]
    other = await model.ainvoke([question])
    assert sorted(reader.conversations(agent_id)) == sorted(map(conversation_of, (answer, other)))


async def test_a_call_after_a_graph_that_failed_belongs_to_no_node(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    question = human("hello")

    async def fails(state: Any) -> Any:
        await model.ainvoke(state["messages"])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await chain_of(("fails", fails)).ainvoke({"messages": [question]}, thread())
    other = await model.ainvoke([question])
    assert len(reader.conversations(agent_id)) == 2
    assert conversation_of(other) in reader.conversations(agent_id)


async def test_a_call_after_a_graph_inside_a_node_belongs_to_that_node_again(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    """The inner graph has a thread of its own."""
    saver, config, inner = InMemorySaver(), thread(), thread()

    def graph_with(asked_last: ChatLetta) -> Any:
        async def answer(state: Any) -> Any:
            await graph_of(awaits, model).ainvoke({"messages": [human("inner")]}, inner)
            return {"messages": [await asked_last.ainvoke(state["messages"])]}

        return chain_of(("answer", answer), saver=saver)

    async with dying(model) as lost:
        await graph_with(lost).ainvoke(asked("hello"), config, durability="sync")
    before = reader.conversations(agent_id)
    messages = (await graph_with(model).ainvoke(None, config))["messages"]
    assert conversation_of(messages[-1]) in before
    expect(reader, messages)


async def test_an_agent_inside_a_node_that_died_in_the_first_turn_goes_on_in_its_conversation(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    saver, config = InMemorySaver(), thread()

    def graph_with(asked_one: ChatLetta) -> Any:
        async def answer(state: Any) -> Any:
            return {"messages": (await agent_of(asked_one).ainvoke({"messages": state["messages"]}))["messages"][-1:]}

        return chain_of(("answer", answer), saver=saver)

    async with dying(model) as lost:
        await graph_with(lost).ainvoke(asked("hello"), config, durability="sync")
    messages = (await graph_with(model).ainvoke(None, config))["messages"]
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


async def test_a_call_after_a_graph_that_left_a_stream_open_belongs_to_no_node(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    question, left_open = human("hello"), list[AsyncIterator[Any]]()

    async def twice(given: AsyncIterator[str]) -> AsyncIterator[str]:
        async for one in given:
            yield one
            yield one

    async def answer(state: Any, config: RunnableConfig) -> Any:
        left_open.append(RunnableGenerator(twice).astream("x", config))
        await anext(left_open[0])
        return {"messages": [await model.ainvoke(state["messages"])]}

    await chain_of(("answer", cast("Any", answer))).ainvoke({"messages": [question]}, thread())
    await model.ainvoke([question])
    assert len(reader.conversations(agent_id)) == 2


@pytest.mark.parametrize("ask", [awaits, makes_a_task, uses_a_thread])
async def test_nodes_that_run_side_by_side_are_told_apart(
    ask: Asks, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    graph = message_graph()
    for name in ("left", "right"):
        graph.add_node(name, node(ask, model))
        graph.set_entry_point(name)
    messages = (await graph.compile().ainvoke(asked("hello"), thread()))["messages"]
    assert len(set(map(conversation_of, messages[1:]))) == 2 == len(reader.conversations(agent_id))


async def test_a_node_that_hands_its_config_on_is_streamed_in_pieces(model: ChatLetta) -> None:
    async def answer(state: Any, config: RunnableConfig) -> Any:
        return {"messages": [await model.ainvoke(state["messages"], config)]}

    graph = chain_of(("answer", cast("Any", answer)))
    pieces = [piece async for piece, _ in graph.astream(asked("[[say one two]]"), thread(), stream_mode="messages")]
    assert [piece.text for piece in pieces if piece.text] == ["one ", "two"]
