"""`create_agent` on a `ChatLetta`: tool loops, with and without checkpointers, on one conversation per thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from langchain_letta import ChatLetta
from tests.conftest import Backend
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import IN_SEQUENCE, TWO_CALLS, agent_of, asked, config_in_tasks, conversation_of, new_gate

Saver = Any
OpenSaver = Callable[[], AbstractAsyncContextManager[Saver]]


def thread(name: str | None = None) -> Any:
    return {"configurable": {"thread_id": name or uuid4().hex}}


def expect_the_same(
    messages: list[BaseMessage], reader: Reader, *, before: list[tuple[str, str]] | None = None
) -> None:
    """The server holds what the framework saw, once and in order."""
    (conversation,) = {conversation_of(message) for message in messages if isinstance(message, AIMessage)}
    assert reader.story(conversation) == (before or []) + story_of(messages)
    answered = [part["tool_call_id"] for part in reader.answers(conversation)]
    assert answered == [message.tool_call_id for message in messages if isinstance(message, ToolMessage)]


@pytest.fixture(params=["none", "memory", "sqlite"])
def open_saver(request: pytest.FixtureRequest, tmp_path: Path) -> OpenSaver:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[Saver, None]:
        match request.param:
            case "memory":
                yield InMemorySaver()
            case "sqlite":
                async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "a.db")) as saver:
                    yield saver
            case _:
                yield None

    return opened


@pytest.fixture(params=["none", "memory", "sqlite"])
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Saver]:
    match request.param:
        case "memory":
            yield InMemorySaver()
        case "sqlite":
            with SqliteSaver.from_conn_string(str(tmp_path / "b.db")) as opened:
                yield opened
        case _:
            yield None


def test_an_agent_runs_two_tools_in_sequence(model: ChatLetta, saver: Saver, reader: Reader) -> None:
    agent = agent_of(model, checkpointer=saver, system_prompt="You compute.")
    messages = agent.invoke(asked(IN_SEQUENCE), thread())["messages"]
    assert [(type(message), message.text) for message in messages if message.text][1:] == [
        (ToolMessage, "3"),
        (ToolMessage, "12"),
        (AIMessage, "It is 3 and 12"),
    ]
    expect_the_same(messages, reader, before=[("system", "You compute.")])


async def test_an_agent_runs_two_tools_in_sequence_async(
    model: ChatLetta, open_saver: OpenSaver, reader: Reader
) -> None:
    async with open_saver() as saver:
        agent = agent_of(model, checkpointer=saver, system_prompt="You compute.")
        messages = (await agent.ainvoke(asked(IN_SEQUENCE), thread()))["messages"]
    assert messages[-1].text == "It is 3 and 12"
    expect_the_same(messages, reader, before=[("system", "You compute.")])


@pytest.mark.usefixtures("parallel_calls")
def test_an_agent_runs_two_tools_in_parallel(model: ChatLetta, reader: Reader) -> None:
    messages = agent_of(model).invoke(asked(TWO_CALLS))["messages"]
    assert [call["name"] for call in messages[1].tool_calls] == ["add", "multiply"]
    assert messages[-1].text == "The tools answered: 3 | 12"
    expect_the_same(messages, reader)


@pytest.mark.usefixtures("parallel_calls")
async def test_an_agent_runs_two_tools_in_parallel_async(model: ChatLetta, reader: Reader) -> None:
    messages = (await agent_of(model).ainvoke(asked(TWO_CALLS)))["messages"]
    assert messages[-1].text == "The tools answered: 3 | 12"
    expect_the_same(messages, reader)


def test_of_calls_that_the_server_did_not_keep_none_is_run(model: ChatLetta, reader: Reader) -> None:
    messages = agent_of(model).invoke(asked(f"{TWO_CALLS} [[next]] [[say done]]"))["messages"]
    assert [call["name"] for call in messages[1].tool_calls] == ["add"]
    assert [message.text for message in messages[2:]] == ["3", "done"]
    expect_the_same(messages, reader)


async def test_of_streamed_calls_that_the_server_did_not_keep_none_is_run(model: ChatLetta, reader: Reader) -> None:
    messages: list[BaseMessage] = []
    async for state in agent_of(model).astream(asked(f"{TWO_CALLS} [[next]] [[say done]]"), stream_mode="values"):
        messages = state["messages"]
    assert [message.text for message in messages[2:]] == ["3", "done"]
    expect_the_same(messages, reader)


@pytest.mark.usefixtures("parallel_calls")
def test_each_tool_runs_once(model: ChatLetta) -> None:
    runs: list[int] = []

    @tool
    def count(number: int) -> str:
        """Count."""
        runs.append(number)
        return "ok"

    script = '[[call count {"number": 1}]] [[call count {"number": 2}]] [[next]] [[call count {"number": 3}]]'
    agent_of(model, [count]).invoke(asked(script))
    assert sorted(runs) == [1, 2, 3]


def test_a_second_turn_of_a_thread_remembers_the_first(model: ChatLetta, saver: Saver, reader: Reader) -> None:
    agent, config = agent_of(model, checkpointer=saver), thread()
    first = agent.invoke(asked(IN_SEQUENCE), config)["messages"]
    earlier: list[BaseMessage] = [] if saver else first
    again = agent.invoke({"messages": [*earlier, ("user", "[[recall]] and now?")]}, config)["messages"]
    assert again[-1].text.splitlines()[-2:] == ["assistant: It is 3 and 12", "user: and now?"]
    assert again[:6] == first
    expect_the_same(again, reader)


def test_an_agent_that_is_made_again_goes_on_from_the_checkpoint(
    backend: Backend, agent_id: str, tmp_path: Path, reader: Reader
) -> None:
    config = thread()
    messages: list[BaseMessage] = []
    for text in (IN_SEQUENCE, "[[recall]] and now?"):  # as two processes would
        with SqliteSaver.from_conn_string(str(tmp_path / "c.db")) as saver:
            agent = agent_of(ChatLetta(agent_id=agent_id, base_url=backend.base_url), checkpointer=saver)
            messages = agent.invoke(asked(text), config)["messages"]
    assert messages[-1].text.splitlines()[-2:] == ["assistant: It is 3 and 12", "user: and now?"]
    expect_the_same(messages, reader)


def test_two_threads_run_in_parallel_on_one_model(backend: Backend, model: ChatLetta, reader: Reader) -> None:
    agent, gates = agent_of(model, checkpointer=InMemorySaver()), [new_gate(), new_gate()]

    def run(gate: str) -> list[BaseMessage]:
        config = thread()
        agent.invoke(asked(f"[[hold {gate}]] {IN_SEQUENCE}"), config)
        return agent.invoke(asked(f"[[recall]] {gate}"), config)["messages"]

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run, gate) for gate in gates]
        for gate in gates:
            backend.wait_for_gate(gate)
        for gate in gates:
            backend.open_gate(gate)
        one, two = (run.result() for run in runs)
    assert conversation_of(one[-1]) != conversation_of(two[-1])
    for gate, messages in zip(gates, (one, two), strict=True):
        assert messages[-1].text.splitlines()[-1] == f"user: {gate}"
        expect_the_same(messages, reader)


async def test_two_threads_run_in_parallel_on_one_model_async(model: ChatLetta, reader: Reader) -> None:
    agent = agent_of(model, checkpointer=InMemorySaver())
    states = await asyncio.gather(*[agent.ainvoke(asked(IN_SEQUENCE), thread()) for _ in range(2)])
    assert len({conversation_of(state["messages"][-1]) for state in states}) == 2
    for state in states:
        expect_the_same(state["messages"], reader)


def test_values_are_streamed(model: ChatLetta, reader: Reader) -> None:
    states = list(agent_of(model).stream(asked(IN_SEQUENCE), stream_mode="values"))
    assert [len(state["messages"]) for state in states] == [1, 2, 3, 4, 5, 6]
    expect_the_same(states[-1]["messages"], reader)


def check_streamed_messages(streamed: list[BaseMessage]) -> None:
    """The answers come in pieces, and each one's pieces have one id, by which a reader joins them."""
    assert [message.text for message in streamed if isinstance(message, ToolMessage)] == ["3", "12"]
    pieces = [message for message in streamed if isinstance(message, AIMessage)]
    assert [piece.text for piece in pieces if piece.text] == ["It ", "is ", "3 ", "and ", "12"]
    assert [call["name"] for piece in pieces for call in piece.tool_calls if call["name"]] == ["add", "multiply"]
    assert len({piece.id for piece in pieces}) == 3


