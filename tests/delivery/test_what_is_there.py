"""A transcript that knows less, or other things, than its conversation: rules 2, 8 and 9."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from letta_adapters.client.endpoints import Endpoint
from letta_adapters.client.turns import PreparedTurn
from letta_adapters.delivery import delivery
from letta_adapters.delivery_steps import Claim, Flow, Pause, TurnOptions, TurnOutcome
from letta_adapters.errors import PendingApprovalError
from letta_adapters.memory import TurnMemory
from letta_adapters.pending import OnPendingApproval
from letta_adapters.planner import Target
from letta_adapters.policies import Policies
from letta_adapters.transcript import Anchor, AssistantEntry, Call, Entry, HumanEntry, PendingRef, ToolEntry
from letta_adapters.wire import (
    Agent,
    ApprovalCreate,
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    ApprovalReturn,
    AssistantMessage,
    ClientTool,
    MessageCreate,
    Run,
    ToolCall,
    ToolReturn,
    UserMessage,
)
from tests.delivery.dialogues import BEFORE
from tests.delivery.flows import asked, busy, claim, conversation, patience_of

PINNED = Target(agent_id="agent-1", conversation_id="conv-1")
FOLLOWED = Target(agent_id="agent-1")
ADD = ClientTool(name="add")
FIRST, SECOND = HumanEntry(content="one", id="h-1"), HumanEntry(content="two", id="h-2")
CALLED = AssistantEntry(
    calls=(Call(tool_call_id="call-1", name="add", arguments="{}"),),
    anchor=Anchor(
        agent_id="agent-1",
        conversation_id="conv-1",
        message_id="message-1",
        pending=(PendingRef(tool_call_id="call-1", name="add"),),
    ),
)
RESULT = ToolEntry(tool_call_id="call-1", content="3", id="t-1")


def begin(transcript: list[Entry], target: Target = PINNED, *, policy: OnPendingApproval = "deny") -> Flow:
    memory = TurnMemory()
    memory.keep_head(("http://letta.test", "conv-1"), "message-1")  # the last answer was given to this process
    return delivery(
        transcript,
        target,
        server="http://letta.test",
        options=TurnOptions(client_tools=(ADD,)),
        policies=Policies(on_pending_approval=policy),
        memory=memory,
    )


def sent(step: object) -> list[Any]:
    assert isinstance(step, PreparedTurn)
    assert step.request is not None
    return list(step.request.messages or ())


def told(step: object) -> list[str]:
    return [str(message.content) if isinstance(message, MessageCreate) else message.type for message in sent(step)]


def stored_run_of(step: object) -> str | None:
    assert isinstance(step, PreparedTurn)
    return step.stored_run_id


def stored(message: MessageCreate, run_id: str = "run-1") -> UserMessage:
    return UserMessage(id="message-2", content=str(message.content), otid=message.otid, run_id=run_id)


def waiting(*names: str) -> ApprovalRequestMessage:
    calls = [ToolCall(name=name, arguments='{"a": 1}', tool_call_id=f"call-{name}") for name in names]
    return ApprovalRequestMessage(id="message-9", tool_call=calls[0], tool_calls=calls)


def response(text: str) -> ApprovalResponseMessage:
    approvals = [ToolReturn(tool_call_id="call-1", tool_return=text, status="success")]
    return ApprovalResponseMessage(id="message-2", approvals=list(approvals), run_id="run-1")


def refused(flow: Flow) -> object:
    """Answer a turn as a server does that waits for calls; then the flow claims the conversation."""
    error = PendingApprovalError("waiting", conversation_id="conv-1")
    return flow.send(TurnOutcome(result=error, run_id="run-2", replayed=False))


def in_context(flow: Flow, *rows: ApprovalRequestMessage | ApprovalResponseMessage) -> object:
    """List rows behind the anchor, then tell that the model sees them: of an answer that is asked for, too."""
    assert asked(flow.send(list(rows))) == ("GET", "/v1/conversations/conv-1")
    return flow.send(conversation("conv-1", "message-p", "message-1", *(row.id for row in rows)))


def agent(**fields: Any) -> Agent:
    return Agent.model_validate({"id": "agent-1", "name": "a", **fields})


def refused_for(flow: Flow, *names: str, **fields: Any) -> object:
    """Answer a turn as a server does that waits for these calls, then the questions that this raises."""
    claim(flow, refused(flow))
    flow.send([waiting(*names)])
    return flow.send(agent(**fields))


# Rule 8: what earlier requests brought.


def test_one_new_message_is_sent_without_a_look() -> None:
    assert told(next(begin([FIRST]))) == ["one"]


def test_of_several_new_messages_those_that_the_conversation_has_are_left_out() -> None:
    (first,) = sent(next(begin([FIRST])))
    flow = begin([FIRST, SECOND])
    assert isinstance(claim(flow, next(flow)), Endpoint)
    assert told(flow.send([stored(first)])) == ["two"]


def test_several_messages_that_are_all_new_are_sent_together() -> None:
    flow = begin([FIRST, SECOND])
    claim(flow, next(flow))
    assert told(flow.send([])) == ["one", "two"]


def test_a_rerun_of_the_last_request_makes_the_same_request_again() -> None:
    (first,) = sent(next(begin([FIRST])))
    flow = begin([FIRST, SECOND])
    claim(flow, next(flow))
    (second,) = sent(flow.send([stored(first)]))
    again = begin([FIRST, SECOND])
    claim(again, next(again))
    turn = again.send([stored(second, "run-2"), stored(first)])
    assert sent(turn) == [second]
    assert stored_run_of(turn) == "run-2"


# Rule 2: calls that were answered meanwhile.


def test_a_call_that_still_waits_is_answered() -> None:
    flow = begin([FIRST, CALLED, RESULT])
    claim(flow, next(flow))
    assert told(flow.send([])) == ["approval"]


@pytest.mark.parametrize("id", ["t-1", "another"])
def test_a_call_that_has_this_very_answer_is_read_back_whatever_the_id_of_the_result(id: str) -> None:
    flow = begin([FIRST, CALLED, replace(RESULT, id=id)])
    claim(flow, next(flow))
    assert stored_run_of(in_context(flow, response("3"))) == "run-1"


def test_a_call_that_was_made_again_under_the_same_id_does_not_hide_the_answer_to_the_first() -> None:
    flow = begin([FIRST, CALLED, RESULT])
    claim(flow, next(flow))
    calls = [ToolCall(name="add", arguments="{}", tool_call_id="call-1")]
    again = ApprovalRequestMessage(id="message-9", tool_call=None, tool_calls=calls)
    assert stored_run_of(in_context(flow, response("3"), again)) == "run-1"


def test_pinned_a_result_that_comes_too_late_is_told_as_text() -> None:
    flow = begin([FIRST, CALLED, RESULT])
    claim(flow, next(flow))
    (text,) = told(in_context(flow, response("denied")))
    assert "3" in text
    assert "approval" not in text


def test_followed_a_result_that_comes_too_late_belongs_to_another_branch() -> None:
    flow = begin([FIRST, CALLED, RESULT], FOLLOWED)
    claim(flow, next(flow))
    went_on = AssistantMessage(id="message-3", content="so be it", run_id="run-1")
    flow.send([response("denied"), went_on])


def test_an_old_answer_to_a_call_of_the_same_id_is_not_taken_for_the_answer_to_this_one() -> None:
    """After a compaction old rows are listed as new ones, and some models use ids again and again."""
    flow = begin([FIRST, CALLED, RESULT])
    claim(flow, next(flow))
    flow.send([response("3")])
    assert told(flow.send(conversation("conv-1", "message-p", "message-1"))) == ["approval"]


# Rule 9: calls that the transcript does not know of.


def test_followed_what_waits_may_be_of_another_branch_so_it_is_looked_at_once_more() -> None:
    flow = begin([*BEFORE, FIRST], FOLLOWED)
    claim(flow, next(flow))
    flow.send([])
    assert isinstance(refused(flow), Claim)
    assert asked(flow.send(None)) == ("GET", "/v1/conversations/conv-1/messages")


def test_calls_to_tools_that_are_offered_are_denied_with_the_new_message() -> None:
    flow = begin([FIRST])
    next(flow)
    approval, message = sent(refused_for(flow, "add"))
    assert isinstance(approval, ApprovalCreate)
    (answer,) = list(approval.approvals or ())
    assert isinstance(answer, ApprovalReturn)
    assert (answer.tool_call_id, answer.approve) == ("call-add", False)
    assert message.content == "one"


@pytest.mark.parametrize(("policy", "name"), [("deny", "theirs"), ("error", "add")])
def test_what_is_not_ours_to_deny_is_told_with_all_that_is_known(policy: OnPendingApproval, name: str) -> None:
    flow = begin([FIRST], policy=policy)
    next(flow)
    with pytest.raises(PendingApprovalError, match=name) as caught:
        refused_for(flow, name)
    assert caught.value.pending == ({"tool_call_id": f"call-{name}", "name": name, "arguments": '{"a": 1}'},)
    assert caught.value.accepted is False


def test_one_call_that_is_not_ours_keeps_all_from_being_denied() -> None:
    flow = begin([FIRST])
    next(flow)
    with pytest.raises(PendingApprovalError):
        refused_for(flow, "add", "theirs")


def test_a_call_that_the_transcript_has_a_result_for_is_answered_whoevers_it_is() -> None:
    theirs = AssistantEntry(calls=(Call(tool_call_id="call-theirs", name="theirs", arguments="{}"),))
    flow = begin([theirs, ToolEntry(tool_call_id="call-theirs", content="5"), FIRST])
    claim(flow, next(flow))
    flow.send([])  # nothing is seen to wait yet
    claim(flow, refused(flow))
    assert told(flow.send([waiting("theirs")])) == ["approval", "one"]


def test_what_waits_is_read_only_after_another_turn_of_this_process_is_over() -> None:
    flow = begin([FIRST])
    next(flow)
    assert asked(claim(flow, refused(flow), other="run-9")) == ("GET", "/v1/runs/run-9")
    assert isinstance(flow.send(Run(id="run-9", status="running")), Pause)
    assert asked(flow.send(None)) == ("GET", "/v1/runs/run-9")
    assert isinstance(flow.send(Run(id="run-9", status="completed")), Claim)


def test_when_another_turn_comes_before_the_denials_what_waits_is_read_again() -> None:
    flow = begin([FIRST])
    next(flow)
    assert patience_of(refused_for(flow, "add")) == 0
    assert isinstance(flow.send(busy()), Pause)
    assert isinstance(flow.send(None), Claim)


def test_deny_all_denies_calls_to_any_client_tool() -> None:
    flow = begin([FIRST], policy="deny_all")
    next(flow)
    assert told(refused_for(flow, "theirs", tools=[{"name": "guarded"}])) == ["approval", "one"]


@pytest.mark.parametrize("policy", ["deny", "deny_all"])
@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"name": "add", "default_requires_approval": True}]},
        {"tools": [{"name": "add"}], "tool_rules": [{"type": "requires_approval", "tool_name": "add"}]},
    ],
    ids=["by default", "by a rule"],
)
def test_a_call_that_a_person_may_guard_is_left_alone_whatever_is_offered(
    policy: OnPendingApproval, fields: dict[str, Any]
) -> None:
    flow = begin([FIRST], policy=policy)
    next(flow)
    with pytest.raises(PendingApprovalError, match="add"):
        refused_for(flow, "add", **fields)


def test_deny_all_leaves_a_call_of_a_server_tool_alone() -> None:
    flow = begin([FIRST], policy="deny_all")
    next(flow)
    with pytest.raises(PendingApprovalError, match="guarded"):
        refused_for(flow, "guarded", tools=[{"name": "guarded"}])


def test_a_conversation_that_waits_again_and_again_is_given_up() -> None:
    flow = begin([FIRST])
    next(flow)
    for _ in range(2):
        refused_for(flow, "add")
    with pytest.raises(PendingApprovalError):
        refused(flow)


def test_denials_that_a_process_sent_before_it_died_are_sent_in_the_same_words() -> None:
    flow = begin([FIRST])
    next(flow)
    before = sent(refused_for(flow, "add"))
    again = begin([FIRST])
    next(again)
    claim(again, refused(again))
    answered = ApprovalResponseMessage(id="message-a", approvals=before[0].approvals, run_id="run-1")
    rows = [AssistantMessage(id="message-b", content="hi"), stored(before[1]), answered, waiting("add")]
    turn = again.send(rows)
    assert sent(turn) == before
    assert stored_run_of(turn) == "run-1"
