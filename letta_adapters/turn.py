"""One turn, sent exactly once: a state machine without I/O.

The machine is told what happened (`responded`, `received`, `closed`, `broke`, `waited`) and answers with the next
step: open this request, read, wait, done, failed. Retries, resuming, dropping of repeated events and the reading of
errors exist here and nowhere else; the drivers only carry the steps out.

    start ─► Open(POST) ─► Read … Read ─► (Open(which calls wait?) ─► Read …) ─► Done
                ▲              │ lost before `stop_reason`
                ├── Wait ◄─────┤ then resume by run and sequence number, or the same POST again: with
                │              │ `background` the server replays the run of the same otids (measured on 0.16.8)
    looked for ─┘              └─► Open(what was stored?) ─► Read … ─► Done, or TurnInterrupted

Without background streams the server does not dedupe: a POST whose fate is unknown is then never sent again. What
became of it is read back (`reading.py`), and a request that may have been sent before is looked for first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

from letta_adapters import retry
from letta_adapters.assembly import Assembly
from letta_adapters.errors import ConversationBusy, LettaError, ProtocolError, QuotaExceeded, TurnInterrupted
from letta_adapters.events import FinishedTurn, TurnEvent
from letta_adapters.exchange import Broken, BrokenKind, Request, error_from_response
from letta_adapters.locks import InFlight, Patience
from letta_adapters.reading import (
    Answer,
    Reading,
    StoredTurn,
    Unreadable,
    kept_calls,
    record_of,
)
from letta_adapters.run_stream import RunStream
from letta_adapters.steps import Capabilities, Done, Failed, Open, Read, Step, TurnPolicy, Wait
from letta_adapters.turn_requests import Route, TurnRequests
from letta_adapters.wire import Run, TurnRequest

__all__ = ["Turn"]

T = TypeVar("T")

_CLOCK_SLACK = timedelta(seconds=2)
_MAX_ERROR_BODY = 64 * 1024
_MAX_READ_BODY = 64 * 1024 * 1024
_DRAIN_TIMEOUT = 0.25
"""Seconds to wait for the end of an answer that can bring nothing more."""
_DRAIN_READS = 8
_GOES_ON = "The server goes on with the turn; read the conversation before sending again."
_UNKNOWN = (
    "Whether the server has the turn is not known. Read the conversation before sending again, or send the same "
    "messages under the same otids."
)


class _State(Enum):
    WAITING = "waiting"
    SENT = "sent"  # a request of the turn is on its way
    REFUSED = "refused"  # reading the body of an error answer
    STREAMING = "streaming"
    WHOLE = "whole"  # reading an answer that does not stream
    ASKING = "asking"  # reading what the server stored
    OVER = "over"


class Turn:
    """One turn of a conversation.

    Args:
        request: What to send; its messages carry otids. `None` attaches to a run that is already at the server.
        conversation_id: The conversation, or `default` together with `agent_id`.
        agent_id: The agent, where known.
        run_id: The run to attach to; without it, the latest one in flight.
        starting_after: Number of the last event of the run that is not wanted.
        may_be_stored: Whether somebody may have sent the request before.
        stored_run_id: The run that has the request already: it is read back, and nothing is sent.
        after: The message that the request follows, where that is known.
        policy: How long it is tried.
        patience: How long it waits for other turns of the conversation.
        capabilities: What is known of the server.
        route: Where the turn goes, if not to the endpoints of its conversation.
    """

    def __init__(
        self,
        request: TurnRequest | None,
        *,
        conversation_id: str,
        agent_id: str | None = None,
        run_id: str | None = None,
        starting_after: int = 0,
        may_be_stored: bool = False,
        stored_run_id: str | None = None,
        after: str | None = None,
        policy: TurnPolicy | None = None,
        patience: Patience | None = None,
        capabilities: Capabilities | None = None,
        route: Route | None = None,
    ) -> None:
        route = route or Route()
        self._requests = TurnRequests(
            conversation_id=conversation_id, agent_id=agent_id, request=request, after=after, route=route
        )
        self._may_be_stored = may_be_stored
        self._stored_run_id = stored_run_id
        self._policy = policy or TurnPolicy()
        self._patience = patience or Patience(self._policy.busy_timeout)
        self._quiet: Patience | None = None  # since when there were only signs of life
        self._capabilities = capabilities or Capabilities()
        dedupes = route.send is None and self._capabilities.background
        self._background = request is None or (request.background and dedupes)
        self._whole = request is not None and not request.streaming
        self._stream = RunStream(
            Assembly(own_results=request.own_results if request else ()),
            conversation_id=conversation_id,
            otids=self._requests.otids,
            run_id=run_id,
            last_seq=starting_after,
        )
        self._state = _State.SENT
        self._accepted = False
        self._unsure = False  # a request went out and what became of it is not known
        self._drained = 0
        self._completions = 0  # times that the end was seen and its details were not
        self._next: Callable[[], Step] | None = None  # what comes after a wait
        self._answered: Callable[[Answer], Step] | None = None  # where the answer of a reading goes
        self._found = False  # the run was there before this turn
        self._broken: Broken | None = None  # the last failure, the cause of giving up
        self._answered_at: datetime | None = None  # by the server's clock
        self._status = 0
        self._headers: Mapping[str, str] = {}
        self._answer: list[bytes] = []  # body of an error answer, or of one that is read whole
        self._answer_size = 0
        self._failures = 0
        self._busy_tries = 0
        self._read = Read(timeout=self._policy.idle_timeout)

    # What the driver tells and asks.

    def start(self) -> Step:
        """Begin."""
        if self._stored_run_id is not None:
            return self._take_up(self._stored_run_id)
        if self._requests.request is not None and self._may_be_stored and not self._background:
            return self._look_for_it()
        return self._send()

    def responded(self, status: int, headers: Mapping[str, str]) -> Step:
        """The answer to the request has begun."""
        self._status, self._headers = status, headers
        self._answer, self._answer_size = [], 0
        if self._state is _State.ASKING:
            return self._read
        if status == 200 and headers.get("content-type", "").startswith("text/event-stream"):
            self._accepted = True
            self._answered_at = self._answered_at or retry.parse_date(headers.get("date", ""))
            self._state = _State.STREAMING
            self._stream.reconnected()
        elif status == 200 and self._whole:
            self._accepted = True
            self._state = _State.WHOLE
        else:
            self._state = _State.REFUSED  # the body says why
        return self._read

    def received(self, chunk: bytes) -> Step:
        """Bytes of the answer arrived."""
        if self._state is _State.STREAMING:
            return self._streamed(chunk)
        limit = _MAX_ERROR_BODY if self._state is _State.REFUSED else _MAX_READ_BODY
        self._answer.append(chunk)
        self._answer_size += len(chunk)
        return self.closed() if self._answer_size > limit else self._read

    def closed(self) -> Step:
        """The answer ended cleanly. That alone does not prove that the turn did."""
        if self._state is _State.REFUSED:
            return self._refused(b"".join(self._answer))
        if self._state is _State.ASKING:
            return self._answer_read(Answer(status=self._status, body=b"".join(self._answer)))
        if self._state is _State.WHOLE:
            return self._told_whole(b"".join(self._answer))
        return self._complete() if self._stream.over else self._lost("the stream ended before the turn did")

    def broke(self, broken: Broken) -> Step:
        """The connection failed, or was silent for too long."""
        self._broken = broken
        if self._state is _State.REFUSED:
            return self._refused(b"".join(self._answer), cut=True)
        if self._state is _State.ASKING:
            return self._answer_read(Answer(status=0, reason=broken.reason))
        if self._stream.over:
            return self._end() if broken.kind is BrokenKind.TIMEOUT else self._complete()
        if broken.kind is BrokenKind.CONNECT and not self._accepted:
            return self._again(broken.to_error())
        return self._lost(broken.reason)

    def unreadable(self, error: LettaError) -> Step:
        """The answer cannot be read at all, or nothing was sent: there is nothing to try again."""
        return self._fail(error)

    def waited(self) -> Step:
        """The time is over."""
        assert self._next is not None, "waited() follows a Wait"
        return self._next()

    def abandoned(self) -> Step | None:
        """The caller left: what is to be done until other turns may follow, `None` where nothing is.

        Without background streams the server keeps nobody away from a turn that goes on after its caller left.
        """
        maybe_taken = self._unsure or self._state in (_State.SENT, _State.REFUSED, _State.STREAMING, _State.WHOLE)
        if self._background or self._stream.over or self._state is _State.OVER or not maybe_taken:
            return None
        return self._read_back("its caller left")

    @property
    def cancelling(self) -> Request | None:
        """The request that cancels the turn, `None` where there is nothing that it could cancel."""
        sent = self._accepted or self._unsure or self._state is _State.SENT
        over = self._state is _State.OVER or self._stream.over or self._found
        return self._requests.cancel(self.run_id) if sent and not over else None

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
    def in_flight(self) -> InFlight:
        """The turn as those have to know it that come next."""
        return InFlight(run_id=self.run_id, otids=self._requests.otids)

    @property
    def background(self) -> bool:
        """Whether it runs in the background, so that the server replays it to whoever sends the same otids."""
        return self._background

    @property
    def replayed(self) -> bool:
        """Whether this is a run of before: the server knew these otids already.

        Nothing in the stream says so, but its first event is older than the answer that carries it; both times are
        the server's, in whole seconds. A run that this turn may have begun itself, before an answer was lost, is none.
        """
        began = self._stream.began
        return self._found or (
            not self._unsure
            and began is not None
            and self._answered_at is not None
            and self._answered_at - began > _CLOCK_SLACK
        )

    @property
    def exclusive(self) -> bool:
        """Whether other turns of the conversation must be kept away: until the server's own lock does it.

        Only a server that streams in the background locks, from the moment it accepted the turn; and only a turn whose
        run is known can be watched by those that come next.
        """
        kept_away = self._accepted and self._background and self.run_id is not None
        return not kept_away and self._state is not _State.OVER

    # Steps.

    def _send(self) -> Open:
        return self._open(
            self._requests.first(background=self._background, run_id=self.run_id, last_seq=self._stream.last_seq)
        )

    def _go_on(self) -> Open:
        return self._open(
            self._requests.next(background=self._background, run_id=self.run_id, last_seq=self._stream.last_seq)
        )

    def _open(self, request: Request, state: _State = _State.SENT) -> Open:
        self._state = state
        return Open(request=request)

    def _wait(self, reason: str, seconds: float | None, then: Callable[[], Step]) -> Wait:
        """Wait so long, or as long as the number of failures asks for."""
        self._state = _State.WAITING
        self._next = then
        return Wait(seconds=retry.backoff(self._failures) if seconds is None else seconds, reason=reason)

    # The way it goes when nothing is wrong.

    def _streamed(self, chunk: bytes) -> Step:
        seen = self._stream.last_seq
        try:
            self._stream.feed(chunk)
        except ProtocolError as error:
            # In the foreground nobody else keeps other turns away from a run that goes on.
            return self._fail(error) if self._background else self._read_back(error.message, otherwise=error)
        if self._stream.last_seq > seen or self._stream.events:
            self._failures, self._quiet = 0, None
            return self._read_on()
        self._quiet = self._quiet or self._patience.again(self._policy.quiet_timeout)
        if self._quiet.left() <= 0:  # a server that crashed leaves its run so, and pings for ever (measured)
            return self._interrupted(f"for {self._policy.quiet_timeout:g} s the server sent nothing but signs of life")
        return self._read_on()

    def _told_whole(self, body: bytes) -> Step:
        try:
            self._stream.take_whole(body)
        except ProtocolError as error:  # cut off, though it ended cleanly: what became of the turn is in the records
            return self._read_back(error.message, otherwise=error)
        return self._end()

    def _read_on(self) -> Step:
        if not self._stream.over:
            return self._read
        return self._drain() if self._stream.complete else Read(timeout=self._policy.grace)

    def _drain(self) -> Step:
        """Nothing more can come but the end of the answer; a connection that was read to its end can be used again."""
        self._drained += 1
        return Read(timeout=_DRAIN_TIMEOUT) if self._drained <= _DRAIN_READS else self._end()

    def _complete(self) -> Step:
        """The turn ended, but the connection was lost before its usage or its error: ask for them again."""
        self._completions += 1
        if self._completions > 2 or self._stream.complete or self.run_id is None:
            return self._end()
        if self._background and self._stream.last_seq > 0 and self._completions == 1:
            return self._go_on()
        reading = self._requests.what_became_of_it(self.run_id, sent=True, at_most=0, policy=self._policy)
        return self._ask(reading, then=self._completed, failed=lambda _: self._end())

    def _completed(self, stored: StoredTurn | None) -> Step:
        """Take the usage and the error of a turn, of which everything else was streamed."""
        if stored is not None:
            self._stream.complete_with(stored)
        return self._end()

    def _end(self) -> Step:
        error = self._stream.failure(self._ids())
        if error is not None:
            return self._fail(error)
        if len(self._stream.assembly.pending_ids) > 1 and self.run_id is not None:
            kept = kept_calls(self.run_id, retries=self._policy.max_retries)
            return self._ask(kept, then=self._done, failed=lambda trouble: self._interrupted(str(trouble)))
        return self._done(kept=None)

    def _done(self, kept: set[str] | None) -> Done:
        self._state = _State.OVER
        self._stream.events.extend(self._stream.assembly.finish(kept))
        assert self._stream.stop is not None, "only a turn with a stop reason is done"
        return Done(
            turn=FinishedTurn(
                conversation_id=self._requests.conversation_id,
                agent_id=self._requests.agent_id,
                run_id=self.run_id,
                answer_id=self._stream.assembly.answer_id,
                message_ids=self._stream.assembly.message_ids,
                otids=self._requests.otids,
                parts=self._stream.assembly.parts(),
                stop_reason=self._stream.stop.stop_reason,
                usage=self._stream.usage,
                logprobs=self._stream.logprobs,
                token_turns=self._stream.token_turns,
            )
        )

    # Trouble.

    def _lost(self, reason: str, *, delay: float | None = None) -> Step:
        """A request went out and its fate is unknown: go on where the server dedupes, else see what it stored."""
        self._unsure = True
        self._failures += 1
        if not self._background or self._stream.unnumbered:
            return self._read_back(reason)
        if self._failures <= self._policy.max_retries:
            return self._wait(reason, delay, self._go_on)
        unreachable = self._broken is not None and self._broken.kind is BrokenKind.CONNECT
        return self._interrupted(reason) if unreachable else self._read_back(reason)

    def _again(self, error: LettaError, *, delay: float | None = None) -> Step:
        """The request was not taken: send it again, or give up with `error`."""
        self._failures += 1
        if self._failures > self._policy.max_retries:
            return self._fail(error)
        return self._wait(error.message, delay, self._send)

    def _refused(self, body: bytes, *, cut: bool = False) -> Step:
        error = error_from_response(
            self._status,
            body,
            what=f"POST {self._requests.address}",
            location=self._headers.get("location"),
            conversation_id=self._requests.conversation_id,
            agent_id=self._requests.agent_id,
        )
        if self._stream.over:
            return self._complete()
        if isinstance(error, ConversationBusy):
            return self._busy(error)
        delay = retry.parse_retry_after(self._headers)
        too_long = delay is not None and delay > retry.MAX_RETRY_AFTER
        if self._status == 503 and self.run_id is None and "redis" in (error.detail or "").lower() and self._background:
            return self._fall_back()
        passing = retry.should_retry(self._status) and not isinstance(error, QuotaExceeded)
        if self._accepted:  # it was a resume; a run that is gone is never sent again
            again = passing and not too_long
            return self._lost(str(error), delay=delay) if again else self._read_back(str(error))
        # A database conflict is the one 409 with a Retry-After; a cut one cannot be told from a busy one. In the
        # foreground, what the server did before it failed is unknown, so only a plain refusal is tried again.
        passing = passing or (self._status == 409 and (delay is not None or cut))
        self._unsure = self._unsure or self._status == 408 or (self._status >= 500 and error.accepted is None)
        if not self._background and self._unsure:
            return self._read_back(str(error), otherwise=error)
        if too_long or not passing:
            return self._fail(error)
        return self._again(error, delay=delay)

    def _fall_back(self) -> Step:
        """The server cannot stream in the background; what seemed accepted before, without any event, was not."""
        self._accepted = False
        self._background = self._capabilities.background = False
        # A request before this one may have been taken, and nothing dedupes in the foreground.
        self._may_be_stored = self._may_be_stored or self._unsure
        return self.start()

    def _busy(self, error: ConversationBusy) -> Step:
        left = self._patience.left()
        if left <= 0:
            return self._fail(error)
        delay = min(left, retry.busy_delay(self._busy_tries))
        self._busy_tries += 1
        return self._wait(error.message, delay, self._go_on)

    # Reading back what was stored.

    def _ask(self, reading: Reading[T], *, then: Callable[[T], Step], failed: Callable[[Unreadable], Step]) -> Step:
        """Carry out a reading, then go on with what it brought."""

        def go_on(answer: Answer | None) -> Step:
            try:
                wanted = reading.send(answer)
            except StopIteration as read:
                return then(read.value)
            except Unreadable as trouble:
                return failed(trouble)
            if isinstance(wanted, Request):
                self._answered = go_on
                return self._open(wanted, _State.ASKING)
            return self._wait(wanted.reason, wanted.seconds, lambda: go_on(None))

        return go_on(None)

    def _answer_read(self, answer: Answer) -> Step:
        assert self._answered is not None, "an answer that is read whole follows a reading"
        return self._answered(answer)

    def _take_up(self, run_id: str) -> Step:
        """Attach to the run that has the request already; nobody can attach to one that is not in the background."""

        def recorded(run: Run) -> Step:
            self._found = self._accepted = True
            self._requests = replace(self._requests, attached_to=run_id)
            if run.background and self._background:
                return self._send()
            return self._read_back("it was sent before")

        record = record_of(run_id, retries=self._policy.max_retries)
        return self._ask(record, then=recorded, failed=lambda trouble: self._fail(trouble.to_error(self._ids())))

    def _look_for_it(self) -> Step:
        """Send the request unless it is there already."""

        def looked(stored: StoredTurn | None) -> Step:
            self._found = stored is not None
            return self._send() if stored is None else self._recovered(stored)

        reading = self._requests.what_became_of_it(
            None, sent=self._unsure, at_most=self._patience.left(), policy=self._policy
        )
        return self._ask(reading, then=looked, failed=self._not_looked_up)

    def _not_looked_up(self, trouble: Unreadable) -> Step:
        if trouble.run_id is None:
            return self._fail(trouble.to_error(self._ids()))
        self._accepted = True
        return self._interrupted(str(trouble))

    def _read_back(self, reason: str, *, otherwise: LettaError | None = None) -> Step:
        """Find out what became of a request; without any trace of it, raise `otherwise` or an interruption."""

        def read(stored: StoredTurn | None) -> Step:
            if stored is not None:
                return self._recovered(stored)
            return self._fail(otherwise) if otherwise else self._interrupted(reason)

        run_id = self.run_id or self._requests.attached_to
        reading = self._requests.what_became_of_it(
            run_id, sent=True, at_most=self._policy.idle_timeout, policy=self._policy
        )

        def failed(trouble: Unreadable) -> Step:
            return self._fail(otherwise) if otherwise else self._interrupted(f"{reason}; {trouble}")

        return self._ask(reading, then=read, failed=failed)

    def _recovered(self, stored: StoredTurn) -> Step:
        """Take what the server stored for the turn."""
        self._accepted, self._unsure = True, False
        try:
            self._stream.read_back(stored)
        except ValueError as contradiction:
            return self._interrupted(str(contradiction))
        error = self._stream.failure(self._ids())
        if error is None:
            return self._done(kept=None)
        # A filter of types hides rows of the run too (measured), so that only what is listed proves something.
        hidden = self._requests.request is not None and self._requests.request.include_return_message_types is not None
        error.accepted = True if stored.rows else None if hidden else False
        return self._fail(error)

    def _interrupted(self, reason: str) -> Failed:
        error = TurnInterrupted(
            f"The connection was lost before the end of the turn was seen: {reason}.",
            hint=_GOES_ON if self._accepted else _UNKNOWN,
            partial=self._stream.assembly.partial_text,
            accepted=True if self._accepted else None,
            **self._ids(),
        )
        error.__cause__ = self._broken
        return self._fail(error)

    def _fail(self, error: LettaError) -> Failed:
        self._state = _State.OVER
        if self._unsure and error.accepted is False:
            error.accepted = None
        for name, value in self._ids().items():  # what read the answer does not know whose it was
            setattr(error, name, getattr(error, name) or value)
        return Failed(error=error)

    def _ids(self) -> dict[str, Any]:
        return {
            "agent_id": self._requests.agent_id,
            "conversation_id": self._requests.conversation_id,
            "run_id": self.run_id,
        }
