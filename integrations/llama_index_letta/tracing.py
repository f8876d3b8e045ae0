"""What tracers see of a turn: one span that lasts as long as it does, its events, and the older callbacks.

LlamaIndex ends the span of `stream_chat` when it returns, and builds events with whatever span is current where they
are made. Here the span is opened in a context of the turn's own, in which the turn then runs, and closed when it is
over; so spans of tools nest in it, and nothing of it is left in the caller's context.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from typing import Any, TypeVar, cast
from uuid import uuid4

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.chat_engine.types import AgentChatResponse
from llama_index.core.instrumentation.events.agent import (
    AgentChatWithStepEndEvent,
    AgentChatWithStepStartEvent,
    AgentToolCallEvent,
)
from llama_index.core.instrumentation.events.chat_engine import (
    StreamChatDeltaReceivedEvent,
    StreamChatEndEvent,
    StreamChatErrorEvent,
    StreamChatStartEvent,
)
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import ToolMetadata
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.base import BaseEvent
from llama_index_instrumentation.dispatcher import DISPATCHER_SPAN_DECORATED_ATTR, active_instrument_tags
from llama_index_instrumentation.events.span import SpanDropEvent
from llama_index_instrumentation.span import active_span_id

from letta_adapters.events import FinishedTurn, PendingCall
from letta_adapters.loop import ToolExecution

__all__ = ["TurnTrace", "opens_its_own_span", "tell_of_calls"]

_LOG = logging.getLogger("llama_index_letta")

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_dispatcher = get_dispatcher(__name__)
_TRACE = "chat"


def opens_its_own_span(method: F) -> F:
    """Keep LlamaIndex from wrapping a method in a span: a longer one, or that of a tool inside, tells the same."""
    setattr(method, DISPATCHER_SPAN_DECORATED_ATTR, True)
    return method


def tell_of_calls(calls: Sequence[ToolSelection], tools: Mapping[str, ToolMetadata]) -> None:
    """Tell tracers, under the span of the code that runs here, which tools an agent of a workflow calls."""
    for call in calls:
        tool, arguments = tools[call.tool_name], json.dumps(call.tool_kwargs)
        _dispatcher.event(AgentToolCallEvent(arguments=arguments, tool=tool))


class TurnTrace:
    """The span of one turn.

    Args:
        engine: Whose turn it is.
        method: The method that was called.
        arguments: Its arguments, shown to tracers.
        said: The text of the message.
        callbacks: Gets the older events, too: an agent's step, and in it a model's call for each round, with the tokens
            that it took, and a function call for each tool.
        tools: What is told of each tool, by name.
        streamed: Whether there are events for the stream.
    """

    def __init__(
        self,
        engine: object,
        method: str,
        arguments: inspect.BoundArguments,
        *,
        said: str,
        callbacks: CallbackManager,
        tools: dict[str, ToolMetadata],
        streamed: bool,
    ) -> None:
        self.span_id = f"{type(engine).__name__}.{method}-{uuid4()}"
        self._engine = engine
        self._arguments = arguments
        self._said = said
        self._callbacks = callbacks
        self._tools = tools
        self._streamed = streamed
        self._context: Context = copy_context()
        self._step = str(uuid4())
        self._round: str | None = None
        self._told = [ChatMessage(role=MessageRole.USER, content=said)]

    def begin(self) -> None:
        """Open the span."""
        self.run(self._begin)

    def run(self, function: Callable[[], T]) -> T:
        """Call a function in the context of the turn."""
        return self._context.run(function)

    def _begin(self) -> None:
        parent = active_span_id.get()
        active_span_id.set(self.span_id)
        _dispatcher.span_enter(
            id_=self.span_id,
            bound_args=self._arguments,
            instance=self._engine,
            parent_id=parent,
            tags=active_instrument_tags.get(),
        )
        self._event(AgentChatWithStepStartEvent, user_msg=self._said)
        if self._streamed:
            self._event(StreamChatStartEvent)
        self._call(self._callbacks.start_trace, _TRACE)
        payload = {EventPayload.MESSAGES: [self._said]}
        self._call(self._callbacks.on_event_start, CBEventType.AGENT_STEP, payload, event_id=self._step)

    def delta(self, text: str) -> None:
        """Tell more of the text."""
        if self._streamed:
            self._event(StreamChatDeltaReceivedEvent, delta=text)

    def round_started(self) -> None:
        """Tell that the server took a request; a run that is taken up again after a lost connection is the same one."""
        if self._round is not None:
            return
        self._round = str(uuid4())
        payload = {EventPayload.MESSAGES: self._told}
        ids = {"event_id": self._round, "parent_id": self._step}
        self._call(self._callbacks.on_event_start, CBEventType.LLM, payload, **ids)

    def round_finished(self, turn: FinishedTurn) -> None:
        """Tell what the agent answered, and the tokens of all its steps."""
        usage = turn.usage.model_dump(exclude_none=True) if turn.usage is not None else None
        answer = ChatMessage(role=MessageRole.ASSISTANT, content=turn.text)
        response = ChatResponse(message=answer, raw={"usage": usage})
        self._end_round({EventPayload.MESSAGES: self._told, EventPayload.RESPONSE: response})
        self._told = []

    def tool_started(self, call: PendingCall) -> None:
        """Tell that a tool begins."""
        tool = self._tools[call.name]
        self._event(AgentToolCallEvent, arguments=call.arguments, tool=tool)
        payload = {EventPayload.FUNCTION_CALL: call.arguments, EventPayload.TOOL: tool}
        self._call(
            self._callbacks.on_event_start,
            CBEventType.FUNCTION_CALL,
            payload,
            event_id=self._id_of(call.tool_call_id),
            parent_id=self._step,
        )

    def tool_finished(self, execution: ToolExecution) -> None:
        """Tell that a tool has ended."""
        self._told.append(ChatMessage(role=MessageRole.TOOL, content=execution.text))
        payload = {EventPayload.FUNCTION_OUTPUT: execution.text}
        event_id = self._id_of(execution.tool_call_id)
        self._call(self._callbacks.on_event_end, CBEventType.FUNCTION_CALL, payload, event_id=event_id)

    def ended(self, response: AgentChatResponse) -> None:
        """Close the span of a turn that ended well."""
        if self._streamed:
            self._event(StreamChatEndEvent)
        self._event(AgentChatWithStepEndEvent, response=response)
        self._end_callbacks({EventPayload.RESPONSE: response})
        _dispatcher.span_exit(id_=self.span_id, bound_args=self._arguments, instance=self._engine, result=response)

    def failed(self, error: BaseException) -> None:
        """Close the span of a turn that failed."""
        if self._streamed and isinstance(error, Exception):
            self._event(StreamChatErrorEvent, exception=error)
        self._event(SpanDropEvent, err_str=str(error))
        self._end_round({EventPayload.EXCEPTION: error})
        self._end_callbacks({EventPayload.EXCEPTION: error})
        _dispatcher.span_drop(id_=self.span_id, bound_args=self._arguments, instance=self._engine, err=error)

    def _end_round(self, payload: dict[EventPayload, Any]) -> None:
        ended, self._round = self._round, None
        if ended is not None:
            self._call(self._callbacks.on_event_end, CBEventType.LLM, payload, event_id=ended)

    def _end_callbacks(self, payload: dict[EventPayload, Any]) -> None:
        self._call(self._callbacks.on_event_end, CBEventType.AGENT_STEP, payload, event_id=self._step)
        self._call(self._callbacks.end_trace, _TRACE)

    def _event(self, kind: type[BaseEvent], **fields: Any) -> None:
        self._call(lambda: _dispatcher.event(kind(span_id=self.span_id, **fields)))

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call what is not ours: a tracer that fails must not be the end of a turn."""
        try:
            function(*args, **kwargs)
        except Exception:
            _LOG.warning("A tracer failed at %s.", cast("Any", self.span_id), exc_info=True)

    def _id_of(self, tool_call_id: str) -> str:
        return f"{self._step}-{tool_call_id}"
