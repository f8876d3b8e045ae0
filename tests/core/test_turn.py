"""A turn that meets no trouble: what is sent, what comes back, how it ends."""

from __future__ import annotations

import pytest

from letta_adapters.errors import ConversationBusy, PendingApprovalError, ProtocolError, TurnFailed, TurnInterrupted
from letta_adapters.events import AnswerStarted, PendingCall, ReasoningDelta, Text, TextDelta, TurnStarted
from letta_adapters.steps import Capabilities, Done, Failed, Read, TurnPolicy
from letta_adapters.turn import Turn
from tests.core.frames import (
    DONE,
    FAILED,
    PARALLEL,
    REASONING,
    REFUSED,
    RUN,
    TEXT,
    TOOL,
    approval_row,
    error,
    pending,
    ping,
    sse,
    stop,
    text,
    text_row,
    usage,
    user_row,
)
from tests.core.play import (
    BUSY,
    CLOCK,
    JSON,
    NO_REDIS,
    SILENCE,
    Answer,
    Recorder,
    Replayer,
    forever,
    listed,
    new_turn,
    play,
    refusal,
    request,
    script,
    stream,
)

POST = "POST /v1/conversations/conv-1/messages"
CONFIRM = f"GET /v1/runs/{RUN}/messages"
EVENT_STREAM = {"content-type": "text/event-stream"}


def test_a_text_turn_tells_its_run_its_deltas_and_the_finished_turn() -> None:
    played = play(new_turn(agent_id="agent-1"), script(stream(*TEXT)))
    assert played.events == [
        TurnStarted(conversation_id="conv-1", run_id=RUN, otids=("otid-1",)),
        AnswerStarted(message_id="message-1"),
        TextDelta(index=0, text="Grüße "),
        TextDelta(index=0, text="🎉 {}"),
        TextDelta(index=0, text="\n\ndata: [DONE]"),
    ]
    turn = played.turn
    assert turn.parts == (Text(index=0, text="Grüße 🎉 {}\n\ndata: [DONE]"),)
    assert (turn.run_id, turn.stop_reason) == (RUN, "end_turn")
    assert (turn.otids, turn.message_ids) == (("otid-1",), ("message-1",))
    assert (turn.conversation_id, turn.agent_id) == ("conv-1", "agent-1")
    assert turn.usage is not None
    assert turn.usage.completion_tokens == 20


def test_one_post_with_the_bytes_of_the_request_is_all_that_is_sent() -> None:
    sent = request()
    played = play(new_turn(sent), script(stream(*TEXT)))
    assert played.paths == [POST]
    assert played.requests[0].body == sent.to_json()


def test_reasoning_and_text_are_two_parts() -> None:
    played = play(new_turn(), script(stream(*REASONING)))
    assert played.events[2:] == [
        ReasoningDelta(index=0, text="let "),
        ReasoningDelta(index=0, text="me", signature="sig"),
        TextDelta(index=1, text="so"),
    ]
    assert played.turn.text == "so"


def test_a_single_pending_call_comes_whole_and_last_without_asking_again() -> None:
    played = play(new_turn(), script(stream(*TOOL)))
    call = PendingCall(index=1, tool_call_id="call-1", name="add", arguments='{"a": 1}')
    assert played.events[-1] == call
    assert played.turn.pending == (call,)
    assert played.turn.stop_reason == "requires_approval"


def test_a_piece_of_a_call_without_an_id_continues_the_latest_call() -> None:
    frames = (ping(1), pending("call-1", "add", None, 2), pending(None, None, "{}", 3), stop("requires_approval"), DONE)
    assert play(new_turn(), script(stream(*frames))).turn.pending[0].arguments == "{}"


def test_parallel_calls_are_told_only_as_far_as_the_server_kept_them() -> None:
    rows = listed(approval_row(("call-1", "add", '{"a": 1}')))
    played = play(new_turn(), script(stream(*PARALLEL), rows))
    assert played.paths == [POST, CONFIRM]
    assert [call.tool_call_id for call in played.turn.pending] == ["call-1"]
    assert [event for event in played.events if isinstance(event, PendingCall)] == list(played.turn.pending)


def test_all_parallel_calls_are_told_when_the_server_kept_all() -> None:
    rows = listed(approval_row(("call-1", "add", "{}"), ("call-2", "mul", "{}")))
    played = play(new_turn(), script(stream(*PARALLEL), rows))
    assert [call.name for call in played.turn.pending] == ["add", "mul"]


