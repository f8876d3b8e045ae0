"""The steps that a `Turn` answers with, and how long it is tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from letta_adapters.errors import LettaError
from letta_adapters.events import FinishedTurn
from letta_adapters.exchange import Request

__all__ = ["Capabilities", "Done", "Failed", "OnAbandon", "Open", "Read", "Step", "TurnPolicy", "Wait"]

OnAbandon = Literal["finish", "cancel"]
"""What becomes of a turn at the server when its caller leaves before its end."""


@dataclass(frozen=True, kw_only=True)
class TurnPolicy:
    """How long a turn is tried.

    Args:
        idle_timeout: Seconds without any byte after which a connection counts as lost; pings are bytes.
        quiet_timeout: Seconds of nothing but pings after which a turn is given up.
        max_retries: Failures in a row, without any new event between them, after which a turn is given up.
        busy_timeout: Seconds to wait, in all, for another turn of the conversation to end.
        grace: Seconds to wait for the usage statistics after the stop reason.
    """

    idle_timeout: float = 90.0
    quiet_timeout: float = 900.0
    max_retries: int = 5
    busy_timeout: float = 60.0
    grace: float = 2.0


@dataclass(kw_only=True)
class Capabilities:
    """What was learned of a server; shared by all turns of a client.

    Args:
        background: Whether it can stream in the background; taken for granted until it refuses.
    """

    background: bool = True


@dataclass(frozen=True, kw_only=True)
class Open:
    """Close the connection of before, send this request and tell `responded` or `broke`."""

    request: Request


@dataclass(frozen=True, kw_only=True)
class Read:
    """Read the next bytes, for at most `timeout` seconds, and tell `received`, `closed` or `broke`."""

    timeout: float


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Wait and tell `waited`; `reason` is for the log."""

    seconds: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class Done:
    """The turn ended."""

    turn: FinishedTurn


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The turn failed."""

    error: LettaError


Step = Open | Read | Wait | Done | Failed
