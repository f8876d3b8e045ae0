from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Backend
from tests.langchain.readback import Reader


@pytest.fixture(autouse=True)
def no_letta_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LETTA_AGENT_ID", "LETTA_BASE_URL", "LETTA_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def live(request: pytest.FixtureRequest) -> bool:
    """Whether the servers are real ones, of which less is asked."""
    return request.config.getoption("--backend") == "live"


@pytest.fixture
def reader(backend: Backend) -> Iterator[Reader]:
    """The independent witness."""
    with Reader(backend.base_url) as opened:
        yield opened
