"""Which calls a conversation waits for."""

from __future__ import annotations

from letta_adapters.waiting import waiting_calls
from letta_adapters.wire import SummaryMessage, UserMessage
from tests.planner.dialogue import waiting

SUMMARY = SummaryMessage(id="message-s", summary="They counted.")


def test_calls_wait_when_their_request_is_the_last_message() -> None:
    assert [call.tool_call_id for call in waiting_calls([waiting("call-1", "call-2")])] == ["call-1", "call-2"]


def test_calls_wait_behind_a_summary_that_was_made_meanwhile() -> None:
    assert [call.tool_call_id for call in waiting_calls([SUMMARY, waiting("call-1")])] == ["call-1"]


def test_calls_behind_anything_else_do_not_wait() -> None:
    assert waiting_calls([UserMessage(id="message-u", content="hello"), waiting("call-1")]) == []
