"""The client refuses no field of an agent that the official SDK has."""

from __future__ import annotations

import inspect
import json
from typing import Any

from letta_client.resources.agents import AgentsResource

from letta_adapters.client.endpoints import create_agent

ABOUT_THE_CALL = {"self", "extra_headers", "extra_query", "extra_body", "timeout"}


def test_an_agent_takes_every_field_that_the_sdk_knows() -> None:
    known = inspect.signature(AgentsResource.create).parameters.keys() - ABOUT_THE_CALL
    given: dict[str, Any] = {name: [] for name in known}
    sent = json.loads(create_agent(**given).request.body or b"")
    assert sent.keys() == known | {"agent_type"}
