"""Which conversation an engine is in: one that was given, or one that is made for its first message."""

from __future__ import annotations

from contextlib import suppress

from letta_adapters.client import AsyncLettaClient, LettaClient
from letta_adapters.drivers import busy_here
from letta_adapters.errors import NotFound
from letta_adapters.locks import ConversationLock

__all__ = ["Place"]


class Place:
    """The conversation of an engine.

    Args:
        agent_id: The agent, where known.
        conversation_id: The conversation, where there is one yet.
        busy_timeout: Seconds to wait for another caller who makes it.
    """

    def __init__(self, *, agent_id: str | None, conversation_id: str | None, busy_timeout: float) -> None:
        self.agent_id = agent_id
        self.conversation_id = conversation_id
        self._busy_timeout = busy_timeout
        self._making = ConversationLock()

    def open(self, client: LettaClient) -> str:
        """Give the conversation; make it, if there is none yet. Two callers at once get the same one."""
        if self.conversation_id is None:
            if not self._making.acquire(self._busy_timeout):
                raise busy_here(self._busy_timeout)
            try:
                if self.conversation_id is None:
                    self.conversation_id = client.conversations.create(agent_id=self._agent()).id
            finally:
                self._making.release()
        return self.conversation_id

    async def aopen(self, client: AsyncLettaClient) -> str:
        """Give the conversation; make it, if there is none yet. Two callers at once get the same one."""
        if self.conversation_id is None:
            if not await self._making.acquire_async(self._busy_timeout):
                raise busy_here(self._busy_timeout)
            try:
                if self.conversation_id is None:
                    self.conversation_id = (await client.conversations.create(agent_id=self._agent())).id
            finally:
                self._making.release()
        return self.conversation_id

    def renew(self, client: LettaClient, *, delete: bool) -> None:
        """Go to a new conversation of the same agent."""
        if (old := self.conversation_id) is None:
            return
        if old != "default":  # the agent that was given need not be the one of the conversation that was given
            self.agent_id = client.conversations.retrieve(old).agent_id
        self.conversation_id = client.conversations.create(agent_id=self._agent()).id
        if delete:
            with suppress(NotFound):
                client.conversations.delete(old)

    async def arenew(self, client: AsyncLettaClient, *, delete: bool) -> None:
        """Go to a new conversation of the same agent."""
        if (old := self.conversation_id) is None:
            return
        if old != "default":  # the agent that was given need not be the one of the conversation that was given
            self.agent_id = (await client.conversations.retrieve(old)).agent_id
        self.conversation_id = (await client.conversations.create(agent_id=self._agent())).id
        if delete:
            with suppress(NotFound):
                await client.conversations.delete(old)

    def _agent(self) -> str:
        assert self.agent_id is not None, "checked when the engine was made"
        return self.agent_id
