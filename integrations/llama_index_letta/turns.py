"""One turn of an engine: how it begins, and what is put in order when it is over."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakSet

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager
from llama_index.core.tools import BaseTool, ToolMetadata

from letta_adapters.client.asking import aask, ask
from letta_adapters.loop import (
    SETTLE_TIMEOUT,
    AsyncToolLoop,
    LoopEvent,
    LoopOptions,
    Over,
    Tool,
    ToolLoop,
    WholeTurn,
    astream_turn,
    stream_turn,
)
from letta_adapters.loop.options import rules_of
from letta_adapters.wire import InputPart, TextContent
from llama_index_letta.connecting import Connections
from llama_index_letta.history import read_history
from llama_index_letta.options import EngineOptions
from llama_index_letta.place import Place
from llama_index_letta.reception import AsyncReception, BlockingReception, Reception
from llama_index_letta.tools import as_llama_tools, client_tool, loop_tools
from llama_index_letta.tracing import TurnTrace

__all__ = ["Call", "Turns", "astop", "stop"]


@dataclass(frozen=True, kw_only=True)
class Call:
    """What was asked of an engine.

    Args:
        engine: Whom.
        method: The name of the method.
        arguments: Its arguments, for tracers.
        content: The message, as the API takes it.
    """

    engine: object
    method: str
    arguments: inspect.BoundArguments
    content: str | list[InputPart]

    @property
    def said(self) -> str:
        """The text of the message."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, TextContent))

    @property
    def streamed(self) -> bool:
        """Whether its caller reads along."""
        return "stream" in self.method