@pytest.mark.parametrize(
    "trouble",
    [refusal(500), refusal(404), SILENCE, Answer(headers=JSON, chunks=(b"<html>",)), stream(), listed()],
    ids=["500", "404", "silence", "html", "empty", "a list that is not up to date"],
)
def test_asking_for_the_kept_calls_is_tried_again_until_it_works(trouble: Answer) -> None:
    rows = listed(approval_row(("call-2", "mul", "{}")))
    played = play(new_turn(), script(stream(*PARALLEL), trouble, trouble, rows))
    assert played.paths == [POST, CONFIRM, CONFIRM, CONFIRM]
    assert [call.name for call in played.turn.pending] == ["mul"]
    assert len(played.waits) == 2


def test_a_turn_whose_calls_cannot_be_confirmed_is_interrupted_with_what_it_said() -> None:
    frames = (ping(1), text("both", 2), *PARALLEL[1:])
    played = play(new_turn(policy=TurnPolicy(max_retries=2)), forever(stream(*frames), last=refusal(500)))
    failure = played.failure
    assert isinstance(failure, TurnInterrupted)
    assert (failure.accepted, failure.run_id) == (True, RUN)
    assert played.paths == [POST, CONFIRM, CONFIRM, CONFIRM]


def test_503_for_want_of_redis_falls_back_to_the_foreground_and_is_remembered() -> None:
    capabilities = Capabilities()
    frames = (ping(), text("plain"), stop(), usage(), DONE)
    played = play(new_turn(capabilities=capabilities), script(refusal(503, NO_REDIS), stream(*frames)))
    assert [body["background"] for body in played.bodies] == [True, False]
    assert played.turn.text == "plain"
    assert played.waits == []
    again = play(new_turn(capabilities=capabilities), script(stream(*frames)))
    assert [body["background"] for body in again.bodies] == [False]


def test_apart_from_the_switch_the_foreground_request_is_the_same() -> None:
    played = play(new_turn(), script(refusal(503, NO_REDIS), stream(text("x"), stop(), usage(), DONE)))
    first, second = played.bodies
    assert {**first, "background": False} == second


def test_another_503_does_not_end_background_streams() -> None:
    capabilities = Capabilities()
    played = play(new_turn(capabilities=capabilities), script(refusal(503, "shutting down"), stream(*TEXT)))
    assert capabilities.background
    assert played.requests[0] == played.requests[1]


def test_after_the_usage_the_answer_is_read_to_its_end_so_that_the_connection_can_be_used_again() -> None:
    turn = new_turn()
    turn.start()
    turn.responded(200, EVENT_STREAM)
    step = turn.received(b"".join([*TEXT[:4], stop(), usage()]))
    assert isinstance(step, Read)
    assert step.timeout < 1
    assert isinstance(turn.closed(), Done)


def test_a_server_that_does_not_end_its_answer_after_the_usage_is_not_waited_for() -> None:
    played = play(new_turn(), script(stream(*TEXT[:4], stop(), usage(), *[DONE] * 100, end=SILENCE)))
    assert played.turn.stop_reason == "end_turn"
    assert len(played.reads) < 20


def test_after_the_stop_reason_only_the_grace_is_waited_for_usage() -> None:
    played = play(new_turn(policy=TurnPolicy(grace=3.0)), script(stream(*TEXT[:5], end=SILENCE)))
    assert played.reads[4:6] == [90.0, 3.0]
    assert (played.turn.stop_reason, played.turn.usage) == ("end_turn", None)


def test_the_idle_timeout_is_the_policys() -> None:
    played = play(new_turn(policy=TurnPolicy(idle_timeout=12.0)), script(stream(*TEXT)))
    assert set(played.reads[:4]) == {12.0}


@pytest.mark.parametrize("number", [4, None], ids=["numbered", "foreground"])
def test_pings_do_not_keep_a_turn_open_after_its_stop_reason(number: int | None) -> None:
    played = play(new_turn(), lambda _: stream(*TEXT[:5], *[ping(number)] * 1000, end=SILENCE))
    assert len(played.reads) < 100


