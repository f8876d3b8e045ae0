"""Stored messages as LangChain's: one answer a turn, nothing lost, nothing that `ChatLetta` would send again."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    messages_from_dict,
    messages_to_dict,
)

from langchain_letta import letta_from_langchain
from langchain_letta.messages import from_langchain
from langchain_letta.stored_to_langchain import stored_in
from letta_adapters.matching import Row
from letta_adapters.planner import Target, plan
from letta_adapters.transcript import Anchor
from letta_adapters.wire import MessageType, SummaryMessage
from tests.langchain.stored import (
    AGENT,
    CONVERSATION,
    answered,
    asks,
    assistant,
    call,
    decision,
    packed,
    parsed,
    result,
    returned,
    row,
    system,
    translated,
    user,
)
from tests.langchain.support import letta

EVERYTHING = get_args(MessageType)
"""All types that the server has a name for."""

ALERT = "Automated keep-alive ping."
SUMMARY = "Note: prior messages have been hidden."

WHOLE: list[Row] = parsed(
    system("You are kind.", "compiled", None),
    system("Be brief.", "system"),
    user("2 + 2?", "seed-1"),
    assistant("four", "seed-2", name="calculator"),
    user([{"type": "text", "text": "and this?"}, {"type": "image", "source": {"type": "letta", "file_id": "f"}}], "q"),
    row("reasoning_message", "a", reasoning="hm", source="reasoner_model", signature="s"),
    row("hidden_reasoning_message", "h", state="redacted", hidden_reasoning="xyz"),
    asks("s", call("call_0", "search"), kind="tool_call_message"),
    returned("r", result("call_0", "found", stderr=["slow"]), run="run-1"),
    row("event_message", "e", event_type="compaction", event_data={"a": 1}),
    row("summary_message", "sum", summary="We talked."),
    row("citation_message", "c", citation="of a future type"),
    assistant("one moment", "b"),
    asks("b", call("call_1"), call("call_2", "multiply", "{broken")),
    answered("ar", result("call_1", "3", stdout=["out"]), decision("call_2", approve=False, reason="no")),
    returned("tr", result("call_1", "3", stdout=["out"]), result("call_2", "denied: no", "error")),
    user("and now?", "q2", "run-2"),
    assistant("fine", "b2", "run-2"),
    packed(ALERT, "alert", "run-2"),
    packed(SUMMARY, "packed"),
)
"""Every stored type, and one that is not known."""


def kinds(messages: list[BaseMessage]) -> list[str]:
    return [message.type for message in messages]


def blocks(message: BaseMessage) -> list[str]:
    return [block["type"] for block in message.content_blocks]


def test_every_row_is_read_back_out_of_the_messages_once_and_in_order() -> None:
    assert letta_from_langchain(translated(WHOLE, include=[*EVERYTHING, "citation_message"])) == WHOLE


def test_without_a_filter_all_but_system_messages_are_given() -> None:
    dialogue = [one for one in WHOLE if one.message_type != "system_message"]
    assert letta_from_langchain(translated(WHOLE)) == dialogue
    assert "system" not in kinds(translated(WHOLE))


def test_rows_survive_a_checkpoint() -> None:
    messages = translated(WHOLE)
    assert letta_from_langchain(messages_from_dict(messages_to_dict(messages))) == letta_from_langchain(messages)


def test_a_turn_is_what_was_said_and_one_answer() -> None:
    messages = translated(WHOLE)
    assert kinds(messages) == ["human", "ai", "human", "ai", "tool", "tool", "human", "ai"]
    assert [stored_in(message) for message in messages] == [CONVERSATION] * len(messages)


def test_steps_calls_and_notes_of_a_turn_are_blocks_in_order() -> None:
    answer = translated(WHOLE)[3]
    assert blocks(answer) == [
        "reasoning",
        "reasoning",
        "server_tool_call",
        "server_tool_result",
        "non_standard",
        "non_standard",
        "non_standard",
        "text",
        "tool_call",
    ]
    assert isinstance(answer, AIMessage)
    assert [one["id"] for one in answer.tool_calls] == ["call_1"]
    assert [(one["id"], one["args"]) for one in answer.invalid_tool_calls] == [("call_2", '"{broken"')]
    assert answer.response_metadata["finish_reason"] == "tool_calls"


def test_a_seed_is_an_answer_without_an_anchor() -> None:
    seed = translated(WHOLE)[1]
    assert (seed.content, seed.name) == ("four", "calculator")
    assert "letta" not in seed.response_metadata


def test_pictures_and_texts_of_a_user_are_standard_blocks() -> None:
    question = translated(WHOLE)[2]
    assert question.content == [{"type": "text", "text": "and this?"}, {"type": "image", "file_id": "f"}]


def test_results_and_denials_are_tool_messages() -> None:
    first, second = (message for message in translated(WHOLE) if isinstance(message, ToolMessage))
    assert (first.tool_call_id, first.name, first.content, first.status) == ("call_1", "add", "3", "success")
    assert first.artifact == {"stdout": ["out"]}
    assert (second.tool_call_id, second.name, second.content, second.status) == (
        "call_2",
        "multiply",
        "denied: no",
        "error",
    )
    assert first.id != second.id


def test_an_approved_call_has_the_result_of_the_servers_tool_and_shows_it_in_the_answer() -> None:
    rows = parsed(
        user("delete it", "q"),
        asks("a", call("call_1", "delete")),
        answered("ar", decision("call_1", approve=True)),
        returned("tr", result("call_1", "deleted")),
        assistant("Done.", "b", "run-2"),
    )
    *_, done, answer = translated(rows)
    assert isinstance(done, ToolMessage)
    assert (done.content, done.status) == ("deleted", "success")
    assert blocks(answer) == ["server_tool_result", "text"]


def test_an_answer_to_calls_whose_results_are_not_listed_tells_itself() -> None:
    rows = parsed(user("go", "q"), asks("a", call("1"), call("2")))
    rows += parsed(answered("ar", result("1", "3"), decision("2", approve=False, reason="no")))
    assert [message.content for message in translated(rows)[2:4]] == ["3", "no"]


def test_the_servers_results_and_the_clients_in_one_row_go_where_they_belong() -> None:
    rows = parsed(
        user("go", "q"),
        asks("s", call("server", "search"), kind="tool_call_message"),
        asks("a", call("client")),
        answered("ar", result("client", "3")),
        returned("tr", result("server", "found"), result("client", "3")),
        assistant("Done.", "b", "run-2"),
    )
    *_, mine, answer = translated(rows)
    assert isinstance(mine, ToolMessage)
    assert mine.tool_call_id == "client"
    results = [block for block in answer.content_blocks if block["type"] == "server_tool_result"]
    assert [block["tool_call_id"] for block in results] == ["server"]
    assert letta_from_langchain(translated(rows)) == rows


def test_what_the_server_packs_into_a_users_message_is_no_humans() -> None:
    messages = translated(parsed(user("hi", "q"), assistant("hello", "a"), packed(SUMMARY, "s"), packed(ALERT, "k")))
    assert kinds(messages) == ["human", "ai"]
    notes: list[Any] = [block for block in messages[1].content_blocks if block["type"] == "non_standard"]
    assert [note["value"]["message_type"] for note in notes] == ["summary_message", "user_message"]
    assert notes[0]["value"]["summary"] == SUMMARY
    assert messages[1].text == "hello"


def test_a_summary_that_nothing_stands_before_is_an_answer_of_its_own() -> None:
    messages = translated(parsed(system("You are kind.", "c", None), packed(SUMMARY, "s"), user("hi", "q")))
    assert kinds(messages) == ["ai", "human", "ai"]
    assert messages[0].text == ""


def test_a_run_without_an_answer_ends_with_an_empty_one() -> None:
    """So whoever goes on behind it does not say again what was said there."""
    rows = parsed(user("go", "q"), asks("a", call("call_1")))
    rows += parsed(answered("ar", result("call_1", "3")), returned("tr", result("call_1", "3")))
    messages = translated(rows)
    assert kinds(messages) == ["human", "ai", "tool", "ai"]
    assert messages[-1].content == ""
    assert letta(messages[-1])["message_id"] == "message-tr"


def test_an_anchor_says_where_the_conversation_stood() -> None:
    _, first, _, second = translated(
        parsed(
            user("hi", "q1"),
            row("reasoning_message", "a", reasoning="hm"),
            assistant("hello", "a"),
            user("and?", "q2", "run-2"),
            assistant("well", "b", "run-2"),
            packed(SUMMARY, "s"),
        )
    )
    anchor = Anchor.from_metadata(letta(first))
    assert anchor is not None
    assert (anchor.agent_id, anchor.conversation_id, anchor.run_id) == (AGENT, CONVERSATION, "run-1")
    assert (anchor.message_id, anchor.message_ids, anchor.pending) == ("message-a", ("message-a",), ())
    assert letta(second)["message_id"] == "message-b", "a summary that was asked for is no part of the turn"


def test_an_anchor_names_the_calls_that_wait() -> None:
    answer = translated(parsed(user("go", "q"), asks("a", call("call_1"))))[-1]
    assert letta(answer)["pending"] == [{"tool_call_id": "call_1", "name": "add"}]
    assert letta(answer)["stop_reason"] == "requires_approval"


def test_anchors_are_signed_with_the_key_of_the_model() -> None:
    answer = translated(WHOLE, anchor_key="secret")[-1]
    anchors = [Anchor.from_metadata(answer.response_metadata[key]) for key in ("letta", "letta_run")]
    assert [anchor is not None and anchor.is_signed("secret") for anchor in anchors] == [True, True]


@pytest.mark.parametrize("length", range(1, len(WHOLE) + 1))
@pytest.mark.parametrize(
    "target",
    [Target(agent_id=None, conversation_id=CONVERSATION), Target(agent_id=AGENT)],
    ids=["pinned", "followed"],
)
def test_whatever_the_history_holds_only_what_follows_it_is_sent(length: int, target: Target) -> None:
    messages = translated(WHOLE[:length])
    if not any(isinstance(message, AIMessage) for message in messages):
        assert messages == []
        return
    made = plan(from_langchain([*messages, HumanMessage("new")]), target)
    said = [item.message.content for item in made.items if item.message.type == "message"]
    assert said == ["new"]


def test_the_system_text_that_the_conversation_was_told_is_not_sent_again() -> None:
    messages = [SystemMessage("Be brief."), *translated(WHOLE), HumanMessage("new")]
    made = plan(from_langchain(messages), Target(agent_id=AGENT))
    assert [item.message.content for item in made.items if item.message.type == "message"] == ["new"]


def test_a_filter_gives_rows_of_its_types_only() -> None:
    wanted = ["user_message", "assistant_message"]
    messages = translated(WHOLE, include=wanted)
    assert {one.message_type for one in letta_from_langchain(messages) if not isinstance(one, SummaryMessage)} == set(
        wanted
    )
    assert kinds(messages) == ["human", "ai", "human", "ai", "human", "ai"]
    assert [message.text for message in messages] == ["2 + 2?", "four", "and this?", "one moment", "and now?", "fine"]
    assert isinstance(messages[3], AIMessage)
    assert messages[3].tool_calls == []


def test_a_filter_finds_summaries_however_they_are_packed() -> None:
    messages = translated(WHOLE, include=["summary_message"])
    assert [one.model_dump()["id"] for one in letta_from_langchain(messages)] == ["message-sum", "message-packed"]
    assert kinds(messages) == ["ai", "ai"]


def test_messages_that_no_run_made_are_turns_as_they_alternate() -> None:
    rows = parsed(
        user("one", "1", None), assistant("first", "2", None), user("two", "3", None), assistant("second", "4", None)
    )
    messages = translated(rows)
    assert [message.text for message in messages] == ["one", "first", "two", "second"]
    assert letta_from_langchain(messages) == rows


TEXTS = st.text(max_size=8)
RUNS = st.sampled_from(["run-1", "run-2", None])


@st.composite
def any_row(draw: st.DrawFn) -> dict[str, Any]:
    name, run = str(draw(st.integers(0, 99))), draw(RUNS)
    kind = draw(st.sampled_from([*EVERYTHING, "future_message", "packed"]))
    if kind == "packed":
        return packed(draw(st.sampled_from([SUMMARY, ALERT])), name, run)
    calls = [call(str(number), arguments=draw(TEXTS)) for number in range(draw(st.integers(1, 2)))]
    results = [result(str(number), draw(TEXTS)) for number in range(draw(st.integers(1, 2)))]
    fields: dict[str, Any] = {
        "system_message": {"content": draw(TEXTS)},
        "user_message": {"content": draw(st.one_of(TEXTS, st.just([{"type": "video", "url": "u"}])))},
        "assistant_message": {"content": draw(st.one_of(TEXTS, st.just([{"type": "text", "text": "t"}])))},
        "reasoning_message": {"reasoning": draw(TEXTS), "signature": draw(st.none() | TEXTS)},
        "hidden_reasoning_message": {"state": "omitted"},
        "tool_call_message": {"tool_call": calls[0], "tool_calls": calls},
        "approval_request_message": {"tool_call": calls[0], "tool_calls": calls},
        "tool_return_message": {**results[0], "tool_returns": results},
        "approval_response_message": {"approvals": draw(st.sampled_from([results, [], None])), "otid": None},
        "summary_message": {"summary": draw(TEXTS)},
        "event_message": {"event_type": "compaction", "event_data": {"a": draw(TEXTS)}},
    }.get(kind, {"whatever": draw(TEXTS)})
    return row(kind, name, run, **fields)


@given(st.lists(any_row(), max_size=12))
def test_no_row_is_lost_or_told_twice_whatever_the_order(rows: list[dict[str, Any]]) -> None:
    numbered = parsed(*({**one, "date": f"2026-01-01T00:00:{number:02}Z"} for number, one in enumerate(rows)))
    messages = translated(numbered, include=[*EVERYTHING, "future_message"])
    told = [one.model_dump() for one in letta_from_langchain(messages)]
    assert sorted(map(repr, told)) == sorted(repr(one.model_dump()) for one in numbered)
