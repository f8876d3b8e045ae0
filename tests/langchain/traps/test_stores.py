"""Transcripts that were kept somewhere between two calls: whole, without metadata, as roles and texts."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from langchain_core.load import dumpd, load
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    convert_to_messages,
    convert_to_openai_messages,
    messages_from_dict,
    messages_to_dict,
)

from langchain_letta import ChatLetta
from tests.langchain.readback import Reader
from tests.langchain.support import CALL, IN_SEQUENCE, TOOLS, agent_of, asked, call_ids, conversation_of, human, letta
from tests.langchain.traps.support import expect, stripped, users

Travel = Callable[[Sequence[BaseMessage]], list[BaseMessage]]


def as_dicts(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    return messages_from_dict(json.loads(json.dumps(messages_to_dict(messages))))


def as_pickles(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    return pickle.loads(pickle.dumps(list(messages)))


def as_dumps(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    dumped = json.loads(json.dumps([dumpd(message) for message in messages]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `load` is in beta
        return [cast("Any", load)(one, allowed_objects="messages") for one in dumped]


def as_models(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    return [type(message).model_validate_json(message.model_dump_json()) for message in messages]


def as_roles_and_texts(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    return list(convert_to_messages(cast("Any", convert_to_openai_messages(messages))))


def without_metadata(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    return [stripped(message) for message in messages]


def without_metadata_but_with_ids(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    return [message.model_copy(update={"response_metadata": {}}) for message in messages]


keeps_the_anchor = pytest.mark.parametrize("travel", [as_dicts, as_pickles, as_dumps, as_models])
loses_the_anchor = pytest.mark.parametrize(
    "travel", [without_metadata, without_metadata_but_with_ids, as_roles_and_texts]
)


@keeps_the_anchor
def test_a_store_that_keeps_messages_whole_keeps_the_conversation(
    travel: Travel, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    messages: list[BaseMessage] = []
    for text in ("one", "[[think hm]] [[say it is two]]", "three"):
        messages.append(human(text))
        messages.append(model.invoke(travel(messages)))
    expect(reader, messages)
    assert len(reader.conversations(agent_id)) == 1


@keeps_the_anchor
def test_a_store_that_keeps_messages_whole_keeps_the_calls_that_wait(
    travel: Travel, model: ChatLetta, reader: Reader
) -> None:
    bound = model.bind_tools(TOOLS)
    messages: list[BaseMessage] = [human(CALL)]
    messages.append(bound.invoke(messages))
    messages.append(ToolMessage("3", tool_call_id=call_ids(messages[-1])[0], id="result-1"))
    messages.append(bound.invoke(travel(messages)))
    assert messages[-1].text == "The tools answered: 3"
    expect(reader, messages)


@keeps_the_anchor
def test_a_chunk_that_was_streamed_is_kept_like_a_message(travel: Travel, model: ChatLetta, reader: Reader) -> None:
    messages: list[BaseMessage] = [human("[[say one two]] hello")]
    *_, whole = _joined(model, messages)
    messages += [whole, human("next")]
    messages.append(model.invoke(travel(messages)))
    expect(reader, messages)


def _joined(model: ChatLetta, messages: list[BaseMessage]) -> list[BaseMessage]:
    joined: list[BaseMessage] = []
    for chunk in model.stream(messages):
        joined.append(cast("Any", joined[-1]) + chunk if joined else chunk)
    return joined


@loses_the_anchor
def test_a_store_that_loses_the_metadata_makes_a_conversation_for_each_turn_and_each_knows_it_all(
    travel: Travel, model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    messages: list[BaseMessage] = []
    answers: list[AIMessage] = []
    for text in ("one", "two", "three"):
        messages = travel([*messages, human(text)])
        answers.append(model.invoke(messages))
        messages.append(answers[-1])
        expect(reader, messages)
    assert sorted(map(conversation_of, answers)) == sorted(reader.conversations(agent_id))


@loses_the_anchor
def test_a_tool_loop_whose_store_loses_the_metadata_still_gets_there(
    travel: Travel, model: ChatLetta, reader: Reader
) -> None:
    bound = model.bind_tools(TOOLS)
    question = human(CALL)
    call = bound.invoke([question])
    answer = bound.invoke(
        travel([question, call, ToolMessage("3", name="add", tool_call_id=call_ids(call)[0])]),
    )
    assert answer.text == "You said: [The tool add answered: 3]"
    assert [text for text in users(reader, conversation_of(answer)) if "answered" in text] == [
        "[The tool add answered: 3]"
    ]


def test_a_last_answer_without_metadata_is_not_told_to_the_conversation_that_gave_it(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    messages: list[BaseMessage] = [human("one")]
    messages.append(model.invoke(messages))
    messages.append(human("two"))
    messages.append(stripped(model.invoke(messages)))
    messages.append(human("three"))
    messages.append(model.invoke(messages))
    expect(reader, messages)
    assert len(reader.conversations(agent_id)) == 1


@loses_the_anchor
def test_a_pinned_conversation_needs_no_metadata(
    travel: Travel, pinned: ChatLetta, conversation_id: str, reader: Reader
) -> None:
    messages: list[BaseMessage] = []
    for text in ("one", "two", "three"):
        messages = travel([*messages, human(text)])
        messages.append(pinned.invoke(messages))
    expect(reader, messages)
    assert conversation_of(messages[-1]) == conversation_id


def test_an_anchor_is_plain_json(model: ChatLetta) -> None:
    answer = model.invoke([human("one")])
    assert json.loads(json.dumps(letta(answer))) == letta(answer)


def test_an_agent_whose_messages_are_kept_between_two_processes_goes_on(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    kept = as_dicts(agent_of(model).invoke(asked(IN_SEQUENCE))["messages"])
    messages = agent_of(model).invoke({"messages": [*kept, HumanMessage("and now?")]})["messages"]
    expect(reader, messages)
    assert len(reader.conversations(agent_id)) == 1
