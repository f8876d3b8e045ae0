"""Two thin drivers that carry out the steps of a `Turn`: one for threads, one for tasks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from typing import Protocol

from typing_extensions import Self, assert_never

from letta_adapters.assembly import FinishedTurn, TurnEvent
from letta_adapters.errors import ConversationBusy, LettaError
from letta_adapters.exchange import Broken, Request
from letta_adapters.locks import ConversationLock
from letta_adapters.turn import Done, Failed, Open, Read, Step, Turn, Wait

__all__ = ["AsyncResponse", "AsyncTransport", "AsyncTurnStream", "Response", "Transport", "TurnStream"]


class Response(Protocol):
    """An answer whose body is read bit by bit. Methods raise `Broken` when the connection fails."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, names in lower case."""
        ...

    def read(self, timeout: float) -> bytes | None:
        """The next bytes, or `None` at the end."""
        ...

    def close(self) -> None:
        """Give the connection back, or cut it where the body was not read to its end."""
        ...


class AsyncResponse(Protocol):
    """The asynchronous twin of `Response`."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, names in lower case."""
        ...

    async def read(self, timeout: float) -> bytes | None:
        """The next bytes, or `None` at the end."""
        ...

    async def close(self) -> None:
        """Give the connection back, or cut it where the body was not read to its end."""
        ...


class Transport(Protocol):
    """Sends requests; raises `Broken` when the connection fails."""

    def open(self, request: Request, *, idle_timeout: float) -> Response:
        """Send a request and give the answer once its headers are here."""
        ...


class AsyncTransport(Protocol):
    """The asynchronous twin of `Transport`."""

    async def open(self, request: Request, *, idle_timeout: float) -> AsyncResponse:
        """Send a request and give the answer once its headers are here."""
        ...


def _busy_here(seconds: float) -> ConversationBusy:
    return ConversationBusy(
        f"Another turn of the conversation is in flight in this process, for more than {seconds:g} seconds.",
        status=409,
        hint="Finish or close the stream of the other turn, or raise `busy_timeout`.",
    )


