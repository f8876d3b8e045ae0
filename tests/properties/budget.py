"""How many examples each property gets."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

__all__ = ["PHRASES", "TIMEOUT", "share"]

_USUAL = 10_000
_TOTAL = int(os.environ.get("LETTA_PROPERTY_EXAMPLES", _USUAL))
"""Examples of all properties together; another number than the usual one makes them different ones every time."""

PHRASES = 3 if _TOTAL == _USUAL else 6
"""How long scenarios get, in phrases."""

TIMEOUT = 600 * max(1, _TOTAL // _USUAL)
"""Seconds for one property; a busy machine takes a minute."""


def share(percent: float) -> settings:
    """Settings for a property that gets a part of all examples.

    The usual ones are the same in every run, so that nobody's change is blamed for what another one did. Without a
    database: what fails is printed, and goes into a test of its own. No health checks: a scenario is large on purpose,
    and the loop that all examples share keeps nothing between them.
    """
    return settings(
        max_examples=max(1, int(_TOTAL * percent / 100)),
        derandomize=_TOTAL == _USUAL,
        database=None,
        deadline=None,
        print_blob=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
