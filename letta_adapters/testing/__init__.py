"""For tests: a double of a Letta server, and the scripted model that it shares with the real one."""

from __future__ import annotations

from importlib import import_module

try:
    import_module("starlette")
    import_module("uvicorn")
except ModuleNotFoundError as error:
    text = "letta_adapters.testing needs starlette and uvicorn: pip install 'letta-adapters[testing]'"
    raise ModuleNotFoundError(text, name=error.name) from error

from letta_adapters.testing.fake import FakeLetta, RecordedRequest
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
