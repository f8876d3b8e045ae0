"""Which request is answered with which recorded answer."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.recorded.exchange import Exchange, normalised, request_text
from tests.recorded.matching import Bindings

CONVERSATION = "conv-5e77a000-0000-4000-8000-000000000140"
OTID, OTHER_OTID = "5e77a000-0000-4000-8000-000000000240", "5e77a000-0000-4000-8000-000000000340"


def exchange(request: str, answer: str = "") -> Exchange:
    return Exchange(request=request, status=200, type="application/json", answer=answer)


def bindings() -> Bindings:
    return Bindings([exchange("POST /v1/conversations/", CONVERSATION), exchange(f"POST /x {OTID} {OTHER_OTID}")])


@pytest.mark.parametrize(
    "other",
    [
        ("PUT", "/v1/x?a=1&b=2", b'{"a": 1}'),
        ("POST", "/v1/y?a=1&b=2", b'{"a": 1}'),
        ("POST", "/v1/x?a=1", b'{"a": 1}'),
        ("POST", "/v1/x?a=1&b=", b'{"a": 1}'),
        ("POST", "/v1/x?a=1&b=2", b'{"a": 1, "b": null}'),
        ("POST", "/v1/x?a=1&b=2", b'{"a": "1"}'),
        ("POST", "/v1/x?a=1&b=2", b"{}"),
        ("POST", "/v1/x?a=1&b=2", None),
    ],
)
def test_method_path_query_and_every_field_of_the_body_tell_requests_apart(other: tuple[str, str, bytes]) -> None:
    recorded = request_text("POST", "http://one/v1/x?b=2&a=1", b'{"a": 1}')
    assert bindings().agree(request_text("POST", "http://two/v1/x?a=1&b=2", b'{"a":1}'), recorded)
    method, path, body = other
    assert not bindings().agree(request_text(method, f"http://two{path}", body), recorded)


def test_an_otid_stands_for_the_recorded_one_from_then_on() -> None:
    told, own = bindings(), str(uuid4())
    assert told.agree(f"POST /x {own}", f"POST /x {OTID}")
    assert told.in_text(f"{OTID} {OTHER_OTID}") == f"{own} {OTHER_OTID}"
    assert told.agree(f"POST /x {own}", f"POST /x {OTID}")
    assert not told.agree(f"POST /x {uuid4()}", f"POST /x {OTID}")
    assert not told.agree(f"POST /x {own}", f"POST /x {OTHER_OTID}")


def test_what_was_sent_twice_has_to_be_sent_twice() -> None:
    own = str(uuid4())
    assert not bindings().agree(f"POST /x {own} {own}", f"POST /x {OTID} {OTHER_OTID}")
    assert not bindings().agree(f"POST /x {own} {uuid4()}", f"POST /x {OTID} {OTID}")


def test_an_id_of_the_servers_has_to_be_the_recorded_one() -> None:
    assert bindings().agree(f"GET /v1/conversations/{CONVERSATION}", f"GET /v1/conversations/{CONVERSATION}")
    assert not bindings().agree(f"GET /v1/conversations/conv-{uuid4()}", f"GET /v1/conversations/{CONVERSATION}")


def test_what_was_read_too_early_is_not_recorded() -> None:
    polled = [exchange("GET /v1/runs/1", answer) for answer in ("running", "running", "completed", "completed")]
    sent = [exchange("POST /x", answer) for answer in ("one", "two")]
    assert normalised([*polled, *sent]) == [*polled[2:], *sent]
