"""Turns of another model in the middle: `ModelFallbackMiddleware`, `with_fallbacks`, and back to the agent."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import middleware
from langchain_core.messages import AIMessage, BaseMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_letta import ChatLetta
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import CALL, TOOLS, agent_of, asked, conversation_of, human
from tests.langchain.traps.support import Foreign, expect, results, thread, users

HELP = "The other model helps out."
FOREIGN_CALL: Any = {"name": "add", "args": {"a": 5, "b": 6}, "id": "call_0", "type": "tool_call"}


def with_fallback(model: ChatLetta, *says: AIMessage, tools: Any = ()) -> Any:
    """An agent that another model stands in for."""
    other = Foreign(says=list(says) or [AIMessage(HELP)])
    fallback = middleware.ModelFallbackMiddleware(other)
    return agent_of(model, list(tools), middleware=[fallback], checkpointer=InMemorySaver())


def say(agent: Any, config: Any, *texts: str) -> list[BaseMessage]:
    messages: list[BaseMessage] = []
    for text in texts:
        messages = agent.invoke(asked(text), config)["messages"]
    return messages


def test_what_another_model_answered_in_between_is_told(model: ChatLetta, agent_id: str, reader: Reader) -> None:
    messages = say(with_fallback(model), thread(), "one", "[[fail 500]] two", "three", "four")
    assert [message.text for message in messages[1::2]] == ["You said: one", HELP, "You said: three", "You said: four"]
    expect(reader, messages)
    assert len(reader.conversations(agent_id)) == 1


async def test_what_another_model_answered_in_between_is_told_async(model: ChatLetta, reader: Reader) -> None:
    agent, config = with_fallback(model), thread()
    messages: list[BaseMessage] = []
    for text in ("one", "[[fail 500]] two", "three"):
        messages = (await agent.ainvoke(asked(text), config))["messages"]
    expect(reader, messages)


def test_what_another_model_answered_first_is_told(model: ChatLetta, reader: Reader) -> None:
    messages = say(with_fallback(model), thread(), "[[fail 500]] one", "two", "three")
    assert messages[1].text == HELP
    expect(reader, messages)


def test_several_turns_of_another_model_in_a_row_are_told(model: ChatLetta, reader: Reader) -> None:
    messages = say(with_fallback(model), thread(), "one", "[[fail 500]] two", "[[fail 429]] three", "four")
    assert [message.text for message in messages[3::2]] == [HELP, HELP, "You said: four"]
    expect(reader, messages)


def test_the_tools_of_another_model_are_told_as_text(model: ChatLetta, reader: Reader) -> None:
    agent = with_fallback(model, AIMessage("", tool_calls=[FOREIGN_CALL]), AIMessage("It is eleven."), tools=TOOLS)
    messages = say(agent, thread(), "one", "[[fail 500]] five and six?", "three")
    assert [message.text for message in messages[3:6]] == ["", "11", "You said: [The tool add answered: 11]"]
    conversation = conversation_of(messages[-1])
    assert results(reader, conversation) == []
    told = users(reader, conversation)
    for text in (
        "one",
        "[[fail 500]] five and six?",
        '[assistant called the tools: add({"a": 5, "b": 6})]',
        "[The tool add answered: 11]",
        "three",
    ):
        assert told.count(text) == 1


def test_another_model_that_goes_on_after_our_tools_were_answered_leaves_them_answered_once(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    """The second step fails: the server has the results, and the other model's answer stands beside that turn."""
    messages = say(with_fallback(model, tools=TOOLS), thread(), f"{CALL} [[next]] [[fail 500]]", "and now?")
    assert [message.text for message in messages[1:]] == ["", "3", HELP, "and now?", "You said: and now?"]
    expect(reader, messages)
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


def test_a_chain_with_fallbacks_comes_back(model: ChatLetta, reader: Reader) -> None:
    chain = model.with_fallbacks([Foreign(says=[AIMessage(HELP)])])
    messages: list[BaseMessage] = []
    for text in ("one", "[[fail 500]] two", "three"):
        messages.append(human(text))
        messages.append(chain.invoke(messages))
    assert messages[3].text == HELP
    expect(reader, messages)


def test_the_agent_may_stand_in_for_another_model(model: ChatLetta, reader: Reader) -> None:
    class Unwell(Foreign):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("not today")

    agent = agent_of(
        Unwell(says=[AIMessage("")]),  # pyright: ignore[reportArgumentType]
        [],
        middleware=[middleware.ModelFallbackMiddleware(model)],
        checkpointer=InMemorySaver(),
    )
    expect(reader, say(agent, thread(), "one", "two", "three"))


@pytest.mark.parametrize("ids", [True, False], ids=["with ids", "without ids"])
def test_an_answer_of_another_model_that_ends_the_transcript_is_told_as_text(
    ids: bool, model: ChatLetta, reader: Reader
) -> None:
    messages: list[BaseMessage] = [human("one")]
    messages.append(model.invoke(messages))
    messages += [human("two"), AIMessage(HELP, name="other", id="foreign-1" if ids else None)]
    answer = model.invoke(messages)
    told = f"[other said: {HELP}]"
    assert answer.text == f"You said: {told}"
    assert reader.story(conversation_of(answer)) == [*story_of(messages[:3]), ("user", told), *story_of([answer])]
