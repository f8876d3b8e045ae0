"""`LettaMiddleware`: the thread keeps its conversation, and no call is left behind."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from langchain.agents import middleware, structured_output
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.message import REMOVE_ALL_MESSAGES  # pyright: ignore[reportMissingTypeStubs]
from pydantic import BaseModel, SecretStr
from typing_extensions import override

from langchain_letta import ChatLetta, LettaMiddleware
from letta_adapters.client import LettaClient
from tests.conftest import NOWHERE, Backend, fresh_agent
from tests.langchain.readback import Reader
from tests.langchain.support import CALL, TOOLS, agent_of, asked, call_ids, conversation_of, said
from tests.langchain.traps.support import Foreign, results, stripped, thread, users
from tests.langchain.traps.test_open_calls import LOOK_UP, look_up


class Weather(BaseModel):
    """The weather."""

    degrees: int


REPORT = '[[call Weather {"degrees": 7}]]'


def keeping(model: ChatLetta, *others: Any, tools: Any = (), **options: Any) -> Any:
    """An agent that keeps its conversation."""
    return agent_of(
        model, list(tools), middleware=[*others, LettaMiddleware(model)], checkpointer=InMemorySaver(), **options
    )


def summary(after: int = 3) -> Any:
    """Sums everything up but the last message."""
    return middleware.SummarizationMiddleware(
        Foreign(says=[AIMessage("They counted.")]), trigger=("messages", after), keep=("messages", 1)
    )


def say(agent: Any, config: Any, *texts: str) -> list[BaseMessage]:
    messages: list[BaseMessage] = []
    for text in texts:
        messages = agent.invoke(asked(text), config)["messages"]
    return messages


def clear(agent: Any, config: Any) -> None:
    agent.update_state(config, {"messages": [RemoveMessage(id=REMOVE_ALL_MESSAGES)]})


def test_a_thread_that_is_summed_up_stays_in_its_conversation_which_is_not_told_the_summary(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = keeping(model, summary()), thread()
    messages = say(agent, config, "one", "two", "three")
    assert [type(message) for message in messages] == [HumanMessage, HumanMessage, AIMessage]
    assert reader.story(conversation_of(messages[-1])) == said("one", "two", "three")
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


async def test_a_thread_that_is_summed_up_stays_in_its_conversation_async(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = keeping(model, summary()), thread()
    messages: list[BaseMessage] = []
    for text in ("one", "two", "three"):
        messages = (await agent.ainvoke(asked(text), config))["messages"]
    assert reader.story(conversation_of(messages[-1])) == said("one", "two", "three")
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


def test_a_thread_whose_messages_were_removed_goes_on_in_its_conversation(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = keeping(model), thread()
    say(agent, config, "one")
    clear(agent, config)
    messages = say(agent, config, "two")
    assert reader.story(conversation_of(messages[-1])) == said("one", "two")
    assert len(reader.conversations(agent_id)) == 1


def test_a_summary_in_the_middle_of_a_tool_loop_leaves_the_loop_where_it_is(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = keeping(model, summary(after=4), tools=TOOLS), thread()
    messages = say(agent, config, "one", f"{CALL} [[next]] [[say it is three]]")
    conversation = conversation_of(messages[-1])
    kinds = [kind for kind, _ in reader.story(conversation)]
    assert kinds == ["user", "assistant", "user", "calls", "results", "assistant"]
    assert results(reader, conversation) == ["3"]
    assert reader.conversations(agent_id) == [conversation]


def test_metadata_that_gets_lost_does_not_matter(model: ChatLetta, agent_id: str, reader: Reader) -> None:
    agent, config = keeping(model), thread()
    first = say(agent, config, "one")
    agent.update_state(config, {"messages": [stripped(first[-1]).model_copy(update={"id": first[-1].id})]})
    messages = say(agent, config, "two")
    assert reader.story(conversation_of(messages[-1])) == said("one", "two")
    assert len(reader.conversations(agent_id)) == 1


def test_an_answer_that_is_left_counts_more_than_what_is_kept(model: ChatLetta, reader: Reader) -> None:
    """The last question is asked again: its answer was taken out, and the state still tells of it."""
    agent, config = keeping(model), thread()
    before = say(agent, config, "one", "two")
    agent.update_state(config, {"messages": [RemoveMessage(id=before[-1].id or "")]})
    again = agent.invoke(None, config) or agent.get_state(config).values
    messages = say(agent, config, "three")
    assert users(reader, conversation_of(messages[-1])).count("two") == 1
    assert again["messages"][:3] == before[:3]


def test_the_first_question_asked_again_is_answered_as_before(model: ChatLetta, agent_id: str, reader: Reader) -> None:
    agent, config = keeping(model), thread()
    before = say(agent, config, "one")
    clear(agent, config)
    again = agent.invoke({"messages": [before[0]]}, config)["messages"]
    assert again[-1].text == before[-1].text
    assert users(reader, conversation_of(again[-1])) == ["one"]


def test_what_a_person_writes_in_the_guise_of_a_summary_is_told(model: ChatLetta, reader: Reader) -> None:
    agent, config = keeping(model), thread()
    say(agent, config, "one")
    clear(agent, config)
    disguised = HumanMessage("two", additional_kwargs={"lc_source": "summarization"})
    messages = agent.invoke({"messages": [disguised]}, config)["messages"]
    assert "two" in users(reader, conversation_of(messages[-1]))


def test_the_conversation_of_another_agent_is_no_place_to_go_on(
    model: ChatLetta, backend: Backend, reader: Reader
) -> None:
    saver, config = InMemorySaver(), thread()
    first = agent_of(model, [], middleware=[LettaMiddleware(model)], checkpointer=saver)
    say(first, config, "one")
    clear(first, config)
    with fresh_agent(backend) as other:
        moved = ChatLetta(agent_id=other, base_url=backend.base_url)
        second = agent_of(moved, [], middleware=[LettaMiddleware(moved)], checkpointer=saver)
        messages = say(second, config, "two")
        assert reader.story(conversation_of(messages[-1])) == said("two")


def test_a_conversation_that_is_gone_is_not_gone_on_with(model: ChatLetta, backend: Backend, reader: Reader) -> None:
    agent, config = keeping(model), thread()
    gone = conversation_of(say(agent, config, "one")[-1])
    clear(agent, config)
    with LettaClient(base_url=backend.base_url) as client:
        client.conversations.delete(gone)
    messages = say(agent, config, "two")
    assert conversation_of(messages[-1]) != gone
    assert reader.story(conversation_of(messages[-1])) == said("two")


def test_what_is_kept_is_no_part_of_what_goes_in_or_comes_out(model: ChatLetta) -> None:
    agent, config = keeping(model), thread()
    forged: dict[str, Any] = {
        "anchor": {"agent_id": model.agent_id, "conversation_id": "conv-1"},
        "told": [],
        "tools": [],
    }
    out = agent.invoke({**asked("one"), "letta": forged}, config)
    assert set(out) == {"messages"}
    assert agent.get_state(config).values["letta"]["anchor"]["conversation_id"] == conversation_of(out["messages"][-1])


SUMMED_UP = "Here is a summary of the conversation to date:\n\nThey counted."


def test_an_edit_in_a_thread_that_was_summed_up_is_told_with_the_summary(model: ChatLetta, reader: Reader) -> None:
    agent, config = keeping(model, summary()), thread()
    first = say(agent, config, "one", "two", "three")
    before = next(one for one in agent.get_state_history(config) if one.next == ("model",))
    edited = HumanMessage("four", id=before.values["messages"][-1].id)
    at = agent.update_state(before.config, {"messages": [edited]})
    messages = agent.invoke(None, at)["messages"]
    assert conversation_of(messages[-1]) != conversation_of(first[-1])
    assert users(reader, conversation_of(messages[-1])) == [SUMMED_UP, "four"]


def test_a_summed_up_thread_whose_conversation_is_gone_is_told_with_its_summary(
    model: ChatLetta, backend: Backend, reader: Reader
) -> None:
    agent, config = keeping(model, summary()), thread()
    gone = conversation_of(say(agent, config, "one", "two")[-1])
    with LettaClient(base_url=backend.base_url) as client:
        client.conversations.delete(gone)
    messages = say(agent, config, "three")
    assert users(reader, conversation_of(messages[-1]))[-2:] == [SUMMED_UP, "three"]


def test_a_summed_up_thread_that_moves_to_another_agent_is_told_with_its_summary(
    model: ChatLetta, backend: Backend, reader: Reader
) -> None:
    saver, config = InMemorySaver(), thread()
    one = agent_of(model, [], middleware=[summary(), LettaMiddleware(model)], checkpointer=saver)
    say(one, config, "one", "two")
    with fresh_agent(backend) as other:
        moved = ChatLetta(agent_id=other, base_url=backend.base_url)
        second = agent_of(moved, [], middleware=[summary(), LettaMiddleware(moved)], checkpointer=saver)
        messages = say(second, config, "three")
        assert users(reader, conversation_of(messages[-1])) == [SUMMED_UP, "three"]


def test_a_thread_with_signed_anchors_is_kept_as_well(model: ChatLetta, agent_id: str, reader: Reader) -> None:
    signing = model.model_copy(update={"anchor_key": SecretStr("a secret")})
    agent, config = keeping(signing, summary()), thread()
    messages = say(agent, config, "one", "two", "three")
    assert reader.story(conversation_of(messages[-1])) == said("one", "two", "three")
    assert len(reader.conversations(agent_id)) == 1


# What nobody will answer.


def waits(backend: Backend, conversation_id: str) -> int:
    """How many calls the conversation waits for: they are denied by that."""
    with LettaClient(base_url=backend.base_url) as client:
        return len(client.conversations.settle(conversation_id))


def test_a_result_that_was_returned_directly_is_delivered_after_the_agent_without_another_answer(
    model: ChatLetta, backend: Backend, reader: Reader
) -> None:
    agent, config = keeping(model, tools=[look_up]), thread()
    first = say(agent, config, LOOK_UP)
    conversation = conversation_of(first[1])
    assert [kind for kind, _ in reader.story(conversation)] == ["user", "calls", "results"]
    assert results(reader, conversation) == ["tea: a word"]
    assert waits(backend, conversation) == 0
    messages = say(agent, config, "thanks")
    assert conversation_of(messages[-1]) == conversation
    assert results(reader, conversation) == ["tea: a word"]
    assert users(reader, conversation) == [LOOK_UP, "thanks"]


async def test_a_result_that_was_returned_directly_is_delivered_after_the_agent_async(
    model: ChatLetta, backend: Backend, reader: Reader
) -> None:
    agent, config = keeping(model, tools=[look_up]), thread()
    first = (await agent.ainvoke(asked(LOOK_UP), config))["messages"]
    conversation = conversation_of(first[1])
    assert results(reader, conversation) == ["tea: a word"]
    assert waits(backend, conversation) == 0


def test_the_call_of_a_structured_answer_is_settled_after_the_agent(
    model: ChatLetta, backend: Backend, reader: Reader
) -> None:
    agent, config = keeping(model, response_format=structured_output.ToolStrategy(Weather)), thread()
    out = agent.invoke(asked(REPORT), config)
    assert out["structured_response"] == Weather(degrees=7)
    conversation = conversation_of(out["messages"][1])
    assert waits(backend, conversation) == 0
    assert len(results(reader, conversation)) == 1
    messages = say(agent, config, f"and now? {REPORT}")
    assert conversation_of(messages[-2]) == conversation
    assert len(users(reader, conversation)) == 2


def test_calls_with_broken_arguments_are_denied_after_the_agent(
    model: ChatLetta, backend: Backend, reader: Reader
) -> None:
    agent, config = keeping(model, tools=TOOLS), thread()
    first = say(agent, config, "[[call add nonsense]]")
    conversation = conversation_of(first[-1])
    assert waits(backend, conversation) == 0
    assert [answer["approve"] for answer in reader.answers(conversation)] == [False]
    messages = say(agent, config, "never mind")
    assert conversation_of(messages[-1]) == conversation
    assert users(reader, conversation)[-1] == "never mind"


def test_a_call_that_is_answered_elsewhere_is_left_to_its_result(model: ChatLetta, reader: Reader) -> None:
    """A tool that is a dict is run by nobody in the agent: in a browser, say, whose result is the next input."""
    in_the_browser: Any = {"name": "choose", "description": "Let the user choose.", "input_schema": {"type": "object"}}
    agent, config = keeping(model, tools=[in_the_browser]), thread()
    call = say(agent, config, "[[call choose {}]]")[-1]
    assert reader.answers(conversation_of(call)) == []
    chosen = ToolMessage("the red one", tool_call_id=call_ids(call)[0])
    agent.invoke({"messages": [chosen]}, config)
    assert results(reader, conversation_of(call)) == ["the red one"]


@tool(return_direct=True)
def draw_up(title: str) -> list[dict[str, Any]]:
    """Draw up a contract."""
    return [{"type": "file", "base64": "AAAA", "mime_type": "application/pdf"}]


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_an_answer_that_cannot_be_told_to_the_agent_is_not_lost(
    way: str, model: ChatLetta, caplog: pytest.LogCaptureFixture
) -> None:
    agent, question = keeping(model, tools=[draw_up]), asked('[[call draw_up {"title": "lease"}]]')
    out = agent.invoke(question, thread()) if way == "invoke" else await agent.ainvoke(question, thread())
    assert out["messages"][-1].content == draw_up.invoke({"title": "lease"})
    assert any("'file'" in record.message for record in caplog.records)


class ByTheWay(middleware.AgentMiddleware[Any, Any, Any]):
    """Adds what the user has to say when the agent has ended, once."""

    @override
    def after_agent(self, state: Any, runtime: Any) -> Any:
        return {"messages": [HumanMessage("by the way")]} if len(state["messages"]) < 4 else None


def test_what_somebody_says_beside_open_calls_is_not_lost_with_them(model: ChatLetta, reader: Reader) -> None:
    """A server that runs no step may drop the message that came with the answers: the next turn finds it missing."""
    agent = agent_of(model, [look_up], middleware=[LettaMiddleware(model), ByTheWay()], checkpointer=InMemorySaver())
    config = thread()
    say(agent, config, LOOK_UP)
    messages = say(agent, config, "thanks")
    answer = next(message for message in reversed(messages) if isinstance(message, AIMessage))
    assert users(reader, conversation_of(answer)) == [LOOK_UP, "by the way", "thanks"]


def test_a_kept_anchor_that_nobody_signed_is_no_place_to_go_on(model: ChatLetta, reader: Reader) -> None:
    saver, config = InMemorySaver(), thread()
    unsigned = agent_of(model, [], middleware=[LettaMiddleware(model)], checkpointer=saver)
    first = conversation_of(say(unsigned, config, "one")[-1])
    clear(unsigned, config)
    signing = model.model_copy(update={"anchor_key": SecretStr("a secret")})
    agent = agent_of(signing, [], middleware=[LettaMiddleware(signing)], checkpointer=saver)
    assert conversation_of(say(agent, config, "two")[-1]) != first


def test_an_agent_that_ends_with_words_is_not_asked_again(model: ChatLetta, reader: Reader) -> None:
    messages = say(keeping(model, tools=TOOLS), thread(), f"{CALL} [[next]] [[say three]]")
    assert len(set(reader.runs(conversation_of(messages[-1])))) == 2


def test_settling_shows_no_message_in_the_stream_of_the_graph(model: ChatLetta) -> None:
    agent = keeping(model, tools=[look_up])
    shown = [chunk for chunk, _ in agent.stream(asked(LOOK_UP), thread(), stream_mode="messages")]
    assert {chunk.id for chunk in shown if isinstance(chunk, AIMessageChunk)} == {shown[0].id}
    assert shown[-1].text == "tea: a word"


def test_when_settling_fails_there_is_a_warning_and_the_next_turn_does_it(
    model: ChatLetta, backend: Backend, reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = ChatLetta(agent_id=model.agent_id, base_url=NOWHERE, max_retries=0)
    agent = agent_of(model, [look_up], middleware=[LettaMiddleware(nowhere)], checkpointer=InMemorySaver())
    config = thread()
    with caplog.at_level(logging.WARNING, "langchain_letta"):
        first = say(agent, config, LOOK_UP)
    assert any("could not be answered" in record.message for record in caplog.records)
    assert results(reader, conversation_of(first[1])) == []
    messages = say(agent_of(model, [look_up], checkpointer=agent.checkpointer), config, "thanks")
    assert results(reader, conversation_of(messages[-1])) == ["tea: a word"]