def test_messages_are_streamed(model: ChatLetta) -> None:
    streamed = agent_of(model).stream(asked(IN_SEQUENCE), stream_mode="messages")
    check_streamed_messages([message for message, _ in streamed])


@config_in_tasks
async def test_messages_are_streamed_async(model: ChatLetta) -> None:
    streamed = agent_of(model).astream(asked(IN_SEQUENCE), stream_mode="messages")
    check_streamed_messages([message async for message, _ in streamed])


def test_the_id_of_a_streamed_message_is_that_of_the_kept_one(model: ChatLetta) -> None:
    ids: set[str | None] = set()
    kept: list[BaseMessage] = []
    for mode, part in agent_of(model).stream(asked("[[say one two]]"), stream_mode=["messages", "values"]):
        if mode == "messages":
            ids.add(part[0].id)
        else:
            kept = part["messages"]
    assert ids == {kept[-1].id}


def test_a_tool_that_fails_is_told_as_a_failure(model: ChatLetta, reader: Reader) -> None:
    @tool
    def explode() -> str:
        """Explode."""
        raise ToolException("it burns")

    explode.handle_tool_error = True
    messages = agent_of(model, [explode]).invoke(asked("[[call explode {}]]"))["messages"]
    assert messages[2].status == "error"
    assert messages[-1].text == "The tools answered: it burns"
    (answer,) = reader.answers(conversation_of(messages[-1]))
    assert (answer["type"], answer["status"], answer["tool_return"]) == ("tool", "error", "it burns")
    expect_the_same(messages, reader)


