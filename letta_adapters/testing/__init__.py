"""For tests: a double of a Letta server, and the scripted model that it shares with the real one."""

from __future__ import annotations

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
