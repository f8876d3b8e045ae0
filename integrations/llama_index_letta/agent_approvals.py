"""A person's decision on a call that the server runs itself, as events of a workflow: asked in the stream, sent back.

A tool of the server's may wait for a person (`requires_approval` on the agent's tool). Its call is none of those that a
workflow runs; what is decided goes to the server together with the results of the calls beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.workflow import Context
from workflows.events import HumanResponseEvent, InputRequiredEvent

from letta_adapters.errors import PendingApprovalError
from letta_adapters.events import PendingCall
from letta_adapters.loop.calls import arguments_of
from letta_adapters.tools import InvalidArguments
from letta_adapters.transcript import Anchor
from llama_index_letta.agent_answers import Offered, tool_message
from llama_index_letta.messages import DECISION_KEY

if TYPE_CHECKING:
    from llama_index.core.agent.workflow.agent_context import AgentContext

__all__ = ["ApprovalRequiredEvent", "ApprovalResponseEvent", "OnApproval", "ask", "of_others", "undecided"]

OnApproval = Literal["error", "ask"]
"""What becomes of a call of the server's own tools that waits for a person: the run fails, or it asks and waits."""


class ApprovalRequiredEvent(InputRequiredEvent):
    """A person is to decide on a call; answer with an `ApprovalResponseEvent` that has its `tool_call_id`."""

    tool_call_id: str
    tool_name: str
    tool_kwargs: dict[str, Any] | str
    """The arguments; a text where they are no JSON object."""
    agent_name: str


class ApprovalResponseEvent(HumanResponseEvent):
    """What a person decided on a call; the agent is told the reason of a denial."""

    tool_call_id: str
    approve: bool
    reason: str | None = None


def of_others(calls: Sequence[PendingCall], offered: Offered) -> list[PendingCall]:
    """The calls that are none of the workflow's."""
    return [call for call in calls if call.name not in offered.names]


async def ask(ctx: AgentContext, agent_name: str, step: str, call: PendingCall) -> ChatMessage:
    """Ask a person about a call, and give what was decided as a message of the dialogue.

    Args:
        ctx: The context of the step.
        agent_name: Who asks.
        step: The step of the run: some models use the ids of calls again and again.
        call: The call.

    Raises:
        WaitingForEvent: Nobody has answered yet; the step is run again once somebody has.
    """
    try:
        arguments = arguments_of(call)
    except InvalidArguments:
        arguments = call.arguments
    decided = await cast("Context[Any]", ctx).wait_for_event(
        ApprovalResponseEvent,
        waiter_event=ApprovalRequiredEvent(
            tool_call_id=call.tool_call_id, tool_name=call.name, tool_kwargs=arguments, agent_name=agent_name
        ),
        waiter_id=f"{step}:{call.tool_call_id}",
        requirements={"tool_call_id": call.tool_call_id},
        timeout=None,
    )
    told = tool_message(call.tool_call_id, call.name, decided.reason or "", failed=False)
    told.additional_kwargs[DECISION_KEY] = decided.approve
    return told


def undecided(calls: Sequence[PendingCall], answer: Anchor) -> PendingApprovalError:
    """The error for calls that wait for a person."""
    told = ", ".join(f"{call.name}({call.arguments}) [{call.tool_call_id}]" for call in calls)
    return PendingApprovalError(
        f"The agent waits for a person to decide about {told}.",
        hint="Let the run ask (`on_approval='ask'`), or decide at the server, or deny with "
        "`client.conversations.settle(...)`; then run the agent again.",
        pending=tuple(
            {"tool_call_id": call.tool_call_id, "name": call.name, "arguments": call.arguments} for call in calls
        ),
        agent_id=answer.agent_id,
        conversation_id=answer.conversation_id,
        run_id=answer.run_id,
    )
