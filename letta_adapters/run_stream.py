"""The stream of one run, whatever connections it takes: bytes in, what is known of the turn out. No I/O.

A reconnection repeats events; their sequence numbers tell which ones. What ends a turn is its stop reason (or an error
event), never the end of a connection.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from pydantic import ValidationError

from letta_adapters import sse
from letta_adapters.assembly import Assembly
from letta_adapters.errors import LettaError, ProtocolError, TurnFailed
from letta_adapters.events import TurnEvent, TurnStarted
from letta_adapters.exchange import error_from_detail, excerpt
from letta_adapters.reading import StoredTurn
from letta_adapters.sse import SSEDecoder
from letta_adapters.wire import (
    AssistantMessage,
    ErrorMessage,
    KnownMessage,
    LettaResponse,
    Logprobs,
    Ping,
    ReasoningMessage,
    ResponseState,
    StopReason,
    StreamEvent,
    TokenTurn,
    Unknown,
    UsageStatistics,
    parse_event,
)

__all__ = ["RunStream"]

_FAILURES = frozenset(
    {
        "error",
        "llm_api_error",
        "invalid_llm_response",
        "invalid_tool_call",
        "cancelled",
        "insufficient_credits",
        "context_window_overflow_in_system_prompt",
    }
)
"""Stop reasons of a turn that has no answer; one that is not known is taken for the end of an answer."""


class RunStream:
    """What the stream of a run has told so far.

    Args:
        assembly: Where its messages go.
        conversation_id: The conversation.
        otids: What the turn was sent under.
        run_id: The run, where it is known beforehand.
        last_seq: Number of the last event that is not wanted.
    """

    def __init__(
        self,
        assembly: Assembly,
        *,
        conversation_id: str,
        otids: tuple[str, ...] = (),
        run_id: str | None = None,
        last_seq: int = 0,
    ) -> None:
        self.assembly = assembly
        self._conversation_id = conversation_id
        self._otids = otids
        self._decoder = SSEDecoder()
        self._error: ErrorMessage | None = None
        self._connection_seq = 0  # number of the last event of this connection
        self._barren = 0  # bytes since the last event that was more than a sign of life
        self.unnumbered = False  # it brought messages without numbers, so a replay could not be told from news
        self.events: list[TurnEvent] = []
        self.run_id = run_id
        self.last_seq = last_seq
        self.stop: StopReason | None = None
        self.usage: UsageStatistics | None = None
        self.logprobs: Logprobs | Unknown | None = None
        self.token_turns: tuple[TokenTurn | Unknown, ...] | None = None
        self.marked_end = False
        self.began: datetime | None = None  # when the first event was made, by the server's clock

    def reconnected(self) -> None:
        """Another connection begins; half an event of the old one is worth nothing."""
        self._decoder = SSEDecoder()
        self._connection_seq = 0
        self._barren = 0

    def read_back(self, stored: StoredTurn) -> None:
        """Take what the server stored of the run in the place of the rest of its stream.

        Raises:
            ValueError: It contradicts what was streamed.
        """
        self._name_run(stored.run.id)
        self.stop = StopReason(stop_reason=stored.stop_reason)
        self.complete_with(stored)
        if self._error is None and stored.stop_reason not in _FAILURES:  # a failed step is not stored
            self.assembly, events = self.assembly.replaced_by(stored.answer_to(self._otids))
            self.events.extend(events)

    def complete_with(self, stored: StoredTurn) -> None:
        """Take what the server recorded of the end of the run, all messages of which were streamed."""
        self.usage = self.usage or stored.usage
        self._error = self._error or stored.error

    def take_whole(self, body: bytes) -> None:
        """Take an answer that did not stream.

        Raises:
            ProtocolError: It is none.
        """
        try:
            answer = LettaResponse.model_validate_json(body)
        except ValidationError:
            raise ProtocolError(
                f"The server sent an answer that is none of a turn: {excerpt(body)!r}", accepted=None
            ) from None
        for message in answer.messages:
            self._message(message)
        self.stop, self.usage = answer.stop_reason, answer.usage
        self.logprobs = answer.logprobs
        self.token_turns = tuple(answer.turns) if answer.turns is not None else None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            ProtocolError: They are not the events of a Letta server.
        """
        self._barren += len(chunk)
        for name, data in self._decoder.feed(chunk):
            if data == b"[DONE]":
                self.marked_end = True
                continue
            try:
                event = parse_event(data)
            except ValueError:
                told = excerpt(data)
                raise ProtocolError(f"The server sent an event that is not JSON: {told!r}", accepted=None) from None
            if name == "error" and isinstance(event, Unknown):
                event = ErrorMessage(detail=excerpt(data))
            self._take(event)
        if self._barren > 2 * sse.MAX_EVENT_BYTES:  # a ping is a sign of life, a flood of pings is none
            raise ProtocolError(f"The server sent {self._barren} bytes of nothing new.", accepted=None)

    @property
    def over(self) -> bool:
        """Whether the turn ended; the usage may still follow."""
        return self.stop is not None or self._error is not None

    @property
    def complete(self) -> bool:
        """Whether nothing can follow."""
        return self._error is not None or (self.stop is not None and (self.usage is not None or self.marked_end))

    def failure(self, ids: dict[str, Any]) -> LettaError | None:
        """The error that the turn ended with, if it did."""
        reason = self.stop.stop_reason if self.stop else "error"
        if self._error is None and reason not in _FAILURES:
            return None
        detail = self._error.detail or self._error.message if self._error else None
        # Once there was an answer the input was taken, whatever the detail says.
        refusal = error_from_detail(detail or "", ids) if not self.assembly.message_ids else None
        return refusal or TurnFailed(
            f"The server ended the turn with {reason!r}.",
            stop_reason=reason,
            error_type=self._error.error_type if self._error else None,
            detail=detail,
            **ids,
        )

    def _take(self, event: StreamEvent) -> None:
        seq_id = event.seq_id
        if seq_id is not None:
            if seq_id <= self.last_seq:
                self._repeated(event, seq_id)
                return
            self.last_seq = self._connection_seq = seq_id
        match event:
            case AssistantMessage() | ReasoningMessage():  # first, because there are so many of them
                self._message(event)
            case StopReason():
                self.stop = self.stop or event  # a failure in mid-stream may send two
            case UsageStatistics():
                self.usage = event
            case ErrorMessage():
                self._name_run(event.run_id)
                self._error = event
            case Ping():
                self._ping(event)
            case ResponseState():
                pass
            case _:
                self._message(event)

    def _message(self, message: KnownMessage | Unknown) -> None:
        if self.run_id is None:
            self._name_run(message.run_id)
        if message.seq_id is None:
            self.unnumbered = True
        self._barren = 0
        self.events.extend(self.assembly.feed(message))

    def _ping(self, ping: Ping) -> None:
        self._name_run(ping.run_id)
        if self.began is None and isinstance(ping.date, datetime):
            self.began = ping.date if ping.date.tzinfo else ping.date.replace(tzinfo=timezone.utc)
        # A server that pings on after the end would never close.
        self.marked_end = self.marked_end or self.over

    def _repeated(self, event: StreamEvent, seq_id: int) -> None:
        """An event that came before: a replay brings old numbers, always in order; a ping may repeat the last."""
        if seq_id > self._connection_seq:
            self._connection_seq = seq_id
        elif seq_id < self._connection_seq and not isinstance(event, Ping):
            raise ProtocolError(
                f"The server sent event {seq_id} of the run after event {self._connection_seq}.", accepted=None
            )
        self.marked_end = self.marked_end or (self.over and isinstance(event, Ping))

    def _name_run(self, run_id: str | None) -> None:
        if self.run_id is None and run_id:
            self.run_id = run_id
            self.events.append(TurnStarted(conversation_id=self._conversation_id, run_id=run_id, otids=self._otids))
