"""A Letta conversation behind framework objects: no turn is lost, none is repeated.

This is the core; it imports no framework. `langchain_letta` and `llama_index_letta` build on it.
"""

from letta_adapters.client import AsyncLettaClient, LettaClient
from letta_adapters.errors import LettaError
from letta_adapters.events import FinishedTurn, PendingCall, ReasoningDelta, TextDelta
from letta_adapters.version import VERSION as __version__

__all__ = [
    "AsyncLettaClient",
    "FinishedTurn",
    "LettaClient",
    "LettaError",
    "PendingCall",
    "ReasoningDelta",
    "TextDelta",
    "__version__",
]
