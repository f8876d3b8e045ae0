"""What carries out the steps of a `Turn`; `thread_driver.py` and `task_driver.py` do the waiting and the I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Thread

from letta_adapters.daemons import start_daemon
from letta_adapters.errors import ConversationBusy, LettaError, TurnInterrupted
from letta_adapters.events import FinishedTurn
from letta_adapters.exchange import Request
from letta_adapters.locks import Hold, Patience
from letta_adapters.steps import Done, Failed, OnAbandon
from letta_adapters.turn import Turn

__all__ = ["CANCEL_TIMEOUT", "LOG", "SEEN_OFF", "Driver", "busy_here", "see_off_elsewhere"]

LOG = logging.getLogger("letta_adapters")

CANCEL_TIMEOUT = 5.0
"""Seconds that the request may take which cancels a turn that its caller left."""

SEEN_OFF = "letta-adapters: a turn that its caller left"
"""Name of the thread or task that does the rest."""


def busy_here(seconds: float) -> ConversationBusy:
    """The error for a conversation that this process itself keeps busy."""
    return ConversationBusy(
        f"This process has another turn of the conversation in flight, for more than {seconds:g} s.",
        status=409,
        hint="Finish or close the stream of the other turn, or raise `busy_timeout`.",
    )


class Driver:
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


def see_off_elsewhere(see_off: Callable[[Hold], None], hold: Hold) -> None:
    """Hand the hold over to a thread that outlives the caller, and the caller's event loop."""
    handed_over = hold.hand_over()
    if not start_daemon(Thread(target=see_off, args=[handed_over], name=SEEN_OFF)):
        handed_over.release()
