from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from llama_index_letta import LettaAgent
from tests.conftest import Backend
from tests.llama_index.agents.support import MakeAgent


@pytest.fixture(autouse=True)
def no_thread_started() -> Iterator[None]:
    """A run starts no thread; those of the event loop's pool are LlamaIndex's, for memories that block."""
    before = set(threading.enumerate())
    yield
    started = [one.name for one in threading.enumerate() if one not in before]
    assert [name for name in started if not name.startswith("asyncio_")] == []


@pytest.fixture
async def make_agent(backend: Backend, agent_id: str) -> AsyncIterator[MakeAgent]:
    """Makes agents on a fresh Letta agent."""
    made: list[LettaAgent] = []

    def make(**fields: Any) -> LettaAgent:
        agent = LettaAgent(**{"agent_id": agent_id, "base_url": backend.base_url, **fields})
        made.append(agent)
        return agent

    yield make
    for agent in made:
        await agent.aclose()
