"""Where the examples run: on the server and the agent of the environment, else on an embedded double of a server.

With `LETTA_BASE_URL` (a server of your own) or `LETTA_API_KEY` (Letta Cloud) set it is that server, and the agent
`LETTA_AGENT_ID` or a new one with the model `LETTA_MODEL`, which is deleted again.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from letta_adapters import LettaClient
from letta_adapters.testing import FakeLetta, Model


@dataclass(frozen=True, kw_only=True)
class Place:
    """An agent and its server; `double` is the server, where it is the embedded one."""

    base_url: str
    agent_id: str
    double: FakeLetta | None = None


@contextmanager
def an_agent(play_model: Model) -> Generator[Place, None, None]:
    """Give an agent to talk to; `play_model` plays the language model on the double."""
    if os.environ.get("LETTA_BASE_URL") or os.environ.get("LETTA_API_KEY"):
        with LettaClient() as client:
            if existing := os.environ.get("LETTA_AGENT_ID"):
                yield Place(base_url=client.base_url, agent_id=existing)
                return
            agent = client.agents.create(name="example", model=os.environ.get("LETTA_MODEL"), include_base_tools=False)
            try:
                yield Place(base_url=client.base_url, agent_id=agent.id)
            finally:
                client.agents.delete(agent.id)
    else:
        with FakeLetta(model=play_model) as fake, LettaClient(base_url=fake.base_url) as client:
            agent_id = client.agents.create(name="example").id
            yield Place(base_url=fake.base_url, agent_id=agent_id, double=fake)
