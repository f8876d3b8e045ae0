"""F04: however the bytes of a turn are cut, it is the same turn: to the decoder, the run's stream and the machine."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from tests.core.frames import DONE, error, pending, ping, reasoning, result, server_call, sse, stop, text, usage
from tests.core.play import new_turn, play, script, stream
from tests.fuzz.target import cut, decoded, outcome

WORDS = st.text(max_size=30)
LINE_ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
MARKS = st.sampled_from([b"", b"\xef\xbb\xbf"])
NOISE = st.sampled_from([b"", b": comment\n\n", b"\n", b"retry: 5\n", b"id: 9\n\n", b": \xff\n"])
CUTS = st.lists(st.integers(min_value=0, max_value=4000), max_size=30)
MADE: list[Callable[[str, int], bytes]] = [
    text,
    lambda words, seq: reasoning(words, seq, signature=words or None),
    lambda words, seq: pending("call-1", "add", words, seq),
    lambda words, seq: server_call("call-2", "roll", words, seq),
    lambda words, seq: result("call-2", words, seq),
    lambda words, seq: sse({"message_type": words, "seq_id": seq, "light": [words]}),
    lambda _, seq: ping(seq),
]
END_LISTS = st.sampled_from([(stop(), usage(), DONE), (stop(), usage()), (stop("requires_approval"), usage(), DONE)])
FAILURES = st.sampled_from(
    [(stop("error"), error("broke")), (stop("llm_api_error"), stop("error"), error(None)), (error("x"),)]
)


@st.composite
def turns(draw: st.DrawFn, ends: st.SearchStrategy[tuple[bytes, ...]]) -> bytes:
    """The bytes of a whole turn, with what else a stream may hold between its events."""
    chosen = draw(st.lists(st.tuples(st.sampled_from(MADE), WORDS), max_size=12))
    made = [make(words, number) for number, (make, words) in enumerate(chosen, start=1)]
    noisy = b"".join(draw(NOISE) + frame for frame in [*made, *draw(ends)])
    return draw(MARKS) + noisy.replace(b"\n", draw(LINE_ENDS))


@given(turns(END_LISTS | FAILURES), CUTS)
def test_a_run_is_the_same_however_its_bytes_are_cut(data: bytes, cuts: list[int]) -> None:
    whole = outcome([data])
    assert decoded(cut(data, cuts)) == decoded([data])
    assert outcome(cut(data, cuts)) == whole
    assert outcome(cut(data, range(len(data)))) == whole


@given(turns(END_LISTS | FAILURES), CUTS)
def test_a_turn_is_the_same_however_its_bytes_are_cut(data: bytes, cuts: list[int]) -> None:
    whole = play(new_turn(), script(stream(data)))
    assert play(new_turn(), script(stream(*cut(data, cuts)))).outcome == whole.outcome
    assert play(new_turn(), script(stream(*cut(data, range(len(data)))))).outcome == whole.outcome


@given(turns(END_LISTS))
def test_a_turn_that_ended_is_finished_whatever_came_between(data: bytes) -> None:
    assert play(new_turn(), script(stream(data))).turn.stop_reason in ("end_turn", "requires_approval")


@given(st.binary(max_size=300), CUTS)
def test_bytes_of_any_kind_are_the_same_run_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    assert outcome(cut(data, cuts)) == outcome([data])
