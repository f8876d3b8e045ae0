"""The server's memory: agents, tools, conversations and their messages. Pure: no I/O, no clock but creation dates."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from letta_adapters.testing.errors import agent_not_found, conversation_not_found, not_found
from letta_adapters.testing.messages import StoredMessage, new_id, now, without_nulls
from letta_adapters.testing.server_tools import ServerTool

__all__ = ["Agent", "Block", "Conversation", "Page", "Store", "compile_system"]


@dataclass(frozen=True, kw_only=True)
class Block:
    """A memory block."""

    label: str
    value: str
    description: str = ""
    limit: int = 100_000
    id: str = field(default_factory=lambda: new_id("block"))


@dataclass(kw_only=True)
class _Entry:
    position: int
    in_context: bool = True


@dataclass(kw_only=True)
class Conversation:
    """A conversation: which messages it has, in which order, and which of them the model sees.

    Messages themselves live in the store, because forks share them; `shares` says that this one may.
    """

    id: str
    agent_id: str
    summary: str | None = None
    model: str | None = None
    model_settings: dict[str, Any] | None = None
    description: str | None = None
    hidden: bool = False
    archived_at: datetime | None = None
    context_window_limit: int | None = None
    deleted: bool = False
    shares: bool = False
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    last_message_at: datetime | None = None
    entries: dict[str, _Entry] = field(default_factory=dict[str, _Entry])

    @property
    def is_default(self) -> bool:
        """Whether it is the agent's own list of messages."""
        return self.id == "default"

    @property
    def in_context(self) -> list[str]:
        """The ids of the messages that the model sees, in order."""
        return [message_id for message_id, entry in self.ordered() if entry.in_context]

    def ordered(self) -> list[tuple[str, _Entry]]:
        """All entries by position."""
        return sorted(self.entries.items(), key=lambda item: item[1].position)

    def add(self, message_ids: Iterable[str], *, start: int | None = None) -> None:
        """Append messages, or place them from a position on."""
        last = max((entry.position for entry in self.entries.values()), default=-1)
        first = last + 1 if start is None else start
        for offset, message_id in enumerate(message_ids):
            self.entries[message_id] = _Entry(position=first + offset)

    def set_context(self, message_ids: Sequence[str]) -> None:
        """Say which messages the model sees from now on; what another turn added meanwhile falls out."""
        wanted = set(message_ids)
        for message_id, entry in self.entries.items():
            entry.in_context = message_id in wanted
        for position, message_id in enumerate(message_ids):
            if message_id in self.entries:
                self.entries[message_id].position = position


@dataclass(kw_only=True)
class Agent:
    """An agent with its memory, tools and default conversation."""

    id: str
    name: str
    model: str
    system: str
    agent_type: str = "letta_v1_agent"
    blocks: tuple[Block, ...] = ()
    tools: dict[str, ServerTool] = field(default_factory=dict[str, ServerTool])
    needs_approval: set[str] = field(default_factory=set[str])
    exit_tools: set[str] = field(default_factory=set[str])
    model_settings: dict[str, Any] = field(default_factory=dict[str, Any])
    parallel_tool_calls: bool = False  # whether more than the first call of a step is kept
    context_window: int = 128_000
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] | None = None
    created_at: datetime = field(default_factory=now)
    default: Conversation

    @property
    def tool_result_cap(self) -> int:
        """How many characters of a tool's result the model sees."""
        return max(5000, int(self.context_window * 0.2 * 4))


@dataclass(frozen=True, kw_only=True)
class Page:
    """Which part of a list is asked for; for messages cursors are chronological whatever the order."""

    limit: int
    before: str | None = None
    after: str | None = None
    descending: bool = True
    group_id: str | None = None


