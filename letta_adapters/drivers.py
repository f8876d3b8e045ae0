"""Two thin drivers that carry out the steps of a `Turn`: one for threads, one for tasks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from typing import Protocol

from typing_extensions import Self, assert_never

from letta_adapters.errors import ConversationBusy, LettaError
from letta_adapters.events import FinishedTurn, TurnEvent
from letta_adapters.exchange import Broken, Request
from letta_adapters.locks import Hold
from letta_adapters.steps import Done, Failed, Open, Read, Step, Wait
from letta_adapters.turn import Turn

__all__ = ["AsyncResponse", "AsyncTransport", "AsyncTurnStream", "Response", "Transport", "TurnStream", "busy_here"]


_LOG = logging.getLogger("letta_adapters")


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


def busy_here(seconds: float) -> ConversationBusy:
    """The error for a conversation that this process itself keeps busy."""
    return ConversationBusy(
        f"This process has another turn of the conversation in flight, for more than {seconds:g} s.",
        status=409,
        hint="Finish or close the stream of the other turn, or raise `busy_timeout`.",
    )


class _Driver:
    """What both drivers share: how a turn ended, and how it is handed out.

    A stream refers to its driver and to the generator that the driver runs, never the other way round, so that a
    stream that nobody refers to any more is closed at once and not when a cycle happens to be collected.
    """

    def __init__(self, turn: Turn, hold: Hold, busy_timeout: float) -> None:
        self.turn = turn
        self.hold = hold
        self.busy_timeout = busy_timeout
        self.began = False
        self._finished: FinishedTurn | None = None
        self._error: LettaError | None = None

    def busy(self) -> LettaError:
        """The error for a conversation that this process keeps busy."""
        self._error = busy_here(self.busy_timeout)
        return self._error

    def ended(self, step: Done | Failed) -> None:
        """Keep how the turn ended."""
        if isinstance(step, Done):
            self._finished = step.turn
        else:
            self._error = step.error

    def raise_failure(self) -> None:
        """Raise the error that the turn ended with, if it did."""
        if self._error is not None:
            raise self._error

    def result(self) -> FinishedTurn:
        """The finished turn, or the error that stands in its place."""
        self.raise_failure()
        if self._finished is None:
            accepted = None if self.began else False
            raise LettaError("The stream was closed before the turn ended.", accepted=accepted)
        return self._finished


class _BlockingDriver(_Driver):
    def __init__(
        self,
        turn: Turn,
        transport: Transport,
        hold: Hold,
        busy_timeout: float,
        idle_timeout: float,
        sleep: Callable[[float], None],
    ) -> None:
        super().__init__(turn, hold, busy_timeout)
        self._transport = transport
        self._idle_timeout = idle_timeout
        self._sleep = sleep
        self._response: Response | None = None

    def run(self) -> Generator[TurnEvent, None, None]:
        if not self.hold.acquire(self.busy_timeout):
            raise self.busy()
        self.began = True
        try:
            step: Step = self.turn.start()
            while not isinstance(step, (Done, Failed)):
                step = self._carry_out(step)
                if not self.turn.exclusive:
                    self.hold.release()
                yield from self.turn.take_events()
            self.ended(step)
            self.raise_failure()
        finally:
            self.hold.release()
            self._close_response()

    def _carry_out(self, step: Open | Read | Wait) -> Step:
        try:
            match step:
                case Read():
                    assert self._response is not None, "a Read follows an Open"
                    chunk = self._response.read(step.timeout)
                    return self.turn.closed() if chunk is None else self.turn.received(chunk)
                case Open():
                    self._close_response()
                    self._response = self._transport.open(step.request, idle_timeout=self._idle_timeout)
                    return self.turn.responded(self._response.status, self._response.headers)
                case Wait():
                    self._close_response()
                    _LOG.info("Trying again in %.1f s: %s", step.seconds, step.reason)
                    self._sleep(step.seconds)
                    return self.turn.waited()
                case _:
                    assert_never(step)
        except Broken as broken:
            return self.turn.broke(broken)

    def _close_response(self) -> None:
        if self._response is not None:
            response, self._response = self._response, None
            response.close()


class _AsyncDriver(_Driver):
    def __init__(
        self,
        turn: Turn,
        transport: AsyncTransport,
        hold: Hold,
        busy_timeout: float,
        idle_timeout: float,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        super().__init__(turn, hold, busy_timeout)
        self._transport = transport
        self._idle_timeout = idle_timeout
        self._sleep = sleep
        self._response: AsyncResponse | None = None

    async def run(self) -> AsyncGenerator[TurnEvent, None]:
        if not await self.hold.acquire_async(self.busy_timeout):
            raise self.busy()
        self.began = True
        try:
            step: Step = self.turn.start()
            while not isinstance(step, (Done, Failed)):
                step = await self._carry_out(step)
                if not self.turn.exclusive:
                    self.hold.release()
                for event in self.turn.take_events():
                    yield event
            self.ended(step)
            self.raise_failure()
        finally:
            self.hold.release()
            await self._close_response()

    async def _carry_out(self, step: Open | Read | Wait) -> Step:
        try:
            match step:
                case Read():
                    assert self._response is not None, "a Read follows an Open"
                    chunk = await self._response.read(step.timeout)
                    return self.turn.closed() if chunk is None else self.turn.received(chunk)
                case Open():
                    await self._close_response()
                    self._response = await self._transport.open(step.request, idle_timeout=self._idle_timeout)
                    return self.turn.responded(self._response.status, self._response.headers)
                case Wait():
                    await self._close_response()
                    _LOG.info("Trying again in %.1f s: %s", step.seconds, step.reason)
                    await self._sleep(step.seconds)
                    return self.turn.waited()
                case _:
                    assert_never(step)
        except Broken as broken:
            return self.turn.broke(broken)

    async def _close_response(self) -> None:
        if self._response is not None:
            response, self._response = self._response, None
            await response.close()


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
        hold: Hold,
        busy_timeout: float,
        idle_timeout: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._driver = _BlockingDriver(turn, transport, hold, busy_timeout, idle_timeout, sleep)
        self._events = self._driver.run()

    @property
    def run_id(self) -> str | None:
        """The run, once the server named it."""
        return self._driver.turn.run_id

    @property
    def replayed(self) -> bool:
        """Whether the server gives a run of before, because it knew the otids."""
        return self._driver.turn.replayed

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
        return self._driver.result()

    def close(self) -> None:
        """Close the connection; the server goes on with a turn that it accepted."""
        self._events.close()


class AsyncTurnStream:
    """A turn in flight: iterate over its events, then await its `result`. The twin of `TurnStream`.

    It belongs to one task: another one may cancel that task, not close the stream under it.
    """

    def __init__(
        self,
        turn: Turn,
        transport: AsyncTransport,
        *,
        hold: Hold,
        busy_timeout: float,
        idle_timeout: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._driver = _AsyncDriver(turn, transport, hold, busy_timeout, idle_timeout, sleep)
        self._events = self._driver.run()

    @property
    def run_id(self) -> str | None:
        """The run, once the server named it."""
        return self._driver.turn.run_id

    @property
    def replayed(self) -> bool:
        """Whether the server gives a run of before, because it knew the otids."""
        return self._driver.turn.replayed

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
        return self._driver.result()

    async def aclose(self) -> None:
        """Close the connection; the server goes on with a turn that it accepted."""
        await self._events.aclose()
