"""`LettaMiddleware`: keeps the conversation of an agent's thread, and leaves no call behind that nobody will answer.

Needs the package `langchain`; the rest of `langchain_letta` needs `langchain-core` alone.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Annotated, Any, TypedDict

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain.agents.middleware.types import ExtendedModelResponse, PrivateStateAttr
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime
from langgraph.types import Command
from typing_extensions import NotRequired, override

from langchain_letta.chat_model import ChatLetta
from langchain_letta.decisions import waiting_blocks
from langchain_letta.messages import ANCHOR_KEY, from_langchain
from letta_adapters.anchoring import Target
from letta_adapters.errors import LettaError
from letta_adapters.joins import extent_of
from letta_adapters.transcript import Anchor

__all__ = ["LettaMiddleware", "LettaState"]

_LOG = logging.getLogger("langchain_letta")

_QUIETLY: RunnableConfig = {"run_name": "settle", "tags": ["nostream"]}
"""LangGraph streams no message of a run with this tag."""


class Head(TypedDict):
    """Where the thread's conversation stands."""

    anchor: dict[str, Any]
    """The anchor of the last answer."""

    told: list[str]
    """Ids of the messages that the thread had then, the answer's among them: the conversation knows them."""

    tools: list[str]
    """Names of the tools that were offered and that the agent runs."""

    waiting: list[dict[str, Any]]
    """The answer's blocks of calls that wait for a person, who decides about them and nobody else."""


class LettaState(AgentState[Any]):
    """What the middleware keeps in the state of the graph."""

    letta: NotRequired[Annotated[Head, PrivateStateAttr]]
    """Written after every answer of the Letta agent; neither an input nor an output of the graph."""


