"""The turns of a `LettaAgent`: what of a dialogue is new to its conversation, delivered once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole

from letta_adapters.anchoring import Target
from letta_adapters.carriers import adeliver
from letta_adapters.client import AsyncLettaClient
from letta_adapters.delivery import delivery
from letta_adapters.delivery_steps import Delivered, Thread, TurnOptions
from letta_adapters.events import TurnEvent, TurnStarted
from letta_adapters.locks import Patience
from letta_adapters.loop import WholeTurn
from letta_adapters.policies import Policies
from letta_adapters.transcript import Anchor, AssistantEntry, Entry, Transcript
from letta_adapters.wire import ClientTool
from llama_index_letta.agent_answers import AUTHOR, answer_message
from llama_index_letta.agent_state import AgentState, digests_of
from llama_index_letta.messages import from_llama_index, letta_of

__all__ = ["Speaker", "instructions_of"]


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """An agent as it speaks with its server.

    Args:
        name: The agent's name in its workflow.
        target: Where it speaks.
        client: What it speaks through.
        policies: What is decided by whoever sends.
        options: How turns are to be run; the tools are those of a step.
        busy_timeout: Seconds to wait for another turn of the conversation.
        anchor_key: Signs anchors.
    """

    name: str
    target: Target
    client: AsyncLettaClient
    policies: Policies
    options: TurnOptions
    busy_timeout: float
    anchor_key: str | None = field(default=None, repr=False)

    def dialogue(self, state: AgentState, given: Sequence[ChatMessage]) -> list[ChatMessage]:
        """All that was said, as far as the workflow knows; where it forgot the agent's answers, the last of them."""
        leading = instructions_of(given)
        rest = list(given[len(leading) :])
        kept = state.kept if any(self.is_ours(one) for one in state.kept) else []
        forgotten = bool(kept) and not any(self.is_ours(one) for one in rest)
        if forgotten:
            rest = rest[_after(kept, rest) :]
        told = _told(state, rest)
        before, new = rest[:told], rest[told:]
        return [*leading, *(kept if forgotten else []), *before, *state.unfinished, *new, *state.said]

    def is_ours(self, message: ChatMessage) -> bool:
        """Whether a message is an answer of this agent in its place."""
        letta = letta_of(message)
        anchor = Anchor.from_metadata(letta) if letta is not None else None
        if anchor is None or letta is None or letta.get(AUTHOR, self.name) != self.name:
            return False
        return self.target.holds(anchor) and (self.anchor_key is None or anchor.is_signed(self.anchor_key))

    def anchor_in(self, dialogue: Sequence[ChatMessage]) -> Anchor | None:
        """Where the agent's conversation stands after a dialogue, if it has one."""
        ours = [message for message in dialogue if self.is_ours(message)]
        return Anchor.from_metadata(letta_of(ours[-1])) if ours else None

    def turn_after(self, anchor: Anchor | None) -> WholeTurn | None:
        """The right to the next turn in the conversation; `None` where there is none yet."""
        if self.target.conversation_id is not None:
            return WholeTurn(self.client.base_url, self.target.conversation_id, self.target.agent_id)
        return WholeTurn(self.client.base_url, anchor.conversation_id, anchor.agent_id) if anchor else None

    def deliver(
        self,
        messages: Sequence[ChatMessage],
        key: str,
        *,
        client_tools: tuple[ClientTool, ...] = (),
        **options: Any,
    ) -> AsyncGenerator[TurnEvent | Delivered, None]:
        """Send what is new of a dialogue, as the same request whenever that is done again.

        Args:
            messages: The dialogue.
            key: Stands for the ids that its messages do not have.
            client_tools: The tools that are offered.
            options: What of the options is otherwise in this turn.

        Raises:
            ValueError: There is nothing to send, or a block is of a kind that Letta does not take.
            LettaError: The turn failed.
        """
        flow = delivery(
            self._transcript(messages, key),
            self.target,
            server=self.client.base_url,
            policies=self.policies,
            options=replace(self.options, client_tools=client_tools, **options),
            thread=Thread(thread_id=key, namespace=self.name),
            patience=Patience(self.busy_timeout),
            anchor_key=self.anchor_key,
        )
        return adeliver(self.client, flow)

    def answer(self, delivered: Delivered, offered: frozenset[str], heard: str | None = None) -> ChatMessage:
        """The message of a turn, with its anchor.

        Args:
            delivered: The turn.
            offered: Names of the tools that were offered; a call of another one is a person's to decide.
            heard: The digest of the instructions that the conversation has heard, if this turn had none.
        """
        anchor = self.signed(delivered.anchor, system_hash=delivered.anchor.system_hash or heard)
        return answer_message(delivered, anchor, self.name, offered)

    def begun(self, event: TurnStarted) -> Anchor:
        """The anchor of an answer that has only begun."""
        anchor = Anchor(agent_id=self.target.agent_id, conversation_id=event.conversation_id, run_id=event.run_id)
        return self.signed(anchor)

    def signed(self, anchor: Anchor, **changes: Any) -> Anchor:
        """The anchor with changes, without the measure of a transcript that workflows cut as they like."""
        unmeasured = {"transcript_length": None, "transcript_digest": None, "asked_at": None, "signature": None}
        changed = anchor.model_copy(update={**unmeasured, **changes})
        return changed.signed(self.anchor_key) if self.anchor_key else changed

    def _transcript(self, messages: Sequence[ChatMessage], key: str) -> Transcript:
        translated = from_llama_index(messages)

        def told(entry: Entry, position: int) -> Entry:
            if not isinstance(entry, AssistantEntry):
                return replace(entry, id=key)
            if self.is_ours(messages[position]):
                return entry
            author = (letta_of(messages[position]) or {}).get(AUTHOR)
            return replace(entry, id=key, anchor=None, name=author if isinstance(author, str) else None)

        return Transcript(translated, told)


def instructions_of(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The system messages that a dialogue begins with."""
    leading: list[ChatMessage] = []
    for message in messages:
        if message.role not in (MessageRole.SYSTEM, MessageRole.DEVELOPER):
            break
        leading.append(message)
    return leading


def _after(kept: Sequence[ChatMessage], messages: Sequence[ChatMessage]) -> int:
    """Where the messages go on behind the last answer, if they have it in the same words: browsers keep no more."""
    words = kept[0].content
    for number in range(len(messages) - 1, -1, -1):
        if words and messages[number].role is MessageRole.ASSISTANT and messages[number].content == words:
            return number + 1
    return 0


def _told(state: AgentState, messages: Sequence[ChatMessage]) -> int:
    """How many of the messages a run had that was given up; what came of it stands behind them."""
    told = len(state.told)
    return told if told < len(messages) and digests_of(messages[:told]) == state.told else 0
