"""A turn without background streams: what was sent is never sent again, and what was lost is read back."""

from __future__ import annotations

import pytest

from letta_adapters.errors import Conflict, ConversationBusy, LettaError, TurnFailed, TurnInterrupted
from letta_adapters.events import ReasoningDelta, TextDelta, TurnStarted
from letta_adapters.exchange import Broken
from letta_adapters.steps import Capabilities, TurnPolicy
from letta_adapters.wire import ApprovalCreate, ToolReturn, TurnRequest
from tests.core.frames import (
    DONE,
    RUN,
    approval_row,
    pending,
    ping,
    reasoning,
    reasoning_row,
    stop,
    text,
    text_row,
    usage,
    user_row,
)
from tests.core.play import (
    NO_REDIS,
    RESET,
    SILENCE,
    Played,
    Recorder,
    Reply,
    new_turn,
    play,
    refusal,
    stream,
)

POST = "POST /v1/conversations/conv-1/messages"
THOUGHT = (ping(), reasoning("let "), reasoning("me"), text("Hel"), text("lo"), stop(), usage(), DONE)
ROWS = [user_row(), reasoning_row("let me"), text_row("Hello")]
LOST = pytest.mark.parametrize("end", [None, RESET, SILENCE], ids=["clean end", "reset", "silence"])


def posts(played: Played) -> list[str]:
    return [path for path in played.paths if path.startswith("POST")]


def told(played: Played) -> tuple[str, str]:
    reasons = [event.text for event in played.events if isinstance(event, ReasoningDelta)]
    texts = [event.text for event in played.events if isinstance(event, TextDelta)]
    return "".join(reasons), "".join(texts)


@LOST
@pytest.mark.parametrize("frames", range(len(THOUGHT) - 2))
def test_a_turn_that_is_cut_after_any_frame_is_read_back_whole_and_told_once(frames: int, end: Broken | None) -> None:
    server = Recorder(posts=[stream(*THOUGHT[:frames], end=end)], rows=ROWS)
    played = play(new_turn(background=False), server)
    assert (played.turn.text, played.turn.run_id, played.turn.stop_reason) == ("Hello", RUN, "end_turn")
    assert told(played) == ("let me", "Hello")
    assert [type(event) for event in played.events].count(TurnStarted) == 1
    assert played.turn.usage is not None
    assert (played.turn.usage.completion_tokens, played.turn.usage.step_count) == (20, 1 if frames < 6 else 0)
    assert posts(played) == [POST]


def test_a_turn_that_lost_only_its_usage_reads_it() -> None:
    played = play(new_turn(background=False), Recorder(posts=[stream(*THOUGHT[:6], end=RESET)], rows=ROWS))
    assert played.turn.usage is not None
    assert played.turn.usage.total_tokens == 120


def test_a_turn_whose_usage_cannot_be_read_is_done_without() -> None:
    server = Recorder(posts=[stream(*THOUGHT[:6], end=RESET)], rows=ROWS, broken=[refusal(404)])
    assert (turn := play(new_turn(background=False), server).turn).text == "Hello"
    assert turn.usage is None


@LOST
def test_a_request_that_left_no_trace_is_not_sent_again(end: Broken | None) -> None:
    played = play(new_turn(background=False), Recorder(posts=[stream(end=end)]))
    assert isinstance(played.failure, TurnInterrupted)
    assert posts(played) == [POST]
    assert sum(played.waits) > 1  # the run might be on its way


@pytest.mark.parametrize("lost", [RESET, SILENCE, refusal(500), refusal(502), refusal(504), refusal(408)])
def test_a_request_whose_answer_was_lost_is_found_by_its_otid(lost: Reply) -> None:
    played = play(new_turn(background=False), Recorder(posts=[lost], rows=ROWS, in_flight=3))
    assert (played.turn.text, played.turn.run_id) == ("Hello", RUN)
    assert posts(played) == [POST]


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_a_request_that_the_server_failed_at_and_did_not_take_fails_with_its_error(status: int) -> None:
    played = play(new_turn(background=False), Recorder(posts=[refusal(status, "broken", retry_after="0")]))
    assert played.failure.detail == "broken"
    assert played.failure.accepted is None
    assert posts(played) == [POST]


