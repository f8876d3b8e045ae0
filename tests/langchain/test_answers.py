"""Tool results and human messages that answer calls: one request, every call answered, every result once."""

from __future__ import annotations

from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_letta import ChatLetta
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import (
    CALL,
    PIXEL,
    TOOLS,
    TWO_CALLS,
    Ask,
    Model,
    call_ids,
    conversation_of,
    each_way,
    human,
    letta,
)


@pytest.fixture
def bound(model: ChatLetta) -> Model:
    return model.bind_tools(TOOLS)


def result(text: str, call_id: str, **fields: Any) -> ToolMessage:
    return ToolMessage(text, tool_call_id=call_id, **fields)


@each_way
async def test_a_call_goes_out_and_its_result_comes_in(ask: Ask, bound: Model, reader: Reader) -> None:
    asked = human(f"[[think hm]] [[say let me see]] {CALL}")
    call = await ask(bound, [asked])
    assert [(c["name"], c["args"]) for c in call.tool_calls] == [("add", {"a": 1, "b": 2})]
    assert letta(call)["pending"] == [{"tool_call_id": call_ids(call)[0], "name": "add"}]
    assert call.response_metadata["finish_reason"] == "tool_calls"
    answered = result("3", call_ids(call)[0])
    answer = await ask(bound, [asked, call, answered])
    assert answer.text == "The tools answered: 3"
    assert letta(answer)["pending"] == []
    assert reader.story(conversation_of(answer)) == story_of([asked, call, answered, answer])


@pytest.mark.usefixtures("parallel_calls")
def test_results_out_of_order_and_twice_are_one_answer_the_last_wins(bound: Model, reader: Reader) -> None:
    asked = human(TWO_CALLS)
    call = bound.invoke([asked])
    one, two = call_ids(call)
    answer = bound.invoke([asked, call, result("wrong", one), result("12", two), result("3", one)])
    assert answer.text == "The tools answered: 3 | 12"
    assert [(part["tool_call_id"], part["tool_return"]) for part in reader.answers(conversation_of(answer))] == [
        (one, "3"),
        (two, "12"),
    ]


def test_an_unanswered_call_is_denied_in_the_request_of_the_next_message(bound: Model, reader: Reader) -> None:
    asked = human(CALL)
    call = bound.invoke([asked])
    answer = bound.invoke([asked, call, human("never mind")])
    assert answer.text == "You said: never mind"
    (denial,) = reader.answers(conversation_of(answer))
    assert (denial["tool_call_id"], denial["approve"]) == (call_ids(call)[0], False)
    assert denial["reason"]
    rows = reader.rows(conversation_of(answer))
    (run,) = {row["run_id"] for row in rows[2:]}
    assert run == letta(answer)["run_id"]
    kinds = [kind for kind, _ in reader.story(conversation_of(answer))]
    assert kinds == ["user", "calls", "results", "user", "assistant"]


@pytest.mark.usefixtures("parallel_calls")
def test_of_two_calls_the_unanswered_one_is_denied(bound: Model, reader: Reader) -> None:
    asked = human(TWO_CALLS)
    call = bound.invoke([asked])
    one, two = call_ids(call)
    answer = bound.invoke([asked, call, result("12", two)])
    given, told = reader.answers(conversation_of(answer))
    assert (given["tool_call_id"], given["approve"]) == (one, False)
    assert (told["tool_call_id"], told["tool_return"]) == (two, "12")


def test_a_result_and_a_message_go_in_one_request(bound: Model, reader: Reader) -> None:
    asked = human(CALL)
    call = bound.invoke([asked])
    transcript: list[BaseMessage] = [asked, call, result("3", call_ids(call)[0]), human("[[recall]] and?")]
    answer = bound.invoke(transcript)
    assert answer.text.splitlines()[-2:] == ["tool: 3", "user: and?"]
    assert reader.story(conversation_of(answer)) == story_of([*transcript, answer])


def test_a_result_of_a_call_that_the_server_did_not_keep_is_dropped(
    bound: Model, reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    asked = human(CALL)
    call = bound.invoke([asked])
    call.tool_calls.append({"name": "multiply", "args": {}, "id": "call_dropped", "type": "tool_call"})
    answer = bound.invoke([asked, call, result("3", call_ids(call)[0]), result("12", "call_dropped")])
    assert [part["tool_return"] for part in reader.answers(conversation_of(answer))] == ["3"]
    assert "call_dropped" in caplog.text


def test_a_result_that_failed_is_told_as_a_failure(bound: Model, reader: Reader) -> None:
    asked = human(CALL)
    call = bound.invoke([asked])
    answer = bound.invoke([asked, call, result("too big", call_ids(call)[0], status="error")])
    (given,) = reader.answers(conversation_of(answer))
    assert (given["status"], given["tool_return"]) == ("error", "too big")


def test_a_result_can_hold_a_picture(bound: Model, reader: Reader) -> None:
    asked = human(CALL)
    call = bound.invoke([asked])
    picture = {"type": "image", "base64": PIXEL, "mime_type": "image/png"}
    parts = cast("Any", [{"type": "text", "text": "a dot"}, picture])
    answer = bound.invoke([asked, call, ToolMessage(parts, tool_call_id=call_ids(call)[0])])
    (returned,) = [row for row in reader.rows(conversation_of(answer)) if row["message_type"] == "tool_return_message"]
    text, image = returned["tool_returns"][0]["tool_return"]
    assert (text["text"], image["source"]["data"]) == ("a dot", PIXEL)


@each_way
async def test_arguments_that_are_no_json_object_are_an_invalid_call(ask: Ask, bound: Model) -> None:
    for arguments in ("nonsense", '"text"', "[1, 2 ", '{"a": 1, "b"', '{"a": 1} and more'):
        call = await ask(bound, [HumanMessage(f"[[call add {arguments}]]")])
        assert call.tool_calls == []
        assert [c["name"] for c in call.invalid_tool_calls] == ["add"]
        assert [pending["name"] for pending in letta(call)["pending"]] == ["add"]


@each_way
async def test_a_call_without_arguments_has_none(ask: Ask, bound: Model) -> None:
    call = await ask(bound, [HumanMessage("[[call add]]")])
    assert [c["args"] for c in call.tool_calls] == [{}]
    assert call.invalid_tool_calls == []


def test_an_invalid_call_can_be_answered(bound: Model, reader: Reader) -> None:
    asked = human("[[call add nonsense]]")
    call = bound.invoke([asked])
    told = result("not JSON", call.invalid_tool_calls[0]["id"] or "", status="error")
    answer = bound.invoke([asked, call, told])
    assert answer.text == "The tools answered: not JSON"
    assert len(reader.answers(conversation_of(answer))) == 1


def test_a_tool_call_is_the_last_thing_of_its_message(bound: Model) -> None:
    call = bound.invoke([human(f"[[think hm]] [[say let me see]] {CALL}")])
    assert isinstance(call, AIMessage)
    assert [block["type"] for block in call.content_blocks] == ["reasoning", "text", "tool_call"]
