"""Every input that fuzzing found worth keeping, and the bytes of whole turns, over again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.core import frames
from tests.fuzz.target import check, decoded, outcome

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
TURNS = {
    "text": frames.TEXT,
    "reasoning": frames.REASONING,
    "tool": frames.TOOL,
    "server tool": frames.SERVER_TOOL,
    "parallel": frames.PARALLEL,
    "failed": frames.FAILED,
    "refused": frames.REFUSED,
}


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name[:12])
def test_an_input_that_fuzzing_found_keeps_every_promise(path: Path) -> None:
    check(path.read_bytes())


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_a_whole_turn_keeps_every_promise(turn: tuple[bytes, ...], line_end: bytes, mark: bytes) -> None:
    data = b"".join(turn)
    check(mark + data.replace(b"\n", line_end))
    assert outcome([mark + data.replace(b"\n", line_end)]) == outcome([data])


def _calls(work: Callable[[], Any]) -> int:
    """How many functions are called, of Python and of C: time that no busy machine spoils."""
    count = 0

    def counting(*_: object) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(counting)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name[:12])
def test_an_input_that_comes_many_times_takes_as_many_times_the_work(path: Path) -> None:
    data = path.read_bytes() + b"\n\n"
    pieces = [data[at : at + 7] for at in range(0, len(data), 7)]
    once, often = (_calls(lambda times=times: decoded(pieces * times)) for times in (2, 16))
    assert often <= 8 * once + 100


def test_there_is_a_corpus_and_it_is_small() -> None:
    assert len(CORPUS) >= 20
    assert sum(path.stat().st_size for path in CORPUS) < 256 * 1024
