"""Two thin drivers that carry out the steps of a `Turn`: one for threads, one for tasks."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

from typing_extensions import Self, assert_never

from letta_adapters.connections import AsyncResponse, AsyncTransport, Response, Transport
from letta_adapters.errors import ConversationBusy, LettaError, TurnInterrupted
from letta_adapters.events import FinishedTurn, TurnEvent
from letta_adapters.exchange import Broken, Request
from letta_adapters.locks import Hold, Patience
from letta_adapters.steps import Done, Failed, OnAbandon, Open, Read, Step, Wait
from letta_adapters.turn import Turn

if TYPE_CHECKING:
    import asyncio

__all__ = ["AsyncTurnStream", "TurnStream", "busy_here", "task_sleep"]


_LOG = logging.getLogger("letta_adapters")

_CANCEL_TIMEOUT = 5.0
_SEEN_OFF = "letta-adapters: a turn that its caller left"


def busy_here(seconds: float) -> ConversationBusy:
    """The error for a conversation that this process itself keeps busy."""
    return ConversationBusy(
        f"This process has another turn of the conversation in flight, for more than {seconds:g} s.",
        status=409,
        hint="Finish or close the stream of the other turn, or raise `busy_timeout`.",
    )


async def task_sleep(seconds: float) -> None:
    """Wait, in a task."""
    import asyncio  # not loaded before there is a task

    await asyncio.sleep(seconds)


class _Driver:
    """What both drivers share: how a turn ended, and how it is handed out.

    A stream refers to its driver and to the generator that the driver runs, never the other way round, so that a
    stream that nobody refers to any more is closed at once and not when a cycle happens to be collected.
    """

    def __init__(self, turn: Turn, *, hold: Hold, patience: Patience, idle_timeout: float, on_abandon: OnAbandon):
        self.turn = turn
        self.hold = hold
        self.patience = patience
        self.idle_timeout = idle_timeout
        self.on_abandon = on_abandon
        self.began = False
        self._let_others = False
        self._finished: FinishedTurn | None = None
        self._error: LettaError | None = None

    @property
    def over(self) -> bool:
        """Whether the turn was carried to its end."""
        return self._finished is not None or self._error is not None

    @property
    def goes_on(self) -> bool:
        """Whether the turn may go on at the server without us."""
        return self.began and (not self.over or isinstance(self._error, TurnInterrupted))

    @property
    def cancelling(self) -> Request | None:
        """What to send to the server when the caller leaves."""
        return self.turn.cancelling if self.on_abandon == "cancel" else None

    def let_others(self) -> None:
        """Let other turns of the conversation begin, once, as soon as the server keeps them apart."""
        if not self.turn.exclusive:
            self._let_others = True
            self.hold.accepted(self.turn.in_flight)

    def busy(self) -> LettaError:
        """The error for a conversation that this process keeps busy."""
        self._error = busy_here(self.patience.seconds)
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
    def __init__(self, turn: Turn, transport: Transport, sleep: Callable[[float], None], **rules: Any) -> None:
        super().__init__(turn, **rules)
        self._transport = transport
        self._sleep = sleep
        self._response: Response | None = None

    def run(self) -> Generator[TurnEvent, None, None]:
        if not self.hold.acquire(self.patience.left()):
            raise self.busy()
        self.began = True
        try:
            step = self.turn.start()
            while not isinstance(step, (Done, Failed)):
                step = self._carry_out(step)
                if not self._let_others:
                    self.let_others()
                yield from self.turn.take_events()
            self.ended(step)
            self.raise_failure()
        finally:
            try:
                self._close_response()
                if not self.over:
                    self._leave()
            finally:
                self.hold.release(goes_on=self.turn.in_flight if self.goes_on else None)

    def _carry_out(self, step: Open | Read | Wait) -> Step:
        try:
            match step:
                case Read():
                    assert self._response is not None, "a Read follows an Open"
                    chunk = self._response.read(step.timeout)
                    return self.turn.closed() if chunk is None else self.turn.received(chunk)
                case Open():
                    self._close_response()
                    self._response = self._transport.open(step.request, idle_timeout=self.idle_timeout)
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
        except LettaError as error:
            return self.turn.unreadable(error)

    def _leave(self) -> None:
        """The caller left before the end."""
        if request := self.cancelling:
            with suppress(Broken, LettaError):
                self._transport.open(request, idle_timeout=_CANCEL_TIMEOUT).close()
        if step := self.turn.abandoned():
            _start(lambda hold: self._see_off(step, hold), self.hold)

    def _see_off(self, step: Step, hold: Hold) -> None:
        """Keep other turns away until the one that its caller left is over."""
        try:
            while not isinstance(step, (Done, Failed)):
                step = self._carry_out(step)
        except Exception as error:
            _LOG.warning("A turn that its caller left is not waited for any longer: %s", error)
        finally:
            self._close_response()
            hold.release()

    def _close_response(self) -> None:
        if self._response is not None:
            response, self._response = self._response, None
            response.close()


class _AsyncDriver(_Driver):
    def __init__(
        self, turn: Turn, transport: AsyncTransport, sleep: Callable[[float], Awaitable[None]], **rules: Any
    ) -> None:
        super().__init__(turn, **rules)
        self._transport = transport
        self._sleep = sleep
        self._response: AsyncResponse | None = None

    async def run(self) -> AsyncGenerator[TurnEvent, None]:
        if not await self.hold.acquire_async(self.patience.left()):
            raise self.busy()
        self.began = True
        try:
            step = self.turn.start()
            while not isinstance(step, (Done, Failed)):
                step = await self._carry_out(step)
                if not self._let_others:
                    self.let_others()
                for event in self.turn.take_events():
                    yield event
            self.ended(step)
            self.raise_failure()
        finally:
            try:
                await self._close_response()
                if not self.over:
                    await self._leave()
            finally:
                self.hold.release(goes_on=self.turn.in_flight if self.goes_on else None)

    async def _carry_out(self, step: Open | Read | Wait) -> Step:
        try:
            match step:
                case Read():
                    assert self._response is not None, "a Read follows an Open"
                    chunk = await self._response.read(step.timeout)
                    return self.turn.closed() if chunk is None else self.turn.received(chunk)
                case Open():
                    await self._close_response()
                    self._response = await self._transport.open(step.request, idle_timeout=self.idle_timeout)
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
        except LettaError as error:
            return self.turn.unreadable(error)

    async def _leave(self) -> None:
        """The caller left before the end, perhaps because its task was cancelled: others do the rest.

        What keeps other turns away must outlive this event loop, so it is a thread with a loop of its own.
        """
        import asyncio

        if step := self.turn.abandoned():
            _start(lambda hold: asyncio.run(self._see_off(step, hold)), self.hold)
        if request := self.cancelling:
            await asyncio.shield(_in_background(self._cancel(request)))

    async def _cancel(self, request: Request) -> None:
        with suppress(Broken, LettaError):
            response = await self._transport.open(request, idle_timeout=_CANCEL_TIMEOUT)
            await response.close()

    async def _see_off(self, step: Step, hold: Hold) -> None:
        """Keep other turns away until the one that its caller left is over."""
        try:
            while not isinstance(step, (Done, Failed)):
                step = await self._carry_out(step)
        except Exception as error:
            _LOG.warning("A turn that its caller left is not waited for any longer: %s", error)
        finally:
            await self._close_response()
            hold.release()

    async def _close_response(self) -> None:
        if self._response is not None:
            response, self._response = self._response, None
            await response.close()


def _start(see_off: Callable[[Hold], None], hold: Hold) -> None:
    Thread(target=see_off, args=[hold.hand_over()], name=_SEEN_OFF, daemon=True).start()


_background: set[asyncio.Task[None]] = set()
"""Event loops refer to their tasks weakly."""


def _in_background(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    import asyncio

    task = asyncio.get_running_loop().create_task(work, name=_SEEN_OFF)
    _background.add(task)
    task.add_done_callback(_background.discard)
    return task


class TurnStream:
    """A turn in flight: iterate over its events, then ask for its `result`.

    Nothing is sent before the first event is asked for. Leaving early closes the connection at once; the server goes
    on with a turn that it accepted, or is asked to cancel it (`on_abandon`). Where it cannot stream in the background,
    and so keeps nobody away from such a turn, a thread waits for its end and other turns of this process wait for that.

    Raises:
        LettaError: While iterating; the tree is in `letta_adapters.errors`.
    """

    def __init__(
        self,
        turn: Turn,
        transport: Transport,
        *,
        hold: Hold,
        patience: Patience,
        idle_timeout: float,
        on_abandon: OnAbandon = "finish",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._driver = _BlockingDriver(
            turn, transport, sleep, hold=hold, patience=patience, idle_timeout=idle_timeout, on_abandon=on_abandon
        )
        self._events = self._driver.run()

    @property
    def run_id(self) -> str | None:
        """The run, once the server named it."""
        return self._driver.turn.run_id

    @property
    def replayed(self) -> bool:
        """Whether the server gives a run of before, because it knew the otids."""
        return self._driver.turn.replayed

    @property
    def background(self) -> bool:
        """Whether the turn runs in the background."""
        return self._driver.turn.background

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
        """Leave: close the connection, and do with the turn what `on_abandon` says."""
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
        patience: Patience,
        idle_timeout: float,
        on_abandon: OnAbandon = "finish",
        sleep: Callable[[float], Awaitable[None]] = task_sleep,
    ) -> None:
        self._driver = _AsyncDriver(
            turn, transport, sleep, hold=hold, patience=patience, idle_timeout=idle_timeout, on_abandon=on_abandon
        )
        self._events = self._driver.run()

    @property
    def run_id(self) -> str | None:
        """The run, once the server named it."""
        return self._driver.turn.run_id

    @property
    def replayed(self) -> bool:
        """Whether the server gives a run of before, because it knew the otids."""
        return self._driver.turn.replayed

    @property
    def background(self) -> bool:
        """Whether the turn runs in the background."""
        return self._driver.turn.background

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
        """Leave: close the connection, and do with the turn what `on_abandon` says."""
        await self._events.aclose()
