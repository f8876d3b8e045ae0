"""Wire messages in, events and parts out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from letta_adapters.assembly import Assembly
from letta_adapters.events import (
    AnswerStarted,
    HiddenReasoning,
    Notice,
    PendingCall,
    Reasoning,
    ReasoningDelta,
    ServerToolCall,
    ServerToolResult,
    Text,
    TextDelta,
    TurnEvent,
)
from letta_adapters.wire import (
    ApprovalCreate,
    ApprovalReturn,
    MessageCreate,
    SummaryMessage,
    ToolReturn,
    TurnRequest,
    Unknown,
    parse_event,
)
from tests.core.frames import (
    DONE,
    approval_row,
    pending,
    ping,
    reasoning,
    result,
    server_call,
    sse,
    stop,
    text,
    usage,
)
from tests.core.play import Played, new_turn, play, script, stream


def fed(assembly: Assembly, *frames: bytes) -> list[TurnEvent]:
    """Feed frames, and give what they tell beside the id of the answer."""
    told: list[TurnEvent] = []
    for frame in frames:
        message: Any = parse_event(frame.removeprefix(b"data: ").strip())
        told.extend(assembly.feed(message))
    return [event for event in told if not isinstance(event, AnswerStarted)]


def _answers(*frames: bytes) -> list[str]:
    assembly, ids = Assembly(own_results=["mine"]), list[str]()
    for frame in frames:
        message: Any = parse_event(frame.removeprefix(b"data: ").strip())
        ids += [event.message_id for event in assembly.feed(message) if isinstance(event, AnswerStarted)]
    return ids


def test_the_answer_is_named_once_by_its_first_message() -> None:
    assert _answers(reasoning("hm", id="m-1"), text("a", id="m-1"), text("b", id="m-2")) == ["m-1"]


def test_what_was_sent_does_not_name_the_answer() -> None:
    echo = sse({"message_type": "user_message", "id": "m-0", "content": "x"})
    assert _answers(echo, result("mine", "42", id="m-1"), text("a", id="m-2")) == ["m-2"]


def test_an_event_does_not_name_the_answer() -> None:
    event: dict[str, Any] = {"message_type": "event_message", "id": "e", "event_type": "compaction", "event_data": {}}
    assert _answers(sse(event), text("a")) == ["message-1"]


def test_a_result_under_the_id_of_an_echo_names_the_answer() -> None:
    shown = {"message_type": "tool_return_message", "id": "message-1", "tool_return": "x", "status": "success"}
    assert _answers(sse({**shown, "tool_call_id": "mine"}), sse({**shown, "tool_call_id": "theirs"})) == ["message-1"]


def test_deltas_of_one_part_keep_its_index_and_a_new_otid_begins_a_part() -> None:
    assembly = Assembly()
    told = fed(assembly, text("a", otid="1"), text("b", otid="1"), text("c", otid="2"), text("d", otid="1"))
    assert told == [
        TextDelta(index=0, text="a"),
        TextDelta(index=0, text="b"),
        TextDelta(index=1, text="c"),
        TextDelta(index=0, text="d"),
    ]
    assert assembly.parts() == (Text(index=0, text="abd"), Text(index=1, text="c"))
    assert assembly.partial_text == "abdc"


def test_text_and_reasoning_of_one_id_and_otid_are_two_parts() -> None:
    assembly = Assembly()
    fed(assembly, reasoning("hm"), text("so", otid="o-0"))
    assert assembly.parts() == (Reasoning(index=0, text="hm"), Text(index=1, text="so"))


def test_empty_deltas_make_no_part() -> None:
    assembly = Assembly()
    assert fed(assembly, text(""), reasoning("")) == []
    assert assembly.parts() == ()


def test_a_signature_alone_is_kept() -> None:
    assembly = Assembly()
    assert fed(assembly, reasoning("hm"), reasoning("", signature="s"))[1] == ReasoningDelta(
        index=0, text="", signature="s"
    )
    assert assembly.parts() == (Reasoning(index=0, text="hm", signature="s"),)


def test_a_server_call_is_told_whole_before_what_comes_next() -> None:
    assembly = Assembly()
    told = fed(
        assembly,
        server_call("c", "roll", None),
        server_call("c", None, '{"a"'),
        server_call("c", None, ": 1}"),
        result("c", "four"),
    )
    call = ServerToolCall(index=0, tool_call_id="c", name="roll", arguments='{"a": 1}')
    assert told[0] == call
    assert isinstance(told[1], ServerToolResult)
    assert (told[1].index, told[1].content) == (1, "four")
    assert assembly.parts()[0] == call


def test_parallel_server_calls_are_told_in_order() -> None:
    assembly = Assembly()
    told = fed(
        assembly, server_call("c", "a", "1"), server_call("d", "b", "2"), result("d", "x"), result("c", "y", id="m")
    )
    assert [getattr(event, "tool_call_id", None) for event in told] == ["c", "d", "d", "c"]
    assert [part.index for part in assembly.parts()] == [0, 1, 2, 3]


def test_a_call_that_goes_on_after_the_text_of_its_step_is_told_whole() -> None:
    assembly = Assembly()
    told = fed(assembly, server_call("c", "roll", '{"a"'), text("so", id="message-0"), server_call("c", None, ": 1}"))
    told += assembly.finish()
    calls = [event for event in told if isinstance(event, ServerToolCall)]
    assert calls == [part for part in assembly.parts() if isinstance(part, ServerToolCall)]


def test_a_call_at_the_very_end_is_told_when_the_turn_is_over() -> None:
    assembly = Assembly()
    assert fed(assembly, server_call("c", "roll", "{}")) == []
    assert assembly.finish() == [ServerToolCall(index=0, tool_call_id="c", name="roll", arguments="{}")]


def test_a_name_that_comes_with_every_piece_is_taken_once() -> None:
    assembly = Assembly()
    fed(assembly, pending("c", "add", "1"), pending("c", "add", "2"))
    assert assembly.finish() == [PendingCall(index=0, tool_call_id="c", name="add", arguments="12")]


def test_interleaved_pending_calls_are_told_apart_by_their_ids() -> None:
    assembly = Assembly()
    fed(assembly, pending("c", "a", "1"), pending("d", "b", "2"), pending("c", None, "3"))
    assert [(call.name, call.arguments) for call in assembly.finish() if isinstance(call, PendingCall)] == [
        ("a", "13"),
        ("b", "2"),
    ]


def test_a_piece_that_belongs_to_no_call_is_left_out() -> None:
    assembly = Assembly()
    fed(assembly, pending(None, "add", "1"))
    assert assembly.finish() == []


def test_a_whole_request_for_answers_gives_all_its_calls() -> None:
    assembly = Assembly()
    fed(assembly, sse(approval_row(("c", "a", "1"), ("d", "b", ""))))
    assert assembly.pending_ids == ("c", "d")
    assert [call.index for call in assembly.finish() if isinstance(call, PendingCall)] == [0, 1]


@pytest.mark.parametrize("kept", [set[str](), {"d"}, {"c", "d"}, {"x"}])
def test_only_kept_calls_become_parts(kept: set[str]) -> None:
    assembly = Assembly()
    fed(assembly, pending("c", "a", "1"), pending("d", "b", "2"))
    told = {event.tool_call_id for event in assembly.finish(kept) if isinstance(event, PendingCall)}
    assert told == kept & {"c", "d"}


@pytest.mark.parametrize(
    "row",
    [
        {"message_type": "summary_message", "id": "m", "summary": "s"},
        {"message_type": "event_message", "id": "m", "event_type": "e", "event_data": {}},
        {"message_type": "hologram", "id": "m"},
    ],
)
def test_a_message_beside_the_answer_is_a_notice(row: dict[str, Any]) -> None:
    (notice,) = fed(Assembly(), sse(row))
    assert isinstance(notice, Notice)
    assert isinstance(notice.message, Unknown) or notice.message.id == "m"


def test_a_summary_that_a_self_hosted_server_packs_is_a_notice() -> None:
    packed = {"type": "system_alert", "message": "Note: prior messages have been hidden from view …: s", "time": "x"}
    (notice,) = fed(Assembly(), sse({"message_type": "user_message", "id": "m", "content": json.dumps(packed)}))
    assert isinstance(notice, Notice)
    assert isinstance(notice.message, SummaryMessage)
    assert (notice.message.id, notice.message.summary) == ("m", packed["message"])


def test_hidden_reasoning_is_a_part() -> None:
    row = {"message_type": "hidden_reasoning_message", "id": "m", "state": "redacted", "hidden_reasoning": "x"}
    assert fed(Assembly(), sse(row)) == [HiddenReasoning(index=0, state="redacted", text="x")]


@pytest.mark.parametrize("kind", ["user_message", "system_message"])
def test_an_echo_of_what_was_sent_is_no_part(kind: str) -> None:
    assembly = Assembly()
    assert fed(assembly, sse({"message_type": kind, "id": "m", "content": "x"})) == []
    assert assembly.parts() == ()


def test_message_ids_are_in_order_and_each_once() -> None:
    assembly = Assembly()
    fed(assembly, text("a"), text("b"), result("c", "x"), text("c"))
    assert assembly.message_ids == ("message-1", "message-2")


def test_the_message_that_asks_for_approval_is_the_last_whatever_is_written_while_calls_wait() -> None:
    assembly = Assembly()
    fed(
        assembly,
        text("a"),
        pending("call-1", "add", "{}"),
        sse({"message_type": "summary_message", "id": "m-s", "summary": "s"}),
    )
    assert assembly.message_ids[-1] != "m-s"
    assert "m-s" in assembly.message_ids


def test_a_request_under_the_id_of_the_text_before_it_is_the_last_all_the_same() -> None:
    assembly = Assembly()
    request = {"message_type": "approval_request_message", "id": "message-1", "tool_calls": None}
    summary = {"message_type": "summary_message", "id": "m-s", "summary": "s"}
    fed(assembly, text("a"), sse(request), sse(summary))
    assert assembly.message_ids == ("m-s", "message-1")


def test_a_request_that_names_its_step_late_is_the_only_message_of_it() -> None:
    assembly = Assembly()
    call = {"name": "add", "arguments": "{}", "tool_call_id": "call-1"}
    request = {"message_type": "approval_request_message", "id": "m-r", "tool_call": call, "tool_calls": call}
    words = {"message_type": "assistant_message", "id": "m-w", "content": "a", "step_id": "step-1"}
    fed(assembly, sse(words), sse(request), sse({**request, "step_id": "step-1"}))
    assert assembly.message_ids == ("m-r",)


ANSWERED = (ping(1), result("call-1", "42", 2), text("so", 3), stop(), usage(), DONE)


def _answered(answer: ToolReturn | ApprovalReturn) -> Played:
    messages = [ApprovalCreate(approvals=[answer], otid="o"), MessageCreate(role="user", content="x", otid="p")]
    return play(new_turn(TurnRequest(messages=list(messages))), script(stream(*ANSWERED)))


def test_the_echo_of_a_clients_own_result_is_no_part() -> None:
    played = _answered(ToolReturn(tool_call_id="call-1", tool_return="42"))
    assert [type(part) for part in played.turn.parts] == [Text]


def test_the_echo_of_a_denial_is_no_part() -> None:
    played = _answered(ApprovalReturn(tool_call_id="call-1", approve=False, reason="no"))
    assert [type(part) for part in played.turn.parts] == [Text]


def test_the_result_of_a_server_tool_that_a_person_approved_is_a_part() -> None:
    played = _answered(ApprovalReturn(tool_call_id="call-1", approve=True))
    assert [type(part) for part in played.turn.parts] == [ServerToolResult, Text]