def test_of_two_stop_reasons_the_turn_fails_with_the_detail_of_the_error() -> None:
    failure = play(new_turn(), script(stream(*FAILED))).failure
    assert isinstance(failure, TurnFailed)
    assert (failure.detail, failure.error_type, failure.run_id) == ("the model broke", "internal_error", RUN)
    assert failure.stop_reason in ("error", "llm_api_error")
    assert failure.accepted is None


@pytest.mark.parametrize("reason", ["error", "llm_api_error", "cancelled", "invalid_tool_call", "insufficient_credits"])
def test_a_bad_stop_reason_fails_the_turn(reason: str) -> None:
    failure = play(new_turn(), script(stream(*TEXT[:2], stop(reason), DONE))).failure
    assert isinstance(failure, TurnFailed)
    assert failure.stop_reason == reason


@pytest.mark.parametrize("reason", ["end_turn", "max_steps", "max_tokens_exceeded", "tool_rule", "no_tool_call"])
def test_a_good_stop_reason_is_kept(reason: str) -> None:
    assert play(new_turn(), script(stream(*TEXT[:2], stop(reason), usage(), DONE))).turn.stop_reason == reason


def test_an_error_without_any_stop_reason_fails_the_turn() -> None:
    failure = play(new_turn(), lambda _: stream(ping(1), error("boom", 2))).failure
    assert isinstance(failure, TurnFailed)
    assert failure.detail == "boom"


def test_an_error_event_of_unknown_shape_fails_the_turn_with_an_excerpt() -> None:
    failure = play(new_turn(), lambda _: stream(ping(1), sse({"what": "ever"}, event="error"))).failure
    assert isinstance(failure, TurnFailed)
    assert failure.detail == '{"what": "ever"}'


def test_a_pending_call_that_refuses_the_message_is_its_own_error() -> None:
    failure = play(new_turn(), Replayer(REFUSED)).failure
    assert isinstance(failure, PendingApprovalError)
    assert failure.accepted is False


def test_answers_to_the_wrong_calls_name_the_right_ones() -> None:
    detail = "Invalid tool call IDs. Expected '['call-1', 'call-2']', but received '['call-9']'."
    failure = play(new_turn(), Replayer((ping(1), stop("error"), error(detail, 3)))).failure
    assert isinstance(failure, PendingApprovalError)
    assert [call["tool_call_id"] for call in failure.pending] == ["call-1", "call-2"]


def test_an_error_after_the_answer_began_is_never_taken_for_a_refusal() -> None:
    # The provider's words reach `detail` too; once there was an answer the input was taken.
    detail = "The upload is currently being processed by the provider"
    failure = play(new_turn(), Replayer((*TEXT[:3], stop("error"), error(detail, 5)))).failure
    assert isinstance(failure, TurnFailed)
    assert failure.accepted is None


def test_a_busy_conversation_is_asked_again_with_the_identical_bytes() -> None:
    played = play(new_turn(), script(refusal(409, BUSY), refusal(409, BUSY), stream(*TEXT)))
    assert played.paths == [POST] * 3
    assert len({sent.body for sent in played.requests}) == 1
    assert all(0.1 <= seconds <= 2 for seconds in played.waits)


def test_a_busy_conversation_is_given_up_after_the_busy_timeout() -> None:
    played = play(new_turn(policy=TurnPolicy(busy_timeout=5)), forever(last=refusal(409, BUSY)))
    assert isinstance(played.failure, ConversationBusy)
    assert sum(played.waits) == pytest.approx(5)
    assert len(played.waits) > 2
    assert played.failure.accepted is False


def test_waiting_for_a_busy_conversation_costs_no_retries() -> None:
    policy = TurnPolicy(max_retries=0, busy_timeout=60)
    assert play(new_turn(policy=policy), script(*[refusal(409, BUSY)] * 5, stream(*TEXT))).turn.text


@pytest.mark.parametrize("headers", [{"content-type": "text/html"}, {}], ids=["html", "none"])
def test_200_with_another_content_type_is_a_protocol_error_with_a_short_excerpt(headers: dict[str, str]) -> None:
    page = Answer(headers=headers, chunks=(b"<html>" + b"x" * 5000,))
    failure = play(new_turn(), script(page)).failure
    assert isinstance(failure, ProtocolError)
    assert "<html>" in str(failure)
    assert len(str(failure)) < 500


def test_200_that_is_no_stream_leaves_open_whether_the_turn_was_taken() -> None:
    failure = play(new_turn(), script(Answer(headers=JSON, chunks=(b'{"messages": []}',)))).failure
    assert failure.accepted is None


