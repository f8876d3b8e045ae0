"""What reading a lost turn back relies on, checked on a server with Redis and on one without."""

from __future__ import annotations

import pytest

from tests.conftest import Backend


@pytest.fixture(params=[True, False], ids=["redis", "plain"])
def backend(request: pytest.FixtureRequest, backend: Backend, no_redis_backend: Backend) -> Backend:
    """Either server; `wire`, `agent_id` and `conversation_id` follow."""
    if not request.param and no_redis_backend.redis:
        pytest.skip("self-hosted: Letta Cloud always has background streams")
    return backend if request.param else no_redis_backend
