from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from langchain_letta import ChatLetta
from tests.conftest import TIMEOUT, Backend
from tests.langchain.readback import Reader

pytest.register_assert_rewrite("tests.langchain.traps.support")


@pytest.fixture(autouse=True)
def no_letta_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LETTA_AGENT_ID", "LETTA_BASE_URL", "LETTA_API_KEY", "LETTA_ANCHOR_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def reader(backend: Backend) -> Iterator[Reader]:
    """The independent witness."""
    with Reader(backend.base_url) as opened:
        yield opened


@pytest.fixture
def model(backend: Backend, agent_id: str) -> ChatLetta:
    """A model that follows the transcript."""
    return ChatLetta(agent_id=agent_id, base_url=backend.base_url)


@pytest.fixture
def pinned(backend: Backend, conversation_id: str) -> ChatLetta:
    """A model that is pinned to a fresh conversation."""
    return ChatLetta(conversation_id=conversation_id, base_url=backend.base_url)


@pytest.fixture
def parallel_calls(backend: Backend, agent_id: str) -> None:
    """The agent may call several tools at once, and the server keeps them all."""
    settings = {"provider_type": "openai", "parallel_tool_calls": True}
    with httpx.Client(base_url=backend.base_url, timeout=TIMEOUT) as http:
        http.patch(f"/v1/agents/{agent_id}", json={"model_settings": settings}).raise_for_status()
