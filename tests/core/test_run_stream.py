"""What the stream of a run tells, whatever connections it takes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from letta_adapters.assembly import Assembly
from letta_adapters.events import TurnStarted
from letta_adapters.run_stream import RunStream
from letta_adapters.turn import Turn
from tests.core.frames import DONE, RUN, TEXT, error, ping, sse, stop, text, usage
from tests.core.play import RESET, new_turn

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=timezone.utc)


def _stream(*frames: bytes) -> RunStream:
    run = RunStream(Assembly(), conversation_id="conv-1")
    run.feed(b"".join(frames))
    return run


def test_the_run_is_named_once() -> None:
    run = _stream(ping(1), ping(1), text("a", 2))
    assert [event for event in run.events if isinstance(event, TurnStarted)] == run.events[:1]
    assert run.run_id == RUN


def test_a_run_is_named_by_an_error_too() -> None:
    assert _stream(error("x")).run_id == RUN


@pytest.mark.parametrize(
    ("frames", "over", "complete"),
    [
        ((text("a", 2),), False, False),
        ((usage(),), False, False),
        ((DONE,), False, False),
        ((stop(),), True, False),
        ((stop(), usage()), True, True),
        ((stop(), DONE), True, True),
        ((error("x"),), True, True),
        ((stop("error"), error("x"), DONE), True, True),
    ],
)
def test_only_a_stop_reason_or_an_error_ends_a_turn(frames: tuple[bytes, ...], over: bool, complete: bool) -> None:
    run = _stream(*frames)
    assert (run.over, run.complete) == (over, complete)


def test_repeated_numbers_are_dropped_and_unnumbered_events_are_not() -> None:
    run = _stream(text("a", 2), text("a", 2), text("b", None), text("b", None))
    assert [getattr(event, "text", None) for event in run.events[2:]] == ["a", "b", "b"]
    assert run.last_seq == 2


def _answered(turn: Turn, date: datetime | None, ping_date: str | None) -> Turn:
    turn.start()
    headers = {"content-type": "text/event-stream"}
    turn.responded(200, {**headers, "date": format_datetime(date, usegmt=True)} if date else headers)
    first = {"message_type": "ping", "id": "ping-1", "run_id": RUN, "seq_id": 1}
    turn.received(sse({**first, "date": ping_date} if ping_date else first))
    return turn


@pytest.mark.parametrize(
    ("seconds", "replayed"), [(-2, False), (0, False), (1, False), (60, True)], ids=["before", "same", "just", "old"]
)
def test_a_run_that_began_before_its_answer_is_a_replay(seconds: int, replayed: bool) -> None:
    began = (NOON - timedelta(seconds=seconds)).isoformat()
    assert _answered(new_turn(), NOON, began).replayed is replayed


@pytest.mark.parametrize("date", [NOON, None], ids=["date", "no date"])
@pytest.mark.parametrize("ping_date", ["2026-11-21T12:00:00", None], ids=["no zone", "nothing"])
def test_missing_clocks_do_not_break_a_turn(date: datetime | None, ping_date: str | None) -> None:
    assert _answered(new_turn(), date, ping_date).replayed is False


def test_a_run_that_this_very_turn_began_is_no_replay() -> None:
    turn = new_turn()
    turn.start()
    turn.responded(200, {"content-type": "text/event-stream", "date": format_datetime(NOON, usegmt=True)})
    turn.received(TEXT[0][:10])
    turn.closed()
    turn.waited()
    later = NOON + timedelta(seconds=30)
    turn.responded(200, {"content-type": "text/event-stream", "date": format_datetime(later, usegmt=True)})
    turn.received(sse({"message_type": "ping", "run_id": RUN, "seq_id": 1, "date": NOON.isoformat()}))
    assert not turn.replayed


def test_a_run_that_this_turn_began_before_its_answer_was_lost_is_no_replay() -> None:
    # The first request was taken and its answer lost; the second finds the run of the first, a while later.
    turn = new_turn()
    turn.start()
    turn.broke(RESET)
    turn.waited()
    later = NOON + timedelta(seconds=30)
    turn.responded(200, {"content-type": "text/event-stream", "date": format_datetime(later, usegmt=True)})
    turn.received(sse({"message_type": "ping", "run_id": RUN, "seq_id": 1, "date": NOON.isoformat()}))
    assert not turn.replayed
