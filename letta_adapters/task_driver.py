"""The driver of a `Turn` for tasks; `asyncio` is not loaded before there is one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from typing_extensions import Self, assert_never

from letta_adapters.connections import AsyncResponse, AsyncTransport
from letta_adapters.driver import CANCEL_TIMEOUT, LOG, SEEN_OFF, Driver, see_off_elsewhere
from letta_adapters.errors import LettaError
from letta_adapters.events import FinishedTurn, TurnEvent
from letta_adapters.exchange import Broken, Request
from letta_adapters.locks import Hold, Patience
from letta_adapters.steps import Done, Failed, OnAbandon, Open, Read, Step, Wait
from letta_adapters.turn import Turn

if TYPE_CHECKING:
    import asyncio

__all__ = ["AsyncTurnStream", "task_sleep"]


async def task_sleep(seconds: float) -> None:
    """Wait, in a task."""
    import asyncio

    await asyncio.sleep(seconds)


class _TaskDriver(Driver):
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
                    LOG.info("Trying again in %.1f s: %s", step.seconds, step.reason)
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
            see_off_elsewhere(lambda hold: asyncio.run(self._see_off(step, hold)), self.hold)
        if request := self.cancelling:
            await asyncio.shield(_in_background(self._cancel(request)))

    async def _cancel(self, request: Request) -> None:
        with suppress(Broken, LettaError):
            response = await self._transport.open(request, idle_timeout=CANCEL_TIMEOUT)
            await response.close()

    async def _see_off(self, step: Step, hold: Hold) -> None:
        """Keep other turns away until the one that its caller left is over."""
        try:
            while not isinstance(step, (Done, Failed)):
                step = await self._carry_out(step)
        except Exception as error:
            LOG.warning("A turn that its caller left is not waited for any longer: %s", error)
        finally:
            await self._close_response()
            hold.release()

    async def _close_response(self) -> None:
        if self._response is not None:
            response, self._response = self._response, None
            await response.close()


_background: set[asyncio.Task[None]] = set()
"""Event loops refer to their tasks weakly."""


def _in_background(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    import asyncio

    task = asyncio.get_running_loop().create_task(work, name=SEEN_OFF)
    _background.add(task)
    task.add_done_callback(_background.discard)
    return task


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
        self._driver = _TaskDriver(
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

    def __anext__(self) -> Coroutine[Any, Any, TurnEvent]:
        return self._events.__anext__()

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
