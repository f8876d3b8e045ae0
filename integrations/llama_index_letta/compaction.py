"""Compacting the conversation of an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from letta_adapters.compacting import acompact, compact
from letta_adapters.loop import WholeTurn
from llama_index_letta.repl import TerminalChat
from llama_index_letta.turns import Turns

if TYPE_CHECKING:
    from letta_adapters.wire import CompactionResponse, CompactionSettings

__all__ = ["CompactableChat"]


class CompactableChat(TerminalChat):
    """A chat whose conversation can be compacted."""

    _turns: Turns

    def compact(self, compaction_settings: CompactionSettings | None = None) -> CompactionResponse:
        """Replace the older messages in the conversation's context by a summary; `chat_history` shows them still.

        It waits for turns that are under way, and turns wait for it. A compaction that the server makes by itself while
        a turn runs is told with the response, in `metadata["compactions"]`: `message_id`, `summary` and `stats`.

        Args:
            compaction_settings: How; what is not set is the agent's setting, or the server's.

        Raises:
            ValueError: The engine has not begun a conversation yet.
            ConversationBusy: A turn of this process takes too long.
            InvalidRequest: There is too little to summarize.
        """
        turns, conversation_id = self._turns, self._begun()
        client, seconds = turns.connections.blocking, turns.options.busy_timeout
        whole = WholeTurn(turns.connections.base_url, conversation_id, turns.place.agent_id)
        whole.acquire(seconds)
        try:
            agent_id = turns.place.agent_id
            return compact(client, conversation_id, agent_id, compaction_settings, busy_timeout=seconds)
        finally:
            whole.release()

    async def acompact(self, compaction_settings: CompactionSettings | None = None) -> CompactionResponse:
        """Replace the older messages in the conversation's context by a summary; the twin of `compact`."""
        turns, conversation_id = self._turns, self._begun()
        client, seconds = turns.connections.asynchronous, turns.options.busy_timeout
        whole = WholeTurn(turns.connections.base_url, conversation_id, turns.place.agent_id)
        await whole.acquire_async(seconds)
        try:
            agent_id = turns.place.agent_id
            return await acompact(client, conversation_id, agent_id, compaction_settings, busy_timeout=seconds)
        finally:
            whole.release()

    def _begun(self) -> str:
        if (conversation_id := self._turns.place.conversation_id) is None:
            raise ValueError("There is no conversation to compact yet: it is made for the first message.")
        return conversation_id
