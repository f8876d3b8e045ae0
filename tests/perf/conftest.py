from __future__ import annotations

from collections.abc import Generator

import pytest

from benchmarks.server import running


@pytest.fixture(scope="module")
def url() -> Generator[str, None, None]:
    """The server of the benchmarks."""
    with running() as url:
        yield url
