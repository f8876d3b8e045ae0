from __future__ import annotations

from collections.abc import Iterator

import pytest

from letta_adapters.testing import FakeLetta
from tests.contract.wire import Wire
from tests.faults.proxy import FaultProxy
from tests.faults.stage import Stage


@pytest.fixture
def proxy(request: pytest.FixtureRequest) -> Iterator[FaultProxy]:
    """A proxy in front of a double of its own."""
    if request.config.getoption("--backend") == "live":
        pytest.skip("one turn after the other is too slow on a real server")
    with FakeLetta() as fake, FaultProxy(fake.base_url) as opened:
        yield opened


@pytest.fixture
def stage(proxy: FaultProxy) -> Iterator[Stage]:
    with Wire(proxy.upstream) as witness:
        agent = witness.http.post("/v1/agents/", json={"name": "cut"}).raise_for_status().json()
        yield Stage(lane=proxy.lane(), agent_id=agent["id"], witness=witness)
