"""`RunnableWithMessageHistory` around `ChatLetta`: each message reaches the server once, each answer is shown once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import Runnable
from langchain_core.runnables.history import RunnableWithMessageHistory

from langchain_letta import ChatLetta, LettaChatMessageHistory, pin_to_history
from tests.conftest import Backend
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import TOOLS, agent_of, said

pytestmark = pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")

Sessions = Callable[[str], LettaChatMessageHistory]
Chain = Runnable[Any, Any]
Ask = Callable[[Chain, str, str], Awaitable[str]]
Build = Callable[[ChatLetta, Sessions], tuple[Chain, Callable[[str], Any]]]


def session_of(session_id: str) -> Any:
    return {"configurable": {"session_id": session_id}}


async def by_invoke(chain: Chain, value: Any, session_id: str) -> str:
    return text_of(chain.invoke(value, session_of(session_id)))


async def by_ainvoke(chain: Chain, value: Any, session_id: str) -> str:
    return text_of(await chain.ainvoke(value, session_of(session_id)))


async def by_stream(chain: Chain, value: Any, session_id: str) -> str:
    return "".join(text_of(chunk) for chunk in chain.stream(value, session_of(session_id)))


async def by_astream(chain: Chain, value: Any, session_id: str) -> str:
    return "".join([text_of(chunk) async for chunk in chain.astream(value, session_of(session_id))])


def text_of(output: Any) -> str:
    return output if isinstance(output, str) else str(output.text)


def bare(model: ChatLetta, sessions: Sessions) -> tuple[Chain, Callable[[str], Any]]:
    """The model alone: the history is put before its input."""
    return RunnableWithMessageHistory(pin_to_history(model), sessions), lambda text: [HumanMessage(text)]


PROMPT = ChatPromptTemplate.from_messages(
    [("system", "Be brief."), MessagesPlaceholder("history"), ("human", "{question}")]
)
KEYS: Any = {"input_messages_key": "question", "history_messages_key": "history"}


def prompted(model: ChatLetta, sessions: Sessions) -> tuple[Chain, Callable[[str], Any]]:
    """A prompt with a place for the history."""
    chain = PROMPT | pin_to_history(model)
    return RunnableWithMessageHistory(chain, sessions, **KEYS), lambda text: {"question": text}


def parsed(model: ChatLetta, sessions: Sessions) -> tuple[Chain, Callable[[str], Any]]:
    """A prompt and a parser, which gives the text alone."""
    chain = PROMPT | pin_to_history(model) | StrOutputParser()
    return RunnableWithMessageHistory(chain, sessions, **KEYS), lambda text: {"question": text}


each_way = pytest.mark.parametrize("ask", [by_invoke, by_ainvoke, by_stream, by_astream])
each_chain = pytest.mark.parametrize("build", [bare, prompted, parsed])


@pytest.fixture
def sessions(backend: Backend, agent_id: str) -> Sessions:
    """Histories of sessions, a new one for every call as LangChain makes them."""
    return lambda session_id: LettaChatMessageHistory(
        session_id=session_id, agent_id=agent_id, base_url=backend.base_url
    )


@each_chain
@each_way
async def test_each_turn_is_stored_once_and_the_next_one_remembers_it(
    ask: Ask,
    build: Build,
    model: ChatLetta,
    sessions: Sessions,
    reader: Reader,
    agent_id: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    chain, value = build(model, sessions)
    first = await ask(chain, value("my name is Ann"), "ann")
    second = await ask(chain, value("[[recall]] who am I?"), "ann")
    await ask(chain, value("bye"), "ann")
    assert first == "You said: my name is Ann"
    assert second.splitlines()[-3:] == ["user: my name is Ann", f"assistant: {first}", "user: who am I?"]
    (conversation_id,) = reader.conversations(agent_id)
    story = reader.story(conversation_id)
    assert [line for line in story if line[0] != "system"] == [
        *said("my name is Ann"),
        ("user", "[[recall]] who am I?"),
        ("assistant", second),
        *said("bye"),
    ]
    assert story.count(("system", "Be brief.")) == (build is not bare)
    assert len(set(reader.runs(conversation_id))) == 3
    assert story_of(sessions("ann").messages) == [line for line in story if line[0] != "system"]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@each_way
async def test_sessions_are_conversations_of_their_own(
    ask: Ask, model: ChatLetta, sessions: Sessions, reader: Reader, agent_id: str
) -> None:
    chain, value = prompted(model, sessions)
    for name in ("ann", "ben"):
        await ask(chain, value(f"I am {name}"), name)
    stories = [reader.story(str(sessions(name).open().conversation_id)) for name in ("ann", "ben")]
    assert [story[1:] for story in stories] == [said("I am ann"), said("I am ben")]
    assert len(reader.conversations(agent_id)) == 2


@each_way
async def test_a_conversation_can_be_its_own_session(
    ask: Ask, backend: Backend, model: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    def history(session_id: str) -> LettaChatMessageHistory:
        return LettaChatMessageHistory(conversation_id=session_id, base_url=backend.base_url)

    chain, value = bare(model, history)
    for text in ("one", "two"):
        await ask(chain, value(text), conversation_id)
    assert reader.story(conversation_id) == said("one", "two")


@each_way
async def test_a_model_that_is_pinned_by_its_field_needs_no_more(
    ask: Ask, pinned: ChatLetta, backend: Backend, conversation_id: str, reader: Reader
) -> None:
    chain = RunnableWithMessageHistory(
        pinned, lambda: LettaChatMessageHistory(conversation_id=conversation_id, base_url=backend.base_url)
    )
    for text in ("one", "two"):
        await ask(chain, [HumanMessage(text)], "any")  # pyright: ignore[reportArgumentType]
    assert reader.story(conversation_id) == said("one", "two")


def test_a_cleared_session_begins_anew(model: ChatLetta, sessions: Sessions, reader: Reader, agent_id: str) -> None:
    chain, value = bare(model, sessions)
    chain.invoke(value("one"), session_of("ann"))
    old = sessions("ann").open().conversation_id
    sessions("ann").clear()
    assert chain.invoke(value("[[recall]] two"), session_of("ann")).text == "user: two"
    new = sessions("ann").open().conversation_id
    assert set(reader.conversations(agent_id)) == {old, new}
    sessions("ann").clear(delete=True)
    assert new not in reader.conversations(agent_id)
    assert old in reader.conversations(agent_id)


async def test_a_session_that_many_begin_at_once_is_one_conversation(sessions: Sessions) -> None:
    name = f"100% _{uuid4()}"
    blocking = [asyncio.to_thread(lambda: sessions(name).open()) for _ in range(3)]
    places = await asyncio.gather(*blocking, *(sessions(name).aopen() for _ in range(3)))
    assert len({place.conversation_id for place in places}) == 1


def test_tools_can_be_bound_to_a_model_that_is_pinned(model: ChatLetta, sessions: Sessions, reader: Reader) -> None:
    bound: Any = pin_to_history(model.bind_tools(TOOLS))
    chain = RunnableWithMessageHistory(bound, sessions)
    answer: Any = chain.invoke([HumanMessage('[[call add {"a": 1, "b": 2}]]')], session_of("ann"))
    assert [call["name"] for call in answer.tool_calls] == ["add"]
    assert story_of(sessions("ann").messages) == reader.story(sessions("ann").open().conversation_id)


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_an_agent_hands_back_its_whole_transcript_and_none_of_it_is_added(
    way: str, model: ChatLetta, sessions: Sessions, reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    place = sessions("ann").open()
    pinned = ChatLetta(agent_id=place.agent_id, conversation_id=place.conversation_id, base_url=str(model.base_url))
    chain = RunnableWithMessageHistory(
        agent_of(pinned), sessions, input_messages_key="messages", output_messages_key="messages"
    )
    for text in ('[[call add {"a": 1, "b": 2}]]', "thanks"):
        value = {"messages": [HumanMessage(text)]}
        await chain.ainvoke(value, session_of("ann")) if way == "ainvoke" else chain.invoke(value, session_of("ann"))
    kinds = [kind for kind, _ in reader.story(place.conversation_id)]
    assert kinds == ["user", "calls", "results", "assistant", "user", "assistant"]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_parser_that_changes_the_answer_is_told_of_in_the_log(
    model: ChatLetta, sessions: Sessions, reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    chain = RunnableWithMessageHistory(PROMPT | pin_to_history(model) | StrOutputParser() | str.upper, sessions, **KEYS)
    assert chain.invoke({"question": "one"}, session_of("ann")) == "YOU SAID: ONE"
    assert "does not hold the messages" in caplog.text
    assert reader.story(sessions("ann").open().conversation_id)[1:] == said("one")


def test_outside_of_a_runnable_with_history_a_pinned_model_says_what_it_misses(model: ChatLetta) -> None:
    with pytest.raises(ValueError, match="RunnableWithMessageHistory"):
        pin_to_history(model).invoke("one")
