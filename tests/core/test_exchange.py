"""How an error answer is read: every envelope of the server, and what is no envelope."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letta_adapters import errors
from letta_adapters.exchange import Broken, BrokenKind, call_ids_expected, error_from_response, excerpt

WHAT = "POST /v1/somewhere"
BUSY = "CONFLICT: Cannot send a new message: Another request (run_id=run-1) is currently being processed for it."
PENDING = "CONFLICT: Cannot send a new message: The agent is waiting for approval on a tool call."


def _error(status: int, body: Any) -> errors.LettaError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_from_response(status, raw, what=WHAT)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidRequest),
        (401, errors.AuthenticationError),
        (402, errors.QuotaExceeded),
        (403, errors.PermissionDenied),
        (404, errors.NotFound),
        (408, errors.InvalidRequest),
        (409, errors.Conflict),
        (410, errors.NotFound),
        (413, errors.InvalidRequest),
        (418, errors.InvalidRequest),
        (422, errors.InvalidRequest),
        (429, errors.RateLimited),
        (500, errors.ServerError),
        (503, errors.ServerError),
        (504, errors.ServerError),
        (599, errors.ServerError),
    ],
)
def test_every_status_has_its_error(status: int, kind: type[errors.StatusError]) -> None:
    error = _error(status, {"detail": "the cause"})
    assert type(error) is kind
    assert isinstance(error, errors.StatusError)
    assert (error.status, error.detail) == (status, "the cause")
    assert "the cause" in str(error)
    assert WHAT in str(error)


def test_only_a_server_error_leaves_open_whether_something_was_accepted() -> None:
    assert _error(500, {}).accepted is None
    assert _error(422, {}).accepted is False


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"detail": "one text"}, "one text"),
        ({"detail": {"code": "X", "message": "inside"}}, "inside"),
        ({"error": {"type": "llm_rate_limit", "message": "generic", "detail": "cause"}}, "cause"),
        ({"error": {"type": "llm_error", "message": "generic", "detail": None}}, "generic"),
        ({"error": "plain"}, "plain"),
        ({"message": "bare"}, "bare"),
        ({"trace_id": "t", "detail": "[{'type': 'missing'}]"}, "[{'type': 'missing'}]"),
        ({"detail": None, "error": {"message": "cause"}}, "cause"),
    ],
    ids=["text", "object", "error", "error without detail", "error text", "bare", "422", "null detail"],
)
def test_the_cause_is_found_in_every_envelope(body: Any, detail: str) -> None:
    assert _error(500, body).detail == detail


@pytest.mark.parametrize("body", [{"detail": None}, {"detail": ""}], ids=["null", "empty"])
def test_an_empty_detail_is_no_detail(body: Any) -> None:
    assert not _error(500, body).detail


def test_a_busy_conflict_names_the_run_in_flight() -> None:
    error = _error(409, {"detail": BUSY, "run_id": "run-1"})
    assert type(error) is errors.ConversationBusy
    assert (error.run_id, error.status) == ("run-1", 409)


def test_a_pending_conflict_is_told_apart_from_a_busy_one() -> None:
    assert type(_error(409, {"detail": PENDING})) is errors.PendingApprovalError


def test_a_pending_conflict_is_known_by_its_code_too() -> None:
    # The agents endpoint answers an object with a code; its words may change, its code is for machines.
    body = {"detail": {"code": "PENDING_APPROVAL", "message": "Cannot send", "pending_request_id": "message-1"}}
    assert type(_error(409, body)) is errors.PendingApprovalError


def test_wrong_call_ids_name_the_right_ones() -> None:
    detail = "Invalid tool call IDs. Expected '['call-1', 'call-2']', but received '['call-9']'."
    assert call_ids_expected(detail) == ["call-1", "call-2"]
    assert call_ids_expected("nothing of the kind") == []


def test_wrong_call_ids_are_known_with_status_400_as_well() -> None:
    # JSON mode answers 400 with the same words.
    detail = "Invalid tool call IDs. Expected '['call-1']', but received '['call-9']'."
    error = _error(400, {"detail": detail})
    assert isinstance(error, errors.PendingApprovalError)
    assert error.pending == ({"tool_call_id": "call-1"},)


@pytest.mark.parametrize(
    "body", [b"<html><body>Bad gateway</body></html>", b"", b"\xff\xfe", b"[1, 2]", b"3", b"null", b'{"detail"']
)
@pytest.mark.parametrize("status", [200, 302, 400, 409, 502])
def test_a_body_that_is_no_envelope_still_gives_an_error(status: int, body: bytes) -> None:
    assert isinstance(_error(status, body), errors.LettaError)


@pytest.mark.parametrize("told", ["1" + "0" * 400, "1e300", "NaN", "true", '"soon"'])
def test_a_time_that_is_none_is_left_out(told: str) -> None:
    error = _error(429, f'{{"error": "x", "reasons": ["exceeded-quota"], "timeToQuotaResetMs": {told}}}'.encode())
    assert isinstance(error, errors.QuotaExceeded)
    assert error.resets_in is None


def test_a_body_that_is_nested_without_end_still_gives_an_error() -> None:
    assert isinstance(_error(502, b"[" * 60_000), errors.ServerError)


def test_a_success_that_is_no_answer_is_a_protocol_error() -> None:
    assert isinstance(_error(200, b"<html>"), errors.ProtocolError)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://other.test/v1/agents?key=s3cret#s3cret", "https://other.test"),
        ("http://user:s3cret@other.test:8283/s3cret", "http://other.test:8283"),
        ("//other.test/s3cret", "other.test"),
        ("http://[::1]:8283/s3cret", "http://[::1]:8283"),
        ("HTTPS://Other.Test", "https://other.test"),
    ],
)
def test_a_redirect_names_the_host_and_nothing_that_may_be_secret(location: str, target: str) -> None:
    error = error_from_response(307, b"", what=WHAT, location=location)
    assert type(error) is errors.ProtocolError
    assert error.accepted is False
    assert f"It redirects to {target}," in str(error)
    assert str(error).endswith("(or LETTA_BASE_URL); if you did, another program answers at it.")
    assert "s3cret" not in str(error)


@pytest.mark.parametrize(
    "location",
    [
        "",
        "/elsewhere",
        "http://",
        "http://[::1",
        "http://host:port",
        "ftp://host",
        "http://a b",
        "http://" + "a" * 9999,
    ],
)
@pytest.mark.parametrize("status", [300, 301, 304, 308])
def test_a_redirect_to_nowhere_is_still_called_one(location: str, status: int) -> None:
    error = error_from_response(status, b"<html>", what=WHAT, location=location)
    assert type(error) is errors.ProtocolError
    assert "redirects are not followed. Check that `base_url`" in str(error)
    assert len(str(error)) < 500


@given(st.text(max_size=300))
def test_any_location_gives_a_short_error(location: str) -> None:
    assert len(str(error_from_response(302, b"", what=WHAT, location=location))) < 700


@pytest.mark.parametrize("body", [rb'{"detail": "\ud83d"}', rb'{"detail": {"x": "\udc00"}}'], ids=["text", "object"])
def test_a_detail_with_half_a_surrogate_pair_can_be_printed(body: bytes) -> None:
    assert str(_error(500, body)).encode()


@pytest.mark.parametrize("run_id", ["run-1/../x", "run-1\n", "x" * 1000, "", 7, None, ["run-1"]])
def test_a_run_id_that_is_none_is_left_out(run_id: Any) -> None:
    assert _error(409, {"detail": BUSY, "run_id": run_id}).run_id is None


def test_a_detail_of_any_length_is_kept_in_part() -> None:
    assert _error(500, {"detail": "so " * 100_000}).detail == ("so " * 1000)[:2000]


@given(st.binary(max_size=3000), st.integers(min_value=100, max_value=599))
def test_any_body_with_any_status_gives_a_short_error(body: bytes, status: int) -> None:
    assert len(str(error_from_response(status, body, what=WHAT))) < 3000


@given(st.binary(max_size=5000))
def test_an_excerpt_is_short_and_on_one_line(body: bytes) -> None:
    text = excerpt(body)
    assert len(text) <= 201
    assert "\n" not in text


@pytest.mark.parametrize(
    ("kind", "error", "accepted"),
    [
        (BrokenKind.CONNECT, errors.ConnectFailed, False),
        (BrokenKind.TIMEOUT, errors.RequestTimeout, None),
        (BrokenKind.LOST, errors.ConnectionLost, None),
    ],
)
def test_a_broken_connection_names_the_server(
    kind: BrokenKind, error: type[errors.LettaError], accepted: bool | None
) -> None:
    made = Broken(kind, "because", url="http://letta.test").to_error()
    assert type(made) is error
    assert made.accepted is accepted
    assert "http://letta.test" in str(made)
    assert "because" in str(made)
