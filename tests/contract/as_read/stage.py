"""What a situation is played on, and what is expected of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import httpx

from tests.contract import build
from tests.contract.wire import Json, Turn, Wire

SERVER_TOOL = '''
def whisper(text: str) -> str:
    """
    Whisper.

    Args:
        text (str): What to whisper.
    """
    return text.lower()
'''


@dataclass(frozen=True, kw_only=True)
class Stream:
    """An answer that is streamed: its finished parts, and how it ends."""

    parts: tuple[str, ...] = ()
    stop: str
    error: str | None = None
    """The name of the error that the turn ends with."""
    done: bool = True
    """Whether `[DONE]` comes."""


@dataclass(frozen=True)
class Page:
    """A list of stored messages, oldest first."""

    rows: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An answer that is an HTTP error, and the name of the error that it becomes."""

    status: int
    error: str


Expected = Stream | Page | Refusal


class Stage:
    """One conversation with a server, and what it answered so far."""

    def __init__(self, wire: Wire, conversation_id: str) -> None:
        self.wire = wire
        self.conversation_id = conversation_id
        self.heard: list[httpx.Response] = []
        wire.http.event_hooks = {"response": [self.heard.append]}

    def post(self, *messages: Json, **options: object) -> Turn:
        return self.wire.post(self.conversation_id, *messages, **options)

    def call(self, text: str, **options: object) -> list[str]:
        """Send a user message that makes the model call client tools; gives the ids of the calls."""
        return _call_ids(self.post(build.user(text), client_tools=build.CLIENT_TOOLS, **options))

    def answer(self, *parts: Json, **options: object) -> Turn:
        return self.post(build.answers(*parts), client_tools=build.CLIENT_TOOLS, **options)

    def rows(self) -> list[Json]:
        return self.wire.rows(self.conversation_id)


def _call_ids(turn: Turn) -> list[str]:
    """The ids of the pending calls, each once; in token mode a call comes in many pieces."""
    told: list[Json] = []
    for request in turn.of("approval_request_message"):
        calls = request["tool_calls"]
        told += calls if isinstance(calls, list) else [calls]
    return list(dict.fromkeys(call["tool_call_id"] for call in told))


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A situation.

    Args:
        play: What is said.
        expected: What each answer is, in order.
        parallel: Whether the agent's model may call several tools at once.
        server_tool: Whether the agent has the tool `whisper`, which the server runs.
    """

    play: Callable[[Stage], object]
    expected: tuple[Expected, ...]
    parallel: bool = False
    server_tool: bool = False

    @property
    def name(self) -> str:
        return self.play.__name__
