"""How endpoints are called and turns are made ready: for threads and for tasks.

A client and its resources refer to a sender, never to each other, so that dropping the client closes its connections.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    before_sleep_log,
    retry_if_exception,
    stop_after_attempt,
)

from letta_adapters import retry
from letta_adapters.client.endpoints import Endpoint
from letta_adapters.client.settings import Settings
from letta_adapters.client.turns import PreparedTurn
from letta_adapters.errors import LettaError, ProtocolError, QuotaExceeded
from letta_adapters.exchange import Broken, BrokenKind, Request, error_from_response, excerpt
from letta_adapters.locks import ConversationLock, Hold, Patience, conversation_lock
from letta_adapters.steps import Capabilities, TurnPolicy
from letta_adapters.task_driver import AsyncTurnStream, task_sleep
from letta_adapters.thread_driver import TurnStream
from letta_adapters.turn import Turn

if TYPE_CHECKING:
    from letta_adapters.client.transport import AsyncHTTPTransport, HTTPTransport

__all__ = ["AsyncSender", "BlockingSender"]

T = TypeVar("T")

_LOG = logging.getLogger("letta_adapters")


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """A whole answer."""

    status: int
    retry_after: float | None
    location: str | None
    body: bytes


def _whole(status: int, headers: Mapping[str, str], body: bytes) -> _Answer:
    retry_after = retry.parse_retry_after(headers)
    return _Answer(status=status, retry_after=retry_after, location=headers.get("location"), body=body)


class _Unavailable(Exception):
    """An answer that may be another one next time."""

    def __init__(self, error: LettaError, retry_after: float | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after


def _result(endpoint: Endpoint[T], answer: _Answer, attempt: int) -> T:
    """Read an answer, or raise what it means."""
    what = f"{endpoint.request.method} {endpoint.request.path}"
    if attempt > 1 and answer.status == 404 and endpoint.request.method == "DELETE":
        return endpoint.read(b"")  # an attempt whose answer was lost has deleted it
    if not 200 <= answer.status < 300:
        error = error_from_response(answer.status, answer.body, what=what, location=answer.location)
        patient = answer.retry_after is None or answer.retry_after <= retry.MAX_RETRY_AFTER
        # A conflict in the server's database is the one 409 with a Retry-After.
        passing = retry.should_retry(answer.status) or (answer.status == 409 and answer.retry_after is not None)
        refused = answer.status in (429, 503) and error.accepted is False  # nothing was done
        if patient and passing and (endpoint.repeatable or refused) and not isinstance(error, QuotaExceeded):
            raise _Unavailable(error, answer.retry_after)
        raise error
    try:
        return endpoint.read(answer.body)
    except ValueError:
        error = ProtocolError(
            f"{what} was answered with {excerpt(answer.body)!r}, which cannot be read.", accepted=None
        )
        if endpoint.repeatable and _may_be_cut(answer.body):
            raise _Unavailable(error, None) from None
        raise error from None


def _may_be_cut(body: bytes) -> bool:
    """Whether an answer may have been ended before its end, cleanly: it is nothing, or JSON that stops somewhere."""
    try:
        json.loads(body)
    except ValueError:
        return body[:1] in (b"", b"{", b"[")
    except RecursionError:
        pass
    return False


def _may_repeat(endpoint: Endpoint[T], error: BaseException) -> bool:
    if isinstance(error, Broken):
        return endpoint.repeatable or error.kind is BrokenKind.CONNECT
    return isinstance(error, _Unavailable)


def _delay(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _Unavailable) and error.retry_after is not None:
        return error.retry_after
    return retry.backoff(state.attempt_number)


def _public(error: Broken | _Unavailable) -> LettaError:
    return error.error if isinstance(error, _Unavailable) else error.to_error()


class _Sender:
    """What both senders share: the server's address, how long things are tried, what was learned."""

    def __init__(self, settings: Settings, policy: TurnPolicy) -> None:
        self.settings = settings
        self.policy = policy
        self._capabilities = Capabilities()

    def patience(self) -> Patience:
        """How long to wait for other turns of a conversation."""
        return Patience(self.policy.busy_timeout)

    def _new_turn(self, prepared: PreparedTurn, patience: Patience) -> Turn:
        return Turn(
            prepared.request,
            conversation_id=prepared.conversation_id,
            agent_id=prepared.agent_id,
            run_id=prepared.run_id,
            starting_after=prepared.starting_after,
            may_be_stored=prepared.may_be_stored,
            stored_run_id=prepared.stored_run_id,
            after=prepared.after,
            policy=self.policy,
            patience=patience,
            capabilities=self._capabilities,
            route=prepared.route,
        )

    def hold(self, conversation_id: str, agent_id: str | None = None) -> Hold:
        """The right to send to a conversation, not yet taken."""
        key = [self.settings.base_url, conversation_id]
        if conversation_id == "default":
            key.append(agent_id or "")
        return Hold(conversation_lock(*key))

    def _hold_for(self, prepared: PreparedTurn) -> Hold:
        if prepared.request is None:  # attaching sends nothing that could get in anybody's way
            return Hold(ConversationLock())
        return self.hold(prepared.conversation_id, prepared.agent_id)


