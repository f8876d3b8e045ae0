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

__all__ = ["OnPendingApproval", "check_may_be_denied"]

OnPendingApproval = Literal["deny", "deny_all", "error"]
"""Which pending calls that a transcript does not know of are denied: those to tools that are offered now, those to any
client tool, or none."""

_Call = ToolCall | ToolCallDelta


def check_may_be_denied(
    calls: Sequence[_Call],
    agent: Agent | None,
    *,
    policy: OnPendingApproval,
    bound: Collection[str],
    refused: PendingApprovalError,
) -> None:
    """Check that none of the calls is somebody else's to decide.

    Args:
        calls: The calls that wait.
        agent: The agent, whose own tools a person may guard; `None` where it is not known.
        policy: What may be denied.
        bound: Names of the tools that are offered now.
        refused: The refusal to explain.

    Raises:
        PendingApprovalError: One is; it names all of them.
    """
    own, guarded = (_tools_of(agent), _guarded_tools_of(agent)) if agent is not None else (set[str](), set[str]())
    ours = {call.name or "" for call in calls if call.name in bound} - guarded
    others = {call.name or "" for call in calls} - ours
    if policy != "error" and (not others or (policy == "deny_all" and agent is not None and not others & own)):
        return
    waiting = tuple(
        {"tool_call_id": call.tool_call_id or "", "name": call.name or "", "arguments": call.arguments or ""}
        for call in calls
    )
    told = ", ".join(f"{call['name']}({call['arguments']}) [{call['tool_call_id']}]" for call in waiting)
    remedies = (
        "Pass a result for each call (a tool message with its id; for a tool of the server's a person's decision), or "
        "deny them: `client.conversations.settle(...)`"
    )
    if policy != "deny_all":
        remedies += ", or `on_pending_approval='deny_all'` where they are calls to client tools"
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
    return {str(tool.get("name")) for tool in _listed(agent, "tools")}


def _guarded_tools_of(agent: Agent) -> set[str]:
    """Names of those of them that wait for a person; a call that waits may be theirs, whatever else has the name."""
    by_default = {str(tool.get("name")) for tool in _listed(agent, "tools") if tool.get("default_requires_approval")}
    rules = (rule for rule in _listed(agent, "tool_rules") if rule.get("type") == "requires_approval")
    return by_default | {str(rule.get("tool_name")) for rule in rules}


def _listed(agent: Agent, field: str) -> Sequence[Mapping[str, Any]]:
    return cast("Sequence[Mapping[str, Any]]", (agent.model_extra or {}).get(field) or ())