class Store:
    """Everything that the server keeps."""

    def __init__(self) -> None:
        """Start empty."""
        self.agents: dict[str, Agent] = {}
        self.tools: dict[str, ServerTool] = {}
        self.conversations: dict[str, Conversation] = {}
        self.messages: dict[str, StoredMessage] = {}
        self._stored = 0

    def agent(self, agent_id: str) -> Agent:
        """Find an agent."""
        if agent_id not in self.agents:
            raise agent_not_found(agent_id)
        return self.agents[agent_id]

    def tool(self, tool_id: str) -> ServerTool:
        """Find a tool."""
        if tool_id not in self.tools:
            raise not_found(f"Tool with id={tool_id} not found.")
        return self.tools[tool_id]

    def conversation(self, conversation_id: str) -> Conversation:
        """Find a conversation that is not deleted."""
        found = self.conversations.get(conversation_id)
        if found is None or found.deleted:
            raise conversation_not_found(conversation_id)
        return found

    def add_conversation(self, agent: Agent, *, system_text: str, **fields: Any) -> Conversation:
        """Create a conversation that starts with its compiled system message."""
        conversation = Conversation(id=fields.pop("id", None) or new_id("conv"), agent_id=agent.id, **fields)
        self.conversations[conversation.id] = conversation
        self.set_system(conversation, system_text)
        return conversation

    def fork(self, source: Conversation, agent: Agent, *, last: str | None = None) -> Conversation:
        """Start a conversation that shares the messages in another one's context, all or up to `last`."""
        shared = source.in_context[1:]
        if last is not None:
            if last not in source.in_context:
                raise not_found(f"Message {last} is not in the context of conversation {source.id}")
            shared = source.in_context[1 : source.in_context.index(last) + 1]
        fork_id = new_id("conv")
        text = self.compiled_system(agent, fork_id)
        fork = self.add_conversation(
            agent, system_text=text, id=fork_id, model=source.model, model_settings=source.model_settings
        )
        fork.add(shared, start=1)
        fork.shares = source.shares = True
        return fork

    def compiled_system(self, agent: Agent, conversation_id: str) -> str:
        """Compile an agent's system prompt with its memory blocks."""
        count = len(self._message_ids(agent))
        return compile_system(agent, conversation_id=conversation_id, previous_messages=count)

    def _message_ids(self, agent: Agent) -> set[str]:
        conversations = [other for other in self.conversations.values() if other.agent_id == agent.id]
        return set(agent.default.entries).union(*(conversation.entries for conversation in conversations))

    def set_system(self, conversation: Conversation, text: str) -> None:
        """Put a system message in front."""
        message = StoredMessage(
            id=new_id("message"), role="system", content=({"type": "text", "text": text},), created_at=now()
        )
        self._keep([message], conversation)
        conversation.add([message.id], start=0)

    def edit_system(self, conversation: Conversation, text: str) -> None:
        """Change the text of the system message in front."""
        first = self.messages[conversation.in_context[0]]
        self.messages[first.id] = replace(first, content=({"type": "text", "text": text},))

    def checkpoint(
        self, conversation: Conversation, new: Sequence[StoredMessage], context: Sequence[StoredMessage]
    ) -> None:
        """Store the messages of a finished step and make `context` what the model sees next."""
        self._keep(new, conversation)
        conversation.add([message.id for message in new])
        conversation.set_context([message.id for message in context])

    def context(self, conversation: Conversation) -> list[StoredMessage]:
        """The messages that the model sees."""
        return [self.messages[message_id] for message_id in conversation.in_context]

    def page(self, conversation: Conversation, page: Page) -> list[StoredMessage]:
        """List stored messages; an unknown cursor is no cursor."""
        entries = conversation.entries
        low = entries[page.after].position if page.after in entries else -1
        high = entries[page.before].position if page.before in entries else sys.maxsize
        ids = [message_id for message_id, entry in conversation.ordered() if low < entry.position < high]
        of_group = [m for m in ids if page.group_id in (None, self.messages[m].group_id)]
        return [self.messages[message_id] for message_id in _cut(of_group, page)]

    def agent_page(
        self, agent: Agent, page: Page, *, said_in: str | None, in_order: bool = False
    ) -> list[StoredMessage]:
        """List an agent's messages, oldest first in either order: descending only means to take the newest ones.

        Args:
            agent: The agent.
            page: Which part.
            in_order: Whether they come newest first where that is asked for, as the reference has it.
            said_in: Only what was said in this conversation, not what a fork shares with its origin. What a fork took
                out of `default` is no longer there. `None` for all messages of the agent.
        """
        for cursor in (page.after, page.before):
            if cursor is not None and cursor not in self.messages:
                raise not_found(f"No message found with id '{cursor}' for agent '{agent.id}'.")
        low = self.messages[page.after].sequence if page.after else -1
        high = self.messages[page.before].sequence if page.before else sys.maxsize
        wanted = self._said_in(agent, said_in) if said_in is not None else self._message_ids(agent)
        chosen = sorted((self.messages[message_id] for message_id in wanted), key=lambda message: message.sequence)
        chosen = [message for message in chosen if low < message.sequence < high]
        chosen = [message for message in chosen if page.group_id in (None, message.group_id)]
        if not page.descending:
            return chosen[: page.limit]
        newest = chosen[-page.limit :]
        return newest[::-1] if in_order else newest

    def _said_in(self, agent: Agent, conversation_id: str) -> set[str]:
        if conversation_id != "default":
            messages = self.messages.values()
            return {message.id for message in messages if message.conversation_id == conversation_id}
        conversations = [other for other in self.conversations.values() if other.agent_id == agent.id]
        taken = {message_id for conversation in conversations for message_id in conversation.entries}
        return set(agent.default.entries) - taken

    def of_run(self, run_id: str) -> Iterator[StoredMessage]:
        """The messages that a run stored, oldest first."""
        return (message for message in self.messages.values() if message.run_id == run_id)

    def delete(self, conversation: Conversation) -> None:
        """Delete a conversation and its messages, except those that a fork has too."""
        shared: set[str] = set()
        if conversation.shares:
            others = (other for other in self.conversations.values() if other is not conversation)
            shared.update(*(other.entries for other in others))
        for message_id in conversation.entries.keys() - shared:
            if self.messages[message_id].conversation_id == conversation.id:
                del self.messages[message_id]
        conversation.deleted = True
        conversation.entries.clear()

    def _keep(self, messages: Sequence[StoredMessage], conversation: Conversation) -> None:
        owner = None if conversation.is_default else conversation.id
        for message in messages:
            content, approvals = without_nulls(message.content), without_nulls(message.approvals)
            self.messages[message.id] = replace(
                message, content=content, approvals=approvals, conversation_id=owner, sequence=self._stored
            )
            self._stored += 1


