"""What a delivery was given: a transcript, where it goes, and what was decided about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from letta_adapters.anchoring import Target
from letta_adapters.delivery_steps import Thread, TurnOptions
from letta_adapters.locks import Patience
from letta_adapters.memory import TurnMemory
from letta_adapters.planner import Seen, plan
from letta_adapters.plans import Into, Plan
from letta_adapters.policies import Policies
from letta_adapters.transcript import AssistantEntry, Entry, HumanEntry, ToolEntry, without_anchors

__all__ = ["Job"]

_MAX_EARLIER = 5


@dataclass(frozen=True, kw_only=True)
class Job:
    """One call.

    Args:
        transcript: The whole dialogue.
        target: Where it goes.
        server: The server's address; what is remembered of one says nothing of another.
        policies: What is decided by whoever sends.
        options: How the turn is to be run.
        must_call: Names of the tools one of which the framework wants called.
        thread: Where in a program it is sent.
        patience: How long to wait for other turns of the conversation.
        memory: What this process remembers of turns that went wrong.
        retold: Whether anchors are left aside on purpose.
    """

    transcript: Sequence[Entry]
    target: Target
    server: str
    policies: Policies
    options: TurnOptions
    must_call: Sequence[str]
    thread: Thread | None
    patience: Patience
    memory: TurnMemory
    retold: bool = False

    def plan(
        self,
        *,
        seen: Seen | None = None,
        settle: Sequence[str] = (),
        settle_in: str | None = None,
        into: Into | None = None,
        look: bool = False,
    ) -> Plan:
        """Plan it with what is known."""
        return plan(
            self.transcript,
            self.target,
            policies=self.policies,
            must_call=self.must_call,
            seen=seen,
            settle=settle,
            settle_in=settle_in,
            into=into,
            look=look,
        )

    @property
    def earlier(self) -> list[Job]:
        """Calls that may have been made before, latest first: people who get no answer say something else."""
        humans: list[int] = []
        for index in range(len(self.transcript) - 1, -1, -1):
            entry = self.transcript[index]
            if isinstance(entry, AssistantEntry):
                break
            if isinstance(entry, HumanEntry):
                humans.append(index + 1)
        return [replace(self, transcript=self.transcript[:end]) for end in humans[1 : _MAX_EARLIER + 1]]

    def without_conversation(self, conversation_id: str) -> Job:
        """The same call, as if no answer had come from a conversation."""
        there = without_anchors(self.transcript, lambda anchor: anchor.conversation_id == conversation_id)
        return replace(self, transcript=there, retold=True)

    @property
    def results(self) -> set[str]:
        """Ids of the calls that the transcript has results for."""
        return {entry.tool_call_id for entry in self.transcript if isinstance(entry, ToolEntry)}

    @property
    def bound(self) -> set[str]:
        """Names of the tools that this call offers."""
        return {tool.name for tool in self.options.client_tools}
