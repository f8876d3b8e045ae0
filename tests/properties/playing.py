"""Plays one scenario, and tells what happened when something is wrong."""

from __future__ import annotations

import asyncio
import re

from hypothesis import currently_in_test_context, note

from tests.properties.moves import Scenario
from tests.properties.world import World

_SHORT = re.compile(r"\b([a-z]+)-([0-9a-f]{4})[0-9a-f-]{32}\b")

__all__ = ["play"]


def play(scenario: Scenario, loop: asyncio.AbstractEventLoop) -> None:
    """Play a scenario; every invariant is checked on the way."""
    world = World(scenario, loop)
    try:
        world.play()
    except BaseException:
        _tell("\n".join(_SHORT.sub(r"\1-\2", repr(told)) for told in world.trace))
        raise


def _tell(trace: str) -> None:
    if currently_in_test_context():
        note(trace)
    else:
        print(trace)
