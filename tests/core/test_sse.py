"""Bytes in, events out: however the bytes are cut."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letta_adapters.errors import ProtocolError
from letta_adapters.sse import MAX_EVENT_BYTES, ServerSentEvent, SSEDecoder

LINE_ENDS = ["\n", "\r", "\r\n"]
EACH_LINE_END = pytest.mark.parametrize("line_end", LINE_ENDS, ids=["LF", "CR", "CRLF"])
STREAM = (
    "\ufeffdata: Привет\n\n: comment\nevent: error\ndata: {\ndata: }\nid: 7\nretry: 5\n\ndata:x\n\n\ndata\n\ndata: cut"
)
EVENTS = [("", "Привет".encode()), ("error", b"{\n}"), ("", b"x"), ("", b"")]


def decode(chunks: Iterable[bytes]) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


@EACH_LINE_END
def test_every_line_end_gives_the_same_events(line_end: str) -> None:
    assert decode([STREAM.replace("\n", line_end).encode()]) == EVENTS


@EACH_LINE_END
def test_one_byte_at_a_time_gives_the_same_events(line_end: str) -> None:
    data = STREAM.replace("\n", line_end).encode()
    assert decode(data[i : i + 1] for i in range(len(data))) == EVENTS


@EACH_LINE_END
def test_any_one_cut_gives_the_same_events(line_end: str) -> None:
    data = STREAM.replace("\n", line_end).encode()
    for cut in range(len(data) + 1):
        assert decode([data[:cut], b"", data[cut:]]) == EVENTS, cut


FIELDS = ["data: a", "data:  b", "data", "data:", "event: error", "event", ": ping", "", "id: 1", "é: 🎉", "data: 🎉"]
LINES = st.tuples(st.sampled_from([*FIELDS, "\ufeff"]), st.sampled_from(LINE_ENDS))
FRAGMENT = b"x" * 1460
CUTS = st.lists(st.integers(min_value=0, max_value=200), max_size=20)


@given(st.lists(LINES, max_size=20), CUTS)
def test_any_partition_gives_the_events_of_the_whole(lines: list[tuple[str, str]], cuts: list[int]) -> None:
    data = "".join(line + end for line, end in lines).encode()
    assert decode(pieces(data, cuts)) == decode([data])


@given(st.binary(max_size=200), CUTS)
def test_any_partition_of_any_bytes_gives_the_events_of_the_whole(data: bytes, cuts: list[int]) -> None:
    assert decode(pieces(data, cuts)) == decode([data])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"data:a\n\n", b"a"),
        (b"data:  a\n\n", b" a"),
        (b"data: a: b\n\n", b"a: b"),
        (b"\xef\xbb\xbfdata: a\n\n", b"a"),
    ],
    ids=["two lines", "no space", "two spaces", "colon", "byte order mark"],
)
def test_the_fields_are_read_as_the_standard_says(data: bytes, expected: bytes) -> None:
    assert decode([data]) == [("", expected)]


@pytest.mark.parametrize(
    "data",
    [b"", b"\n\n\n", b": only a comment\n\n", b"event: error\n\n", b"data: no blank line\n", b"data: cut", b"x: y\n\n"],
    ids=["nothing", "blank", "comment", "name only", "unended", "cut line", "other field"],
)
def test_what_is_no_whole_event_gives_none(data: bytes) -> None:
    assert decode([data]) == []


def test_a_byte_order_mark_counts_at_the_start_only() -> None:
    assert decode([b"data: a\n\n\xef\xbb\xbfdata: b\n\n"]) == [("", b"a")]


def test_a_name_belongs_to_one_event() -> None:
    named, unnamed = decode([b"event: error\ndata: a\n\ndata: b\n\n"])
    assert (named[0], unnamed[0]) == ("error", "")


def test_other_line_separators_of_unicode_end_no_line() -> None:
    inside = "a\u2028b\x0b\x0c\x1c\x85c".encode()
    assert decode([b"data: " + inside + b"\n\n"]) == [("", inside)]


def test_a_large_event_below_the_limit_is_taken() -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    assert len(decoder.feed(b"data: " + b"x" * 90 + b"\n\n")[0][1]) == 90


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: " + b"x" * 101 + b"\n\n"],
        [b"data: ", *[b"x"] * 200],
        [b"data: 0123456789\n"] * 20,
        [b"x" * 60] * 2,
        [b": " + b"x" * 48, b"x" * 10 + b"\n\ndata: " + b"y" * 36 + b"\n\n"],
        [b"data\n"] * 1000,
        [b"data:\n"] * 1000,
        [b": still here\n\n"] * 20,
        [b"\r\n"] * 200,
        [b"event: error\n"] * 20,
        [b"id: 7\n\n"] * 20,
    ],
    ids=[
        "one chunk",
        "no line end",
        "many lines",
        "no field",
        "a comment begun before",
        "many empty lines",
        "many empty values",
        "comments",
        "blank lines",
        "names",
        "other fields",
    ],
)
def test_an_event_above_the_limit_is_a_protocol_error(chunks: list[bytes]) -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    with pytest.raises(ProtocolError, match="100 bytes"):
        for chunk in chunks:
            decoder.feed(chunk)


def test_many_small_events_never_reach_the_limit() -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    assert sum(len(decoder.feed(b": hello\ndata: 0123456789\n\n")) for _ in range(100)) == 100


def test_comments_between_small_events_never_reach_the_limit() -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    chunks = [b": " + b"x" * 50 + b"\n\n", b"data: a\n\n"] * 10
    assert sum(len(decoder.feed(chunk)) for chunk in chunks) == 10


@given(st.binary(max_size=60).map(lambda data: data.replace(b"x", b"\n").replace(b"y", b"data: ")), CUTS)
def test_the_limit_is_met_wherever_the_bytes_are_cut(data: bytes, cuts: list[int]) -> None:
    def met(chunks: list[bytes]) -> bool:
        decoder = SSEDecoder(max_event_bytes=16)
        try:
            return sum(len(decoder.feed(chunk)) for chunk in chunks) < 0
        except ProtocolError:
            return True

    assert met(pieces(data, cuts)) == met([data])


def test_the_limit_is_far_above_any_message() -> None:
    assert MAX_EVENT_BYTES >= 8 * 1024 * 1024


def _seconds(fragments: int) -> float:
    """How long the fragments of one line take; what ends it is not timed, for a large copy tells of the memory only."""
    decoder = SSEDecoder()
    decoder.feed(b"data: ")
    start = time.perf_counter()
    for _ in range(fragments):
        decoder.feed(FRAGMENT)
    seconds = time.perf_counter() - start
    (event,) = decoder.feed(b"\n\n")
    assert len(event[1]) == fragments * len(FRAGMENT)
    return seconds


def test_a_long_line_in_fragments_takes_linear_time() -> None:
    # A busy machine spoils single measurements; quadratic time has a ratio of 16 in every one.
    assert any(_seconds(4000) / _seconds(1000) <= 8 for _ in range(8))
