"""Compacting the conversation of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from langchain_core.messages import BaseMessage

from langchain_letta.errors import both_trees
from langchain_letta.messages import from_langchain
from langchain_letta.overrides import OverridableModel
from letta_adapters.compacting import acompact, compact
from letta_adapters.transcript import AssistantEntry, trusted

if TYPE_CHECKING:
    from letta_adapters.wire import CompactionResponse, CompactionSettings

__all__ = ["CompactableModel"]


class CompactableModel(OverridableModel):
    """A chat model whose conversations can be compacted."""

    def compact(
        self, messages: Sequence[BaseMessage] = (), *, compaction_settings: CompactionSettings | None = None
    ) -> CompactionResponse:
        """Replace the older messages in a conversation's context by a summary; its list of messages keeps them.

        What comes back is the summary, and the numbers of messages in context before and after it. A compaction that
        the server makes by itself while a turn runs is told with the answer, see `ChatLetta`.

        Args:
            messages: The transcript whose conversation is meant, in followed mode: that of its last answer.
            compaction_settings: How; what is not set is the agent's setting, or the server's.

        Raises:
            ValueError: The transcript has no answer of this agent.
            ConversationBusy: A turn of this process is under way in the conversation.
            InvalidRequest: There is too little to summarize.
        """
        conversation_id, agent_id = self._compacted(messages)
        with both_trees():
            return compact(self.client, conversation_id, agent_id, compaction_settings, busy_timeout=self.busy_timeout)

    async def acompact(
        self, messages: Sequence[BaseMessage] = (), *, compaction_settings: CompactionSettings | None = None
    ) -> CompactionResponse:
        """Replace the older messages in a conversation's context by a summary; the twin of `compact`."""
        conversation_id, agent_id = self._compacted(messages)
        with both_trees():
            return await acompact(
                self.async_client, conversation_id, agent_id, compaction_settings, busy_timeout=self.busy_timeout
            )

    def _compacted(self, messages: Sequence[BaseMessage]) -> tuple[str, str | None]:
        """The conversation that a compaction is of, and its agent."""
        target = self._target()
        if target.conversation_id is not None:
            return target.conversation_id, self.agent_id
        transcript = from_langchain(messages)
        if self._signing_key is not None:
            transcript = trusted(transcript, self._signing_key)
        for entry in reversed(transcript):
            anchor = entry.anchor if isinstance(entry, AssistantEntry) else None
            if anchor is not None and target.holds(anchor):
                return anchor.conversation_id, self.agent_id
        raise ValueError("`messages` has no answer of this agent, so there is no conversation to compact.")
