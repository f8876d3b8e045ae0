"""A tool loop that a task carries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from typing import Any

from typing_extensions import assert_never

from letta_adapters.client import AsyncLettaClient
from letta_adapters.errors import LettaError
from letta_adapters.events import FinishedTurn
from letta_adapters.loop import pumps
from letta_adapters.loop.calls import Batch
from letta_adapters.loop.pumps import Listener, LoopRules, Over, Pump, too_long
from letta_adapters.loop.runner import TaskRunner
from letta_adapters.loop.steps import Ask, Attach, LoopEvent, Read, RoundFinished, Rows, Send, Step
from letta_adapters.task_driver import AsyncTurnStream

__all__ = ["TaskPump"]


class TaskPump(Pump):
    """Carries a loop in a task."""

    def __init__(self, client: AsyncLettaClient, rules: LoopRules, listener: Listener | None = None) -> None:
        super().__init__(client, rules, listener)
        self._client = client
        self._runner = TaskRunner(limit=rules.max_parallel, timeout=rules.tool_timeout)
        self._outbox: asyncio.Queue[LoopEvent | Over] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin, unless it was begun before."""
        if self._task is None:
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(self._run(), name="letta-loop")
            _keep(self._task)

    async def take(self) -> LoopEvent | Over:
        """Wait for the next event."""
        return await self._outbox.get()

    async def wait(self, timeout: float | None) -> bool:
        """Wait for the end."""
        if self._task is None:
            return True
        done, _ = await asyncio.wait({self._task}, timeout=timeout)
        return bool(done)

    def stop(self) -> bool:
        """Run no tool any more and settle; tell whether that will soon be done."""
        if self._task is None or self._task.done():
            return False
        self.stopping = True
        self.listened = False
        self.whole.give_up()
        self._runner.interrupt()
        if self.cancels():
            _keep(asyncio.get_running_loop().create_task(self._cancel(), name="letta-cancel"))
            return True
        return not self.streaming

    def stop_soon(self) -> None:
        """Stop from wherever an object is collected."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the event loop is closed
                self._loop.call_soon_threadsafe(self.stop)

    async def _run(self) -> None:
        step = self.advance(None, await self._taken())
        while not isinstance(step, Over):
            answer: Any = None
            error: BaseException | None = None
            try:
                self.check(step)
                answer = await self._carry_out(step)
            except BaseException as raised:
                error = raised
            step = self.advance(answer, error)
        self.end(step)
        self._outbox.put_nowait(step)

    async def _taken(self) -> BaseException | None:
        """Wait for the turns before this one; give what came of it, if not the right to begin."""
        try:
            await self.whole.acquire_async(self.busy_timeout)
        except BaseException as error:
            return error
        self.whole.enter()
        return None

    def _tell(self, event: LoopEvent) -> None:
        self.hear(event)
        if self.listened:
            self._outbox.put_nowait(event)

    async def _carry_out(self, step: Step) -> Any:
        match step:
            case Send():
                return await (_ain_time(self._send(step)) if step.settling else self._round(step))
            case Attach():
                return await self._round(step)
            case Read():
                return await (_ain_time(self._read(step)) if step.settling else self._read(step))
            case Ask():
                assert self.rules.on_approval is not None, "without it nobody is asked"
                return await self._runner.call(partial(self.rules.on_approval, step.call))
            case Batch():
                return await self._runner.run(step, self._tell)
            case _:
                assert_never(step)

    async def _round(self, step: Send | Attach) -> FinishedTurn:
        self.streaming, self.run_id = True, None
        try:
            turn = await self._send(step)
        finally:
            self.streaming = False
        self._tell(RoundFinished(turn=turn))
        return turn

    async def _send(self, step: Send | Attach) -> FinishedTurn:
        settling = isinstance(step, Send) and step.settling
        stream = await self._stream(step)
        try:
            async with stream:
                async for event in stream:
                    self.run_id = stream.run_id
                    if not settling:
                        self._tell(event)
                return await stream.result()
        except asyncio.CancelledError:  # only the end of the event loop cancels this task
            self.stopping = True
            if stream.run_id is None or settling:
                raise
            return await self._end_of_run(stream.run_id)

    async def _stream(self, step: Send | Attach) -> AsyncTurnStream:
        if isinstance(step, Attach):
            if (await self._client.runs.retrieve(step.run_id)).background:  # nobody can attach to any other one
                return self._client.conversations.messages.stream(**self.place, run_id=step.run_id)
            step = step.otherwise
        return self._client.conversations.messages.create(streaming=True, **self.rules.request.arguments(step))

    async def _end_of_run(self, run_id: str) -> FinishedTurn:
        """Look a last time for what a run asks for, so that it can be settled."""
        stream = self._client.conversations.messages.stream(**self.place, run_id=run_id)
        try:
            return await asyncio.wait_for(stream.result(), pumps.EXIT_TIMEOUT)
        except (LettaError, asyncio.TimeoutError):
            raise asyncio.CancelledError from None

    async def _read(self, step: Read) -> Rows:
        return await self._client.conversations.messages.list(**self.place, **step.query)

    async def _cancel(self) -> None:
        agent_id, conversation_id = self.rules.request.agent_id, self.rules.request.conversation_id
        with suppress(LettaError):  # it ended meanwhile
            if agent_id is not None and self.run_id is not None:
                await self._client.agents.messages.cancel(agent_id, run_ids=[self.run_id])
            elif conversation_id != "default":  # there it would end the runs of all the agent's conversations
                await self._client.conversations.cancel(conversation_id)


async def _ain_time(work: Awaitable[Any]) -> Any:
    try:
        return await asyncio.wait_for(work, pumps.SETTLE_TIMEOUT)
    except asyncio.TimeoutError:
        raise too_long() from None


_tasks: set[asyncio.Task[None]] = set()
"""Event loops refer to their tasks weakly."""


def _keep(task: asyncio.Task[None]) -> None:
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
