from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Backend
from tests.contract.wire import Wire


@pytest.fixture
def wire(backend: Backend) -> Iterator[Wire]:
    """The independent witness on the server with Redis."""
    with Wire(backend.base_url) as opened:
        yield opened
