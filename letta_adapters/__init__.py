"""A Letta conversation behind framework objects: no turn is lost, none is repeated.

This is the core; it imports no framework. `langchain_letta` and `llama_index_letta` build on it.
"""

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
from letta_adapters.version import VERSION as __version__

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
