"""A turn that goes to another address than the conversation's: nothing dedupes there, so it is sent once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from letta_adapters.errors import TurnInterrupted
from letta_adapters.turn import Turn
from letta_adapters.turn_requests import Route
from letta_adapters.wire import TurnRequest
from tests.core.frames import DONE, RUN, ping, stop, text, text_row, usage, user_row
from tests.core.play import RESET, Recorder, play, refusal, request, stream

PATH = "/v1/agents/agent-1/messages/stream"
WHOLE = (ping(), text("Hel"), text("lo"), stop(), usage(), DONE)


def turn(sent: TurnRequest | None = None) -> Turn:
    return Turn(sent or request(), conversation_id="conv-1", route=Route(send=PATH))


def test_it_is_sent_there_as_it_is() -> None:
    played = play(turn(), Recorder(posts=[stream(*WHOLE)]))
    assert (played.turn.text, played.paths) == ("Hello", [f"POST {PATH}"])
    assert json.loads(played.requests[0].body or b"{}")["background"] is True


@pytest.mark.parametrize("frames", range(4))
def test_a_connection_that_is_lost_is_followed_by_reading_and_by_no_second_post(frames: int) -> None:
    server = Recorder(posts=[stream(*WHOLE[:frames], end=RESET)], rows=[user_row(), text_row("Hello")])
    played = play(turn(), server)
    assert (played.turn.text, played.turn.run_id) == ("Hello", RUN)
    assert [path for path in played.paths if path.startswith("POST")] == [f"POST {PATH}"]


def test_what_cannot_be_found_is_an_interruption() -> None:
    played = play(turn(), Recorder(posts=[stream(end=RESET)]))
    assert isinstance(played.failure, TurnInterrupted)


def test_a_refusal_names_the_address() -> None:
    played = play(turn(), Recorder(posts=[refusal(422, "no")]))
    assert f"POST {PATH}" in str(played.failure)


@pytest.mark.parametrize(
    ("route", "path", "body"),
    [
        (Route(), "/v1/conversations/conv-1/stream", {}),
        (Route(attach="/v1/runs/run-1/stream"), "/v1/runs/run-1/stream", {}),
        (Route(options={"batch_size": 5}), "/v1/conversations/conv-1/stream", {"batch_size": 5}),
    ],
)
def test_a_run_is_attached_to_where_and_as_it_was_said(route: Route, path: str, body: dict[str, Any]) -> None:
    attached = Turn(None, conversation_id="conv-1", run_id="run-1", route=route)
    played = play(attached, Recorder(posts=[stream(*WHOLE)]))
    assert played.paths == [f"POST {path}"]
    assert json.loads(played.requests[0].body or b"{}") == {"starting_after": 0, "run_id": "run-1", **body}
