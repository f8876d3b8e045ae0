"""For tests: a double of a Letta server, and the scripted model that it shares with the real one."""

from __future__ import annotations

try:
    from letta_adapters.testing.fake import FakeLetta, RecordedRequest
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn"):
        raise
    needed = "`letta_adapters.testing` needs starlette and uvicorn: pip install 'letta-adapters[testing]'"
    raise ModuleNotFoundError(needed, name=error.name) from None
from letta_adapters.testing.model import Model, ModelRequest
from letta_adapters.testing.script import COMPLETION_TOKENS, PROMPT_TOKENS, Call, Hold, Reply, reply_to, tokens

__all__ = [
    "COMPLETION_TOKENS",
    "PROMPT_TOKENS",
    "Call",
    "FakeLetta",
    "Hold",
    "Model",
    "ModelRequest",
    "RecordedRequest",
    "Reply",
    "reply_to",
    "tokens",
]