class Turns:
    """Begins the turns of an engine.

    Args:
        connections: How to reach the server.
        place: The conversation.
        tools: What the agent may call.
        options: How turns are run.
        callbacks: The older tracers.

    Raises:
        TypeError: A tool is none.
        ValueError: An option is not allowed; a tool's name is refused; it needs the context of a workflow.
    """

    def __init__(
        self,
        *,
        connections: Connections,
        place: Place,
        tools: Sequence[BaseTool],
        options: EngineOptions,
        callbacks: CallbackManager,
    ) -> None:
        self.connections = connections
        self.place = place
        self.options = options
        self.callbacks = callbacks
        self.tools = as_llama_tools(tools)
        self._in_threads = loop_tools(self.tools, tasks=False)
        self._in_tasks = loop_tools(self.tools, tasks=True)
        self._told: dict[str, ToolMetadata] = {client_tool(tool).name: tool.metadata for tool in self.tools}
        self._loops: WeakSet[ToolLoop | AsyncToolLoop] = WeakSet()
        # What a loop would refuse is refused now.
        rules_of("conv-any", "any", **self._options(self._in_threads))

    def start(self, call: Call) -> tuple[BlockingReception, ToolLoop]:
        """Begin a turn in a thread, after those that are under way in the conversation."""
        client, trace = self.connections.blocking, self._trace(call)
        try:
            conversation_id = self.place.open(client)
            reception = BlockingReception(place=self._where(conversation_id), trace=trace)
            listener, options = self._listener(reception), self._options(self._in_threads)
            loop = stream_turn(client, conversation_id, call.content, listener=listener, **options)
        except BaseException as error:
            trace.run(partial(trace.failed, error))
            raise
        self._begin(loop, trace)
        return reception, loop

    async def astart(self, call: Call) -> tuple[AsyncReception, AsyncToolLoop]:
        """Begin a turn in a task, after those that are under way in the conversation."""
        client, trace = self.connections.asynchronous, self._trace(call)
        try:
            conversation_id = await self.place.aopen(client)
            reception = AsyncReception(place=self._where(conversation_id), trace=trace)
            listener, options = self._listener(reception), self._options(self._in_tasks)
            loop = astream_turn(client, conversation_id, call.content, listener=listener, **options)
        except BaseException as error:
            trace.run(partial(trace.failed, error))
            raise
        self._begin(loop, trace)
        return reception, loop

    def renew(self, *, delete: bool) -> None:
        """Go to a new conversation; one that is to be deleted is waited for."""
        client = self.connections.blocking
        whole = self._before_leaving(delete=delete)
        if whole is not None:
            whole.acquire(self.options.busy_timeout)
        try:
            self.place.renew(client, delete=delete)
        finally:
            if whole is not None:
                whole.release()

    async def arenew(self, *, delete: bool) -> None:
        """Go to a new conversation; one that is to be deleted is waited for."""
        client = self.connections.asynchronous
        whole = self._before_leaving(delete=delete)
        if whole is not None:
            await whole.acquire_async(self.options.busy_timeout)
        try:
            await self.place.arenew(client, delete=delete)
        finally:
            if whole is not None:
                whole.release()

    def history(self, *, include: Collection[str] | None, page_size: int) -> Iterator[ChatMessage]:
        """Read the conversation, page by page."""
        client, conversation_id = self.connections.blocking, self.place.conversation_id
        if conversation_id is None:
            return
        flow = read_history(conversation_id, self.place.owner(client), page_size=page_size, include=include)
        with closing(ask(client, flow)) as batches:
            for batch in batches:
                yield from batch
                del batch  # it is not kept while the next page is read

    async def ahistory(self, *, include: Collection[str] | None, page_size: int) -> AsyncIterator[ChatMessage]:
        """Read the conversation, page by page."""
        client, conversation_id = self.connections.asynchronous, self.place.conversation_id
        if conversation_id is None:
            return
        flow = read_history(conversation_id, await self.place.aowner(client), page_size=page_size, include=include)
        async with aclosing(aask(client, flow)) as batches:
            async for batch in batches:
                for message in batch:
                    yield message
                del batch

    def cancel(self) -> None:
        """Stop the turns that are under way."""
        for loop in list(self._loops):
            loop.stop() if isinstance(loop, ToolLoop) else loop.stop_soon()

    def _trace(self, call: Call) -> TurnTrace:
        trace = TurnTrace(
            call.engine,
            call.method,
            call.arguments,
            said=call.said,
            callbacks=self.callbacks,
            tools=self._told,
            streamed=call.streamed,
        )
        trace.begin()
        return trace

    def _begin(self, loop: ToolLoop | AsyncToolLoop, trace: TurnTrace) -> None:
        """Start a loop in the context of its span, which its tools get, too."""
        self.connections.use()
        self._loops.add(loop)
        trace.run(loop.start)

    def _options(self, tools: Sequence[Tool]) -> LoopOptions:
        return self.options.for_loop(tools, self.place.agent_id)

    def _listener(self, reception: Reception) -> Callable[[LoopEvent | Over], None]:
        connections = self.connections

        def hear(item: LoopEvent | Over) -> None:
            if isinstance(item, Over):
                _leave(connections)
            reception.hear(item)

        return hear

    def _before_leaving(self, *, delete: bool) -> WholeTurn | None:
        conversation_id = self.place.conversation_id
        if not delete or conversation_id is None:
            return None
        if conversation_id == "default":
            raise ValueError(
                "The default conversation is part of the agent, so it is not deleted; `reset()` leaves it."
            )
        return WholeTurn(self.connections.base_url, conversation_id)

    def _where(self, conversation_id: str) -> dict[str, Any]:
        return {"agent_id": self.place.agent_id, "conversation_id": conversation_id}


def stop(loop: ToolLoop) -> None:
    """Leave a turn whose caller was interrupted: no tool runs any more, and what waits is denied."""
    if loop.stop():
        loop.wait(SETTLE_TIMEOUT)


async def astop(loop: AsyncToolLoop) -> None:
    """Leave a turn whose caller was interrupted; the twin of `stop`."""
    if loop.stop():
        await loop.wait(SETTLE_TIMEOUT)


_closing: set[asyncio.Task[None]] = set()
"""Event loops refer to their tasks weakly."""


def _leave(connections: Connections) -> None:
    """Stop using connections; those of an event loop close in it, or with it where it does not run any more."""
    client = connections.leave()
    if client is None:
        return
    try:
        task = asyncio.get_running_loop().create_task(client.aclose(), name="letta-close")
    except RuntimeError:
        return
    _closing.add(task)
    task.add_done_callback(_closing.discard)
