"""One turn, sent exactly once: a state machine without I/O.

The machine is told what happened (`responded`, `received`, `closed`, `broke`, `waited`) and answers with the next
step: open this request, read, wait, done, failed. Retries, resuming, dropping of repeated events and the reading of
errors exist here and nowhere else; the drivers only carry the steps out.

    start ─► Open(POST) ─► Read … Read ─► (Open(confirm) ─► Read …) ─► Done
                ▲              │ lost before `stop_reason`
                └── Wait ◄─────┘ then resume by run and sequence number, or the same POST again: with
                                 `background` the server replays the run of the same otids (measured on 0.16.8)

Without background streams the server does not dedupe: a POST whose fate is unknown is then never sent again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from letta_adapters import retry
from letta_adapters.assembly import Assembly
from letta_adapters.errors import ConversationBusy, LettaError, ProtocolError, TurnInterrupted
from letta_adapters.events import FinishedTurn, TurnEvent
from letta_adapters.exchange import Broken, BrokenKind, Request, error_from_response, excerpt
from letta_adapters.run_stream import RunStream
from letta_adapters.steps import Capabilities, Done, Failed, Open, Read, Step, TurnPolicy, Wait
from letta_adapters.wire import (
    ApprovalRequestMessage,
    TurnRequest,
    calls_of,
    parse_messages,
)

__all__ = ["Turn", "messages_path"]

_CLOCK_SLACK = timedelta(seconds=2)
_MAX_ERROR_BODY = 64 * 1024
_MAX_CONFIRM_BODY = 64 * 1024 * 1024
_DRAIN_TIMEOUT = 0.25
"""Seconds to wait for the end of an answer that can bring nothing more."""
_DRAIN_READS = 8
_CONFIRM_LIMIT = 20
"""Newest rows of the run to look for the pending calls in."""


class _State(Enum):
    SENT = "sent"  # a request of the turn is on its way
    REFUSED = "refused"  # reading the body of an error answer
    STREAMING = "streaming"
    CONFIRMING = "confirming"  # asking which pending calls the server kept
    OVER = "over"


def messages_path(conversation_id: str) -> str:
    """The path of a conversation's messages."""
    return f"/v1/conversations/{conversation_id}/messages"


