from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from letta_adapters import LettaClient
from letta_adapters.testing import FakeLetta
from tests.contract.wire import Wire


@pytest.fixture
def cloud() -> Iterator[FakeLetta]:
    """The double as Letta Cloud."""
    with FakeLetta(cloud=True) as fake:
        yield fake


@pytest.fixture
def key(cloud: FakeLetta) -> SecretStr:
    return SecretStr(cloud.api_key or "")


@pytest.fixture
def witness(cloud: FakeLetta) -> Iterator[Wire]:
    """The independent reader."""
    with Wire(cloud.base_url, api_key=cloud.api_key) as opened:
        yield opened


@pytest.fixture
def agent_id(witness: Wire) -> str:
    return str(witness.http.post("/v1/agents/", json={"name": "one"}).raise_for_status().json()["id"])


@pytest.fixture
def conversation_id(witness: Wire, agent_id: str) -> str:
    return witness.new_conversation(agent_id)


@pytest.fixture
def client(cloud: FakeLetta) -> Iterator[LettaClient]:
    with LettaClient(base_url=cloud.base_url, api_key=cloud.api_key) as opened:
        yield opened
