"""How an engine runs its turns: what can be set, checked before anything is sent."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from llama_index.core.base.llms.types import ChatMessage

from letta_adapters.loop import LoopOptions, Tool
from letta_adapters.loop.pumps import OnApproval
from letta_adapters.steps import OnAbandon
from letta_adapters.wire import ClientSkill, MessageType

__all__ = ["EngineOptions", "GivenOptions", "HistoryGuard", "HistoryPolicy"]

_LOG = logging.getLogger("llama_index_letta")

HistoryPolicy = Literal["ignore", "error"]
"""What becomes of a `chat_history` that is passed to a method: the server has the conversation, so it is not sent."""


class GivenOptions(TypedDict, total=False):
    """What a caller may say of `EngineOptions`, for type checkers: the same fields, but for those given by name."""

    background: bool | None
    on_pending_approval: Literal["deny", "error"]
    on_abandon: OnAbandon
    on_approval: OnApproval | None
    ask_for: Literal["others", "all"]
    history_policy: HistoryPolicy
    max_tool_rounds: int
    max_parallel: int
    tool_timeout: float | None
    max_steps: int | None
    override_model: str | None
    override_system: str | None
    include_return_message_types: Sequence[MessageType] | None
    client_skills: Sequence[ClientSkill]
    return_logprobs: bool
    top_logprobs: int | None
    return_token_ids: bool


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How an engine runs its turns; `LettaChatEngine.from_defaults` tells what each means."""

    busy_timeout: float = 60.0
    background: bool | None = None
    on_pending_approval: Literal["deny", "error"] = "deny"
    on_abandon: OnAbandon = "finish"
    on_approval: OnApproval | None = None
    ask_for: Literal["others", "all"] = "others"
    history_policy: HistoryPolicy = "ignore"
    max_tool_rounds: int = 20
    max_parallel: int = 4
    tool_timeout: float | None = 300.0
    max_steps: int | None = None
    override_model: str | None = None
    override_system: str | None = None
    include_return_message_types: Sequence[MessageType] | None = None
    client_skills: Sequence[ClientSkill] = field(default_factory=tuple)
    return_logprobs: bool = False
    top_logprobs: int | None = None
    return_token_ids: bool = False

    def __post_init__(self) -> None:
        if self.history_policy not in ("ignore", "error"):
            raise ValueError(f"`history_policy` must be 'ignore' or 'error', not {self.history_policy!r}.")
        if not self.busy_timeout >= 0:
            raise ValueError(f"`busy_timeout` must not be negative: {self.busy_timeout!r}.")

    def for_loop(self, tools: Sequence[Tool], agent_id: str | None) -> LoopOptions:
        """The options of a loop of this package."""
        return LoopOptions(
            agent_id=agent_id,
            tools=list(tools),
            background=self.background is not False,
            client_skills=list(self.client_skills) or None,
            **{name: getattr(self, name) for name in _FOR_LOOP},
        )


_FOR_LOOP = (
    "busy_timeout",
    "on_pending_approval",
    "on_abandon",
    "on_approval",
    "ask_for",
    "max_tool_rounds",
    "max_parallel",
    "tool_timeout",
    "max_steps",
    "override_model",
    "override_system",
    "include_return_message_types",
    "return_logprobs",
    "top_logprobs",
    "return_token_ids",
)


class HistoryGuard:
    """Keeps a `chat_history` that is passed to a method out of the conversation, which has it already.

    `None` and an empty list say nothing: LlamaIndex passes them as well.
    """

    def __init__(self, policy: HistoryPolicy) -> None:
        self._policy = policy
        self._warned = False

    def check(self, chat_history: Sequence[ChatMessage] | None) -> None:
        """Warn once, or raise.

        Raises:
            ValueError: There is one, and the policy is `error`.
        """
        if not chat_history:
            return
        what = f"The server has the conversation; the {len(chat_history)} messages of `chat_history` are not sent."
        if self._policy == "error":
            raise ValueError(f"{what} Leave `chat_history` out, or set `history_policy='ignore'`.")
        if not self._warned:
            self._warned = True
            _LOG.warning("%s Leave it out; `history_policy` decides what becomes of it.", what)