class Turn:
    """One turn of a conversation.

    Args:
        request: What to send; its messages carry otids. `None` attaches to a run that is already at the server.
        conversation_id: The conversation, or `default` together with `agent_id`.
        agent_id: The agent, where known.
        run_id: The run to attach to; without it, the latest one in flight.
        starting_after: Number of the last event of the run that is not wanted.
        policy: How long it is tried.
        capabilities: What is known of the server.
    """

    def __init__(
        self,
        request: TurnRequest | None,
        *,
        conversation_id: str,
        agent_id: str | None = None,
        run_id: str | None = None,
        starting_after: int = 0,
        policy: TurnPolicy | None = None,
        capabilities: Capabilities | None = None,
    ) -> None:
        self._request = request
        self._conversation_id = conversation_id
        self._agent_id = agent_id
        self._policy = policy or TurnPolicy()
        self._capabilities = capabilities or Capabilities()
        self._background = request is None or (request.background and self._capabilities.background)
        self._assembly = Assembly(own_results=request.own_results if request else ())
        self._otids = request.otids if request else ()
        self._stream = RunStream(
            self._assembly,
            conversation_id=conversation_id,
            otids=self._otids,
            run_id=run_id,
            last_seq=starting_after,
        )
        self._state = _State.SENT
        self._accepted = False
        self._unsure = False  # a request went out and what became of it is not known
        self._drained = 0
        self._completing = False  # the end was seen, its details were not; one more connection may bring them
        self._next: Open | None = None
        self._broken: Broken | None = None  # the last failure, the cause of giving up
        self._answered_at: datetime | None = None  # by the server's clock
        self._status = 0
        self._headers: Mapping[str, str] = {}
        self._answer: list[bytes] = []  # body of an error answer, or of the confirmation
        self._answer_size = 0
        self._failures = 0
        self._busy_tries = 0
        self._busy_waited = 0.0
        self._read = Read(timeout=self._policy.idle_timeout)

    # What the driver tells and asks.

    def start(self) -> Step:
        """Begin."""
        return self._open(self._send())

    def responded(self, status: int, headers: Mapping[str, str]) -> Step:
        """The answer to the request has begun."""
        self._status, self._headers = status, headers
        self._answer, self._answer_size = [], 0
        if self._state is _State.CONFIRMING:
            return self._read if status == 200 else self._confirm_again(f"HTTP {status}")
        if status == 200 and headers.get("content-type", "").startswith("text/event-stream"):
            self._accepted = True
            self._answered_at = self._answered_at or retry.parse_date(headers.get("date", ""))
            self._state = _State.STREAMING
            self._stream.reconnected()
        else:
            self._state = _State.REFUSED  # the body says why
        return self._read

    def received(self, chunk: bytes) -> Step:
        """Bytes of the answer arrived."""
        if self._state is _State.STREAMING:
            return self._streamed(chunk)
        limit = _MAX_CONFIRM_BODY if self._state is _State.CONFIRMING else _MAX_ERROR_BODY
        self._answer.append(chunk)
        self._answer_size += len(chunk)
        return self.closed() if self._answer_size > limit else self._read

    def closed(self) -> Step:
        """The answer ended cleanly. That alone does not prove that the turn did."""
        if self._state is _State.REFUSED:
            return self._refused(b"".join(self._answer))
        if self._state is _State.CONFIRMING:
            return self._confirmed(b"".join(self._answer))
        return self._complete() if self._stream.over else self._lost("the stream ended before the turn did")

    def broke(self, broken: Broken) -> Step:
        """The connection failed, or was silent for too long."""
        self._broken = broken
        if self._state is _State.REFUSED:
            return self._refused(b"".join(self._answer), cut=True)
        if self._state is _State.CONFIRMING:
            return self._confirm_again(broken.reason)
        if self._stream.over:
            return self._end() if broken.kind is BrokenKind.TIMEOUT else self._complete()
        if broken.kind is BrokenKind.CONNECT and not self._accepted:
            return self._again(broken.to_error())
        return self._lost(broken.reason)

    def waited(self) -> Step:
        """The time is over."""
        assert self._next is not None, "waited() follows a Wait"
        return self._next

    def take_events(self) -> list[TurnEvent]:
        """The events since the last call."""
        if not self._stream.events:
            return []
        events, self._stream.events = self._stream.events, []
        return events

    @property
    def run_id(self) -> str | None:
        """The run, once the server named it."""
        return self._stream.run_id

    @property
    def replayed(self) -> bool:
        """Whether this is a run of before: the server knew these otids already.

        Nothing in the stream says so, but its first event is older than the answer that carries it; both times are
        the server's, in whole seconds. A run that this turn may have begun itself, before an answer was lost, is none.
        """
        began = self._stream.began
        return (
            not self._unsure
            and began is not None
            and self._answered_at is not None
            and self._answered_at - began > _CLOCK_SLACK
        )

    @property
    def exclusive(self) -> bool:
        """Whether other turns of the conversation must be kept away: until the server's own lock does it.

        Only a server that streams in the background locks, from the moment it accepted the turn.
        """
        return not (self._accepted and self._background) and self._state is not _State.OVER

    # Requests.

    def _send(self) -> Request:
        """The turn's own request; its bytes are the same every time."""
        if self._request is None:
            return self._resume()
        body = self._request.model_copy(update={"background": self._background})
        return Request(method="POST", path=messages_path(self._conversation_id), body=body.to_json())

    def _resume(self) -> Request:
        """The rest of the run where it is known, else the identical request: the server replays it."""
        if self._request is not None and (self.run_id is None or self._stream.last_seq == 0):
            return self._send()
        body: dict[str, Any] = {"starting_after": self._stream.last_seq}
        if self.run_id is not None:
            body["run_id"] = self.run_id
        if self._conversation_id == "default":
            body["agent_id"] = self._agent_id
        return Request(
            method="POST",
            path=f"/v1/conversations/{self._conversation_id}/stream",
            body=json.dumps(body).encode(),
        )

    def _confirm(self) -> Request:
        """Ask which calls the server kept: of several streamed ones it may keep the first only (measured)."""
        return Request(
            method="GET",
            path=f"/v1/runs/{self.run_id}/messages",
            query={"order": "desc", "limit": _CONFIRM_LIMIT},
        )

    def _open(self, request: Request, state: _State = _State.SENT) -> Open:
        self._state = state
        return Open(request=request)

    def _wait(self, reason: str, seconds: float | None, then: Open) -> Wait:
        """Wait so long, or as long as the number of failures asks for."""
        self._next = then
        return Wait(seconds=retry.backoff(self._failures) if seconds is None else seconds, reason=reason)

    # The way it goes when nothing is wrong.

    def _streamed(self, chunk: bytes) -> Step:
        seen = self._stream.last_seq
        try:
            self._stream.feed(chunk)
        except ProtocolError as error:
            return self._fail(error)
        if self._stream.last_seq > seen:
            self._failures = 0
        if self._stream.complete:
            return self._drain()
        return Read(timeout=self._policy.grace) if self._stream.over else self._read

    def _drain(self) -> Step:
        """Nothing more can come but the end of the answer; a connection that was read to its end can be used again."""
        self._drained += 1
        return Read(timeout=_DRAIN_TIMEOUT) if self._drained <= _DRAIN_READS else self._end()

    def _complete(self) -> Step:
        """The turn ended, but the connection was lost before its usage or its error: read the end of the run again."""
        can_be_read = self._background and self.run_id is not None and self._stream.last_seq > 0
        if self._completing or self._stream.complete or not can_be_read:
            return self._end()
        self._completing = True
        return self._open(self._resume())

    def _end(self) -> Step:
        error = self._stream.failure(self._ids())
        if error is not None:
            return self._fail(error)
        if len(self._assembly.pending_ids) > 1 and self.run_id is not None:
            return self._open(self._confirm(), _State.CONFIRMING)
        return self._done(kept=None)

    def _confirmed(self, body: bytes) -> Step:
        try:
            rows = parse_messages(body)
        except ValueError:
            return self._confirm_again(f"the run's messages cannot be read: {excerpt(body)!r}")
        for row in rows:
            if isinstance(row, ApprovalRequestMessage):
                return self._done(kept={call.tool_call_id or "" for call in calls_of(row)})
        return self._confirm_again("the run's messages do not show the calls yet")

    def _done(self, kept: set[str] | None) -> Done:
        self._state = _State.OVER
        self._stream.events.extend(self._assembly.finish(kept))
        assert self._stream.stop is not None, "only a turn with a stop reason is done"
        return Done(
            turn=FinishedTurn(
                conversation_id=self._conversation_id,
                agent_id=self._agent_id,
                run_id=self.run_id,
                answer_id=self._assembly.answer_id,
                message_ids=self._assembly.message_ids,
                otids=self._otids,
                parts=self._assembly.parts(),
                stop_reason=self._stream.stop.stop_reason,
                usage=self._stream.usage,
            )
        )

    # Trouble.

    def _lost(self, reason: str, *, delay: float | None = None) -> Step:
        """A request went out and its fate is unknown: go on where the server dedupes, else stop."""
        self._unsure = True
        self._failures += 1
        if not self._background or self._stream.unnumbered or self._failures > self._policy.max_retries:
            return self._interrupted(reason)
        return self._wait(reason, delay, self._open(self._resume()))

    def _again(self, error: LettaError, *, delay: float | None = None) -> Step:
        """The request was not taken: send it again, or give up with `error`."""
        self._failures += 1
        if self._failures > self._policy.max_retries:
            return self._fail(error)
        return self._wait(error.message, delay, self._open(self._send()))

    def _confirm_again(self, reason: str) -> Step:
        self._failures += 1
        if self._failures > self._policy.max_retries:
            return self._interrupted(reason)
        return self._wait(reason, None, self._open(self._confirm(), _State.CONFIRMING))

    def _refused(self, body: bytes, *, cut: bool = False) -> Step:
        error = error_from_response(
            self._status,
            body,
            what=f"POST {messages_path(self._conversation_id)}",
            conversation_id=self._conversation_id,
            agent_id=self._agent_id,
        )
        if self._completing:
            return self._end()
        if isinstance(error, ConversationBusy):
            return self._busy(error)
        delay = retry.parse_retry_after(self._headers)
        too_long = delay is not None and delay > retry.MAX_RETRY_AFTER
        if self._accepted:  # it was a resume; a run that is gone is never sent again
            again = retry.should_retry(self._status) and not too_long
            return self._lost(str(error), delay=delay) if again else self._interrupted(str(error))
        if self._status == 503 and self._background and "redis" in (error.detail or "").lower():
            return self._fall_back(error)
        # A database conflict is the one 409 with a Retry-After; a cut one cannot be told from a busy one. In the
        # foreground, what the server did before it failed is unknown, so only a plain refusal is tried again.
        passing = retry.should_retry(self._status) or (self._status == 409 and (delay is not None or cut))
        self._unsure = self._unsure or self._status == 408 or self._status >= 500
        if too_long or not passing or not (self._background or self._status == 429):
            return self._fail(error)
        return self._again(error, delay=delay)

    def _fall_back(self, error: LettaError) -> Step:
        """The server cannot stream in the background."""
        self._background = self._capabilities.background = False
        if self._unsure:  # a request before this one may have been taken, and nothing dedupes in the foreground
            return self._interrupted(str(error))
        return self._open(self._send())

    def _busy(self, error: ConversationBusy) -> Step:
        delay = retry.busy_delay(self._busy_tries)
        self._busy_tries += 1
        self._busy_waited += delay
        if self._busy_waited > self._policy.busy_timeout:
            return self._fail(error)
        return self._wait(error.message, delay, self._open(self._resume()))

    def _interrupted(self, reason: str) -> Failed:
        error = TurnInterrupted(
            f"The connection was lost before the end of the turn was seen: {reason}.",
            hint="The server goes on with a turn that it accepted; read the conversation before sending again.",
            partial=self._assembly.partial_text,
            accepted=True if self._accepted else None,
            **self._ids(),
        )
        error.__cause__ = self._broken
        return self._fail(error)

    def _fail(self, error: LettaError) -> Failed:
        self._state = _State.OVER
        if self._unsure and error.accepted is False:
            error.accepted = None
        return Failed(error=error)

    def _ids(self) -> dict[str, Any]:
        return {"agent_id": self._agent_id, "conversation_id": self._conversation_id, "run_id": self.run_id}