def test_a_run_that_is_still_going_is_waited_for() -> None:
    server = Recorder(posts=[stream(*THOUGHT[:3], end=RESET)], rows=ROWS, status=["running"] * 9 + ["completed"])
    assert play(new_turn(background=False), server).turn.text == "Hello"


def test_a_run_that_never_ends_interrupts_the_turn_with_what_had_arrived() -> None:
    server = Recorder(posts=[stream(*THOUGHT[:4], end=RESET)], rows=ROWS[:1], status=["running"])
    played = play(new_turn(background=False, policy=TurnPolicy(idle_timeout=30)), server)
    failure = played.failure
    assert isinstance(failure, TurnInterrupted)
    assert (failure.partial, failure.run_id, failure.accepted) == ("Hel", RUN, True)
    assert 30 < sum(played.waits) < 40


def test_a_run_that_failed_fails_the_turn_with_the_servers_reason() -> None:
    record = {"stop_reason": "llm_api_error", "metadata": {"error": {"error_type": "llm_error", "detail": "it broke"}}}
    server = Recorder(posts=[stream(*THOUGHT[:2], end=RESET)], status=["failed"], record=record)
    failure = play(new_turn(background=False), server).failure
    assert isinstance(failure, TurnFailed)
    assert (failure.stop_reason, failure.detail, failure.error_type) == ("llm_api_error", "it broke", "llm_error")
    assert failure.accepted is False  # nothing was stored


def test_a_run_that_failed_after_storing_its_input_was_accepted() -> None:
    server = Recorder(posts=[RESET], rows=ROWS[:1], status=["failed"], record={"stop_reason": "error"})
    assert play(new_turn(background=False), server).failure.accepted is True


def test_reading_back_is_tried_again_until_it_works() -> None:
    broken: list[Reply] = [RESET, refusal(502), SILENCE]
    server = Recorder(posts=[stream(*THOUGHT[:3], end=RESET)], rows=ROWS, broken=broken)
    assert play(new_turn(background=False), server).turn.text == "Hello"


def test_reading_back_is_given_up_after_max_retries() -> None:
    server = Recorder(posts=[stream(*THOUGHT[:3], end=RESET)], rows=ROWS, broken=[RESET] * 50)
    played = play(new_turn(background=False, policy=TurnPolicy(max_retries=2)), server)
    assert isinstance(played.failure, TurnInterrupted)
    assert len(played.requests) == 1 + 3


def test_what_was_stored_otherwise_than_it_was_streamed_is_not_made_up() -> None:
    server = Recorder(
        posts=[stream(*THOUGHT[:4], end=RESET)], rows=[user_row(), reasoning_row("let me"), text_row("Bye")]
    )
    failure = play(new_turn(background=False), server).failure
    assert isinstance(failure, TurnInterrupted)
    assert failure.partial == "Hel"


def test_calls_that_were_lost_are_read_back() -> None:
    rows = [user_row(), approval_row(("call-1", "add", '{"a": 1}'))]
    frames = (ping(), pending("call-1", "add", None), pending("call-1", None, '{"a'))
    server = Recorder(posts=[stream(*frames, end=RESET)], rows=rows, record={"stop_reason": "requires_approval"})
    turn = play(new_turn(background=False), server).turn
    assert [(call.tool_call_id, call.name, call.arguments) for call in turn.pending] == [("call-1", "add", '{"a": 1}')]


def test_a_request_that_may_be_stored_is_looked_for_before_it_is_sent() -> None:
    played = play(new_turn(background=False, may_be_stored=True), Recorder(posts=[], rows=ROWS))
    assert (played.turn.text, posts(played)) == ("Hello", [])


def test_a_request_that_is_not_stored_is_sent_after_one_look() -> None:
    played = play(new_turn(background=False, may_be_stored=True), Recorder(posts=[stream(*THOUGHT)]))
    assert played.turn.text == "Hello"
    assert played.paths == ["GET /v1/runs/", "GET /v1/conversations/conv-1/messages", POST]
    assert played.waits == []


