"""Client tools: what may be offered to an agent."""

from __future__ import annotations

import re
from collections.abc import Iterable

from letta_adapters.wire import ClientTool

__all__ = ["check_client_tools"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REWRITTEN = frozenset({"send_message"})
"""Names that the server gives a meaning of its own: a call would be listed as an assistant message (0.16.8)."""


def check_client_tools(tools: Iterable[tuple[ClientTool, str]]) -> tuple[ClientTool, ...]:
    """Check the tools of one request.

    Args:
        tools: Each tool with a description of where it comes from, for the error.

    Raises:
        ValueError: A name is refused by the API, or two tools have the same one.
    """
    seen: dict[str, tuple[ClientTool, str]] = {}
    for tool, origin in tools:
        if not _NAME.fullmatch(tool.name):
            raise ValueError(
                f"The tool name {tool.name!r} of {origin} is not allowed: 1 to 64 letters, digits, `_` and `-`."
            )
        if tool.name in _REWRITTEN:
            raise ValueError(f"The tool name {tool.name!r} of {origin} is the server's own; choose another.")
        if tool.name in seen:
            raise ValueError(f"Two tools are named {tool.name!r}: {seen[tool.name][1]} and {origin}.")
        seen[tool.name] = (tool, origin)
    return tuple(tool for tool, _ in seen.values())
