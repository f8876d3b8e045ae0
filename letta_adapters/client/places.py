"""Where a front door talks: with an agent in conversations that it begins, or in one that is given."""

from __future__ import annotations

from letta_adapters.client.endpoints import check_agent_id, check_conversation_id

__all__ = ["check_place"]


def check_place(agent_id: str | None, conversation_id: str | None) -> None:
    """Check the ids that say where to talk.

    Raises:
        ValueError: Neither is given, or one is malformed.
    """
    if agent_id is None and conversation_id is None:
        raise ValueError(
            "Pass `agent_id` (or set LETTA_AGENT_ID) to start conversations with an agent, "
            "or `conversation_id` to go on with one."
        )
    if agent_id is not None:
        check_agent_id(agent_id)
    if conversation_id is not None:
        check_conversation_id(conversation_id, agent_id)
