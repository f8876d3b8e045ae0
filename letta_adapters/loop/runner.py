"""Run the tools that an agent calls: in threads, or in tasks. Each call once, and none is waited for too long."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, cast

from letta_adapters.loop.calls import (
    Batch,
    Schedule,
    Tell,
    ToolExecution,
    ToolFinished,
    ToolRun,
    ToolStarted,
    arguments_of,
    failed,
    succeeded,
    timed_out,
)

__all__ = ["Interrupted", "TaskRunner", "ThreadRunner"]


class Interrupted(BaseException):
    """Nobody waits for the tools any more. Internal: it never reaches a caller."""


class ThreadRunner:
    """Runs tools in threads of their own, an async one in an event loop of its own there.

    A thread cannot be killed: the one of a tool that took too long is left behind as a daemon, and what it gives in
    the end is dropped.

    Args:
        limit: How many run at a time.
        timeout: Seconds for each.
    """

    def __init__(self, *, limit: int, timeout: float | None) -> None:
        self._limit = limit
        self._timeout = timeout
        self._tokens = count()
        self._inbox: SimpleQueue[tuple[int, Any, BaseException | None] | None] = SimpleQueue()

    def interrupt(self) -> None:
        """Make the call that is under way, or the next one, raise `Interrupted`; from any thread."""
        self._inbox.put(None)

    def run(self, batch: Batch, tell: Tell) -> None:
        """Run the calls of a batch.

        Raises:
            BaseException: A tool raised what is no `Exception`, or nobody waits any more.
        """
        schedule = Schedule(batch, limit=self._limit, timeout=self._timeout, tokens=self._tokens)
        while not schedule.over:
            for token, run in schedule.start(time.monotonic()):
                tell(ToolStarted(call=run.call))
                self._launch(token, partial(_execute, run))
            with suppress(Empty):
                token, execution, error = self._receive(schedule.patience(time.monotonic()))
                if schedule.ended(token):
                    _keep(batch, tell, execution, error)
            for _, run in schedule.late(time.monotonic()):
                _keep(batch, tell, timed_out(run, self._timeout or 0.0), None)

    def call(self, function: Callable[[], Any]) -> Any:
        """Call a function that may take as long as a person does."""
        token = next(self._tokens)
        self._launch(token, function)
        while True:
            done, value, error = self._receive(None)
            if done == token:
                if error is not None:
                    raise error
                return value

    def _launch(self, token: int, function: Callable[[], Any]) -> None:
        _in_daemon(function, lambda value, error: self._inbox.put((token, value, error)))

    def _receive(self, timeout: float | None) -> tuple[int, Any, BaseException | None]:
        message = self._inbox.get(timeout=timeout)
        if message is None:
            raise Interrupted
        return message


def _execute(run: ToolRun) -> ToolExecution:
    """Run one call in this thread."""
    arguments: dict[str, Any] | None = None
    try:
        arguments = arguments_of(run.call)
        value = run.tool.function(**run.tool.validated(arguments))
        if inspect.isawaitable(value):
            value = asyncio.run(_awaited(value))
        return succeeded(run, arguments, value)
    except (Exception, asyncio.CancelledError) as error:
        return failed(run, arguments, error)


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value


def _keep(batch: Batch, tell: Tell, execution: ToolExecution, error: BaseException | None) -> None:
    if error is not None:
        raise error
    batch.finished.append(execution)
    tell(ToolFinished(execution=execution))


def _in_daemon(function: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
    """Call a function in a thread that does not keep the process alive; threads of a pool would."""
    context = contextvars.copy_context()

    def work() -> None:
        try:
            value = context.run(function)
        except BaseException as error:
            done(None, error)
        else:
            done(value, None)

    threading.Thread(target=work, name="letta-tool", daemon=True).start()


_tasks: set[asyncio.Task[None]] = set()
"""Tasks of tools, which an event loop alone would not keep."""


class TaskRunner:
    """Runs tools in tasks, a blocking one in a thread of its own.

    A task that took too long is cancelled and not waited for; a thread is left behind as a daemon.

    Args:
        limit: How many run at a time.
        timeout: Seconds for each.
    """

    def __init__(self, *, limit: int, timeout: float | None) -> None:
        self._limit = limit
        self._timeout = timeout
        self._tokens = count()
        self._given_up: set[int] = set()
        self._inbox: deque[tuple[int, Any, BaseException | None] | None] = deque()
        self._woken: asyncio.Future[None] | None = None

    def interrupt(self) -> None:
        """Make the call that is under way, or the next one, raise `Interrupted`."""
        self._put(None)

    async def run(self, batch: Batch, tell: Tell) -> None:
        """Run the calls of a batch.

        Raises:
            BaseException: A tool raised what is no `Exception`, or nobody waits any more.
        """
        schedule = Schedule(batch, limit=self._limit, timeout=self._timeout, tokens=self._tokens)
        tasks: dict[int, asyncio.Task[None]] = {}
        try:
            while not schedule.over:
                for token, run in schedule.start(time.monotonic()):
                    tell(ToolStarted(call=run.call))
                    tasks[token] = self._launch(token, partial(_aexecute, run))
                message = await self._receive(schedule.patience(time.monotonic()))
                if message is not None and schedule.ended(message[0]):
                    _keep(batch, tell, message[1], message[2])
                for token, run in schedule.late(time.monotonic()):
                    self._give_up(token, tasks[token])
                    _keep(batch, tell, timed_out(run, self._timeout or 0.0), None)
        finally:
            for token in schedule.running:
                self._give_up(token, tasks[token])

    async def call(self, function: Callable[[], Any]) -> Any:
        """Call a function, blocking or async, that may take as long as a person does."""
        token = next(self._tokens)
        task = self._launch(token, partial(_result_of, function))
        try:
            while True:
                message = await self._receive(None)
                if message is not None and message[0] == token:
                    break
        except BaseException:
            self._give_up(token, task)
            raise
        _, value, error = message
        if error is not None:
            raise error
        return value

    def _give_up(self, token: int, task: asyncio.Task[None]) -> None:
        self._given_up.add(token)
        task.cancel()

    def _launch(self, token: int, function: Callable[[], Coroutine[Any, Any, Any]]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._work(token, function))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
        return task

    async def _work(self, token: int, function: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        try:
            self._put((token, await function(), None))
        except BaseException as error:  # a KeyboardInterrupt would otherwise go to whoever runs the event loop
            if token not in self._given_up:
                self._put((token, None, error))
            elif not isinstance(error, (Exception, asyncio.CancelledError)):
                raise

    def _put(self, message: tuple[int, Any, BaseException | None] | None) -> None:
        self._inbox.append(message)
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def _receive(self, timeout: float | None) -> tuple[int, Any, BaseException | None] | None:
        """The next message; `None` after `timeout` seconds."""
        if not self._inbox:
            self._woken = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._woken}, timeout=timeout)
        if not self._inbox:
            return None
        message = self._inbox.popleft()
        if message is None:
            raise Interrupted
        return message


async def _aexecute(run: ToolRun) -> ToolExecution:
    """Run one call in this task."""
    arguments: dict[str, Any] | None = None
    try:
        arguments = arguments_of(run.call)
        value = await _result_of(partial(run.tool.function, **run.tool.validated(arguments)))
        return succeeded(run, arguments, value)
    except (Exception, asyncio.CancelledError) as error:
        return failed(run, arguments, error)


async def _result_of(function: Callable[[], Any]) -> Any:
    """Await an async function here, call any other in a thread."""
    called: Any = function
    while isinstance(called, partial):
        called = cast("Any", called).func
    if inspect.iscoroutinefunction(called) or inspect.iscoroutinefunction(type(called).__call__):
        value = function()
    else:
        value = await _in_thread(function)
    return await value if inspect.isawaitable(value) else value


async def _in_thread(function: Callable[[], Any]) -> Any:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

    def deliver(value: Any, error: BaseException | None) -> None:
        if not future.done():
            future.set_result((value, error))

    def done(value: Any, error: BaseException | None) -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(deliver, value, error)

    _in_daemon(function, done)
    value, error = await future
    if error is not None:
        raise error
    return value
