from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from llama_index_instrumentation import get_dispatcher

from llama_index_letta import LettaChatEngine
from tests.conftest import TIMEOUT, Backend
from tests.contract.wire import Wire
from tests.langchain.readback import Reader
from tests.llama_index.support import MakeEngine, new_gate
from tests.llama_index.tracers import Events, Spans, added


@pytest.fixture(autouse=True)
def no_letta_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LETTA_AGENT_ID", "LETTA_BASE_URL", "LETTA_API_KEY", "LETTA_ANCHOR_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Every thread that a turn started is over soon after the test."""
    before = set(threading.enumerate())
    yield
    started = [one for one in threading.enumerate() if one not in before and one.name.startswith("letta")]
    for thread in started:
        thread.join(TIMEOUT / 4)
    assert [thread.name for thread in started if thread.is_alive()] == []


@pytest.fixture(autouse=True)
async def no_task_left() -> AsyncIterator[None]:
    """Every task that a turn started is over soon after the test."""
    before = asyncio.all_tasks()
    yield
    started = asyncio.all_tasks() - before - {asyncio.current_task()}
    if started:
        await asyncio.wait(started, timeout=TIMEOUT / 4)
    assert [task.get_name() for task in started if not task.done()] == []


@pytest.fixture
def reader(backend: Backend) -> Iterator[Reader]:
    """The independent witness."""
    with Reader(backend.base_url) as opened:
        yield opened


@pytest.fixture
def wire(backend: Backend) -> Iterator[Wire]:
    """The protocol's own view."""
    with Wire(backend.base_url) as opened:
        yield opened


@pytest.fixture
async def make_engine(backend: Backend, agent_id: str) -> AsyncIterator[MakeEngine]:
    """Makes engines of a fresh agent, each with a conversation of its own."""
    made: list[LettaChatEngine] = []

    def make(**options: Any) -> LettaChatEngine:
        fields: dict[str, Any] = {"agent_id": agent_id, "base_url": backend.base_url, **options}
        engine = LettaChatEngine.from_defaults(**fields)
        made.append(engine)
        return engine

    yield make
    for engine in made:
        await engine.aclose()


@pytest.fixture
def engine(make_engine: MakeEngine) -> LettaChatEngine:
    return make_engine()


@pytest.fixture
def parallel_calls(backend: Backend, agent_id: str) -> None:
    """The agent may call several tools at once, and the server keeps them all."""
    settings = {"provider_type": "openai", "parallel_tool_calls": True}
    with httpx.Client(base_url=backend.base_url, timeout=TIMEOUT) as http:
        http.patch(f"/v1/agents/{agent_id}", json={"model_settings": settings}).raise_for_status()


@pytest.fixture
def held(backend: Backend) -> Iterator[str]:
    """A gate that is open after the test, whatever happened."""
    gate = new_gate()
    yield gate
    backend.open_gate(gate)


@pytest.fixture
def spans() -> Iterator[Spans]:
    handler = Spans()
    with added(handler):
        yield handler


@pytest.fixture
def events() -> Iterator[Events]:
    handler, root = Events(seen=[]), get_dispatcher()
    before = list(root.event_handlers)
    root.add_event_handler(handler)
    yield handler
    root.event_handlers = before
