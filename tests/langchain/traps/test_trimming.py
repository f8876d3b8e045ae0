"""Programs that cut messages out of a transcript: trimming, `RemoveMessage`, undo."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, cast

import langchain_core.messages
import pytest
from langchain_core.messages import (
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.checkpoint.memory import InMemorySaver

from langchain_letta import ChatLetta
from tests.conftest import Backend
from tests.langchain.readback import Reader
from tests.langchain.support import CALL, TOOLS, call_ids, conversation_of, human, said
from tests.langchain.traps.support import chain_of, chat, expect, thread

EVERYTHING = "__remove_all__"
"""What `RemoveMessage` calls all messages."""


def trimmer(count: int, **options: Any) -> Any:
    """Keep the last messages, that many."""
    return cast("Any", langchain_core.messages).trim_messages(
        strategy="last", max_tokens=count, token_counter=len, **options
    )


def dialogue(model: Any, *texts: str, ids: bool = True) -> list[BaseMessage]:
    """Ask one thing after the other, always with the whole transcript."""
    messages: list[BaseMessage] = []
    for text in texts:
        messages.append(human(text) if ids else HumanMessage(text))
        messages.append(model.invoke(messages))
    return messages


@pytest.mark.parametrize("ids", [True, False], ids=["with ids", "without ids"])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_trimming_to_the_last_turns_goes_on_where_they_are(
    count: int, ids: bool, model: ChatLetta, reader: Reader
) -> None:
    messages = dialogue(trimmer(count) | model, "one", "two", "three", "four", ids=ids)
    expect(reader, messages)


def test_trimming_that_keeps_the_system_message_tells_it_once(model: ChatLetta, reader: Reader) -> None:
    chain = trimmer(4, include_system=True, start_on="human") | model
    messages: list[BaseMessage] = [SystemMessage("Be brief.")]
    for text in ("one", "two", "three", "four"):
        messages.append(human(text))
        messages.append(chain.invoke(messages))
    expect(reader, messages)


def test_trimming_to_the_last_message_makes_a_conversation_for_each(
    model: ChatLetta, agent_id: str, reader: Reader
) -> None:
    messages = dialogue(trimmer(1) | model, "one", "two", "three")
    conversations = [conversation_of(answer) for answer in messages[1::2]]
    assert sorted(conversations) == sorted(reader.conversations(agent_id))
    assert [reader.story(one) for one in conversations] == [said("one"), said("two"), said("three")]


LOSES_ANCHORS = """
import sys
from langchain_core.messages import HumanMessage
from langchain_letta import ChatLetta

model = ChatLetta(base_url=sys.argv[1], agent_id=sys.argv[2])
messages = []
for text in ("one", "two", "three", "four"):
    messages.append(HumanMessage(text, id=text))
    messages.append(model.invoke(messages).model_copy(update={"response_metadata": {}}))
