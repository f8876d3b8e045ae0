"""A Letta conversation behind framework objects: no turn is lost, none is repeated.

This is the core; it imports no framework. `langchain_letta` and `llama_index_letta` build on it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from letta_adapters.client import AsyncLettaClient, LettaClient
    from letta_adapters.errors import LettaError
    from letta_adapters.events import FinishedTurn, PendingCall, ReasoningDelta, TextDelta
    from letta_adapters.loop import (
        Deny,
        LoopResult,
        RoundFinished,
        Tool,
        ToolExecution,
        ToolFinished,
        ToolStarted,
        arun_turn,
        astream_turn,
        run_turn,
        stream_turn,
    )
    from letta_adapters.version import __version__

__all__ = [
    "AsyncLettaClient",
    "Deny",
    "FinishedTurn",
    "LettaClient",
    "LettaError",
    "LoopResult",
    "PendingCall",
    "ReasoningDelta",
    "RoundFinished",
    "TextDelta",
    "Tool",
    "ToolExecution",
    "ToolFinished",
    "ToolStarted",
    "__version__",
    "arun_turn",
    "astream_turn",
    "run_turn",
    "stream_turn",
]

_ELSEWHERE = {
    "AsyncLettaClient": "client",
    "LettaClient": "client",
    "LettaError": "errors",
    "FinishedTurn": "events",
    "PendingCall": "events",
    "ReasoningDelta": "events",
    "TextDelta": "events",
    "__version__": "version",
}
"""Where a name is, if not in `loop`."""

_MODULES = frozenset({"client", "errors", "events", "loop", "version", "wire"})
"""What can be reached without an import of its own, as `letta_adapters.errors`."""


def __getattr__(name: str) -> object:
    """Import what is asked for, and with it nothing that is not: a program that runs no tools needs no tool loop."""
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_ELSEWHERE.get(name, 'loop')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
