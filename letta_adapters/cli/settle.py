"""`settle`: deny what a conversation waits for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from letta_adapters.cli.options import AgentOption, AsJson, BaseUrl, ConversationArgument
from letta_adapters.cli.reporting import connected
from letta_adapters.client.resources import SETTLED

__all__ = ["settle"]


def settle(
    conversation: ConversationArgument,
    agent: AgentOption = None,
    reason: Annotated[str, typer.Option(help="What the agent is told.")] = SETTLED,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Deny every call that a conversation waits for, so that it takes messages again.

    Nothing is run: neither the tools nor the agent's model. The agent is told the reason.
    """
    with connected(base_url, as_json=as_json) as (client, output):
        agent_id = agent if conversation == "default" else None
        denied = client.conversations.settle(conversation, agent_id=agent_id, reason=reason)
        if as_json:
            output.document({"conversation_id": conversation, "denied": [asdict(call) for call in denied]})
            return
        for call in denied:
            output.say(f"denied {call.name} {call.arguments}")
        if not denied:
            output.say("No call was waiting.")