"""


def test_a_program_that_loses_the_anchor_every_time_is_warned_once(backend: Backend, agent_id: str) -> None:
    """In a process of its own: whoever was warned once is not warned again."""
    command = [sys.executable, "-c", LOSES_ANCHORS, backend.base_url, agent_id]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True)
    (warning,) = ended.stderr.splitlines()
    assert "anchor" in warning
    assert "response_metadata" in warning


def test_a_result_whose_call_was_trimmed_away_is_told_as_text(model: ChatLetta, reader: Reader) -> None:
    chain = trimmer(1) | model.bind_tools(TOOLS)
    call = chain.invoke([human(CALL)])
    result = ToolMessage("3", name="add", tool_call_id=call_ids(call)[0], id="result-1")
    answer = chain.invoke([human(CALL), call, result])
    told = "[The tool add answered: 3]"
    assert conversation_of(answer) != conversation_of(call)
    assert reader.story(conversation_of(answer)) == said(told)
    assert reader.story(conversation_of(call)) == [("user", CALL), ("calls", "add")]


def test_a_graph_that_removes_old_messages_goes_on_in_its_conversation(model: ChatLetta, reader: Reader) -> None:
    def prune(state: Any) -> Any:
        return {"messages": [RemoveMessage(id=message.id) for message in state["messages"][:-2]]}

    graph = chain_of(("prune", prune), ("chat", chat(model)), saver=InMemorySaver())
    config = thread()
    whole: list[BaseMessage] = []
    for text in ("one", "two", "three", "four"):
        state = graph.invoke({"messages": [human(text)]}, config)["messages"]
        assert len(state) <= 3
        whole += state[-2:]
    expect(reader, whole)


@pytest.fixture
def graph(model: ChatLetta) -> Any:
    return chain_of(("chat", chat(model)), saver=InMemorySaver())


def ask(graph: Any, config: Any, *messages: BaseMessage) -> list[BaseMessage]:
    return graph.invoke({"messages": list(messages)}, config)["messages"]


def remove(message: BaseMessage) -> RemoveMessage:
    return RemoveMessage(id=message.id or "")


def test_an_answer_that_is_removed_leaves_its_question_stored_once(graph: Any, reader: Reader) -> None:
    config = thread()
    ask(graph, config, human("one"))
    before = ask(graph, config, human("two"))
    after = ask(graph, config, remove(before[-1]), human("three"))
    assert [message.text for message in after[:3]] == ["one", "You said: one", "two"]
    assert conversation_of(after[-1]) == conversation_of(before[-1])
    expect(reader, [*before, *after[-2:]])


@pytest.mark.parametrize("turns", [1, 2])
def test_turns_that_are_undone_are_unknown_where_the_dialogue_goes_on(
    turns: int, graph: Any, agent_id: str, reader: Reader
) -> None:
    config = thread()
    for text in ("one", "two", "three"):
        ask(graph, config, human(text))
    before = graph.get_state(config).values["messages"]
    after = ask(graph, config, *map(remove, before[-2 * turns :]), human("instead"))
    expect(reader, after)
    expect(reader, before)
    assert sorted(reader.conversations(agent_id)) == sorted([conversation_of(after[-1]), conversation_of(before[-1])])


def test_after_an_undo_the_new_conversation_is_followed(graph: Any, reader: Reader) -> None:
    config = thread()
    ask(graph, config, human("one"))
    before = ask(graph, config, human("two"))
    ask(graph, config, *map(remove, before[2:]), human("instead"))
    expect(reader, ask(graph, config, human("and then?")))


def test_a_thread_that_was_emptied_starts_a_conversation(graph: Any, agent_id: str, reader: Reader) -> None:
    config = thread()
    before = ask(graph, config, human("one"))
    after = ask(graph, config, RemoveMessage(id=EVERYTHING), human("two"))
    expect(reader, before)
    expect(reader, after)
    assert len(reader.conversations(agent_id)) == 2


def test_a_thread_that_was_emptied_and_asks_the_same_words_starts_a_conversation(graph: Any, reader: Reader) -> None:
    config = thread()
    before = ask(graph, config, human("one"))
    after = ask(graph, config, RemoveMessage(id=EVERYTHING), human("one"))
    assert conversation_of(after[-1]) != conversation_of(before[-1])
    expect(reader, before)
    expect(reader, after)


def test_an_edit_before_the_last_answer_goes_unnoticed_like_trimming(graph: Any, reader: Reader) -> None:
    config = thread()
    ask(graph, config, human("one"))
    before = ask(graph, config, human("two"))
    after = ask(graph, config, before[0].model_copy(update={"content": "edited"}), human("three"))
    assert after[0].text == "edited"
    expect(reader, [*before, *after[-2:]])


def test_a_question_that_is_edited_is_answered_where_the_old_one_is_unknown(graph: Any, reader: Reader) -> None:
    config = thread()
    ask(graph, config, human("one"))
    before = ask(graph, config, human("two"))
    edited = before[2].model_copy(update={"content": "two, edited"})
    after = ask(graph, config, remove(before[-1]), edited)
    assert [message.text for message in after[2:]] == ["two, edited", "You said: two, edited"]
    expect(reader, after)
    expect(reader, before)
