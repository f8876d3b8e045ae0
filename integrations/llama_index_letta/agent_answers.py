"""What a turn of the agent is in a workflow: streamed events, one message, tools to be run."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from llama_index.core.agent.workflow import AgentStream, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import FunctionTool

from letta_adapters.delivery_steps import Delivered
from letta_adapters.events import PendingCall, ReasoningDelta, TextDelta, TurnEvent
from letta_adapters.loop.calls import arguments_of
from letta_adapters.tools import InvalidArguments
from letta_adapters.transcript import Anchor
from letta_adapters.wire import ContentPart
from llama_index_letta.agent_tools import Offered
from llama_index_letta.messages import LETTA_KEY, WAITS_KEY, blocks_from_content, letta_of, message_from_turns
from llama_index_letta.outputs import answer_from_output
from llama_index_letta.token_data import ASIDE

__all__ = [
    "AUTHOR",
    "AnswerStream",
    "Offered",
    "answer_message",
    "calls_in",
    "result_message",
    "selections",
    "tool_message",
]

AUTHOR = "agent_name"
"""Where a message says which agent of a workflow it is of, beside its anchor."""

_FUNCTION = FunctionTool.from_defaults(fn=lambda: None, name="any")
"""Stands for whatever tool gave an output: how that is told depends on what it is, not on whose."""


class AnswerStream:
    """The events of a turn as a workflow streams them."""

    def __init__(self, agent_name: str, offered: Offered) -> None:
        self._agent_name = agent_name
        self._offered = offered
        self._text = ""
        self._calls: list[ToolSelection] = []

    def event(self, event: TurnEvent) -> AgentStream:
        """One event; `raw` is what came."""
        delta = event.text if isinstance(event, TextDelta) else ""
        self._text += delta
        if isinstance(event, PendingCall):
            self._calls += selections([event], self._offered)[0]
        return AgentStream(
            delta=delta,
            response=self._text,
            tool_calls=list(self._calls),
            raw=event,
            current_agent_name=self._agent_name,
            thinking_delta=event.text if isinstance(event, ReasoningDelta) else None,
        )


def answer_message(delivered: Delivered, anchor: Anchor, name: str, offered: Collection[str]) -> ChatMessage:
    """The message of a turn. What the server's own tools did is told beside it: nobody here has to answer that.

    Args:
        delivered: The turn.
        anchor: Where the conversation stands.
        name: The agent's name.
        offered: Names of the tools that were offered; a call of another one is a person's to decide.
    """
    message = message_from_turns([delivered.turn])
    pending = {call.tool_call_id for call in delivered.turn.pending}
    blocks = [
        block for block in message.blocks if not isinstance(block, ToolCallBlock) or block.tool_call_id in pending
    ]
    told = letta_of(message) or {}
    beside = {name: told[name] for name in ("parts", *ASIDE) if name in told}
    waits = [call.tool_call_id for call in anchor.pending if call.name not in offered]
    letta = {**anchor.to_metadata(), AUTHOR: name, **beside, **({WAITS_KEY: waits} if waits else {})}
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs={LETTA_KEY: letta})


def calls_in(answer: ChatMessage) -> list[PendingCall]:
    """The calls of an answer of the agent's."""
    blocks = [block for block in answer.blocks if isinstance(block, ToolCallBlock)]
    return [
        PendingCall(
            index=index,
            tool_call_id=block.tool_call_id or "",
            name=block.tool_name,
            arguments=block.tool_kwargs if isinstance(block.tool_kwargs, str) else json.dumps(block.tool_kwargs),
        )
        for index, block in enumerate(blocks)
    ]


def selections(calls: Sequence[PendingCall], offered: Offered) -> tuple[list[ToolSelection], list[ChatMessage]]:
    """The calls that a workflow is to run, and the results of those that it cannot: their arguments are no object."""
    chosen: list[ToolSelection] = []
    refused: list[ChatMessage] = []
    for call in calls:
        try:
            arguments = arguments_of(call)
        except InvalidArguments as error:
            refused.append(tool_message(call.tool_call_id, call.name, str(error), failed=True))
            continue
        name = offered.names.get(call.name, call.name)
        chosen.append(ToolSelection(tool_id=call.tool_call_id, tool_name=name, tool_kwargs=arguments))
    return chosen, refused


def result_message(result: ToolCallResult) -> ChatMessage:
    """What a tool gave back, as the agent is told it."""
    answer = answer_from_output(_FUNCTION, result.tool_output)
    return tool_message(result.tool_id, result.tool_name, answer.content, failed=answer.status == "error")


def tool_message(call_id: str, name: str, content: str | list[ContentPart], *, failed: bool) -> ChatMessage:
    """The result of a call as a message of a dialogue."""
    kwargs: dict[str, Any] = {"tool_call_id": call_id, "name": name, **({"is_error": True} if failed else {})}
    return ChatMessage(role=MessageRole.TOOL, blocks=blocks_from_content(content), additional_kwargs=kwargs)