class BlockingSender(_Sender):
    """Sends for threads."""

    def __init__(
        self,
        settings: Settings,
        policy: TurnPolicy,
        transport: HTTPTransport,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(settings, policy)
        self._transport = transport
        self._sleep = sleep

    def send(self, endpoint: Endpoint[T]) -> T:
        """Call an endpoint, trying again where that does no harm."""
        retrying = Retrying(
            retry=retry_if_exception(lambda error: _may_repeat(endpoint, error)),
            stop=stop_after_attempt(self.policy.max_retries + 1),
            wait=_delay,
            sleep=self._sleep,
            before_sleep=before_sleep_log(_LOG, logging.INFO),
            reraise=True,
        )
        try:
            for attempt in retrying:
                with attempt:
                    answer = self._exchange(endpoint.request)
                    return _result(endpoint, answer, attempt.retry_state.attempt_number)
        except (Broken, _Unavailable) as error:
            raise _public(error) from error
        raise AssertionError("tenacity ends with a result or an error")

    def open_turn(self, prepared: PreparedTurn, hold: Hold | None = None) -> TurnStream:
        """Make a turn ready to be streamed; `hold` is the right to send, where it was taken before."""
        patience = prepared.patience or self.patience()
        return TurnStream(
            self._new_turn(prepared, patience),
            self._transport,
            hold=hold or self._hold_for(prepared),
            patience=patience,
            idle_timeout=self.policy.idle_timeout,
            on_abandon=prepared.on_abandon,
            sleep=self._sleep,
        )

    def pause(self, seconds: float) -> None:
        """Wait."""
        self._sleep(seconds)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _exchange(self, request: Request) -> _Answer:
        idle = self.policy.idle_timeout
        response = self._transport.open(request, idle_timeout=idle)
        try:
            body = b"".join(iter(lambda: response.read(idle), None))
        finally:
            response.close()
        return _whole(response.status, response.headers, body)


class AsyncSender(_Sender):
    """Sends for tasks."""

    def __init__(
        self,
        settings: Settings,
        policy: TurnPolicy,
        transport: AsyncHTTPTransport,
        *,
        sleep: Callable[[float], Awaitable[None]] = task_sleep,
    ) -> None:
        super().__init__(settings, policy)
        self._transport = transport
        self._sleep = sleep

    async def send(self, endpoint: Endpoint[T]) -> T:
        """Call an endpoint, trying again where that does no harm."""
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: _may_repeat(endpoint, error)),
            stop=stop_after_attempt(self.policy.max_retries + 1),
            wait=_delay,
            sleep=self._sleep,
            before_sleep=before_sleep_log(_LOG, logging.INFO),
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    answer = await self._exchange(endpoint.request)
                    return _result(endpoint, answer, attempt.retry_state.attempt_number)
        except (Broken, _Unavailable) as error:
            raise _public(error) from error
        raise AssertionError("tenacity ends with a result or an error")

    def open_turn(self, prepared: PreparedTurn, hold: Hold | None = None) -> AsyncTurnStream:
        """Make a turn ready to be streamed; `hold` is the right to send, where it was taken before."""
        patience = prepared.patience or self.patience()
        return AsyncTurnStream(
            self._new_turn(prepared, patience),
            self._transport,
            hold=hold or self._hold_for(prepared),
            patience=patience,
            idle_timeout=self.policy.idle_timeout,
            on_abandon=prepared.on_abandon,
            sleep=self._sleep,
        )

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await self._sleep(seconds)

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        await self._transport.close()

    async def _exchange(self, request: Request) -> _Answer:
        idle = self.policy.idle_timeout
        response = await self._transport.open(request, idle_timeout=idle)
        try:
            pieces: list[bytes] = []
            while (piece := await response.read(idle)) is not None:
                pieces.append(piece)
        finally:
            await response.close()
        return _whole(response.status, response.headers, b"".join(pieces))
