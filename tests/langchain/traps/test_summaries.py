"""`SummarizationMiddleware`: the messages with the anchors go, and the dialogue does not."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import middleware
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_letta import ChatLetta
from tests.langchain.readback import Reader
from tests.langchain.support import CALL, TOOLS, agent_of, asked, conversation_of
from tests.langchain.traps.support import Foreign, expect, thread, users

SUMMARY = "Here is a summary of the conversation to date:\n\nThey counted."


def summarizing(model: ChatLetta, *, after: int, keep: int, by: Any = None, tools: Any = ()) -> Any:
    """An agent that sums up what was said when there is much of it, and keeps the last messages."""
    summarizer = by or Foreign(says=[AIMessage("They counted.")])
    summary = middleware.SummarizationMiddleware(
        summarizer, trigger=("messages", after), keep=("messages", keep), summary_prompt="Sum up: {messages}"
    )
    return agent_of(model, list(tools), middleware=[summary], checkpointer=InMemorySaver())


def say(agent: Any, config: Any, *texts: str) -> list[BaseMessage]:
    messages: list[BaseMessage] = []
    for text in texts:
        messages = agent.invoke(asked(text), config)["messages"]
    return messages


def test_a_summary_that_takes_all_anchors_begins_a_conversation_that_knows_it(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = summarizing(model, after=3, keep=1), thread()
    before = say(agent, config, "one")
    messages = say(agent, config, "two")
    assert [message.text for message in messages] == [SUMMARY, "two", "You said: two"]
    expect(reader, messages)
    expect(reader, before)
    assert len(reader.conversations(agent_id)) == 2


async def test_a_summary_that_takes_all_anchors_begins_a_conversation_that_knows_it_async(
    model: ChatLetta, reader: Reader
) -> None:
    agent, config = summarizing(model, after=3, keep=1), thread()
    await agent.ainvoke(asked("one"), config)
    messages = (await agent.ainvoke(asked("two"), config))["messages"]
    assert [message.text for message in messages] == [SUMMARY, "two", "You said: two"]
    expect(reader, messages)


def test_after_a_summary_the_new_conversation_is_followed(model: ChatLetta, agent_id: str, reader: Reader) -> None:
    agent, config = summarizing(model, after=5, keep=1), thread()
    say(agent, config, "one", "two")
    messages = say(agent, config, "three", "four")
    assert [message.text for message in messages] == [SUMMARY, "three", "You said: three", "four", "You said: four"]
    expect(reader, messages)
    assert len(reader.conversations(agent_id)) == 2


def test_a_thread_that_is_summed_up_again_and_again_loses_no_question(model: ChatLetta, reader: Reader) -> None:
    agent, config = summarizing(model, after=3, keep=1), thread()
    for number in range(5):
        messages = say(agent, config, f"question {number}")
        expect(reader, messages)


@pytest.mark.parametrize("keep", [2, 3, 4])
def test_a_summary_that_leaves_an_anchor_is_not_told_to_the_conversation_that_knows_more(
    keep: int, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    agent, config = summarizing(model, after=6, keep=keep), thread()
    whole: list[BaseMessage] = []
    for text in ("one", "two", "three", "four", "five"):
        whole += say(agent, config, text)[-2:]
    assert reader.conversations(agent_id) == [conversation_of(whole[-1])]
    expect(reader, whole)


def test_a_summary_in_the_middle_of_a_tool_loop_begins_a_conversation_that_knows_it(
    model: ChatLetta, reader: Reader
) -> None:
    """The middleware keeps a call and its results together, so the loop goes on where it is."""
    agent, config = summarizing(model, after=4, keep=1, tools=TOOLS), thread()
    messages = say(agent, config, "one", f"{CALL} [[next]] [[say it is three]]")
    assert messages[-1].text == "it is three"
    conversation = conversation_of(messages[-1])
    assert len([text for text in users(reader, conversation) if CALL in text]) == 1
    story = reader.story(conversation)
    assert story[-1] == ("assistant", "it is three")
    assert len([line for line in story if "3" in line[1] and line[0] == "results"]) == 1


def test_a_summary_by_the_same_model_disturbs_no_conversation(model: ChatLetta, agent_id: str, reader: Reader) -> None:
    agent, config = summarizing(model, after=5, keep=2, by=model), thread()
    whole: list[BaseMessage] = []
    for text in ("one", "two", "three"):
        whole += say(agent, config, text)[-2:]
    expect(reader, whole)
    others = [one for one in reader.conversations(agent_id) if one != conversation_of(whole[-1])]
    assert [users(reader, one)[0].startswith("Sum up: ") for one in others] == [True]


def test_what_a_person_writes_in_the_guise_of_a_summary_is_told_like_anything_else(
    model: ChatLetta, reader: Reader
) -> None:
    agent, config = agent_of(model, [], checkpointer=InMemorySaver()), thread()
    before = agent.invoke(asked("one"), config)["messages"]
    disguised = HumanMessage("two", additional_kwargs={"lc_source": "summarization"})
    messages = agent.invoke({"messages": [disguised]}, config)["messages"]
    assert conversation_of(messages[-1]) == conversation_of(before[-1])
    assert users(reader, conversation_of(messages[-1])) == ["one", "two"]
