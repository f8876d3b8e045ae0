"""One turn at a time in a conversation, tools included.

The lock of the core is given back when the server has accepted a request, so that nobody can deadlock. A turn with
tools is several requests: a message that came between two of them would find calls pending, and deny them.
"""

from __future__ import annotations

from contextvars import ContextVar

from letta_adapters.drivers import busy_here
from letta_adapters.errors import ConversationBusy
from letta_adapters.locks import Hold, conversation_lock

__all__ = ["WholeTurn"]

_around: ContextVar[frozenset[tuple[str, ...]]] = ContextVar("letta_turns_around", default=frozenset())
"""The conversations whose turns this code runs in: it is a tool, or something that a tool calls."""


class WholeTurn:
    """The right to a turn of a conversation, from its message to its end.

    Args:
        server: The server's URL.
        conversation_id: The conversation.
        agent_id: The agent, where the conversation is its `default` one.
    """

    def __init__(self, server: str, conversation_id: str, agent_id: str | None) -> None:
        self._key = ("whole turn", server, conversation_id, (agent_id or "") if conversation_id == "default" else "")
        self._hold = Hold(conversation_lock(*self._key))

    def acquire(self, timeout: float) -> None:
        """Wait for other turns of the conversation.

        Raises:
            ConversationBusy: They took too long, or this very code is run by one of them.
        """
        self._check()
        if not self._hold.acquire(timeout):
            raise busy_here(timeout)

    async def acquire_async(self, timeout: float) -> None:
        """Wait for other turns of the conversation.

        Raises:
            ConversationBusy: They took too long, or this very code is run by one of them.
        """
        self._check()
        if not await self._hold.acquire_async(timeout):
            raise busy_here(timeout)

    def enter(self) -> None:
        """Note, in the context that the tools of the turn will run in, that they do."""
        _around.set(_around.get() | {self._key})

    def release(self) -> None:
        """Let the next turn begin."""
        self._hold.release()

    def _check(self) -> None:
        if self._key in _around.get():
            raise ConversationBusy(
                "A tool of a turn cannot send a message to the conversation that waits for its result.",
                status=409,
                hint="Let it talk to another conversation: `engine.for_conversation(…)`.",
            )
