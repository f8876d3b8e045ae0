"""Which conversation an engine is in: one that was given, or one that is made for its first message."""

from __future__ import annotations

from contextlib import suppress

from letta_adapters.client import AsyncLettaClient, LettaClient
from letta_adapters.client.places import check_place
from letta_adapters.driver import busy_here
from letta_adapters.errors import NotFound
from letta_adapters.locks import ConversationLock

__all__ = ["Place"]


class Place:
    """The conversation of an engine.

    Args:
        agent_id: The agent, where known.
        conversation_id: The conversation, where there is one yet.
        busy_timeout: Seconds to wait for another caller who makes it.
        beside: A place of the same agent, where that is not known.
    """

    def __init__(
        self,
        *,
        agent_id: str | None,
        conversation_id: str | None,
        busy_timeout: float,
        beside: Place | None = None,
    ) -> None:
        self.agent_id = agent_id
        self.conversation_id = conversation_id
        self._busy_timeout = busy_timeout
        self._making = ConversationLock()
        self._beside = beside

    def elsewhere(self, conversation_id: str | None, agent_id: str | None) -> Place:
        """Another place, of the same agent unless another one is given, or the conversation says which.

        Raises:
            ValueError: An id is malformed; an agent's default conversation is asked for, and which agent is not known.
        """
        if conversation_id in (None, "default"):
            agent_id = agent_id or self.agent_id
        beside = self if conversation_id is None and agent_id is None else None
        if beside is None:
            check_place(agent_id, conversation_id)
        return Place(agent_id=agent_id, conversation_id=conversation_id, busy_timeout=self._busy_timeout, beside=beside)

    def open(self, client: LettaClient) -> str:
        """Give the conversation; make it, if there is none yet. Two callers at once get the same one.

        Raises:
            NotFound: The conversation, or the agent, is not there.
        """
        agent_id = self.owner(client)
        if self.conversation_id is None:
            if not self._making.acquire(self._busy_timeout):
                raise busy_here(self._busy_timeout)
            try:
                if self.conversation_id is None:
                    self.conversation_id = client.conversations.create(agent_id=agent_id).id
            finally:
                self._making.release()
        return self.conversation_id

    async def aopen(self, client: AsyncLettaClient) -> str:
        """Give the conversation; make it, if there is none yet. Two callers at once get the same one.

        Raises:
            NotFound: The conversation, or the agent, is not there.
        """
        agent_id = await self.aowner(client)
        if self.conversation_id is None:
            if not await self._making.acquire_async(self._busy_timeout):
                raise busy_here(self._busy_timeout)
            try:
                if self.conversation_id is None:
                    self.conversation_id = (await client.conversations.create(agent_id=agent_id)).id
            finally:
                self._making.release()
        return self.conversation_id

    def owner(self, client: LettaClient) -> str:
        """Give the agent, which is asked for where only the conversation was given.

        Raises:
            NotFound: The conversation is not there.
        """
        if self.agent_id is None:
            self.agent_id = (
                self._beside.owner(client)
                if self._beside is not None
                else client.conversations.retrieve(self._given()).agent_id
            )
        return self.agent_id

    async def aowner(self, client: AsyncLettaClient) -> str:
        """Give the agent, which is asked for where only the conversation was given.

        Raises:
            NotFound: The conversation is not there.
        """
        if self.agent_id is None:
            self.agent_id = (
                await self._beside.aowner(client)
                if self._beside is not None
                else (await client.conversations.retrieve(self._given())).agent_id
            )
        return self.agent_id

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

    def _given(self) -> str:
        assert self.conversation_id is not None, "there is an agent or a conversation: checked when the engine was made"
        return self.conversation_id
