"""The answer of a turn that has ended."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine.types import AgentChatResponse
from llama_index.core.schema import NodeWithScore
from llama_index.core.tools import ToolOutput

__all__ = ["LettaChatResponse"]


class LettaChatResponse(AgentChatResponse):
    """What `chat` and `achat` give.

    Args:
        response: The text of the answer.
        sources: What the tools gave, in the order of their ends.
        source_nodes: The nodes that query engines and retrievers found.
        metadata: `agent_id`, `conversation_id`, `run_id` (the last), `run_ids`, `message_ids`, `stop_reason`, `usage`
            (tokens, summed over the rounds), `step_count`; `compactions`, where the server summed up what was said
            while the turn ran: `message_id`, `summary`, `stats`. A stream has them in its `metadata` as they come.
            `logprobs` and `turns`, where they were asked for.
        message: The answer as a message: thoughts, calls and texts, in order.
    """

    def __init__(
        self,
        *,
        response: str,
        sources: list[ToolOutput],
        source_nodes: list[NodeWithScore],
        metadata: dict[str, Any],
        message: ChatMessage,
    ) -> None:
        super().__init__(response=response, sources=sources, source_nodes=source_nodes, metadata=metadata)
        self.message = message
