"""What is decided by whoever sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from letta_adapters.pending import OnPendingApproval
from letta_adapters.steps import OnAbandon

__all__ = ["OnDivergence", "OnRerun", "Policies", "SystemPolicy"]

SystemPolicy = Literal["once", "override", "ignore"]
"""What becomes of system messages: told once, sent as `override_system` every time, or left out."""

OnRerun = Literal["attach", "fork"]
"""What becomes of a request that the conversation has already: its answer is given again, or a new one is made in a
fork."""

OnDivergence = Literal["fork", "append", "error"]
"""What becomes of a transcript that went another way than its conversation: it goes on in a fork, or in the same
conversation after what is there, or not at all."""


@dataclass(frozen=True, kw_only=True)
class Policies:
    """What is decided by whoever sends.

    Args:
        system_messages: What becomes of system messages.
        on_rerun: What becomes of a request that was sent before.
        on_divergence: What becomes of a transcript that its conversation does not agree with; by default a followed
            one goes on in a fork and a pinned one is appended to.
        on_pending_approval: What becomes of pending calls that the transcript does not know of.
        on_abandon: What becomes of a turn whose caller leaves before its end.
        ephemeral: Whether a followed conversation is deleted when its turn has ended for good.
    """

    system_messages: SystemPolicy = "once"
    on_rerun: OnRerun = "attach"
    on_divergence: OnDivergence | None = None
    on_pending_approval: OnPendingApproval = "deny"
    on_abandon: OnAbandon = "finish"
    ephemeral: bool = False

    def check(self, *, pinned: bool) -> None:
        """Raise `ValueError` for what a pinned conversation cannot have: it is never left, and never deleted."""
        if not pinned:
            return
        for name in ("on_rerun", "on_divergence"):
            if getattr(self, name) == "fork":
                raise ValueError(
                    f"`{name}='fork'` goes on in another conversation, but `conversation_id` says to stay in one. "
                    "Leave `conversation_id` out to follow the transcript."
                )
        if self.ephemeral:
            raise ValueError(
                "`ephemeral` deletes the conversation after the turn; with `conversation_id` it is not ours to delete."
            )
