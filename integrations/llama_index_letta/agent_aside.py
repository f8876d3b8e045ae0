"""Questions that an agent is asked beside its conversation, in one that is deleted afterwards."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TypeVar
from uuid import uuid4

from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock
from pydantic import BaseModel, ValidationError

from letta_adapters.anchoring import Target
from letta_adapters.delivery_steps import Delivered
from letta_adapters.errors import LettaError
from letta_adapters.events import FinishedTurn
from letta_adapters.policies import Policies
from letta_adapters.transcript import Anchor
from letta_adapters.wire import ClientTool
from llama_index_letta.agent_answers import tool_message
from llama_index_letta.agent_turns import Speaker

__all__ = ["Aside", "aside", "object_of"]

M = TypeVar("M", bound=BaseModel)

_TRIES = 2
"""Times that an agent is asked for an object of a class."""


@dataclass(frozen=True, kw_only=True)
class Aside:
    """A conversation of the agent's for one question.

    Args:
        speaker: The agent, speaking there.
        knows: Whether it is a copy of the agent's conversation.
    """

    speaker: Speaker
    knows: bool

    async def ask(
        self, dialogue: Sequence[ChatMessage], tools: tuple[ClientTool, ...] = ()
    ) -> tuple[FinishedTurn, ChatMessage]:
        """Say what is new and wait for the answer."""
        async with aclosing(self.speaker.deliver(dialogue, uuid4().hex, client_tools=tools)) as events:
            async for event in events:
                if isinstance(event, Delivered):
                    return event.turn, self.speaker.answer(event, frozenset(tool.name for tool in tools))
        raise AssertionError("a delivery ends with what was delivered")


@asynccontextmanager
async def aside(speaker: Speaker, anchor: Anchor | None) -> AsyncGenerator[Aside, None]:
    """Go aside with an agent, with all that it knows where its conversation can be copied, and clear up afterwards."""
    conversations = speaker.client.conversations
    # A copy of the default conversation takes its messages out of its list (measured).
    knows = anchor is not None and anchor.conversation_id != "default"
    if anchor is not None and knows:
        there = await conversations.fork(anchor.conversation_id)
    else:
        there = await conversations.create(agent_id=await _agent_of(speaker, anchor))
    target = Target(agent_id=there.agent_id, conversation_id=there.id)
    policies = Policies(system_messages=speaker.policies.system_messages, on_abandon="cancel")
    try:
        yield Aside(speaker=replace(speaker, target=target, policies=policies), knows=knows)
    finally:
        with suppress(LettaError):  # the answer is here; what is left behind is not worth losing it
            await conversations.delete(there.id)


async def _agent_of(speaker: Speaker, anchor: Anchor | None) -> str:
    agent_id = speaker.target.agent_id or (anchor.agent_id if anchor else None)
    if agent_id is None:
        assert speaker.target.conversation_id is not None, "an agent has an id or a conversation"
        agent_id = (await speaker.client.conversations.retrieve(speaker.target.conversation_id)).agent_id
    return agent_id


async def object_of(output_cls: type[M], there: Aside, messages: Sequence[ChatMessage]) -> M:
    """Ask the agent for an object of a class.

    Args:
        output_cls: The class.
        there: Where it is asked.
        messages: What it is asked, last the question.

    Raises:
        ValueError: It gave none, asked twice.
        LettaError: A turn failed.
    """
    tool = _tool_of(output_cls)
    order = f"Answer by calling `{tool.name}`."
    dialogue = [*(messages[:0] if there.knows else messages[:-1]), _question(messages[-1], order)]
    problem = ""
    for _ in range(_TRIES):
        turn, answer = await there.ask(dialogue, (tool,))
        try:
            return output_cls.model_validate_json(_json_of(turn, tool.name))
        except ValidationError as error:
            problem = f"{error.error_count()} errors: {error.errors(include_url=False, include_input=False)}"
        dialogue = [*dialogue, answer, *_again(turn, problem, order)]
    raise ValueError(f"The agent gave no {output_cls.__name__}: {problem}")


def _question(message: ChatMessage, order: str) -> ChatMessage:
    texts = [block.text for block in message.blocks if isinstance(block, TextBlock)]
    return ChatMessage(role=MessageRole.USER, content=f"{''.join(texts)} {order}")


def _again(turn: FinishedTurn, problem: str, order: str) -> list[ChatMessage]:
    if turn.pending:
        return [tool_message(call.tool_call_id, call.name, problem, failed=True) for call in turn.pending]
    return [ChatMessage(role=MessageRole.USER, content=f"{problem} {order}")]


def _json_of(turn: FinishedTurn, tool: str) -> str:
    """The object in an answer: the arguments of a call, or what of the text looks like one."""
    for call in turn.pending:
        if call.name == tool:
            return call.arguments or "{}"
    found = re.search(r"\{.*\}", turn.text, re.DOTALL)
    return found.group() if found else turn.text


def _tool_of(output_cls: type[BaseModel]) -> ClientTool:
    name = re.sub(r"[^A-Za-z0-9_-]", "_", output_cls.__name__)[:64]
    description = (output_cls.__doc__ or "").strip() or f"Give a {output_cls.__name__}."
    return ClientTool(name=name, description=description, parameters=output_cls.model_json_schema())
