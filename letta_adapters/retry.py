"""When to try again, and after how long. Pure: no clock, no sleep, no I/O."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

__all__ = ["MAX_RETRY_AFTER", "backoff", "busy_delay", "parse_date", "parse_retry_after", "should_retry"]

MAX_RETRY_AFTER = 60.0
"""Longest `Retry-After` that is honoured, in seconds; a longer one fails at once."""

_RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 527)})
"""From 520 on it is Cloudflare that speaks, in front of Letta Cloud."""


def should_retry(status: int) -> bool:
    """Tell whether a status may pass by itself. A 409 is not here: what cures it depends on its cause."""
    return status in _RETRYABLE


def backoff(attempt: int, *, rng: Callable[[], float] = random.random) -> float:
    """Seconds to wait after failure number `attempt` (1, 2, …): 0.25 doubling to 8, half of it jitter."""
    ceiling = min(8.0, 0.25 * 2.0 ** min(attempt - 1, 16))
    return ceiling * (0.5 + 0.5 * rng())


def busy_delay(attempt: int, *, rng: Callable[[], float] = random.random) -> float:
    """Seconds to wait before asking a busy conversation again: full jitter, 0.1 growing to 2."""
    ceiling = min(2.0, 0.2 * 1.5 ** min(attempt, 16))
    return 0.1 + rng() * (ceiling - 0.1)


def parse_retry_after(headers: Mapping[str, str], *, now: Callable[[], datetime] | None = None) -> float | None:
    """Read `Retry-After`: seconds or an HTTP date, as seconds from now. `Retry-After-Ms` is more exact and wins.

    Returns:
        Seconds, never negative; `None` when there is no header or it cannot be read.
    """
    seconds = _number(headers.get("retry-after-ms", "")) / 1000
    if math.isnan(seconds):
        value = headers.get("retry-after", "")
        seconds = _number(value)
        if math.isnan(seconds):
            seconds = _seconds_until(value, now or (lambda: datetime.now(timezone.utc)))
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _number(text: str) -> float:
    """A finite number; NaN for whatever is none."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def parse_date(value: str) -> datetime | None:
    """Read an HTTP date; `None` when it is none."""
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)


def _seconds_until(value: str, now: Callable[[], datetime]) -> float:
    date = parse_date(value)
    return math.nan if date is None else (date - now()).total_seconds()
