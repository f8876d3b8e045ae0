"""The driver of a `Turn` for threads."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

from typing_extensions import Self, assert_never

from letta_adapters.connections import Response, Transport
from letta_adapters.driver import CANCEL_TIMEOUT, LOG, Driver, see_off_elsewhere
from letta_adapters.errors import LettaError
from letta_adapters.events import FinishedTurn, TurnEvent
from letta_adapters.exchange import Broken
from letta_adapters.locks import Hold, Patience
from letta_adapters.steps import Done, Failed, OnAbandon, Open, Read, Step, Wait
from letta_adapters.turn import Turn

__all__ = ["TurnStream"]


class _ThreadDriver(Driver):
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
                    LOG.info("Trying again in %.1f s: %s", step.seconds, step.reason)
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
        if sys.is_finalizing():
            return  # the process ends with the stream open, and nothing can be sent any more
        if request := self.cancelling:
            with suppress(Broken, LettaError), self._transport.beside() as transport:
                transport.open(request, idle_timeout=CANCEL_TIMEOUT).close()
        if step := self.turn.abandoned():
            see_off_elsewhere(lambda hold: self._see_off(step, hold), self.hold)

    def _see_off(self, step: Step, hold: Hold) -> None:
        """Keep other turns away until the one that its caller left is over."""
        try:
            with self._transport.beside() as self._transport:  # who left a turn may close the client as well
                try:
                    while not isinstance(step, (Done, Failed)):
                        step = self._carry_out(step)
                finally:
                    self._close_response()
        except Exception as error:
            LOG.warning("A turn that its caller left is not waited for any longer: %s", error)
        finally:
            hold.release()

    def _close_response(self) -> None:
        if self._response is not None:
            response, self._response = self._response, None
            response.close()


class TurnStream:
    """A turn in flight: iterate over its events, then ask for its `result`.

    Nothing is sent before the first event is asked for. Leaving early closes the connection at once; the server goes
    on with a turn that it accepted, or is asked to cancel it (`on_abandon`). Where it cannot stream in the background,
    and so keeps nobody away from such a turn, a thread waits for its end and other turns of this process wait for that.
    A process that ends with the stream open cancels nothing: leave it before.

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
        self._driver = _ThreadDriver(
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