def test_a_background_request_is_not_looked_for_since_the_server_dedupes_it() -> None:
    numbered = (ping(1), text("Hello", 2), stop(), usage(), DONE)
    played = play(new_turn(may_be_stored=True), Recorder(posts=[stream(*numbered)]))
    assert played.paths == [POST]


def test_looking_waits_for_the_turn_in_flight_which_may_be_the_one() -> None:
    played = play(new_turn(background=False, may_be_stored=True), Recorder(posts=[], rows=ROWS, in_flight=4))
    assert played.turn.text == "Hello"


def test_looking_waits_no_longer_than_the_busy_timeout_and_sends_nothing_then() -> None:
    server = Recorder(posts=[], rows=ROWS, in_flight=10_000)
    played = play(new_turn(background=False, may_be_stored=True, policy=TurnPolicy(busy_timeout=5)), server)
    assert isinstance(played.failure, ConversationBusy)
    assert played.failure.accepted is False
    assert sum(played.waits) <= 5


def test_a_request_that_cannot_be_looked_for_is_not_sent() -> None:
    server = Recorder(posts=[], broken=[refusal(404, "no such conversation")] * 9)
    failure = play(new_turn(background=False, may_be_stored=True), server).failure
    assert type(failure) is LettaError
    assert failure.accepted is False


def _answer(text: str) -> TurnRequest:
    approvals = [ToolReturn(tool_call_id="call-1", tool_return=text, status="success")]
    return TurnRequest(messages=[ApprovalCreate(approvals=list(approvals), otid="otid-1")], background=False)


RESPONSE = {
    "message_type": "approval_response_message",
    "id": "message-r",
    "run_id": RUN,
    "approvals": [{"type": "tool", "tool_call_id": "call-1", "tool_return": "3", "status": "success"}],
}


def test_the_answers_to_calls_are_found_by_their_ids_and_texts() -> None:
    server = Recorder(posts=[], rows=[RESPONSE, text_row("three")])
    assert play(new_turn(_answer("3"), may_be_stored=True), server).turn.text == "three"


def test_calls_that_were_answered_otherwise_are_not_answered_again() -> None:
    server = Recorder(posts=[], rows=[RESPONSE, text_row("three")])
    failure = play(new_turn(_answer("4"), may_be_stored=True), server).failure
    assert isinstance(failure, Conflict)
    assert failure.accepted is False


@pytest.mark.parametrize("first", [RESET, SILENCE, refusal(502), refusal(504)], ids=["reset", "silence", "502", "504"])
def test_a_request_of_unknown_fate_is_looked_for_when_the_server_turns_out_to_have_no_redis(first: Reply) -> None:
    played = play(new_turn(), Recorder(posts=[first, refusal(503, NO_REDIS)], rows=ROWS, in_flight=2))
    assert played.turn.text == "Hello"
    assert posts(played) == [POST, POST]


def test_a_request_that_such_a_server_did_not_take_is_sent_in_the_foreground() -> None:
    capabilities = Capabilities()
    server = Recorder(posts=[RESET, refusal(503, NO_REDIS), stream(*THOUGHT)])
    played = play(new_turn(capabilities=capabilities), server)
    assert played.turn.text == "Hello"
    assert [body["background"] for body in played.bodies if body] == [True, True, False]
    assert not capabilities.background


def test_a_background_run_that_cannot_be_resumed_any_more_is_read_back() -> None:
    numbered = (ping(1), reasoning("let me", 2), text("Hel", 3))
    server = Recorder(posts=[stream(*numbered, end=RESET), refusal(410, "expired")], rows=ROWS)
    played = play(new_turn(), server)
    assert (played.turn.text, told(played)) == ("Hello", ("let me", "Hello"))


def test_a_turn_that_its_caller_left_in_the_background_needs_nobody() -> None:
    turn = new_turn()
    turn.start()
    turn.responded(200, {"content-type": "text/event-stream"})
    assert turn.abandoned() is None


def test_characters_that_the_server_does_not_store_are_no_contradiction() -> None:
    server = Recorder(posts=[stream(ping(), text("a\0b"), end=RESET)], rows=[user_row(), text_row("abcd")])
    assert told(play(new_turn(background=False), server)) == ("", "a\0bcd")