def _cut(ids: list[str], page: Page) -> list[str]:
    chosen = ids[::-1] if page.descending else ids
    return chosen[: page.limit]


def compile_system(agent: Agent, *, conversation_id: str, previous_messages: int) -> str:
    """Compile an agent's system prompt with its memory blocks."""
    parts = [agent.system]
    if agent.blocks:
        blocks = "\n".join(_block_text(block) for block in agent.blocks)
        intro = "The following memory blocks are currently engaged in your core memory unit:"
        parts.append(f"<memory_blocks>\n{intro}\n\n{blocks}\n</memory_blocks>")
    parts.append(
        "<memory_metadata>\n"
        f"- AGENT_ID: {agent.id}\n"
        f"- CONVERSATION_ID: {conversation_id}\n"
        f"- System prompt last recompiled: {now().strftime('%Y-%m-%d %I:%M:%S %p %Z%z')}\n"
        f"- {previous_messages} previous messages between you and the user are stored in recall memory\n"
        "</memory_metadata>"
    )
    return "\n\n".join(parts)


def _block_text(block: Block) -> str:
    return (
        f"<{block.label}>\n<description>\n{block.description}\n</description>\n"
        f"<metadata>\n- chars_current={len(block.value)}\n- chars_limit={block.limit}\n</metadata>\n"
        f"<value>\n{block.value}\n</value>\n</{block.label}>\n"
    )
