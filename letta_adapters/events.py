"""What a turn tells while it runs, and what is left when it has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from letta_adapters.wire import (
    ContentPart,
    EventMessage,
    Logprobs,
    SummaryMessage,
    TokenTurn,
    Unknown,
    UsageStatistics,
)

__all__ = [
    "AnswerStarted",
    "FinishedTurn",
    "HiddenReasoning",
    "Notice",
    "PendingCall",
    "Reasoning",
    "ReasoningDelta",
    "ServerToolCall",
    "ServerToolResult",
    "Text",
    "TextDelta",
    "TurnDelta",
    "TurnEvent",
    "TurnPart",
    "TurnStarted",
]


@dataclass(frozen=True, kw_only=True)
class TurnStarted:
    """The server took the turn and named its run."""

    conversation_id: str
    run_id: str
    otids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class AnswerStarted:
    """The first message of the answer; the one id that is known as long as the turn lasts."""

    message_id: str


# There is a delta for each token, and a frozen object takes twice as long to make: that these two stay as they are is
# for type checkers to see.
@dataclass(kw_only=True, slots=True, unsafe_hash=True)
class TextDelta:
    """More text of part `index`."""

    index: Final[int]
    text: Final[str]


@dataclass(kw_only=True, slots=True, unsafe_hash=True)
class ReasoningDelta:
    """More reasoning of part `index`; `signature` is the provider's, where it signs."""

    index: Final[int]
    text: Final[str]
    signature: Final[str | None] = None


@dataclass(frozen=True, kw_only=True)
class Text:
    """A finished text."""

    index: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Reasoning:
    """A finished piece of reasoning."""

    index: int
    text: str
    signature: str | None = None


@dataclass(frozen=True, kw_only=True)
class HiddenReasoning:
    """Reasoning that is not shown."""

    index: int
    state: Literal["redacted", "omitted"]
    text: str | None = None


@dataclass(frozen=True, kw_only=True)
class ServerToolCall:
    """A call that the server runs itself; `arguments` is JSON text."""

    index: int
    tool_call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True)
class ServerToolResult:
    """The result of a call that the server ran."""

    index: int
    tool_call_id: str
    content: str | list[ContentPart | Unknown]
    status: Literal["success", "error"]
    stdout: list[str] | None = None
    stderr: list[str] | None = None


@dataclass(frozen=True, kw_only=True)
class PendingCall:
    """A call that the server waits for: a client tool to run, or a person's decision; `arguments` is JSON text."""

    index: int
    tool_call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A message that is no part of the answer: a summary, an event, a type that is not known."""

    index: int
    message: SummaryMessage | EventMessage | Unknown


TurnPart = Text | Reasoning | HiddenReasoning | ServerToolCall | ServerToolResult | PendingCall | Notice
"""What a finished turn is made of."""

TurnDelta = TextDelta | ReasoningDelta | HiddenReasoning | ServerToolCall | ServerToolResult | PendingCall | Notice
"""More of a turn. Calls come whole, pending ones last, after the server confirmed them."""

TurnEvent = TurnStarted | AnswerStarted | TurnDelta
"""What a turn tells while it runs."""


@dataclass(frozen=True, kw_only=True)
class FinishedTurn:
    """A turn that ended.

    Args:
        conversation_id: The conversation, `default` for an agent's default one.
        run_id: The run at the server.
        answer_id: The id that the answer was streamed under from its first event on.
        message_ids: The ids of the messages that the turn brought, in order; rows of one step share one.
        otids: The otids that the request was sent under.
        parts: What came, in order.
        stop_reason: Why it ended, as the server says it.
        usage: Tokens, summed over the steps; `None` when the server sent none.
        logprobs: The tokens of the last call of the model, where they were asked for.
        token_turns: The tokens of all calls and the results between them, where they were asked for.
    """

    conversation_id: str
    agent_id: str | None = None
    run_id: str | None = None
    answer_id: str | None = None
    message_ids: tuple[str, ...] = ()
    otids: tuple[str, ...] = ()
    parts: tuple[TurnPart, ...] = ()
    stop_reason: str
    usage: UsageStatistics | None = None
    logprobs: Logprobs | Unknown | None = None
    token_turns: tuple[TokenTurn | Unknown, ...] | None = None

    @property
    def text(self) -> str:
        """The text of the answer."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def pending(self) -> tuple[PendingCall, ...]:
        """The calls that the server waits for."""
        return tuple(part for part in self.parts if isinstance(part, PendingCall))
