"""What a recorded scenario is played on, and what is expected of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID, uuid5

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
    """One conversation with a server.

    Its otids follow from the conversation's id: every recording has new ones, and every replay those of its
    recording.
    """

    def __init__(self, wire: Wire, conversation_id: str) -> None:
        self.wire = wire
        self.conversation_id = conversation_id
        self._otids = 0

    def user(self, text: str) -> Json:
        return build.user(text, self._otid())

    def answers(self, *parts: Json) -> Json:
        return build.answers(*parts, otid=self._otid())

    def post(self, *messages: Json, **options: object) -> Turn:
        return self.wire.post(self.conversation_id, *messages, **options)

    def call(self, text: str, **options: object) -> list[str]:
        """Send a user message that makes the model call client tools; gives the ids of the calls."""
        return _call_ids(self.post(self.user(text), client_tools=build.CLIENT_TOOLS, **options))

    def answer(self, *parts: Json, **options: object) -> Turn:
        return self.post(self.answers(*parts), client_tools=build.CLIENT_TOOLS, **options)

    def rows(self) -> list[Json]:
        return self.wire.rows(self.conversation_id)

    def _otid(self) -> str:
        self._otids += 1
        return str(uuid5(UUID(self.conversation_id.removeprefix("conv-")), str(self._otids)))


def _call_ids(turn: Turn) -> list[str]:
    """The ids of the pending calls, each once; in token mode a call comes in many pieces."""
    told: list[Json] = []
    for request in turn.of("approval_request_message"):
        calls = request["tool_calls"]
        told += calls if isinstance(calls, list) else [calls]
    return list(dict.fromkeys(call["tool_call_id"] for call in told))


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A situation, recorded once from a real server.

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
        """The name of its cassette."""
        return self.play.__name__