def test_an_error_page_without_an_end_is_read_up_to_a_limit() -> None:
    page = Answer(status=400, headers=JSON, chunks=[b"x" * 1024] * 10_000)
    assert len(play(new_turn(), script(page)).reads) < 100


def test_an_event_that_is_not_json_is_a_protocol_error_after_the_events_before_it() -> None:
    played = play(new_turn(), script(stream(b"".join([*TEXT[:3], b'data: {"a":' + b"z" * 5000 + b"\n\n"]))))
    assert isinstance(played.failure, ProtocolError)
    assert len(str(played.failure)) < 500
    assert played.failure.accepted is None
    assert [event.text for event in played.events if isinstance(event, TextDelta)] == ["Grüße ", "🎉 {}"]


def test_attaching_by_run_reads_the_run_and_posts_nothing() -> None:
    played = play(Turn(None, conversation_id="conv-1", run_id=RUN, starting_after=2), Replayer(TEXT))
    assert played.paths == ["POST /v1/conversations/conv-1/stream"]
    assert played.bodies == [{"starting_after": 2, "run_id": RUN}]
    assert played.turn.text == "🎉 {}\n\ndata: [DONE]"
    assert played.turn.otids == ()


def test_attaching_without_a_run_names_the_run_that_it_finds() -> None:
    played = play(Turn(None, conversation_id="conv-1"), Replayer(TEXT))
    assert played.bodies == [{"starting_after": 0}]
    assert played.events[0] == TurnStarted(conversation_id="conv-1", run_id=RUN, otids=())


def test_attaching_to_the_default_conversation_names_the_agent() -> None:
    played = play(Turn(None, conversation_id="default", agent_id="agent-1"), Replayer(TEXT))
    assert played.paths == ["POST /v1/conversations/default/stream"]
    assert played.bodies[0]["agent_id"] == "agent-1"


def test_a_turn_keeps_others_away_until_a_background_server_named_its_run() -> None:
    turn = new_turn()
    turn.start()
    assert turn.exclusive
    turn.responded(200, EVENT_STREAM)
    assert turn.exclusive
    turn.received(text("x"))
    assert not turn.exclusive


def test_a_foreground_turn_keeps_others_away_to_its_end() -> None:
    turn = new_turn(background=False)
    turn.start()
    turn.responded(200, EVENT_STREAM)
    turn.received(b"".join([text("x"), stop()]))
    assert turn.exclusive
    turn.received(usage())
    turn.closed()
    assert not turn.exclusive


def test_a_server_that_only_pings_is_given_up_in_the_end() -> None:
    # A server that was killed in mid-turn and came back pings on for ever: its run never ends (measured).
    turn = new_turn(policy=TurnPolicy(quiet_timeout=100))
    turn.start()
    turn.responded(200, {"content-type": "text/event-stream"})
    for _ in range(10):
        assert isinstance(turn.received(ping(1)), Read)
        turn.take_events()
        CLOCK.wait(9)
    turn.received(text("Hel", 2))  # anything new begins the time anew
    turn.take_events()
    for _ in range(10):
        assert isinstance(turn.received(ping(2)), Read)
        CLOCK.wait(10)
    failed = turn.received(ping(2))
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, TurnInterrupted)
    assert failed.error.accepted is True


def test_a_run_that_has_the_request_is_attached_to_and_nothing_is_sent() -> None:
    record = {"stop_reason": "end_turn", "background": True}
    played = play(
        new_turn(stored_run_id="run-1"), Recorder(posts=[stream(*TEXT[:3]), stream(*TEXT[3:])], record=record)
    )
    assert played.turn.text == play(new_turn(), script(stream(*TEXT))).turn.text
    resume = "POST /v1/conversations/conv-1/stream"
    assert played.paths == ["GET /v1/runs/run-1", resume, resume]
    assert played.bodies[1:] == [{"starting_after": after, "run_id": "run-1"} for after in (0, 3)]


def test_a_run_of_the_foreground_is_read_back_since_attaching_to_it_would_hang() -> None:
    record = {"stop_reason": "end_turn", "background": False}
    rows = [user_row(), text_row("Hello")]
    played = play(new_turn(stored_run_id="run-1"), Recorder(posts=[], rows=rows, record=record))
    assert played.turn.text == "Hello"
