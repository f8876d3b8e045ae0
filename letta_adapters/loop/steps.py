"""What a tool loop is asked to do, the steps that it takes, and what comes of it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from letta_adapters.events import FinishedTurn, PendingCall, TurnEvent
from letta_adapters.loop.calls import Batch, ToolExecution, ToolFinished, ToolStarted
from letta_adapters.tools import Tool
from letta_adapters.wire import ClientSkill, InputMessage, KnownMessage, MessageType, Unknown, UsageStatistics

__all__ = [
    "Ask",
    "Attach",
    "Decision",
    "Deny",
    "Flow",
    "LoopEvent",
    "LoopRequest",
    "LoopResult",
    "Read",
    "RoundFinished",
    "Rows",
    "Send",
    "Step",
]

_NEWEST_ROWS = 20
"""Newest rows of a conversation to look for calls in that somebody left open."""


@dataclass(frozen=True, kw_only=True)
class Deny:
    """A call is not to be carried out; the agent is told the reason."""

    reason: str | None = None


Decision = bool | Deny
"""What is decided on a call: `True` lets it be carried out, `False` or `Deny(reason=…)` does not."""


@dataclass(frozen=True, kw_only=True)
class LoopRequest:
    """What a loop is asked to do; the fields are those of `run_turn`."""

    conversation_id: str
    messages: tuple[InputMessage, ...]
    tools: dict[str, Tool]
    agent_id: str | None = None
    max_tool_rounds: int = 20
    asks: Literal["nobody", "others", "all"] = "nobody"
    on_pending_approval: Literal["deny", "error"] = "deny"
    max_steps: int | None = None
    client_skills: tuple[ClientSkill, ...] | None = None
    override_model: str | None = None
    override_system: str | None = None
    include_return_message_types: tuple[MessageType, ...] | None = None
    background: bool = True
    return_logprobs: bool = False
    top_logprobs: int | None = None
    return_token_ids: bool = False

    def arguments(self, send: Send) -> dict[str, Any]:
        """What `conversations.messages.create` takes; nothing is remembered between two requests (measured)."""
        return {
            "conversation_id": self.conversation_id,
            "agent_id": self.agent_id,
            "messages": send.messages,
            "client_tools": [tool.client_tool() for tool in self.tools.values()],
            "client_skills": self.client_skills,
            "max_steps": send.max_steps,
            "override_model": self.override_model,
            "override_system": self.override_system,
            "include_return_message_types": self.include_return_message_types,
            "include_compaction_messages": True,  # Letta Cloud tells nothing of one unasked
            "background": self.background,
            **({} if send.settling else self._token_data),
        }

    @property
    def _token_data(self) -> dict[str, Any]:
        """What asks for the answer whole: what it looked like token by token no stream tells."""
        if not self.return_logprobs and not self.return_token_ids:
            return {}
        asked = {"return_logprobs": self.return_logprobs or None, "return_token_ids": self.return_token_ids or None}
        return {"whole": True, "top_logprobs": self.top_logprobs, **asked}


@dataclass(frozen=True, kw_only=True)
class LoopResult:
    """A turn that ended, with all its rounds.

    Args:
        conversation_id: The conversation, `default` for an agent's default one.
        text: The answer: the text of the last round, or what a `return_direct` tool gave.
        turns: The finished turn of each round, the answer's last; part indexes begin anew in each.
        executions: The calls of tools that ran here, in the order of their ends.
        usage: Tokens, summed over the rounds; `None` when the server sent none.
        returned_direct: Whether the text is what a tool gave, and the agent has not seen it yet.
    """

    conversation_id: str
    text: str
    turns: tuple[FinishedTurn, ...]
    executions: tuple[ToolExecution, ...] = ()
    usage: UsageStatistics | None = None
    returned_direct: bool = False

    @property
    def stop_reason(self) -> str:
        """Why the last round ended, as the server says it."""
        return self.turns[-1].stop_reason


@dataclass(frozen=True, kw_only=True)
class Send:
    """Send a request and answer with the finished turn; a `settling` one is bounded in time and told to nobody."""

    messages: tuple[InputMessage, ...]
    max_steps: int | None = None
    settling: bool = False


@dataclass(frozen=True, kw_only=True)
class Attach:
    """Answer with the finished turn of a run that is there; `otherwise` is what it was, where runs are not kept."""

    run_id: str
    otherwise: Send


@dataclass(frozen=True, kw_only=True)
class Read:
    """List messages of the conversation and answer with the rows: those after one, oldest first, or the newest."""

    after: str | None = None
    settling: bool = False

    @property
    def query(self) -> dict[str, Any]:
        """What `conversations.messages.list` takes."""
        return {"order": "asc", "after": self.after} if self.after else {"order": "desc", "limit": _NEWEST_ROWS}


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Ask for the decision on a call, and answer with it."""

    call: PendingCall


@dataclass(frozen=True, kw_only=True)
class RoundFinished:
    """A round ended: its turn has the answer, or the calls that come next. Part indexes begin anew after it."""

    turn: FinishedTurn


LoopEvent = TurnEvent | ToolStarted | ToolFinished | RoundFinished
"""What a loop tells while it runs."""

Step = Send | Attach | Read | Ask | Batch
Flow = Generator[Step, Any, LoopResult]
Rows = Sequence[KnownMessage | Unknown]
