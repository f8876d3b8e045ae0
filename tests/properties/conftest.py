"""The event loop that the double runs in: one for all examples of a module."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

_RARELY = (20_000, 20, 50)
"""Every example leaves its server behind; looking for it as often as usual takes a fifth of the time."""


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs only while somebody calls the double."""
    usual = gc.get_threshold()
    gc.set_threshold(*_RARELY)
    own = asyncio.new_event_loop()
    yield own
    own.close()
    gc.set_threshold(*usual)
