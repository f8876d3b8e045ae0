"""When to try again, and after how long."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letta_adapters.retry import MAX_RETRY_AFTER, backoff, busy_delay, parse_retry_after, should_retry

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, *range(520, 527)])
def test_a_status_that_may_pass_is_retried(status: int) -> None:
    assert should_retry(status)


@pytest.mark.parametrize("status", [200, 301, 400, 401, 402, 403, 404, 409, 410, 413, 422, 501, 505, 519, 527])
def test_any_other_status_is_not_retried(status: int) -> None:
    assert not should_retry(status)


def test_backoff_doubles_up_to_eight_seconds() -> None:
    assert [backoff(n, rng=lambda: 1.0) for n in range(1, 9)] == [0.25, 0.5, 1, 2, 4, 8, 8, 8]
    assert [backoff(n, rng=lambda: 0.0) for n in range(1, 4)] == [0.125, 0.25, 0.5]


@given(st.integers(min_value=1, max_value=10**9), st.floats(min_value=0, max_value=1))
def test_a_delay_is_always_a_moderate_number(attempt: int, chance: float) -> None:
    assert 0.1 <= backoff(attempt, rng=lambda: chance) <= 8
    assert 0.1 <= busy_delay(attempt, rng=lambda: chance) <= 2


def test_asking_a_busy_conversation_slows_down() -> None:
    longest = [busy_delay(n, rng=lambda: 1.0) for n in range(20)]
    assert longest == sorted(longest)
    assert longest[-1] == 2.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("5", 5.0),
        (" 5 ", 5.0),
        ("1.5", 1.5),
        ("100000", 100000.0),
        ("-5", 0.0),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 12:00:30", 30.0),
        ("Sat, 21 Nov 2026 14:00:30 +0200", 30.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("NaN", None),
        ("inf", None),
        ("-inf", None),
        ("1e999", None),
        ("", None),
        ("soon", None),
        ("Sat, 99 Nov 2026 12:00:30 GMT", None),
        ("Fri, 31 Dec 100000 23:59:59 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_from_now(value: str, seconds: float | None) -> None:
    assert parse_retry_after({"retry-after": value}, now=lambda: NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "0", "retry-after": "9"}, 0.0),
        ({"retry-after-ms": "-1", "retry-after": "9"}, 0.0),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "NaN", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "inf"}, None),
        ({"retry-after-ms": "Sat, 21 Nov 2026 12:00:30 GMT"}, None),
    ],
)
def test_milliseconds_win_where_they_are_a_number(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers, now=lambda: NOW) == seconds


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_two_headers_raise(value: str, milliseconds: str) -> None:
    seconds = parse_retry_after({"retry-after": value, "retry-after-ms": milliseconds}, now=lambda: NOW)
    assert seconds is None or seconds >= 0


def test_without_the_header_there_is_no_delay() -> None:
    assert parse_retry_after({}) is None


@pytest.mark.parametrize(
    "value",
    ["Fri, 31 Dec 99999999999999999999 23:59:59 GMT", "Fri, 31 Dec 2026 23:59:59 +99999999999999"],
    ids=["year", "zone"],
)
def test_an_absurd_date_is_no_date(value: str) -> None:
    assert parse_retry_after({"retry-after": value}, now=lambda: NOW) is None


@given(st.text(max_size=60))
def test_no_header_value_raises(value: str) -> None:
    seconds = parse_retry_after({"retry-after": value}, now=lambda: NOW)
    assert seconds is None or seconds >= 0


def test_the_longest_wait_that_is_honoured_is_a_minute() -> None:
    assert MAX_RETRY_AFTER == 60
