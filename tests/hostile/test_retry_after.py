"""What a server says about when to come back (F08), and refusals that no waiting cures (F09)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from letta_adapters import errors
from tests.core.frames import DONE, stop, text, usage
from tests.hostile.calls import ANY, CREATES, Call, slept
from tests.hostile.server import STREAM, Gone, Peer, document, serve

AGENT = {"id": "agent-1", "name": "a"}
PASSING = ["408 Request Timeout", "425 Too Early", "429 Too Many", "500 Error", "502 Bad", "503 Later", "504 Slow"]

HONOURED: dict[str, tuple[dict[str, str], float]] = {
    "seconds": ({"retry_after": "17"}, 17),
    "a fraction": ({"retry_after": "0.25"}, 0.25),
    "the longest": ({"retry_after": "60"}, 60),
    "negative": ({"retry_after": "-3"}, 0),
    "past": ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    "milliseconds": ({"retry_after_ms": "1500"}, 1.5),
    "milliseconds before seconds": ({"retry_after_ms": "250", "retry_after": "9"}, 0.25),
    "seconds where the milliseconds are none": ({"retry_after_ms": "soon", "retry_after": "9"}, 9),
}
UNREADABLE = ["NaN", "inf", "-inf", "1e999", "", "soon", "12 parsecs", "Wed, 99 Oct 2015 07:28:00 GMT", "\xff" * 50]
TOO_LONG = [
    {"retry_after": "60.001"},
    {"retry_after": "61"},
    {"retry_after": "100000"},
    {"retry_after": "9" * 300},
    {"retry_after": "Fri, 31 Dec 9999 23:59:59 GMT"},
    {"retry_after_ms": "60001"},
]


def refusing_first(status: str, headers: dict[str, str], *, times: int = 1) -> Callable[[Peer], None]:
    """Refuse a number of requests, then answer."""
    left = [times]

    def answer(peer: Peer) -> None:
        if left[0]:
            left[0] -= 1
            peer.send(document({"detail": "not now"}, status, **headers))
        elif peer.head.startswith(b"GET"):
            peer.send(document(AGENT))
        else:
            peer.send(STREAM, text("Hello", 1), stop(), usage(), DONE)
        raise Gone

    return answer


@ANY
@pytest.mark.parametrize(("headers", "seconds"), HONOURED.values(), ids=HONOURED)
def test_what_the_server_asks_for_is_waited(headers: dict[str, str], seconds: float, call: Call) -> None:
    with serve(refusing_first("503 Later", headers)) as server:
        answer = call(server.base_url)
    assert not isinstance(answer, errors.LettaError)
    assert slept == [seconds]


@ANY
@pytest.mark.parametrize("status", PASSING)
def test_what_may_pass_is_tried_again_after_the_time_asked_for(status: str, call: Call) -> None:
    with serve(refusing_first(status, {"retry_after": "7"}, times=2)) as server:
        answer = call(server.base_url, max_retries=2)
    assert not isinstance(answer, errors.LettaError)
    assert slept == [7, 7]


@ANY
def test_a_conflict_in_the_servers_database_passes(call: Call) -> None:
    with serve(refusing_first("409 Conflict", {"retry_after": "1"}, times=2)) as server:
        answer = call(server.base_url, max_retries=2)
    assert not isinstance(answer, errors.LettaError)
    assert slept == [1, 1]


@CREATES
def test_what_may_have_been_created_is_not_created_again_after_a_conflict(create: Call) -> None:
    with serve(refusing_first("409 Conflict", {"retry_after": "1"}, times=100)) as server:
        error = create(server.base_url, max_retries=3)
        assert len(server.heads) == 1
    assert type(error) is errors.Conflict


@ANY
@pytest.mark.parametrize("value", UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_cannot_be_read_is_replaced_by_a_moderate_wait(value: str, call: Call) -> None:
    with serve(refusing_first("503 Later", {"retry_after": value})) as server:
        answer = call(server.base_url)
    assert not isinstance(answer, errors.LettaError)
    (seconds,) = slept
    assert 0.1 <= seconds <= 8


@ANY
@pytest.mark.parametrize("headers", TOO_LONG, ids=range(len(TOO_LONG)))
@pytest.mark.parametrize("status", ["429 Too Many", "503 Later"])
def test_too_long_a_wait_fails_at_once(status: str, headers: dict[str, str], call: Call) -> None:
    with serve(refusing_first(status, headers)) as server:
        error = call(server.base_url)
        assert len(server.heads) == 1
    assert isinstance(error, errors.RateLimited | errors.ServerError)
    assert slept == []


@ANY
def test_a_server_that_never_recovers_is_given_up(call: Call) -> None:
    with serve(refusing_first("503 Later", {"retry_after": "0"}, times=100)) as server:
        error = call(server.base_url, max_retries=3)
        assert len(server.heads) == 4
    assert type(error) is errors.ServerError


REFUSED: dict[str, type[errors.LettaError]] = {
    "400 Bad Request": errors.InvalidRequest,
    "401 Unauthorized": errors.AuthenticationError,
    "402 Payment Required": errors.QuotaExceeded,
    "403 Forbidden": errors.PermissionDenied,
    "404 Not Found": errors.NotFound,
    "405 Method Not Allowed": errors.InvalidRequest,
    "410 Gone": errors.NotFound,
    "413 Too Large": errors.InvalidRequest,
    "422 Unprocessable": errors.InvalidRequest,
    "501 Not Implemented": errors.ServerError,
}


@ANY
@pytest.mark.parametrize(("status", "kind"), REFUSED.items(), ids=REFUSED)
def test_a_refusal_is_final_and_typed(status: str, kind: type[errors.LettaError], call: Call) -> None:
    with serve(refusing_first(status, {"retry_after": "1"}, times=100)) as server:
        error = call(server.base_url, max_retries=3)
        assert len(server.heads) == 1
    assert type(error) is kind
    assert "not now" in str(error)
    assert slept == []


@CREATES
@pytest.mark.parametrize("status", ["500 Error", "502 Bad", "503 Later", "504 Slow"])
def test_what_may_have_been_created_is_not_created_again(status: str, create: Call) -> None:
    with serve(refusing_first(status, {"retry_after": "0"}, times=100)) as server:
        error = create(server.base_url, max_retries=3)
        assert len(server.heads) == 1
    assert type(error) is errors.ServerError
