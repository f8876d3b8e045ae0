"""The same again: texts, message ids, call ids and tool results that come twice or out of order."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_letta import ChatLetta
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import CALL, TOOLS, TWO_CALLS, call_ids, conversation_of, human, run_of
from tests.langchain.traps.support import expect, results, users

AGAIN = "yes, go on"
HOW = pytest.mark.parametrize("ids", [True, False], ids=["with ids", "without ids"])


def says(text: str, *, ids: bool) -> HumanMessage:
    return human(text) if ids else HumanMessage(text)


def result(call: BaseMessage, index: int, content: str, **options: Any) -> ToolMessage:
    return ToolMessage(content, tool_call_id=call_ids(call)[index], **options)


@HOW
def test_the_same_words_turn_after_turn_are_stored_each_time(ids: bool, model: ChatLetta, reader: Reader) -> None:
    messages: list[BaseMessage] = []
    for _ in range(4):
        messages.append(says(AGAIN, ids=ids))
        messages.append(model.invoke(messages))
    assert len({run_of(answer) for answer in messages[1::2]}) == 4
    expect(reader, messages)


@HOW
def test_the_same_words_twice_in_one_turn_are_stored_twice(ids: bool, model: ChatLetta, reader: Reader) -> None:
    messages: list[BaseMessage] = [human("one")]
    messages.append(model.invoke(messages))
    messages += [says(AGAIN, ids=ids), says(AGAIN, ids=ids)]
    messages.append(model.invoke(messages))
    expect(reader, messages)


def test_the_same_words_that_are_run_again_are_stored_as_often_as_they_were_said(
    model: ChatLetta, reader: Reader
) -> None:
    messages: list[BaseMessage] = [human(AGAIN)]
    messages.append(model.invoke(messages))
    for _ in range(3):
        messages.append(human(AGAIN))
        answer = model.invoke(messages)
        assert run_of(model.invoke(messages)) == run_of(answer)
        messages.append(answer)
    expect(reader, messages)


@HOW
def test_a_seed_that_says_the_same_twice_is_stored_so(ids: bool, model: ChatLetta, reader: Reader) -> None:
    messages: list[BaseMessage] = [
        says(AGAIN, ids=ids),
        AIMessage("going on"),
        says(AGAIN, ids=ids),
        AIMessage("going on"),
        says(AGAIN, ids=ids),
    ]
    messages.append(model.invoke(messages))
    expect(reader, messages)


def test_an_id_that_every_message_has_loses_none_of_them(model: ChatLetta, reader: Reader) -> None:
    messages: list[BaseMessage] = []
    for text in ("one", "two", "two", "three"):
        messages.append(HumanMessage(text, id="1"))
        messages.append(model.invoke(messages))
    expect(reader, messages)


def test_an_id_that_several_messages_of_one_turn_have_loses_none_of_them(model: ChatLetta, reader: Reader) -> None:
    messages: list[BaseMessage] = [HumanMessage(text, id="1") for text in ("one", "two", "two")]
    messages.append(model.invoke(messages))
    messages += [HumanMessage(text, id="1") for text in ("three", "three", "four")]
    messages.append(model.invoke(messages))
    expect(reader, messages)


def test_ids_that_count_from_one_in_every_dialogue_keep_dialogues_apart(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    dialogues: list[list[BaseMessage]] = [[], []]
    for number in ("1", "2"):
        for messages in dialogues:
            messages.append(HumanMessage("same words", id=number))
            messages.append(model.invoke(messages))
    for messages in dialogues:
        expect(reader, messages)
    assert len(reader.conversations(agent_id)) == 2


def test_an_id_that_a_question_and_a_result_share_loses_neither(model: ChatLetta, reader: Reader) -> None:
    bound = model.bind_tools(TOOLS)
    messages: list[BaseMessage] = [HumanMessage(CALL, id="1")]
    messages.append(bound.invoke(messages))
    messages += [result(messages[1], 0, "3", id="1"), HumanMessage("and?", id="1")]
    messages.append(bound.invoke(messages))
    expect(reader, messages)


def test_a_result_that_comes_after_the_next_question_is_given_first(model: ChatLetta, reader: Reader) -> None:
    bound = model.bind_tools(TOOLS)
    asked, next_one = human(CALL), human("and?")
    call = bound.invoke([asked])
    told = result(call, 0, "3", id="r")
    answer = bound.invoke([asked, call, next_one, told])
    expect(reader, [asked, call, told, next_one, answer])


@pytest.mark.usefixtures("parallel_calls")
def test_results_in_another_order_than_the_calls_answer_each_its_own(model: ChatLetta, reader: Reader) -> None:
    bound = model.bind_tools(TOOLS)
    asked = human(TWO_CALLS)
    call = bound.invoke([asked])
    first, second = result(call, 0, "3", id="a"), result(call, 1, "12", id="b")
    answer = bound.invoke([asked, call, second, first])
    assert answer.text == "The tools answered: 3 | 12"
    expect(reader, [asked, call, first, second, answer])


@pytest.mark.usefixtures("parallel_calls")
def test_results_in_another_order_when_run_again_attach(model: ChatLetta, reader: Reader) -> None:
    bound = model.bind_tools(TOOLS)
    asked = human(TWO_CALLS)
    call = bound.invoke([asked])
    first, second = result(call, 0, "3", id="a"), result(call, 1, "12", id="b")
    answer = bound.invoke([asked, call, first, second])
    again = bound.invoke([asked, call, second, first])
    assert run_of(again) == run_of(answer)
    expect(reader, [asked, call, first, second, answer])


@pytest.mark.usefixtures("parallel_calls")
def test_of_two_results_for_one_call_the_last_counts(model: ChatLetta, reader: Reader) -> None:
    bound = model.bind_tools(TOOLS)
    asked = human(TWO_CALLS)
    call = bound.invoke([asked])
    wrong, second, right = result(call, 0, "4"), result(call, 1, "12"), result(call, 0, "3")
    answer = bound.invoke([asked, call, wrong, second, right])
    assert results(reader, conversation_of(answer)) == ["3", "12"]
    expect(reader, [asked, call, right, second, answer])


def test_a_result_that_is_listed_twice_is_told_once(model: ChatLetta, reader: Reader) -> None:
    bound = model.bind_tools(TOOLS)
    asked = human(CALL)
    call = bound.invoke([asked])
    told = result(call, 0, "3", id="r")
    answer = bound.invoke([asked, call, told, told])
    assert results(reader, conversation_of(answer)) == ["3"]
    expect(reader, [asked, call, told, answer])


def test_a_result_that_comes_again_a_turn_later_is_not_told_again(model: ChatLetta, reader: Reader) -> None:
    bound = model.bind_tools(TOOLS)
    messages: list[BaseMessage] = [human(CALL)]
    messages.append(bound.invoke(messages))
    told = result(messages[1], 0, "3", id="r")
    messages.append(told)
    messages.append(bound.invoke(messages))
    asked = human("and?")
    answer = bound.invoke([*messages, told, asked])
    assert results(reader, conversation_of(answer)) == ["3"]
    expect(reader, [*messages, asked, answer])


def test_another_result_for_a_call_that_was_answered_is_told_as_text(model: ChatLetta, reader: Reader) -> None:
    bound = model.bind_tools(TOOLS)
    messages: list[BaseMessage] = [human(CALL)]
    messages.append(bound.invoke(messages))
    messages.append(result(messages[1], 0, "3", id="r"))
    messages.append(bound.invoke(messages))
    answer = bound.invoke([*messages, result(messages[1], 0, "4", id="s", name="add"), human("and?")])
    conversation = conversation_of(answer)
    assert results(reader, conversation) == ["3"]
    assert users(reader, conversation) == [CALL, "[The tool add answered: 4]", "and?"]


def test_a_result_that_stands_before_its_call_does_not_wedge_the_conversation(model: ChatLetta, reader: Reader) -> None:
    bound = model.bind_tools(TOOLS)
    asked = human(CALL)
    call = bound.invoke([asked])
    next_one = human("and?")
    answer = bound.invoke([asked, result(call, 0, "3", id="r"), call, next_one])
    conversation = conversation_of(answer)
    assert answer.text == "You said: and?"
    assert len(results(reader, conversation)) == 1
    assert [users(reader, conversation).count(text) for text in (CALL, "and?")] == [1, 1]


def test_call_ids_that_another_model_counts_from_zero_keep_its_calls_apart(model: ChatLetta, reader: Reader) -> None:
    def look(what: str) -> list[BaseMessage]:
        found: Any = {"name": "look", "args": {"for": what}, "id": "call_0", "type": "tool_call"}
        return [AIMessage("", tool_calls=[found]), ToolMessage(f"{what} found", tool_call_id="call_0", name="look")]

    messages = [human("look"), *look("tea"), *look("milk"), AIMessage("Both are there."), human("thanks")]
    answer = model.invoke(messages)
    assert reader.story(conversation_of(answer)) == [
        ("user", "look"),
        ("user", '[assistant called the tools: look({"for": "tea"})]'),
        ("user", "[The tool look answered: tea found]"),
        ("user", '[assistant called the tools: look({"for": "milk"})]'),
        ("user", "[The tool look answered: milk found]"),
        *story_of([AIMessage("Both are there."), human("thanks"), answer]),
    ]
