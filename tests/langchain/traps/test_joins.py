"""Dialogues that come together: what one conversation does not know of the other is told, and nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_letta import ChatLetta
from tests.conftest import Backend, fresh_conversation
from tests.langchain.readback import Reader
from tests.langchain.support import CALL, TOOLS, call_ids, conversation_of, human, run_of
from tests.langchain.traps.support import END, START, Node, expect, expect_each_once, message_graph, thread, users


def turn(model: Any, messages: Sequence[BaseMessage], text: str) -> list[BaseMessage]:
    asked = human(text)
    return [asked, model.invoke([*messages, asked])]


def test_of_two_dialogues_one_after_the_other_the_last_goes_on_and_hears_of_the_first(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    first, second = turn(model, [], "one"), turn(model, [], "two")
    joined = [*first, *second]
    joined += turn(model, joined, "three")
    assert conversation_of(joined[-1]) == conversation_of(second[-1])
    expect_each_once(reader, joined)
    expect(reader, first)
    assert len(reader.conversations(agent_id)) == 2


def test_after_a_join_only_what_is_new_is_told(model: ChatLetta, reader: Reader) -> None:
    messages = [*turn(model, [], "one"), *turn(model, [], "two")]
    for text in ("three", "four", "five"):
        messages += turn(model, messages, text)
        expect_each_once(reader, messages)
    assert len({conversation_of(answer) for answer in messages[3::2]}) == 1


def test_a_join_that_is_run_again_attaches(model: ChatLetta, reader: Reader) -> None:
    messages: list[BaseMessage] = [*turn(model, [], "one"), *turn(model, [], "two"), human("three")]
    answer, again = model.invoke(messages), model.invoke(messages)
    assert run_of(again) == run_of(answer)
    expect_each_once(reader, [*messages, answer])


def test_three_dialogues_come_together_one_by_one(model: ChatLetta, reader: Reader) -> None:
    messages = turn(model, [], "one")
    for text in ("two", "three"):
        messages += turn(model, [], text)
        messages += turn(model, messages, f"and {text}?")
        expect_each_once(reader, messages)


def branch(model: ChatLetta, name: str) -> Node:
    def run(state: Any) -> Any:
        return {"messages": turn(model, state["messages"], f"what says {name}?")}

    return run


def diamond(model: ChatLetta) -> Any:
    """A graph that splits in two and comes together again."""
    graph = message_graph()
    for name in ("left", "right", "together"):
        graph.add_node(name, branch(model, name))
    graph.add_edge(START, "left")
    graph.add_edge(START, "right")
    graph.add_edge(["left", "right"], "together")
    graph.add_edge("together", END)
    return graph.compile(checkpointer=InMemorySaver())


@pytest.mark.parametrize("begun", [True, False], ids=["after an answer", "from the first turn"])
def test_branches_that_come_together_both_are_known_where_the_dialogue_goes_on(
    begun: bool, model: ChatLetta, reader: Reader
) -> None:
    before = turn(model, [], "hello") if begun else []
    messages = diamond(model).invoke({"messages": before}, thread())["messages"]
    assert [one.text for one in messages if isinstance(one, HumanMessage)][-3:] == [
        "what says left?",
        "what says right?",
        "what says together?",
    ]
    expect_each_once(reader, messages)


def test_a_thread_that_splits_and_comes_together_again_and_again_stores_everything_once(
    model: ChatLetta, reader: Reader
) -> None:
    graph, config = diamond(model), thread()
    messages: list[BaseMessage] = []
    for text in ("one", "two", "three"):
        messages = graph.invoke({"messages": turn(model, messages, text)}, config)["messages"]
        expect_each_once(reader, messages)


def test_a_tool_history_of_the_other_dialogue_is_told_as_text_and_once(model: ChatLetta, reader: Reader) -> None:
    bound = model.bind_tools(TOOLS)
    first = turn(bound, [], CALL)
    first.append(ToolMessage("3", name="add", tool_call_id=call_ids(first[-1])[0], id="result-1"))
    first.append(bound.invoke(first))
    joined = [*first, *turn(bound, [], "two")]
    joined += turn(bound, joined, "three")
    joined += turn(bound, joined, "four")
    conversation = conversation_of(joined[-1])
    assert Counter(users(reader, conversation)) == Counter(
        [
            CALL,
            '[assistant called the tools: add({"a": 1, "b": 2})]',
            "[The tool add answered: 3]",
            "two",
            "three",
            "four",
        ]
    )
    assert reader.answers(conversation) == []
    assert len(reader.answers(conversation_of(first[-1]))) == 1


def test_a_call_that_waits_in_the_other_dialogue_is_left_to_it(model: ChatLetta, reader: Reader) -> None:
    bound = model.bind_tools(TOOLS)
    first = turn(bound, [], CALL)
    joined = [*first, *turn(bound, [], "two")]
    joined += turn(bound, joined, "three")
    assert reader.answers(conversation_of(joined[-1])) == []
    result = ToolMessage("3", tool_call_id=call_ids(first[-1])[0], id="result-1")
    answer = bound.invoke([*first, result])
    expect(reader, [*first, result, answer])


def test_two_pinned_conversations_of_one_agent_in_one_transcript_each_hear_the_other(
    backend: Backend, agent_id: str, reader: Reader
) -> None:
    conversations = [fresh_conversation(backend, agent_id) for _ in range(2)]
    pinned = [ChatLetta(conversation_id=one, base_url=backend.base_url) for one in conversations]
    messages: list[BaseMessage] = []
    for number in range(6):
        messages += turn(pinned[number % 2], messages, f"turn {number}")
        assert conversation_of(messages[-1]) == conversations[number % 2]
        expect(reader, messages)


def test_words_that_were_put_before_the_last_answer_are_told(model: ChatLetta, reader: Reader) -> None:
    """As a branch is that another model answered while ours was answering too."""
    before = turn(model, [], "one")
    ours = turn(model, before, "two")
    foreign: list[BaseMessage] = [human("two, of another branch"), AIMessage("said by another model", id="foreign-1")]
    messages = [*before, *foreign, *ours]
    messages += turn(model, messages, "three")
    assert conversation_of(messages[-1]) == conversation_of(ours[-1])
    expect_each_once(reader, messages)


def test_branches_that_keep_their_instructions_to_themselves_are_both_known_where_they_come_together(
    model: ChatLetta, reader: Reader
) -> None:
    root, together = human("root"), human("together")
    critic, fan = (model.invoke([root, HumanMessage(f"[[say {name} answers]]")]) for name in ("critic", "fan"))
    answer = model.invoke([root, critic, fan, together])
    assert conversation_of(answer) == conversation_of(fan)
    told = [text for role, text in reader.story(conversation_of(answer)) if role in ("user", "assistant")]
    assert told == ["root", "[[say fan answers]]", "fan answers", "critic answers", "together", answer.text]
    again = model.invoke([root, critic, fan, together])
    assert run_of(again) == run_of(answer)
