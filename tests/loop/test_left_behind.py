"""What another loop left open, and may be settling at this very moment."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from letta_adapters.errors import Conflict, ConversationBusy, LettaError, PendingApprovalError
from letta_adapters.loop.flow import tool_loop
from letta_adapters.loop.options import rules_of
from letta_adapters.loop.steps import Read, Send
from letta_adapters.wire import ApprovalCreate, ApprovalRequestMessage, ToolCall


def add(a: int) -> int:
    """Add."""
    return a


def begin(**options: Any) -> Generator[Any, Any, Any]:
    return tool_loop(rules_of("conv-1", "hello", tools=[add], **options).request)


def waiting(name: str = "add") -> list[ApprovalRequestMessage]:
    call = ToolCall(name=name, arguments='{"a": 1}', tool_call_id="call-1")
    return [ApprovalRequestMessage(id="message-1", tool_call=call, tool_calls=[call])]


def kinds(step: Any) -> list[str]:
    assert isinstance(step, Send)
    return ["approval" if isinstance(message, ApprovalCreate) else "message" for message in step.messages]


REFUSED = [PendingApprovalError("waiting"), Conflict("answered otherwise", status=409)]


@pytest.mark.parametrize("refused", REFUSED, ids=["pending", "answered"])
def test_calls_that_are_gone_when_they_are_looked_for_are_no_trouble(refused: LettaError) -> None:
    flow = begin()
    next(flow)
    assert isinstance(flow.throw(refused), Read)
    assert kinds(flow.send([])) == ["message"]


def test_calls_that_are_settled_while_they_are_denied_are_no_trouble() -> None:
    flow = begin()
    next(flow)
    flow.throw(PendingApprovalError("waiting"))
    assert kinds(flow.send(waiting())) == ["approval", "message"]
    assert isinstance(flow.throw(Conflict("answered already", status=409)), Read)
    assert kinds(flow.send([])) == ["message"]


def test_a_conversation_that_waits_again_and_again_is_given_up() -> None:
    flow = begin()
    next(flow)
    with pytest.raises(PendingApprovalError):
        for _ in range(10):
            assert isinstance(flow.throw(PendingApprovalError("waiting")), Read)
            flow.send(waiting())


@pytest.mark.parametrize(
    "error",
    [ConversationBusy("busy", status=409), Conflict("stored", status=409, accepted=None)],
    ids=["busy", "stored"],
)
def test_what_is_no_matter_of_calls_is_told(error: LettaError) -> None:
    flow = begin()
    next(flow)
    with pytest.raises(type(error)):
        flow.throw(error)


def test_a_call_of_somebody_elses_is_named_with_the_remedy() -> None:
    flow = begin()
    next(flow)
    flow.throw(PendingApprovalError("waiting"))
    with pytest.raises(PendingApprovalError, match=r"theirs\(\{\"a\": 1\}\) \[call-1\].*settle"):
        flow.send(waiting("theirs"))


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"tool_timeot": 3}, TypeError),
        ({"ask_for": "some"}, ValueError),
        ({"on_pending_approval": "deny_all"}, ValueError),
        ({"on_abandon": "x"}, ValueError),
    ],
    ids=str,
)
def test_an_option_that_is_none_is_refused_by_name(options: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind, match=next(iter(options))):
        begin(**options)
