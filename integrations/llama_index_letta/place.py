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
        # The agent that was given need not be that of the conversation that was given: it may be the environment's.
        self._sure = conversation_id in (None, "default")

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

    def owner(self, client: LettaClient) -> str:
        """Give the agent of the conversation.

        Raises:
            NotFound: The conversation is not there.
        """
        if not self._sure and self.conversation_id is not None:
            self.agent_id = client.conversations.retrieve(self.conversation_id).agent_id
            self._sure = True
        return self._agent()

    async def aowner(self, client: AsyncLettaClient) -> str:
        """Give the agent of the conversation.

        Raises:
            NotFound: The conversation is not there.
        """
        if not self._sure and self.conversation_id is not None:
            self.agent_id = (await client.conversations.retrieve(self.conversation_id)).agent_id
            self._sure = True
        return self._agent()

    def renew(self, client: LettaClient, *, delete: bool) -> None:
        """Go to a new conversation of the same agent."""
        if (old := self.conversation_id) is None:
            return
        self.conversation_id = client.conversations.create(agent_id=self.owner(client)).id
        if delete:
            with suppress(NotFound):
                client.conversations.delete(old)

    async def arenew(self, client: AsyncLettaClient, *, delete: bool) -> None:
        """Go to a new conversation of the same agent."""
        if (old := self.conversation_id) is None:
            return
        self.conversation_id = (await client.conversations.create(agent_id=await self.aowner(client))).id
        if delete:
            with suppress(NotFound):
                await client.conversations.delete(old)

    def _agent(self) -> str:
        assert self.agent_id is not None, "checked when the engine was made"
        return self.agent_id
