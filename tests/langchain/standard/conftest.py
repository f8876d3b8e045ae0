"""What the standard suites of `langchain-tests` are run with."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from types import SimpleNamespace

import httpx
import pytest
from langchain_tests.integration_tests import chat_models

from tests.conftest import Backend, fresh_agent
from tests.langchain.support import PIXEL


@pytest.fixture
def eager_agent_id(backend: Backend) -> Iterator[str]:
    """An agent whose model calls an offered tool unasked: no directive can be written into the suite's texts."""
    with fresh_agent(backend, model=backend.eager) as agent:
        yield agent


@pytest.fixture
def vcr() -> SimpleNamespace:
    """No recording, but the server itself: the suite takes it that there is one to be played, and plays."""
    return SimpleNamespace(responses=("of the server",))


@pytest.fixture
def pictures_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite fetches its pictures from the web; here it gets another one, of a pixel."""

    def get(url: str, *, timeout: float | None = None) -> httpx.Response:
        return httpx.Response(200, content=base64.b64decode(PIXEL), request=httpx.Request("GET", url))

    monkeypatch.setattr(chat_models, "httpx", SimpleNamespace(get=get))
