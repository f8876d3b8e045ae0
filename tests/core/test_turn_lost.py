"""A turn that loses its connection: what is sent again, what never is, and that nothing is told twice."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from letta_adapters.errors import (
    AuthenticationError,
    ConnectFailed,
    InvalidRequest,
    NotFound,
    ProtocolError,
    RateLimited,
    ServerError,
    TurnInterrupted,
)
from letta_adapters.events import TextDelta
from letta_adapters.exchange import Broken
from letta_adapters.steps import TurnPolicy
from letta_adapters.turn import Turn
from tests.core.frames import DONE, RUN, TEXT, ping, stop, text, usage
from tests.core.play import (
    BUSY,
    JSON,
    REFUSED_CONNECTION,
    RESET,
    SILENCE,
    Answer,
    Replayer,
    Reply,
    forever,
    new_turn,
    play,
    refusal,
    script,
    stream,
)

POST = "POST /v1/conversations/conv-1/messages"
RESUME = "POST /v1/conversations/conv-1/stream"
WHOLE = play(new_turn(), Replayer(TEXT))
FOREGROUND = (ping(), text("Hel"), text("lo"), stop(), usage(), DONE)
HTML = Answer(headers={"content-type": "text/html"}, chunks=(b"<html>" + b"x" * 9000,))

LOST = pytest.mark.parametrize("end", [None, RESET, SILENCE], ids=["clean end", "reset", "silence"])


@pytest.mark.parametrize("lost", [RESET, SILENCE], ids=["reset", "silence"])
def test_a_reset_before_the_headers_sends_the_identical_bytes_again(lost: Broken) -> None:
    played = play(new_turn(), script(lost, lost, stream(*TEXT)))
    assert played.paths == [POST] * 3
    assert len({sent.body for sent in played.requests}) == 1
    assert played.outcome == WHOLE.outcome


@LOST
def test_a_cut_stream_is_resumed_by_run_and_number(end: Broken | None) -> None:
    played = play(new_turn(), script(stream(*TEXT[:3], end=end), stream(*TEXT[3:])))
    assert played.paths == [POST, RESUME]
    assert played.bodies[1] == {"starting_after": 3, "run_id": RUN}
    assert played.outcome == WHOLE.outcome


@LOST
def test_a_stream_cut_before_its_first_event_is_posted_again(end: Broken | None) -> None:
    played = play(new_turn(), script(stream(TEXT[0][:20], end=end), stream(*TEXT)))
    assert played.paths == [POST, POST]
    assert played.requests[0] == played.requests[1]
    assert played.outcome == WHOLE.outcome


def test_resuming_in_the_default_conversation_names_the_agent() -> None:
    turn = new_turn(conversation_id="default", agent_id="agent-1")
    played = play(turn, script(stream(*TEXT[:3]), stream(*TEXT[3:])))
    assert played.bodies[1] == {"starting_after": 3, "run_id": RUN, "agent_id": "agent-1"}


def test_events_that_come_again_are_told_once() -> None:
    played = play(new_turn(), script(stream(*TEXT[:3], end=RESET), stream(*TEXT)))
    assert played.outcome == WHOLE.outcome


def test_a_ping_that_repeats_the_last_number_hides_no_event() -> None:
    # Measured: a ping after 20 s of silence carries the number of the event before it.
    frames = (*TEXT[:2], ping(2), ping(2), *TEXT[2:])
    assert play(new_turn(), script(stream(*frames))).outcome == WHOLE.outcome


def test_events_out_of_order_are_a_protocol_error_and_no_text_is_lost_silently() -> None:
    frames = (ping(1), text("a", 2), text("c", 4), text("b", 3), stop(), usage(), DONE)
    assert isinstance(play(new_turn(), script(stream(*frames))).failure, ProtocolError)


def test_a_background_stream_without_numbers_is_not_told_twice_after_a_cut() -> None:
    played = play(new_turn(), forever(stream(*FOREGROUND[:2], end=RESET), last=stream(*FOREGROUND)))
    assert [event.text for event in played.events if isinstance(event, TextDelta)].count("Hel") == 1


@pytest.mark.parametrize("status", [404, 410])
def test_a_run_that_is_gone_interrupts_the_turn_and_nothing_is_posted_again(status: int) -> None:
    played = play(new_turn(), script(stream(*TEXT[:3], end=RESET), *[refusal(status, "Run not found")] * 2))
    failure = played.failure
    assert isinstance(failure, TurnInterrupted)
    assert (failure.run_id, failure.partial, failure.accepted) == (RUN, "Grüße 🎉 {}", True)
    assert failure.conversation_id == "conv-1"
    assert played.paths == [POST, RESUME, "GET /v1/runs/run-1"]


def test_a_run_that_is_known_is_never_posted_again_when_resuming_is_refused_as_busy() -> None:
    played = play(new_turn(), forever(stream(*TEXT[:3], end=RESET), refusal(409, BUSY), last=stream(*TEXT[3:])))
    assert played.paths[0] == POST
    assert set(played.paths[1:]) == {RESUME}


def test_html_instead_of_the_rest_of_a_stream_interrupts_the_turn() -> None:
    failure = play(new_turn(), script(stream(*TEXT[:3], end=RESET), HTML, refusal(404))).failure
    assert isinstance(failure, TurnInterrupted)
    assert len(str(failure)) < 600


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 408])
def test_a_resume_that_fails_for_now_is_tried_again(status: int) -> None:
    played = play(new_turn(), script(stream(*TEXT[:3], end=RESET), refusal(status), stream(*TEXT[3:])))
    assert played.paths == [POST, RESUME, RESUME]
    assert played.outcome == WHOLE.outcome


def test_resuming_waits_as_long_as_the_server_says() -> None:
    later = refusal(503, retry_after="17")
    played = play(new_turn(), script(stream(*TEXT[:3], end=RESET), later, stream(*TEXT[3:])))
    assert played.waits[-1] == 17


def test_resuming_does_not_wait_longer_than_a_minute() -> None:
    later = refusal(503, retry_after="3600")
    played = play(new_turn(), forever(stream(*TEXT[:3], end=RESET), later, last=stream(*TEXT[3:])))
    assert all(seconds <= 60 for seconds in played.waits)


@pytest.mark.parametrize("background", [True, False])
def test_a_connection_that_was_never_made_is_tried_again_in_either_mode(background: bool) -> None:
    frames = TEXT if background else FOREGROUND
    played = play(new_turn(background=background), script(REFUSED_CONNECTION, REFUSED_CONNECTION, stream(*frames)))
    assert played.paths == [POST] * 3
    assert played.turn.text


def test_a_server_that_cannot_be_reached_is_given_up_after_max_retries() -> None:
    played = play(new_turn(policy=TurnPolicy(max_retries=3)), forever(last=REFUSED_CONNECTION))
    assert isinstance(played.failure, ConnectFailed)
    assert (len(played.requests), len(played.waits)) == (4, 3)
    assert played.failure.accepted is False
    assert "http://letta.test" in str(played.failure)


UNSURE: dict[str, Reply] = {
    "refused": REFUSED_CONNECTION,
    "429": refusal(429),
    "401": refusal(401),
    "422": refusal(422),
    "404": refusal(404),
    "busy": refusal(409, BUSY),
    "html": HTML,
}


@pytest.mark.parametrize("name", UNSURE)
def test_what_follows_a_request_of_unknown_fate_does_not_say_that_nothing_was_accepted(name: str) -> None:
    # Telling `accepted=False` makes an outer retry send the turn a second time under other otids.
    played = play(new_turn(policy=TurnPolicy(max_retries=2, busy_timeout=1)), forever(RESET, last=UNSURE[name]))
    assert played.failure.accepted is not False


def test_retries_are_bounded_while_nothing_new_arrives() -> None:
    played = play(new_turn(policy=TurnPolicy(max_retries=4)), forever(stream(*TEXT[:3]), last=stream(ping(1))))
    assert isinstance(played.failure, TurnInterrupted)
    assert played.paths == [POST, *[RESUME] * 4, *["GET /v1/runs/run-1"] * 5]


def test_every_new_event_starts_the_retries_anew() -> None:
    long = (ping(1), *(text(f"{n} ", n) for n in range(2, 40)), stop(), usage(), DONE)
    each = [stream(frame, end=RESET) for frame in long[:39]]
    played = play(new_turn(policy=TurnPolicy(max_retries=1)), script(*each, stream(*long[39:])))
    assert played.turn.text == play(new_turn(), script(stream(*long))).turn.text
    assert len(played.requests) == 40


def test_the_waits_between_retries_grow_and_are_jittered() -> None:
    def waits() -> list[float]:
        return play(new_turn(policy=TurnPolicy(max_retries=8)), forever(last=REFUSED_CONNECTION)).waits

    one, other = waits(), waits()
    assert one != other
    assert one[0] <= 0.25
    assert all(seconds <= 8 for seconds in one)
    assert one[-1] >= 4


def test_a_new_connection_begins_with_a_clean_decoder() -> None:
    half = b"event: error\ndata: {"
    assert play(new_turn(), script(stream(*TEXT[:3], half, end=RESET), stream(*TEXT[3:]))).outcome == WHOLE.outcome


def _date(seconds: int) -> str:
    return format_datetime(datetime.now(timezone.utc) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("0", 0, 0),
        ("7", 7, 7),
        ("60", 60, 60),
        ("1.5", 1.5, 1.5),
        ("-3", 0, 0),
        ("NaN", 0, 8),
        ("soon", 0, 8),
        (-1000, 0, 0),
        (50, 0, 50),
    ],
    ids=["0", "7", "60", "1.5", "negative", "nan", "words", "past", "date"],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_for(status: int, value: str | int, low: float, high: float) -> None:
    header = value if isinstance(value, str) else _date(value)
    played = play(new_turn(), script(refusal(status, retry_after=header), stream(*TEXT)))
    assert len(played.waits) == 1
    assert low <= played.waits[0] <= high


@pytest.mark.parametrize("value", ["61", "100000", 7200], ids=["61", "1e5", "date"])
def test_too_long_a_retry_after_fails_at_once(value: str | int) -> None:
    header = value if isinstance(value, str) else _date(value)
    played = play(new_turn(), script(refusal(429, retry_after=header)))
    assert isinstance(played.failure, RateLimited)
    assert played.waits == []


def test_429_is_tried_again_in_the_foreground_too() -> None:
    played = play(new_turn(background=False), script(refusal(429, retry_after="1"), stream(*FOREGROUND)))
    assert played.turn.text == "Hello"


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504])
def test_a_status_that_may_pass_is_tried_again_and_then_told(status: int) -> None:
    played = play(new_turn(policy=TurnPolicy(max_retries=2)), forever(last=refusal(status, "why")))
    assert len(played.requests) == 3
    assert played.failure.detail == "why"
    assert isinstance(played.failure, ServerError if status >= 500 else InvalidRequest)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 410, 422])
def test_a_plain_refusal_is_not_tried_again(status: int) -> None:
    played = play(new_turn(), script(refusal(status, "why")))
    assert played.failure.detail == "why"
    assert played.failure.accepted is False


def test_a_database_conflict_is_tried_again_when_the_server_says_when() -> None:
    conflict = refusal(409, "CONFLICT: the row was updated by another transaction", retry_after="1")
    assert play(new_turn(), script(conflict, stream(*TEXT))).waits == [1]


@pytest.mark.parametrize(
    ("status", "kind"), [(401, AuthenticationError), (404, NotFound), (400, InvalidRequest)], ids=["401", "404", "400"]
)
def test_attaching_to_what_cannot_be_attached_to_is_no_interruption(status: int, kind: type[Exception]) -> None:
    # Nothing was lost: the first answer said no. "The connection was lost" would send the reader the wrong way.
    failure = play(Turn(None, conversation_id="conv-1", run_id=RUN), script(refusal(status, "no"))).failure
    assert isinstance(failure, kind)


def test_a_server_that_cannot_be_reached_for_attaching_is_named() -> None:
    turn = Turn(None, conversation_id="conv-1", run_id=RUN, policy=TurnPolicy(max_retries=1))
    assert "http://letta.test" in str(play(turn, forever(last=REFUSED_CONNECTION)).failure)


def test_an_error_answer_whose_body_is_cut_is_still_that_answer_in_the_foreground() -> None:
    cut = Answer(status=401, headers=JSON, chunks=(b'{"det',), end=RESET)
    assert isinstance(play(new_turn(background=False), script(cut)).failure, AuthenticationError)


def test_a_busy_answer_whose_body_is_cut_is_asked_again() -> None:
    # A cut 409 cannot be told from a busy one; with background streams asking again does no harm.
    cut = Answer(status=409, headers=JSON, chunks=(b'{"detail": "CONFLICT: Cannot',), end=RESET)
    assert play(new_turn(), script(cut, stream(*TEXT))).outcome == WHOLE.outcome
