"""Cut at every byte, the outcome of a turn is the one of the turn that nothing cut."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from letta_adapters.exchange import Broken, Request
from letta_adapters.steps import TurnPolicy
from tests.core.frames import FAILED, PARALLEL, REASONING, REFUSED, SERVER_TOOL, TEXT, TOOL, approval_row
from tests.core.play import RESET, Answer, Played, Replayer, Reply, new_turn, play

ROWS = [approval_row(("call-1", "add", '{"a": 1}'))]
STREAMS = {
    "text": TEXT,
    "reasoning": REASONING,
    "tool": TOOL,
    "server tool": SERVER_TOOL,
    "parallel": PARALLEL,
}
FAILURES = {"failed": FAILED, "refused": REFUSED}
ENDS = pytest.mark.parametrize("end", [None, RESET], ids=["clean end", "reset"])


def _played(frames: Sequence[bytes], *cuts: int, end: Broken | None = None) -> Played:
    return play(new_turn(policy=TurnPolicy(max_retries=5)), Replayer(frames, cuts=cuts, end=end, rows=ROWS))


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

    assert play(new_turn(), serve).outcome == _played(frames).outcome
