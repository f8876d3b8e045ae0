"""Which scenarios Letta Cloud can play, and what its models have to be told for it.

A scenario is marked `cloud` unless it says why it is not: `self_hosted(reason)` measures a peculiarity of Letta 0.16.8,
`scripted(reason)` needs more of the scripted model than any model does that is told to follow directives. The double as
Letta Cloud (`--backend cloud-double`) has that model, so it plays those as well.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

from letta_adapters.testing import Reply, reply_to
from letta_adapters.testing.script import directives_in, text_of

__all__ = ["INSTRUCTIONS", "literal_reply", "mark"]

INSTRUCTIONS = """\
You are part of a test. Do exactly what the last message of the user says, and say nothing else.
A message may have directives in double brackets:
[[say TEXT]] means: answer TEXT, word for word.
[[call NAME JSON]] means: call the tool NAME with these arguments, exactly, and say nothing; several such directives \
are several calls at once.
Without directives answer "You said: " and the message, word for word. When tools have answered, answer \
"The tools answered: " and their results, word for word, with " | " between them.
Never call a tool that no directive names. Never write to your memory."""
"""The system prompt of the agents."""

_TAUGHT = frozenset({"say", "call"})
_NEEDED = ("LETTA_API_KEY", "LETTA_CLOUD_HANDLE")


def mark(items: Sequence[pytest.Item], *, backend: str) -> None:
    """Mark the scenarios for Letta Cloud, and skip there what it cannot play."""
    missing = [name for name in _NEEDED if not os.environ.get(name)] if backend == "cloud" else []
    for item in items:
        own = item.get_closest_marker("self_hosted")
        scripted = item.get_closest_marker("scripted")
        if own is None and scripted is None:
            item.add_marker("cloud")
        if missing:
            item.add_marker(pytest.mark.skip(reason=f"Letta Cloud is not asked without {' and '.join(missing)}"))
        elif own is not None and backend in ("cloud", "cloud-double"):
            item.add_marker(pytest.mark.skip(reason=f"self-hosted: {own.args[0]}"))
        elif scripted is not None and backend == "cloud":
            item.add_marker(pytest.mark.skip(reason=f"scripted: {scripted.args[0]}"))


def literal_reply(messages: Sequence[dict[str, Any]]) -> Reply:
    """Answer as a model that follows `INSTRUCTIONS` and no other directive: it does not think, wait or fail."""
    asked = next((text_of(message) for message in reversed(messages) if message["role"] == "user"), "")
    if not _TAUGHT.issuperset(directives_in(asked)):
        return Reply(text="What does that mean?")
    return reply_to(messages)
