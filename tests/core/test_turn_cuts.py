"""Cut at every byte, the outcome of a turn is the one of the turn that nothing cut."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from letta_adapters.events import TextDelta
from letta_adapters.exchange import Broken, Request
from letta_adapters.steps import TurnPolicy
from letta_adapters.turn import Turn
from letta_adapters.wire import ApprovalCreate, ToolReturn, TurnRequest
from tests.core.frames import (
    DONE,
    FAILED,
    PARALLEL,
    REASONING,
    REFUSED,
    SERVER_TOOL,
    TEXT,
    TOOL,
    approval_row,
    ping,
    result,
    stop,
    text,
    text_row,
    usage,
    user_row,
)
from tests.core.play import RESET, Answer, Played, Recorder, Replayer, Reply, new_turn, play, stream

CONTINUATION = (ping(1), result("call-1", "3", 2), text("It ", 3), text("is 3.", 4), stop(), usage(), DONE)
ANSWER = ToolReturn(tool_call_id="call-1", tool_return="3", status="success")
ANSWERED = TurnRequest(messages=[ApprovalCreate(approvals=[ANSWER], otid="otid-1")])
ROWS = [approval_row(("call-1", "add", '{"a": 1}'))]
STREAMS = {
    "text": TEXT,
    "reasoning": REASONING,
    "tool": TOOL,
    "server tool": SERVER_TOOL,
    "parallel": PARALLEL,
    "continuation": CONTINUATION,
}
FAILURES = {"failed": FAILED, "refused": REFUSED}
ENDS = pytest.mark.parametrize("end", [None, RESET], ids=["clean end", "reset"])


def _turn(frames: Sequence[bytes]) -> Turn:
    return new_turn(ANSWERED if frames is CONTINUATION else None, policy=TurnPolicy(max_retries=5))


def _played(frames: Sequence[bytes], *cuts: int, end: Broken | None = None) -> Played:
    return play(_turn(frames), Replayer(frames, cuts=cuts, end=end, rows=ROWS))


def _end(frames: Sequence[bytes]) -> int:
    """Bytes up to the end of the first stop reason."""
    last = next(index for index, frame in enumerate(frames) if b'"stop_reason"' in frame)
    return sum(map(len, frames[: last + 1]))


@ENDS
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_cut_at_any_byte_before_its_stop_reason_is_whole(name: str, end: Broken | None) -> None:
    frames = STREAMS[name]
    whole = _played(frames).outcome
    for cut in range(_end(frames)):
        assert _played(frames, cut, end=end).outcome == whole, cut


@ENDS
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_cut_twice_is_whole(name: str, end: Broken | None) -> None:
    frames = STREAMS[name]
    whole = _played(frames).outcome
    for cut in range(_end(frames)):
        rest = _end(frames) - cut  # at least this much follows after the first cut
        second = cut * 7919 % rest
        assert _played(frames, cut, second, end=end).outcome == whole, (cut, second)


@ENDS
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_cut_between_stop_reason_and_usage_still_tells_the_usage(name: str, end: Broken | None) -> None:
    frames = STREAMS[name]
    whole = _played(frames).outcome
    total = sum(map(len, frames))
    for cut in range(_end(frames), total):
        assert _played(frames, cut, end=end).outcome == whole, cut


@ENDS
@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_cut_at_any_byte_is_the_same_failure(name: str, end: Broken | None) -> None:
    frames = FAILURES[name]
    whole = _played(frames).outcome
    for cut in range(sum(map(len, frames))):
        assert _played(frames, cut, end=end).outcome == whole, cut


@pytest.mark.parametrize("name", [*STREAMS, *FAILURES])
@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_the_size_of_the_chunks_does_not_matter(name: str, size: int) -> None:
    frames = {**STREAMS, **FAILURES}[name]
    joined = b"".join(frames)
    replayer = Replayer(frames, rows=ROWS)

    def serve(sent: Request) -> Reply:
        reply = replayer(sent)
        assert isinstance(reply, Answer)
        if sent.method == "GET":
            return reply
        return Answer(chunks=[joined[i : i + size] for i in range(0, len(joined), size)])

    assert play(_turn(frames), serve).outcome == _played(frames).outcome


@ENDS
def test_a_foreground_stream_cut_at_any_byte_is_read_back_whole_and_told_once(end: Broken | None) -> None:
    whole = b"".join((ping(), text("Grüße "), text("🎉"), stop(), usage(), DONE))
    for cut in range(len(whole)):
        rows = [user_row(), text_row("Grüße 🎉")]
        played = play(new_turn(background=False), Recorder(posts=[stream(whole[:cut], end=end)], rows=rows))
        assert played.turn.text == "Grüße 🎉", cut
        assert "".join(event.text for event in played.events if isinstance(event, TextDelta)) == "Grüße 🎉", cut
        assert played.turn.usage is not None, cut