def test_arguments_that_a_tool_refuses_are_told_as_a_failure(model: ChatLetta, reader: Reader) -> None:
    messages = agent_of(model).invoke(asked('[[call add {"a": "many"}]] [[next]] [[say sorry]]'))["messages"]
    assert (messages[2].status, messages[-1].text) == ("error", "sorry")
    expect_the_same(messages, reader)


def test_a_tool_that_raises_leaves_a_call_that_the_next_turn_answers(model: ChatLetta, reader: Reader) -> None:
    @tool
    def explode() -> str:
        """Explode."""
        raise RuntimeError("it burns")

    agent, config = agent_of(model, [explode], checkpointer=InMemorySaver()), thread()
    with pytest.raises(RuntimeError, match="it burns"):
        agent.invoke(asked("[[call explode {}]]"), config)
    messages = agent.invoke(asked("[[say never mind]]"), config)["messages"]
    assert messages[-1].text == "never mind"
    (answer,) = reader.answers(conversation_of(messages[-1]))
    assert (answer["type"], answer["approve"]) == ("approval", False)
    kinds = [kind for kind, _ in reader.story(conversation_of(messages[-1]))]
    assert kinds == ["user", "calls", "results", "user", "assistant"]


def test_arguments_that_are_no_json_reach_no_tool(model: ChatLetta, reader: Reader) -> None:
    agent, config = agent_of(model, checkpointer=InMemorySaver()), thread()
    agent.invoke(asked("[[call add nonsense]]"), config)
    messages = agent.invoke(asked("[[say never mind]]"), config)["messages"]
    assert "nonsense" in messages[1].invalid_tool_calls[0]["args"]
    assert messages[-1].text == "never mind"
    assert len(reader.answers(conversation_of(messages[-1]))) == 1


def test_a_pinned_model_runs_an_agent(pinned: ChatLetta, conversation_id: str, reader: Reader) -> None:
    messages: list[Any] = agent_of(pinned).invoke(asked(IN_SEQUENCE))["messages"]
    assert conversation_of(messages[-1]) == conversation_id
    expect_the_same(messages, reader)


def test_a_tool_that_finds_nothing_does_not_break_the_conversation(model: ChatLetta) -> None:
    @tool
    def search() -> list[str]:
        """Search."""
        return []

    agent = agent_of(model, [search], checkpointer=InMemorySaver())
    config = thread()
    assert agent.invoke(asked("[[call search]]"), config)["messages"][-1].text == "The tools answered: []"
    assert agent.invoke(asked("hello"), config)["messages"][-1].text == "You said: hello"
