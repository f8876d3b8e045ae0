"""Retries around the model: `ModelRetryMiddleware` and `with_retry` ask again, and nothing is sent twice."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from langchain.agents import middleware
from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_letta import ChatLetta
from letta_adapters import LettaClient
from letta_adapters.errors import LettaError, TurnFailed, TurnInterrupted
from letta_adapters.testing import FakeLetta, Reply, reply_to
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import CALL, TOOLS, agent_of, asked, call_ids, conversation_of, human
from tests.langchain.traps.dying import Mends, Wire, async_client, client
from tests.langchain.traps.support import expect, results, runs, thread, users

FAILS_LATE = f"{CALL} [[next]] [[fail 500]]"


def retrying(model: ChatLetta, tools: Any = TOOLS, *, on_failure: Any = "error", saver: Any = None) -> Any:
    """An agent that asks the model three times, whatever went wrong."""
    retry = middleware.ModelRetryMiddleware(
        max_retries=2, retry_on=(Exception,), initial_delay=0, jitter=False, on_failure=on_failure
    )
    return agent_of(model, list(tools), middleware=[retry], checkpointer=saver or InMemorySaver())


def stubborn(model: Any) -> Any:
    """A model that is asked three times, whatever went wrong."""
    return model.with_retry(retry_if_exception_type=(Exception,), wait_exponential_jitter=False, stop_after_attempt=3)


@contextmanager
def lossy(model: ChatLetta, *, spared: int = 0) -> Generator[tuple[ChatLetta, Any]]:
    """The model on a connection that is lost in a turn, and there again when the model has given up; with a config."""
    wire = Wire(spared=spared, error=httpx.ReadError)
    mends = Mends(wire)
    with client(wire) as http:
        yield model.model_copy(update={"http_client": http, "max_retries": 0}), {**thread(), "callbacks": [mends]}
    assert [isinstance(failure, LettaError) for failure in mends.failures] == [True]


@pytest.mark.parametrize("spared", [0, 1, 2], ids=["first turn", "continuation", "second turn"])
def test_a_turn_that_an_agent_lost_and_asks_for_again_is_stored_once(
    spared: int, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    with lossy(model, spared=spared) as (lost, config):
        agent = retrying(lost)
        agent.invoke(asked(f"{CALL} [[next]] [[say it is three]]"), config)
        messages = agent.invoke(asked("and now?"), config)["messages"]
    assert [message.text for message in messages[2:]] == ["3", "it is three", "and now?", "You said: and now?"]
    expect(reader, messages)
    assert results(reader, conversation_of(messages[-1])) == ["3"]
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


async def test_a_turn_that_an_agent_lost_and_asks_for_again_is_stored_once_async(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    wire = Wire(error=httpx.ReadError)
    async with async_client(wire) as http:
        given = {"http_async_client": http, "max_retries": 0, "callbacks": [Mends(wire)]}
        lost = model.model_copy(update=given)
        messages = (await retrying(lost).ainvoke(asked(CALL), thread()))["messages"]
    assert messages[-1].text == "The tools answered: 3"
    expect(reader, messages)
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


@pytest.mark.parametrize("ids", [True, False], ids=["with ids", "without ids"])
@pytest.mark.parametrize("begun", [True, False], ids=["later turn", "first turn"])
def test_a_turn_that_a_chain_lost_and_asks_for_again_is_stored_once(
    begun: bool, ids: bool, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    messages: list[BaseMessage] = []
    if begun:
        messages.append(human("hello"))
        messages.append(model.invoke(messages))
    messages.append(human("one") if ids else HumanMessage("one"))
    with lossy(model) as (lost, config):
        messages.append(stubborn(lost).invoke(messages, {"callbacks": config["callbacks"]}))
    expect(reader, messages)
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


@pytest.mark.parametrize("ids", [True, False], ids=["with ids", "without ids"])
@pytest.mark.parametrize("followed", [True, False], ids=["followed", "pinned"])
@pytest.mark.parametrize("begun", [True, False], ids=["later turn", "first turn"])
def test_a_turn_that_was_lost_and_is_followed_by_other_words_is_stored_once(
    begun: bool,
    followed: bool,
    ids: bool,
    model: ChatLetta,
    pinned: ChatLetta,
    agent_id: str,
    conversation_id: str,
    reader: Reader,
) -> None:
    model = model if followed else pinned
    messages: list[BaseMessage] = []
    if begun:
        messages.append(human("hello"))
        messages.append(model.invoke(messages))
    messages.append(human("one") if ids else HumanMessage("one"))
    with lossy(model) as (lost, config), pytest.raises(TurnInterrupted):
        lost.invoke(messages, {"callbacks": config["callbacks"]})
    messages.append(human("two") if ids else HumanMessage("two"))
    messages.append(model.invoke(messages))
    where = conversation_of(messages[-1])
    assert users(reader, where) == [message.text for message in messages if message.type == "human"]
    assert {*reader.conversations(agent_id)} == {where, conversation_id}


def test_results_that_a_chain_lost_and_gives_again_are_stored_once(model: ChatLetta, reader: Reader) -> None:
    bound = model.bind_tools(TOOLS)
    messages: list[BaseMessage] = [human(CALL)]
    messages.append(bound.invoke(messages))
    messages.append(result_of(messages[-1]))
    with lossy(model) as (lost, config):
        chain = stubborn(lost.bind_tools(TOOLS))
        messages.append(chain.invoke(messages, {"callbacks": config["callbacks"]}))
    assert results(reader, conversation_of(messages[-1])) == ["3"]
    expect(reader, messages)


def result_of(call: BaseMessage) -> BaseMessage:
    return ToolMessage("3", tool_call_id=call_ids(call)[0], id="result-1")


def tries(reader: Reader, agent_id: str) -> tuple[int, Sequence[str]]:
    """How many runs the only conversation has, and what it holds."""
    (conversation,) = reader.conversations(agent_id)
    return len(runs(reader, conversation)), [kind for kind, _ in reader.story(conversation)]


def test_a_turn_that_failed_after_its_results_were_taken_is_not_sent_again(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    with pytest.raises(TurnFailed) as caught:
        retrying(model).invoke(asked(FAILS_LATE), thread())
    assert caught.value.accepted is True
    assert tries(reader, agent_id) == (2, ["user", "calls", "results"])


async def test_a_turn_that_failed_after_its_results_were_taken_is_not_sent_again_async(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    with pytest.raises(TurnFailed):
        await retrying(model).ainvoke(asked(FAILS_LATE), thread())
    assert tries(reader, agent_id) == (2, ["user", "calls", "results"])


def test_a_turn_that_failed_in_its_first_step_stores_nothing_however_often_it_is_tried(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    with pytest.raises(TurnFailed) as caught:
        retrying(model).invoke(asked("[[fail 500]] one"), thread())
    assert caught.value.accepted is False
    (conversation,) = reader.conversations(agent_id)
    assert reader.story(conversation) == []


def test_after_a_turn_that_never_succeeded_the_thread_goes_on_with_both_questions(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = retrying(model), thread()
    with pytest.raises(TurnFailed):
        agent.invoke(asked("[[fail 500]] one"), config)
    messages = agent.invoke(asked("two"), config)["messages"]
    expect(reader, messages)


@pytest.mark.parametrize(
    ("text", "length"), [("[[fail 500]] one", 2), (FAILS_LATE, 4)], ids=["nothing taken", "results taken"]
)
def test_a_failure_that_is_told_as_an_answer_is_a_foreign_turn(
    text: str, length: int, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = retrying(model, on_failure="continue"), thread()
    failed = agent.invoke(asked(text), config)["messages"]
    assert (len(failed), failed[-1].text[:17]) == (length, "Model call failed")
    messages = agent.invoke(asked("two"), config)["messages"]
    expect(reader, messages)
    assert conversation_of(messages[-1]) in reader.conversations(agent_id)
    assert len(results(reader, conversation_of(messages[-1]))) == (length == 4)


@pytest.fixture
def recovering(request: pytest.FixtureRequest) -> Iterator[FakeLetta]:
    """A server whose language model fails twice and then does not."""
    if request.config.getoption("--backend") == "live":
        pytest.skip("needs a provider that fails and then recovers, and the scripted one does as each text says")
    failures = [Reply(fail=500), Reply(fail=429)]
    with FakeLetta(model=lambda messages: failures.pop() if failures else reply_to(messages)) as fake:
        yield fake


def test_a_turn_that_succeeds_when_it_is_tried_again_is_stored_once(recovering: FakeLetta) -> None:
    with LettaClient(base_url=recovering.base_url) as letta_client:
        agent_id = letta_client.agents.create(name="recovering").id
    model = ChatLetta(agent_id=agent_id, base_url=recovering.base_url)
    messages = retrying(model).invoke(asked("one"), thread())["messages"]
    with Reader(recovering.base_url) as reader:
        assert reader.story(conversation_of(messages[-1])) == story_of(messages)
        assert reader.conversations(agent_id) == [conversation_of(messages[-1])]