class TurnStream:
    """A turn in flight: iterate over its events, then ask for its `result`.

    Nothing is sent before the first event is asked for. Leaving early closes the connection at once; the server goes
    on with a turn that it accepted.

    Raises:
        LettaError: While iterating; the tree is in `letta_adapters.errors`.
    """

    def __init__(
        self,
        turn: Turn,
        transport: Transport,
        *,
        lock: ConversationLock,
        busy_timeout: float,
        idle_timeout: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._turn = turn
        self._transport = transport
        self._lock = lock
        self._busy_timeout = busy_timeout
        self._idle_timeout = idle_timeout
        self._sleep = sleep
        self._response: Response | None = None
        self._finished: FinishedTurn | None = None
        self._error: LettaError | None = None
        self._events = self._run()

    @property
    def run_id(self) -> str | None:
        """The run, once the server named it."""
        return self._turn.run_id

    @property
    def replayed(self) -> bool:
        """Whether the server gives a run of before, because it knew the otids."""
        return self._turn.replayed

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> TurnEvent:
        return next(self._events)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def result(self) -> FinishedTurn:
        """Read to the end and give the finished turn.

        Raises:
            LettaError: The turn failed, or the stream was closed before its end.
        """
        for _ in self:
            pass
        if self._finished is None:
            raise self._error or LettaError("The stream was closed before the turn ended.", accepted=None)
        return self._finished

    def close(self) -> None:
        """Close the connection; the server goes on with a turn that it accepted."""
        self._events.close()

    def _run(self) -> Generator[TurnEvent, None, None]:
        if not self._lock.acquire(self._busy_timeout):
            self._error = _busy_here(self._busy_timeout)
            raise self._error
        locked = True
        try:
            step: Step | None = self._turn.start()
            while step is not None:
                step = self._carry_out(step)
                if locked and not self._turn.exclusive:
                    self._lock.release()
                    locked = False
                yield from self._turn.take_events()
            if self._error is not None:
                raise self._error
        finally:
            self._close_response()
            if locked:
                self._lock.release()

    def _carry_out(self, step: Step) -> Step | None:
        try:
            match step:
                case Read():
                    assert self._response is not None, "a Read follows an Open"
                    chunk = self._response.read(step.timeout)
                    return self._turn.closed() if chunk is None else self._turn.received(chunk)
                case Open():
                    self._close_response()
                    self._response = self._transport.open(step.request, idle_timeout=self._idle_timeout)
                    return self._turn.responded(self._response.status, self._response.headers)
                case Wait():
                    self._close_response()
                    self._sleep(step.seconds)
                    return self._turn.waited()
                case Done():
                    self._finished = step.turn
                    return None
                case Failed():
                    self._error = step.error
                    return None
                case _:
                    assert_never(step)
        except Broken as broken:
            return self._turn.broke(broken)

    def _close_response(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None


class AsyncTurnStream:
    """A turn in flight: iterate over its events, then await its `result`. The twin of `TurnStream`."""

    def __init__(
        self,
        turn: Turn,
        transport: AsyncTransport,
        *,
        lock: ConversationLock,
        busy_timeout: float,
        idle_timeout: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._turn = turn
        self._transport = transport
        self._lock = lock
        self._busy_timeout = busy_timeout
        self._idle_timeout = idle_timeout
        self._sleep = sleep
        self._response: AsyncResponse | None = None
        self._finished: FinishedTurn | None = None
        self._error: LettaError | None = None
        self._events = self._run()

    @property
    def run_id(self) -> str | None:
        """The run, once the server named it."""
        return self._turn.run_id

    @property
    def replayed(self) -> bool:
        """Whether the server gives a run of before, because it knew the otids."""
        return self._turn.replayed

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TurnEvent:
        return await self._events.__anext__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def result(self) -> FinishedTurn:
        """Read to the end and give the finished turn.

        Raises:
            LettaError: The turn failed, or the stream was closed before its end.
        """
        async for _ in self:
            pass
        if self._finished is None:
            raise self._error or LettaError("The stream was closed before the turn ended.", accepted=None)
        return self._finished

    async def aclose(self) -> None:
        """Close the connection; the server goes on with a turn that it accepted."""
        await self._events.aclose()

    async def _run(self) -> AsyncGenerator[TurnEvent, None]:
        if not await self._lock.acquire_async(self._busy_timeout):
            self._error = _busy_here(self._busy_timeout)
            raise self._error
        locked = True
        try:
            step: Step | None = self._turn.start()
            while step is not None:
                step = await self._carry_out(step)
                if locked and not self._turn.exclusive:
                    self._lock.release()
                    locked = False
                for event in self._turn.take_events():
                    yield event
            if self._error is not None:
                raise self._error
        finally:
            if locked:
                self._lock.release()
            await self._close_response()

    async def _carry_out(self, step: Step) -> Step | None:
        try:
            match step:
                case Read():
                    assert self._response is not None, "a Read follows an Open"
                    chunk = await self._response.read(step.timeout)
                    return self._turn.closed() if chunk is None else self._turn.received(chunk)
                case Open():
                    await self._close_response()
                    self._response = await self._transport.open(step.request, idle_timeout=self._idle_timeout)
                    return self._turn.responded(self._response.status, self._response.headers)
                case Wait():
                    await self._close_response()
                    await self._sleep(step.seconds)
                    return self._turn.waited()
                case Done():
                    self._finished = step.turn
                    return None
                case Failed():
                    self._error = step.error
                    return None
                case _:
                    assert_never(step)
        except Broken as broken:
            return self._turn.broke(broken)

    async def _close_response(self) -> None:
        if self._response is not None:
            response, self._response = self._response, None
            await response.close()
