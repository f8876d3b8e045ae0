"""Signs of life without end: a turn is not kept waiting for ever by a server that says nothing new (F11)."""

from __future__ import annotations

import pytest

from letta_adapters import errors, sse
from tests.core.frames import DONE, ping, stop, text, usage
from tests.hostile.calls import TURNS, Call
from tests.hostile.server import STREAM, once, serve
from tests.hostile.test_sizes import Flood

MIB = 1024 * 1024
FLOODS = {"pings": ping() * 1000, "numbered pings": ping(1) * 1000, "repeats": text("a", 1) * 1000}


@TURNS
@pytest.mark.parametrize("piece", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_nothing_new_is_a_protocol_error_at_a_limit(
    piece: bytes, turn: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", MIB // 4)
    flood = Flood(STREAM + text("a", 1), piece)
    with serve(flood) as server:
        error = turn(server.base_url)
    assert type(error) is errors.ProtocolError
    assert flood.size < 32 * MIB
    assert len(server.heads) == 1


@TURNS
def test_pings_between_the_events_of_a_long_turn_reach_no_limit(turn: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 4096)
    frames = [text("x" * 100, number) + ping() * 20 for number in range(1, 200)]
    with serve(once(STREAM, *frames, stop(), usage(), DONE)) as server:
        assert len(turn(server.base_url).text) == 199 * 100
