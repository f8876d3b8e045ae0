"""What a later server may send: types that are not known are kept and logged once, fields cost nothing (F07)."""

from __future__ import annotations

import json
import logging
from uuid import uuid4

import pytest

from letta_adapters.events import Notice
from letta_adapters.wire import Unknown
from tests.core.frames import DONE, RUN, SERVER_TOOL, TEXT, TOOL, ping, sse, stop, text, usage
from tests.core.play import new_turn, play, script, stream


def test_f07_a_type_of_the_future_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    kind = f"citation_{uuid4().hex}"
    news = [sse({"message_type": kind, "id": f"message-{n}", "run_id": RUN, "seq_id": n}) for n in (2, 3)]
    with caplog.at_level(logging.WARNING, logger="letta_adapters"):
        for _ in range(2):
            played = play(new_turn(), script(stream(ping(1), *news, text("Hello", 4), stop(), usage(), DONE)))
            assert played.turn.text == "Hello"
            told = [event.message for event in played.events if isinstance(event, Notice)]
            assert [one.raw["id"] for one in told if isinstance(one, Unknown)] == ["message-2", "message-3"]
    assert [kind in record.getMessage() for record in caplog.records] == [True]


def with_news(frame: bytes) -> bytes:
    """A frame with a field that nobody knows yet."""
    data = frame.removeprefix(b"data: ").strip()
    return frame if data == b"[DONE]" else sse({**json.loads(data), "of_the_future": {"a": [1]}})


@pytest.mark.parametrize("frames", [TEXT, TOOL, SERVER_TOOL], ids=["text", "tool", "server tool"])
def test_f07_a_field_of_the_future_costs_no_part_of_the_answer(frames: tuple[bytes, ...]) -> None:
    expected = play(new_turn(), script(stream(*frames)))
    played = play(new_turn(), script(stream(*map(with_news, frames))))
    assert [type(part) for part in played.turn.parts] == [type(part) for part in expected.turn.parts]
    assert (played.turn.text, played.turn.stop_reason) == (expected.turn.text, expected.turn.stop_reason)
    assert played.turn.pending == expected.turn.pending
