"""Calls that are not the loop's to answer, and calls that it asks about."""

from __future__ import annotations

from typing import Any

import pytest

from letta_adapters.errors import PendingApprovalError
from letta_adapters.events import PendingCall
from letta_adapters.loop import Decision, Deny
from tests.contract.build import CLIENT_TOOLS, user
from tests.contract.wire import Wire
from tests.loop.support import ADD, MULTIPLY, RunTurn, add, multiply, next_turn_works, results

SHOUT = '[[call shout {"text": "hi"}]]'


def approve(call: PendingCall) -> Decision:
    return True


@pytest.mark.usefixtures("guarded_tool")
def test_without_a_hook_a_call_that_waits_for_a_person_raises_with_what_to_do(
    run: RunTurn, wire: Wire, conversation_id: str
) -> None:
    with pytest.raises(PendingApprovalError, match="on_approval") as caught:
        run(conversation_id, f"{SHOUT} [[next]] [[say ok]]", tools=[add])
    error = caught.value
    (call,) = error.pending
    assert (call["name"], call["arguments"]) == ("shout", '{"text": "hi"}')
    assert 'shout({"text": "hi"})' in str(error)
    assert (error.conversation_id, error.accepted) == (conversation_id, True)
    assert error.run_id is not None
    last = wire.rows(conversation_id)[-1]  # somebody's decision is never taken for them
    assert [one["tool_call_id"] for one in last["tool_calls"]] == [call["tool_call_id"]]


@pytest.mark.usefixtures("guarded_tool")
def test_an_approved_call_is_run_by_the_server(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    asked: list[PendingCall] = []

    def decide(call: PendingCall) -> Decision:
        asked.append(call)
        return True

    result = run(conversation_id, f"{SHOUT} [[next]] [[say loud]]", tools=[add], on_approval=decide)
    assert (result.text, result.executions) == ("loud", ())
    assert [(call.name, call.arguments) for call in asked] == [("shout", '{"text": "hi"}')]
    assert ("tool_return_message", "HI") in wire.story(conversation_id)
    assert results(wire, conversation_id) == [("approved", "")]


@pytest.mark.usefixtures("guarded_tool")
@pytest.mark.parametrize(
    ("decision", "reason"), [(False, "A person denied this call."), (Deny(reason="not so loud"), "not so loud")]
)
def test_a_denied_call_is_not_run_and_the_agent_is_told_why(
    run: RunTurn, wire: Wire, conversation_id: str, decision: Decision, reason: str
) -> None:
    result = run(conversation_id, f"{SHOUT} [[next]] [[say quiet]]", on_approval=lambda call: decision)
    assert result.text == "quiet"
    assert results(wire, conversation_id) == [("denied", reason)]
    assert ("tool_return_message", "HI") not in wire.story(conversation_id)


@pytest.mark.usefixtures("guarded_tool", "parallel_calls")
def test_a_decision_and_a_result_are_answered_together(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    result = run(conversation_id, f"{ADD} {SHOUT} [[next]] [[say both]]", tools=[add], on_approval=approve)
    assert result.text == "both"
    assert sorted(results(wire, conversation_id)) == [("approved", ""), ("success", "3")]


@pytest.mark.usefixtures("guarded_tool", "parallel_calls")
def test_a_tool_is_not_run_whose_result_could_not_be_sent(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    # All calls of a round are answered together or not at all, and one of them is a person's.
    ran: list[int] = []

    def note(a: int) -> None:
        """Take note."""
        ran.append(a)

    with pytest.raises(PendingApprovalError) as caught:
        run(conversation_id, f'[[call note {{"a": 1}}]] {SHOUT}', tools=[note])
    assert ran == []
    assert sorted(call["name"] for call in caught.value.pending) == ["note", "shout"]


def test_a_hook_may_be_asked_about_the_tools_too(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    def decide(call: PendingCall) -> Decision:
        return call.name == "add" or Deny(reason="no multiplying")

    script = f"{ADD} [[next]] {MULTIPLY} [[next]] [[say done]]"
    result = run(conversation_id, script, tools=[add, multiply], on_approval=decide, ask_for="all")
    assert [one.name for one in result.executions] == ["add"]
    assert results(wire, conversation_id) == [("success", "3"), ("denied", "no multiplying")]


def test_a_hook_may_be_async(run: RunTurn, conversation_id: str) -> None:
    async def decide(call: PendingCall) -> Decision:
        return Deny(reason="later")

    result = run(conversation_id, f"{ADD} [[next]] [[say ok]]", tools=[add], on_approval=decide, ask_for="all")
    assert (result.text, result.executions) == ("ok", ())


class _Refused(Exception):
    pass


@pytest.mark.parametrize("answer", [_Refused("not today"), "yes"])
def test_a_hook_that_fails_leaves_no_call_of_the_tools(
    run: RunTurn, wire: Wire, conversation_id: str, answer: Any
) -> None:
    def decide(call: PendingCall) -> Decision:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(_Refused if isinstance(answer, Exception) else TypeError):
        run(conversation_id, ADD, tools=[add], on_approval=decide, ask_for="all")
    assert [kind for kind, _ in results(wire, conversation_id)] == ["denied"]
    assert next_turn_works(wire, conversation_id)


def test_calls_that_an_earlier_process_left_are_denied_with_the_new_message(
    run: RunTurn, wire: Wire, conversation_id: str
) -> None:
    wire.post(conversation_id, user(ADD), client_tools=CLIENT_TOOLS)
    assert run(conversation_id, "[[say hello again]]", tools=[add]).text == "hello again"
    reason = "Nobody waits for this tool's result any more; whether it ran is not known."
    assert results(wire, conversation_id) == [("denied", reason)]
    assert wire.story(conversation_id)[-2:] == [
        ("user_message", "[[say hello again]]"),
        ("assistant_message", "hello again"),
    ]


def test_so_are_those_of_the_default_conversation(run: RunTurn, wire: Wire, agent_id: str) -> None:
    wire.post("default", user("[[say before]]"), agent_id=agent_id)
    wire.post("default", user(ADD), client_tools=CLIENT_TOOLS, agent_id=agent_id)
    assert run("default", "[[say hello again]]", agent_id=agent_id, tools=[add]).text == "hello again"
    assert [kind for kind, _ in results(wire, "default", agent_id=agent_id)] == ["denied"]


@pytest.mark.parametrize("options", [{"tools": [multiply]}, {"tools": [add], "on_pending_approval": "error"}])
def test_calls_that_somebody_else_left_are_told_and_left_alone(
    run: RunTurn, wire: Wire, conversation_id: str, options: dict[str, Any]
) -> None:
    (call_id,) = wire.post(conversation_id, user(ADD), client_tools=CLIENT_TOOLS).call_ids
    before = wire.rows(conversation_id)
    with pytest.raises(PendingApprovalError) as caught:
        run(conversation_id, "[[say hello again]]", **options)
    assert [(call["tool_call_id"], call["name"]) for call in caught.value.pending] == [(call_id, "add")]
    assert caught.value.accepted is False
    assert wire.rows(conversation_id) == before
