"""`create_agent` with structured output: results that the agent never delivers, and prose where a call was forced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents.structured_output import AutoStrategy, ToolStrategy
from langchain_core.messages import AIMessage, BaseMessage
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from langchain_letta import ChatLetta
from letta_adapters import LettaClient
from letta_adapters.errors import LettaError
from letta_adapters.testing import Call, FakeLetta, Reply
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import CALL, TOOLS, agent_of, asked, conversation_of, letta
from tests.langchain.traps.support import expect, results, runs, thread, users


class Weather(BaseModel):
    """The weather of a place."""

    place: str
    degrees: int


class Advice(BaseModel):
    """What to wear."""

    wear: str


OSLO = '[[call Weather {"place": "Oslo", "degrees": 3}]] Oslo?'
ROME = '[[call Weather {"place": "Rome", "degrees": 24}]] Rome?'
DELIVERED = "Returning structured response: place='Oslo' degrees=3"


def structured(model: ChatLetta, tools: Any = (), schema: Any = Weather, **options: Any) -> Any:
    return agent_of(model, list(tools), response_format=ToolStrategy(schema), checkpointer=InMemorySaver(), **options)


@pytest.mark.parametrize("tools", [[], TOOLS], ids=["no tools", "with tools"])
@pytest.mark.parametrize(
    "schema", [ToolStrategy(Weather), AutoStrategy(Weather), Weather], ids=["tool", "auto", "plain"]
)
def test_a_structured_answer_is_delivered_with_the_next_question(
    schema: Any, tools: list[Any], model: ChatLetta, reader: Reader
) -> None:
    agent = agent_of(model, tools, response_format=schema, checkpointer=InMemorySaver())
    config = thread()
    state = agent.invoke(asked(OSLO), config)
    assert state["structured_response"] == Weather(place="Oslo", degrees=3)
    assert results(reader, conversation_of(state["messages"][1])) == []
    state = agent.invoke(asked(ROME), config)
    assert state["structured_response"] == Weather(place="Rome", degrees=24)
    messages: list[BaseMessage] = state["messages"]
    assert results(reader, conversation_of(messages[-2])) == [DELIVERED]
    assert reader.story(conversation_of(messages[-2])) == story_of(messages[:-1])


def test_many_structured_answers_in_one_thread_are_each_delivered_once(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = structured(model), thread()
    places = ("Oslo", "Rome", "Kyiv", "Lima")
    messages: list[BaseMessage] = []
    for place in places:
        question = f'[[call Weather {{"place": "{place}", "degrees": 1}}]] {place}?'
        messages = agent.invoke(asked(question), config)["messages"]
    conversation = conversation_of(messages[-2])
    delivered = [f"Returning structured response: place='{place}' degrees=1" for place in places]
    assert results(reader, conversation) == delivered[:-1]
    assert reader.story(conversation) == story_of(messages[:-1])
    assert reader.conversations(agent_id) == [conversation]


async def test_a_structured_answer_is_delivered_with_the_next_question_async(model: ChatLetta, reader: Reader) -> None:
    agent, config = structured(model), thread()
    await agent.ainvoke(asked(OSLO), config)
    messages = (await agent.ainvoke(asked(ROME), config))["messages"]
    assert results(reader, conversation_of(messages[-2])) == [DELIVERED]
    assert reader.story(conversation_of(messages[-2])) == story_of(messages[:-1])


def test_a_structured_answer_without_a_checkpointer_is_delivered_with_the_next_question(
    model: ChatLetta, reader: Reader
) -> None:
    agent = agent_of(model, [], response_format=ToolStrategy(Weather))
    first = agent.invoke(asked(OSLO))["messages"]
    messages = agent.invoke({"messages": [*first, ("user", ROME)]})["messages"]
    assert results(reader, conversation_of(messages[-2])) == [DELIVERED]


def test_tools_and_then_a_structured_answer_are_one_conversation(model: ChatLetta, reader: Reader) -> None:
    agent, config = structured(model, TOOLS), thread()
    agent.invoke(asked(f"{CALL} [[next]] {OSLO}"), config)
    messages = agent.invoke(asked(ROME), config)["messages"]
    assert results(reader, conversation_of(messages[-2])) == ["3", DELIVERED]
    assert reader.story(conversation_of(messages[-2])) == story_of(messages[:-1])


def test_a_structured_answer_that_does_not_fit_is_corrected_in_the_same_conversation(
    model: ChatLetta, reader: Reader
) -> None:
    agent = structured(model)
    broken = '[[call Weather {"place": "Oslo", "degrees": "cold"}]]'
    state = agent.invoke(asked(f"{broken} [[next]] {OSLO}"), thread())
    assert state["structured_response"] == Weather(place="Oslo", degrees=3)
    (told,) = results(reader, conversation_of(state["messages"][1]))
    assert "degrees" in told
    assert reader.story(conversation_of(state["messages"][1])) == story_of(state["messages"][:-1])


@pytest.mark.usefixtures("parallel_calls")
def test_two_structured_answers_at_once_are_both_told_to_be_one_too_many(model: ChatLetta, reader: Reader) -> None:
    agent = structured(model, schema=Weather | Advice)
    both = f'{OSLO} [[call Advice {{"wear": "a coat"}}]]'
    state = agent.invoke(asked(f"{both} [[next]] {ROME}"), thread())
    assert state["structured_response"] == Weather(place="Rome", degrees=24)
    answers = reader.answers(conversation_of(state["messages"][1]))
    assert len(answers) == len({answer["tool_call_id"] for answer in answers}) == 2
    assert reader.story(conversation_of(state["messages"][1])) == story_of(state["messages"][:-1])


def check_that_it_was_nudged_once(reader: Reader, agent_id: str, error: LettaError, question: str) -> None:
    (conversation,) = reader.conversations(agent_id)
    asked_first, *nudges = users(reader, conversation)
    assert asked_first == question
    assert len(nudges) == 1
    assert "Weather" in nudges[0]
    assert "Weather" in str(error)
    assert error.conversation_id == conversation
    assert len(runs(reader, conversation)) == 2


def test_prose_where_a_call_is_forced_is_nudged_once_and_then_an_error(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    question = "[[say It is cold.]] Oslo?"
    with pytest.raises(LettaError) as caught:
        structured(model).invoke(asked(question), {**thread(), "recursion_limit": 10})
    check_that_it_was_nudged_once(reader, agent_id, caught.value, question)


async def test_prose_where_a_call_is_forced_is_nudged_once_and_then_an_error_async(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    question = "[[say It is cold.]] Oslo?"
    with pytest.raises(LettaError) as caught:
        await structured(model).ainvoke(asked(question), {**thread(), "recursion_limit": 10})
    check_that_it_was_nudged_once(reader, agent_id, caught.value, question)


def test_after_prose_where_a_call_was_forced_the_thread_goes_on(model: ChatLetta, reader: Reader) -> None:
    agent, config = structured(model), {**thread(), "recursion_limit": 10}
    with pytest.raises(LettaError):
        agent.invoke(asked("[[say It is cold.]] Oslo?"), config)
    state = agent.invoke(asked(ROME), config)
    assert state["structured_response"] == Weather(place="Rome", degrees=24)
    stored = users(reader, conversation_of(state["messages"][-2]))
    assert [stored.count(text) for text in ("[[say It is cold.]] Oslo?", ROME)] == [1, 1]


def test_prose_beside_other_tools_ends_the_turn_and_nobody_is_nudged(model: ChatLetta, reader: Reader) -> None:
    agent, config = structured(model, TOOLS), thread()
    state = agent.invoke(asked("[[say It is cold.]] Oslo?"), config)
    assert state.get("structured_response") is None
    expect(reader, state["messages"])
    state = agent.invoke(asked(ROME), config)
    assert reader.story(conversation_of(state["messages"][-2])) == story_of(state["messages"][:-1])


def reluctant(messages: Any) -> Reply:
    """A model that answers in prose until it is told to call."""
    said = [str(message.get("content")) for message in messages if message["role"] == "user"]
    if len(said) > 1 and "Weather" in said[-1]:
        return Reply(calls=(Call(name="Weather", arguments='{"place": "Oslo", "degrees": 3}'),))
    return Reply(text="It is cold.")


@pytest.fixture
def reluctant_model(request: pytest.FixtureRequest) -> Iterator[ChatLetta]:
    if request.config.getoption("--backend") == "live":
        pytest.skip("needs a model that heeds what it is told, and the scripted one heeds directives only")
    with FakeLetta(model=reluctant) as fake, LettaClient(base_url=fake.base_url) as client:
        agent = client.agents.create(name="reluctant")
        yield ChatLetta(agent_id=agent.id, base_url=fake.base_url)


def test_an_agent_that_heeds_the_nudge_gives_its_structured_answer(reluctant_model: ChatLetta) -> None:
    agent, config = structured(reluctant_model), thread()
    state = agent.invoke(asked("Oslo?"), config)
    assert state["structured_response"] == Weather(place="Oslo", degrees=3)
    with Reader(reluctant_model.base_url or "") as reader:
        stored = users(reader, conversation_of(state["messages"][1]))
    assert (stored[0], len(stored)) == ("Oslo?", 2)
    assert isinstance(state["messages"][-2], AIMessage)
    assert letta(state["messages"][1])["conversation_id"] == letta(state["messages"][2])["conversation_id"]
