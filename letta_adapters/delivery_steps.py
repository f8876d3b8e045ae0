"""What a delivery is given, what it yields, and what it is sent."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from letta_adapters.client.endpoints import Endpoint
from letta_adapters.client.turns import PreparedTurn
from letta_adapters.errors import LettaError
from letta_adapters.events import FinishedTurn
from letta_adapters.locks import Patience
from letta_adapters.transcript import Anchor
from letta_adapters.wire import ClientSkill, ClientTool, MessageType

__all__ = ["Claim", "Delivered", "Flow", "Pause", "Step", "Thread", "TurnOptions", "TurnOutcome", "path_of"]


@dataclass(frozen=True, kw_only=True)
class Thread:
    """A place in a program that can be begun again after a crash: a LangGraph thread and the task in it.

    Args:
        thread_id: The thread.
        namespace: The nodes and the ids of their tasks, as `node:task|node:task`.
        step: The number of the step in the thread.
    """

    thread_id: str
    namespace: str
    step: int | None = None

    @property
    def path(self) -> str:
        """The nodes alone: the same in every step."""
        return path_of(self.namespace)


def path_of(namespace: str) -> str:
    """The nodes of a namespace without the ids of their tasks, which are new in every step."""
    return "|".join(part.split(":")[0] for part in namespace.split("|"))


@dataclass(frozen=True, kw_only=True)
class TurnOptions:
    """How a turn is to be run; each is passed on to the API."""

    client_tools: tuple[ClientTool, ...] = ()
    client_skills: tuple[ClientSkill, ...] = ()
    max_steps: int | None = None
    override_model: str | None = None
    override_system: str | None = None
    include_return_message_types: tuple[MessageType, ...] | None = None
    background: bool | None = None
    return_logprobs: bool = False
    top_logprobs: int | None = None
    return_token_ids: bool = False

    @property
    def whole(self) -> bool:
        """Whether the answer is asked for whole: what it looked like token by token no stream tells."""
        return self.return_logprobs or self.return_token_ids


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """A turn that ended, and the anchor for its answer."""

    turn: FinishedTurn
    anchor: Anchor


@dataclass(frozen=True, kw_only=True)
class TurnOutcome:
    """How a turn ended.

    Args:
        result: What came of it.
        run_id: The run that it had at the server, if it came so far.
        replayed: Whether that was a run of before.
        background: Whether the server would replay it.
    """

    result: FinishedTurn | LettaError
    run_id: str | None
    replayed: bool
    background: bool = True


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Keep every other turn of this process away from the conversation, until this one is accepted.

    The answer is another turn of this process that was accepted before and may still be under way (`InFlight`).
    """

    conversation_id: str
    agent_id: str | None
    patience: Patience


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Wait this many seconds."""

    seconds: float


Step = Endpoint[Any] | Claim | Pause | PreparedTurn
Flow = Generator[Step, Any, Delivered]
