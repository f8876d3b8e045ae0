"""The order of things, without I/O: what the loop yields, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from letta_adapters.errors import ConnectFailed, TurnInterrupted
from letta_adapters.events import FinishedTurn, PendingCall, Text
from letta_adapters.loop.calls import Batch, succeeded
from letta_adapters.loop.flow import tool_loop
from letta_adapters.loop.steps import Flow, LoopRequest, Read, Send, Step
from letta_adapters.tools import Tool, as_tools
from letta_adapters.wire import ApprovalCreate, ApprovalReturn, InputMessage, MessageCreate, ToolReturn
from tests.loop.support import add

ASK = MessageCreate(role="user", content="What is 1 + 2?")
REQUEST = LoopRequest(conversation_id="conv-1", messages=(ASK,), tools=as_tools([add]), override_system="Be brief.")


def asking(*names: str, run_id: str = "run-1") -> FinishedTurn:
    """A turn that ends with calls."""
    calls = tuple(
        PendingCall(index=index, tool_call_id=f"call_{index}", name=name, arguments='{"a": 1, "b": 2}')
        for index, name in enumerate(names)
    )
    return FinishedTurn(
        conversation_id="conv-1",
        run_id=run_id,
        message_ids=("message-1",),
        parts=calls,
        stop_reason="requires_approval",
    )


def saying(text: str) -> FinishedTurn:
    return FinishedTurn(conversation_id="conv-1", parts=(Text(index=0, text=text),), stop_reason="end_turn")


def until_tools(flow: Flow, turn: FinishedTurn) -> Batch:
    """Begin, and get to what is to be run."""
    assert isinstance(next(flow), Send)
    batch = flow.send(turn)
    assert isinstance(batch, Batch)
    return batch


def run_all(batch: Batch, value: Any = 3) -> None:
    batch.finished.extend(succeeded(run, {}, value) for run in batch.runs)


def answer_of(step: Step) -> ApprovalCreate:
    assert isinstance(step, Send)
    (message,) = step.messages
    assert isinstance(message, ApprovalCreate)
    return message


def otids(messages: Sequence[InputMessage]) -> list[str | None]:
    return [message.otid for message in messages]


def test_results_are_sent_in_the_order_of_the_calls_in_one_message() -> None:
    flow = tool_loop(REQUEST)
    batch = until_tools(flow, asking("add", "add"))
    batch.finished.extend(succeeded(run, {}, run.call.tool_call_id) for run in reversed(batch.runs))
    answer = answer_of(flow.send(None))
    assert answer.approvals == [
        ToolReturn(tool_call_id="call_0", tool_return="call_0"),
        ToolReturn(tool_call_id="call_1", tool_return="call_1"),
    ]
    with pytest.raises(StopIteration) as finished:
        flow.send(saying("3"))
    assert finished.value.value.text == "3"


def _otid(*, run_id: str = "run-1", value: Any = 3, request: LoopRequest = REQUEST) -> str | None:
    flow = tool_loop(request)
    run_all(until_tools(flow, asking("add", run_id=run_id)), value)
    return answer_of(flow.send(None)).otid


def test_the_otid_of_an_answer_is_that_of_the_same_answer_to_the_same_run_and_of_no_other() -> None:
    elsewhere = replace(REQUEST, conversation_id="conv-2")
    assert _otid() == _otid()
    assert len({_otid(), _otid(run_id="run-2"), _otid(value=4), _otid(request=elsewhere)}) == 4


def test_what_settles_has_another_otid_than_what_failed() -> None:
    # The server would replay the failure to whoever sends the same otids.
    flow = tool_loop(REQUEST)
    run_all(until_tools(flow, asking("add")))
    failed = answer_of(flow.send(None))
    assert flow.throw(ConnectFailed("refused")) == Read(after="message-1", settling=True)
    settlement = flow.send([])
    assert isinstance(settlement, Send)
    assert (settlement.max_steps, settlement.settling) == (1, True)
    assert answer_of(settlement).approvals == failed.approvals
    assert answer_of(settlement).otid != failed.otid
    with pytest.raises(ConnectFailed):
        flow.send(saying(""))


def test_a_turn_that_was_lost_is_not_answered_again() -> None:
    flow = tool_loop(REQUEST)
    run_all(until_tools(flow, asking("add")))
    answer_of(flow.send(None))
    with pytest.raises(TurnInterrupted):
        flow.throw(TurnInterrupted("lost"))


def test_of_an_interrupted_batch_what_ended_is_told_and_the_rest_is_denied() -> None:
    flow = tool_loop(REQUEST)
    batch = until_tools(flow, asking("add", "add"))
    batch.finished.append(succeeded(batch.runs[1], {}, 3))
    settlement = answer_of(flow.throw(KeyboardInterrupt()))
    reason = "The tool was not run to its end (KeyboardInterrupt)."
    assert settlement.approvals == [
        ApprovalReturn(tool_call_id="call_0", approve=False, reason=reason),
        ToolReturn(tool_call_id="call_1", tool_return="3"),
    ]
    with pytest.raises(KeyboardInterrupt):
        flow.send(saying(""))


def test_trouble_with_settling_does_not_hide_why_it_was_needed() -> None:
    flow = tool_loop(REQUEST)
    until_tools(flow, asking("add"))
    answer_of(flow.throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        flow.throw(ConnectFailed("refused"))


def test_tools_and_overrides_are_arguments_of_every_request() -> None:
    for messages in ((ASK,), (ApprovalCreate(approvals=[]),)):
        arguments = REQUEST.arguments(Send(messages=messages))
        assert [tool.name for tool in arguments["client_tools"]] == ["add"]
        assert (arguments["override_system"], arguments["messages"]) == ("Be brief.", messages)


def test_several_direct_results_are_joined() -> None:
    direct = Tool.from_function(add, return_direct=True)
    flow = tool_loop(replace(REQUEST, tools={"add": direct}))
    run_all(until_tools(flow, asking("add", "add")), "one")
    settlement = flow.send(None)
    assert isinstance(settlement, Send)
    assert settlement.max_steps == 1
    with pytest.raises(StopIteration) as finished:
        flow.send(saying(""))
    assert (finished.value.value.text, finished.value.value.returned_direct) == ("one\none", True)


def test_a_loop_that_is_dropped_asks_for_nothing_more() -> None:
    flow = tool_loop(REQUEST)
    until_tools(flow, asking("add"))
    flow.close()
    assert list(flow) == []


def test_messages_keep_the_otids_that_they_came_with() -> None:
    flow = tool_loop(replace(REQUEST, messages=(ASK.model_copy(update={"otid": "mine"}),)))
    first = next(flow)
    assert isinstance(first, Send)
    assert otids(first.messages) == ["mine"]
