"""Whose decision a pending call is (rule 9 of the planner). Pure.

A process dies, a person never answers, another client asks: a call of a tool is left pending, and the conversation
takes no message before it is answered. A call to a tool that this program runs may be denied by it. Any other one
is somebody else's to decide.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, cast

from letta_adapters.errors import PendingApprovalError
from letta_adapters.wire import Agent, ToolCall, ToolCallDelta

__all__ = ["OnPendingApproval", "check_may_be_denied", "may_be_denied"]

OnPendingApproval = Literal["deny", "deny_all", "error"]
"""Which pending calls that a transcript does not know of are denied: those to tools that are offered now, those to any
client tool, or none."""

_Call = ToolCall | ToolCallDelta


def may_be_denied(calls: Sequence[_Call], policy: OnPendingApproval, bound: Collection[str]) -> bool:
    """Whether all of these calls are this program's own to deny, as far as the names of its tools tell."""
    return policy != "error" and all(call.name in bound for call in calls)


def check_may_be_denied(
    calls: Sequence[_Call], agent: Agent | None, bound: Collection[str], refused: PendingApprovalError
) -> None:
    """Check that none of the calls is somebody else's to decide.

    Args:
        calls: The calls that wait.
        agent: The agent, where every call but those to its own tools may be denied.
        bound: Names of the tools that are offered now; they hide tools of the agent's.
        refused: The refusal to explain.

    Raises:
        PendingApprovalError: One is; it names all of them.
    """
    if agent is not None and not {call.name for call in calls} & (_tools_of(agent) - set(bound)):
        return
    waiting = tuple(
        {"tool_call_id": call.tool_call_id or "", "name": call.name or "", "arguments": call.arguments or ""}
        for call in calls
    )
    told = ", ".join(f"{call['name']}({call['arguments']}) [{call['tool_call_id']}]" for call in waiting)
    remedies = (
        "Pass a result for each call (a tool message with its id), or let `client.conversations.settle(...)` deny them"
    )
    if agent is None:
        remedies += ", or, where they are calls to client tools, set `on_pending_approval='deny_all'`"
    raise PendingApprovalError(
        f"The conversation waits for the answer to {told}, and takes no new message before.",
        status=refused.status,
        hint=f"{remedies}.",
        pending=waiting,
        detail=refused.detail,
        agent_id=refused.agent_id,
        conversation_id=refused.conversation_id,
        run_id=refused.run_id,
    ) from refused


def _tools_of(agent: Agent) -> set[str]:
    """Names of the tools that the server runs."""
    tools = cast("Sequence[Mapping[str, Any]]", (agent.model_extra or {}).get("tools") or ())
    return {str(tool.get("name")) for tool in tools}