class LettaMiddleware(AgentMiddleware[AgentState[Any], Any, Any]):
    """Keeps a thread of `create_agent` in its Letta conversation, whatever becomes of its messages.

    After each answer it writes where the conversation stands into the state of the graph, where a checkpointer keeps
    it. When messages were removed, or replaced by a summary, and no answer of the agent is left among them, the thread
    goes on in that conversation with what is new; without the middleware it would begin another one. A summary is not
    told to a conversation that knows what it sums up. It is a hint, not a pin: an answer that is left in the messages
    counts more, and a conversation of another agent, or one that is gone, is not gone on with.

    When the agent has ended it delivers the results of tools that return directly and of structured output, and
    denies calls that were never run, in a request that calls no model (`max_steps` 1: measured on 0.16.8). So the
    conversation is free for others, a person at Letta's own client for instance. Calls of tools that the agent does
    not run (not offered here, or offered as a dict) are left alone: somebody may be deciding about them. If it cannot
    be done there is a warning, and the next turn tries again.

    Args:
        model: The model of the agent; it need not have the agent's tools bound.

    Raises:
        TypeError: It is no `ChatLetta`.

    Example:
        ```python
        from langchain.agents import create_agent
        from langchain_letta import ChatLetta, LettaMiddleware

        model = ChatLetta(agent_id="agent-…", base_url="http://localhost:8283")
        agent = create_agent(model, tools=[...], middleware=[LettaMiddleware(model)], checkpointer=...)
        ```
    """

    state_schema = LettaState

    def __init__(self, model: ChatLetta) -> None:
        super().__init__()
        try:  # a model with tools bound is another object, and has all of it as well
            self._target = Target(agent_id=model.agent_id, conversation_id=model.conversation_id)
            self._key = model.anchor_key.get_secret_value() if model.anchor_key is not None else None
        except AttributeError:
            raise TypeError(
                f"LettaMiddleware takes the `ChatLetta` of the agent, not {type(model).__name__}."
            ) from None
        self._model = model

    @override
    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        """Say where the conversation is, if the messages do not, and keep where it is afterwards."""
        return self._kept(request, handler(self._hinted(request)))

    @override
    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        """Say where the conversation is, if the messages do not, and keep where it is afterwards."""
        return self._kept(request, await handler(self._hinted(request)))

    @override
    def after_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> None:
        """Answer the calls that the agent has left open."""
        if self._leaves_calls(state):
            try:
                self._model.invoke(state["messages"], _QUIETLY, max_steps=1)
            except (LettaError, ValueError) as error:  # an answer that is here is not to be lost over this
                _warn(error)

    @override
    async def aafter_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> None:
        """Answer the calls that the agent has left open."""
        if self._leaves_calls(state):
            try:
                await self._model.ainvoke(state["messages"], _QUIETLY, max_steps=1)
            except (LettaError, ValueError) as error:  # an answer that is here is not to be lost over this
                _warn(error)

    def _hinted(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """The request with an answer put in that has nothing but the anchor, if no other answer has one.

        It stands behind what its conversation knows, which stays: told anew, should the conversation be left.
        """
        head = _head_of(request.state)
        if head is None or any(self._is_ours(message) for message in request.messages):
            return request
        known, new = _parted(request.messages, frozenset(head["told"]))
        if not new:
            return request  # the same is asked again: the conversation is found by what it begins with
        anchor = Anchor.model_validate(head["anchor"])
        if self._key is not None and not anchor.is_signed(self._key):
            return request  # nobody's signature is put under what nobody signed
        anchor = self._moved(anchor, known)
        hint = AIMessage([*head["waiting"]], response_metadata={ANCHOR_KEY: anchor.to_metadata()})
        return request.override(messages=[*known, hint, *new])

    def _moved(self, anchor: Anchor, known: Sequence[AnyMessage]) -> Anchor:
        """The anchor of the same answer, behind what is left of what was said before it."""
        extent = extent_of(from_langchain(known))
        measure = {"transcript_length": extent.length, "transcript_digest": extent.digest, "asked_at": None}
        moved = anchor.model_copy(update=measure)
        return moved.signed(self._key) if self._key is not None else moved

    def _kept(
        self, request: ModelRequest[Any], response: ModelResponse[Any]
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        answers = [message for message in response.result if self._is_ours(message)]
        if not answers:
            return response
        head = Head(
            anchor=answers[-1].response_metadata[ANCHOR_KEY],
            told=[message.id for message in (*request.messages, *response.result) if message.id is not None],
            # One that is given as a dict is run by nobody here: its result comes from elsewhere, as the next input.
            tools=[tool.name for tool in request.tools if not isinstance(tool, dict)],
            waiting=waiting_blocks(answers[-1]),
        )
        return ExtendedModelResponse(model_response=response, command=Command(update={"letta": head}))

    def _leaves_calls(self, state: AgentState[Any]) -> bool:
        """Whether the last answer has calls that wait, all of which are answered here or are ours to deny."""
        messages = state["messages"]
        last = next((number for number in reversed(range(len(messages))) if self._is_ours(messages[number])), None)
        anchor = _anchor_of(messages[last]) if last is not None else None
        head = _head_of(state)
        if anchor is None or head is None or last is None:
            return False
        answered = {message.tool_call_id for message in messages[last:] if isinstance(message, ToolMessage)}
        ours = [call.tool_call_id in answered or call.name in head["tools"] for call in anchor.pending]
        return bool(ours) and all(ours)

    def _is_ours(self, message: BaseMessage) -> bool:
        anchor = _anchor_of(message)
        return anchor is not None and self._target.holds(anchor)


def _anchor_of(message: BaseMessage) -> Anchor | None:
    return Anchor.from_metadata(message.response_metadata.get(ANCHOR_KEY)) if isinstance(message, AIMessage) else None


def _head_of(state: Any) -> Head | None:
    return state.get("letta")


def _parted(messages: Sequence[AnyMessage], told: Collection[str]) -> tuple[list[AnyMessage], list[AnyMessage]]:
    """What a conversation knows, one by one or as the summary that the messages begin with, and what is new to it."""
    known: list[AnyMessage] = []
    new: list[AnyMessage] = []
    for number, message in enumerate(messages):
        sums_up = number == 0 and len(messages) > 1 and _is_summary(message)
        (known if sums_up or message.id in told else new).append(message)
    return known, new


def _is_summary(message: BaseMessage) -> bool:
    # Anybody can write that into a message, so it says nothing of one that stands where the middleware puts none.
    return message.additional_kwargs.get("lc_source") == "summarization"


def _warn(error: Exception) -> None:
    _LOG.warning("The calls that the agent left open could not be answered; the next turn tries again: %s", error)
