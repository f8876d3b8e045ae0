"""One turn at a time in a conversation, tools included.

The lock of a request is given back when the server has accepted it, so that nobody can deadlock. A turn with tools is
several requests: a message that came between two of them would find calls pending, and deny them while they run.
"""

from __future__ import annotations

from contextvars import ContextVar

from letta_adapters.driver import busy_here
from letta_adapters.errors import ConversationBusy
from letta_adapters.locks import Hold, conversation_lock
from letta_adapters.loop.runner import Interrupted

__all__ = ["WholeTurn"]


class WholeTurn:
    """The right to a turn of a conversation, from its message to its end; loops of this process wait for each other.

    It is taken once and given back once, by whichever thread or task.

    Args:
        server: The server's URL.
        conversation_id: The conversation.
        agent_id: The agent, where the conversation is its `default` one.
    """

    def __init__(self, server: str, conversation_id: str, agent_id: str | None = None) -> None:
        self._key = ("whole turn", server, conversation_id, (agent_id or "") if conversation_id == "default" else "")
        self._hold = Hold(conversation_lock(*self._key))

    def acquire(self, timeout: float) -> None:
        """Wait for other turns of the conversation.

        Raises:
            ConversationBusy: They took too long, or this very code is run by one of them.
            Interrupted: Nobody waits for it any more.
        """
        self._check()
        self._taken(self._hold.acquire(timeout), timeout)

    async def acquire_async(self, timeout: float) -> None:
        """Wait for other turns of the conversation.

        Raises:
            ConversationBusy: They took too long, or this very code is run by one of them.
            Interrupted: Nobody waits for it any more.
        """
        self._check()
        self._taken(await self._hold.acquire_async(timeout), timeout)

    def give_up(self) -> None:
        """Stop waiting, from any thread; what is taken already stays so."""
        self._hold.give_up()

    def enter(self) -> None:
        """Note, in the context that the tools of the turn will run in, that they do."""
        _around.set(_around.get() | {self})

    def release(self) -> None:
        """Let the next turn begin."""
        self._hold.release()

    def is_of(self, other: WholeTurn) -> bool:
        """Whether it is a turn of the same conversation."""
        return self._key == other._key

    def _taken(self, taken: bool, timeout: float) -> None:
        if self._hold.given_up:
            self._hold.release()
            raise Interrupted
        if not taken:
            raise busy_here(timeout)

    def _check(self) -> None:
        # A thread that a tool left behind may well go on when the turn is over.
        if any(turn.is_of(self) and turn._hold.held for turn in _around.get()):
            raise ConversationBusy(
                "A tool of a turn cannot send a message to the conversation that waits for its result.",
                status=409,
                accepted=False,
                hint="Let it talk to another conversation.",
            )


_around: ContextVar[frozenset[WholeTurn]] = ContextVar("letta_turns_around", default=frozenset())
"""The turns that this code runs in: it is a tool, or something that a tool calls."""
