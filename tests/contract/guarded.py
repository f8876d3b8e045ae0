"""A tool that the server runs once a person agrees."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from contextlib import contextmanager
from uuid import uuid4

from tests.contract.wire import Wire


def shout(text: str) -> str:
    """Shout.

    Args:
        text (str): What to shout.
    """
    return text.upper()


@contextmanager
def guarded_tool(wire: Wire, agent_id: str) -> Generator[str, None, None]:
    """Give an agent such a tool that shouts, under a name of its own, and delete it afterwards."""
    name = f"shout_{uuid4().hex}"
    source = inspect.getsource(shout).replace("shout", name)
    tool_id = wire.http.post("/v1/tools/", json={"source_code": source}).raise_for_status().json()["id"]
    tools = f"/v1/agents/{agent_id}/tools"
    wire.http.patch(f"{tools}/attach/{tool_id}").raise_for_status()
    wire.http.patch(f"{tools}/approval/{name}", json={"requires_approval": True}).raise_for_status()
    yield name
    wire.http.delete(f"/v1/tools/{tool_id}")
