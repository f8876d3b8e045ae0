"""A tool loop that a thread carries."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from typing_extensions import assert_never

from letta_adapters.client import LettaClient
from letta_adapters.daemons import start_daemon
from letta_adapters.errors import LettaError
from letta_adapters.events import FinishedTurn, PendingCall
from letta_adapters.loop import pumps
from letta_adapters.loop.calls import Batch
from letta_adapters.loop.pumps import Listener, LoopRules, Over, Pump, too_long
from letta_adapters.loop.runner import ThreadRunner
from letta_adapters.loop.steps import Ask, Attach, LoopEvent, Read, RoundFinished, Rows, Send, Step
from letta_adapters.thread_driver import TurnStream

__all__ = ["ThreadPump"]

_SECOND = 1.0


class ThreadPump(Pump):
    """Carries a loop in a thread."""

    def __init__(self, client: LettaClient, rules: LoopRules, listener: Listener | None = None) -> None:
        super().__init__(client, rules, listener)
        self._client = client
        self._runner = ThreadRunner(limit=rules.max_parallel, timeout=rules.tool_timeout)
        self._outbox: SimpleQueue[LoopEvent | Over] = SimpleQueue()
        self._over = threading.Event()
        self.started = False

    def start(self) -> None:
        """Begin, unless it was begun before."""
        if not self.started:
            self.started = True
            _keep_until_over(self)
            context = contextvars.copy_context()
            threading.Thread(target=context.run, args=(self._run,), name="letta-loop", daemon=True).start()

    def take(self) -> LoopEvent | Over:
        """Wait for the next event, second by second: a signal that comes just before a wait begins does not end it."""
        while True:
            with suppress(Empty):
                return self._outbox.get(timeout=_SECOND)

    def wait(self, timeout: float | None) -> bool:
        """Wait for the end."""
        return not self.started or self._over.wait(timeout)

    def stop(self) -> bool:
        """Run no tool any more and settle; tell whether that will soon be done."""
        if not self.started or self._over.is_set():
            return False
        self.stopping = True
        self.listened = False
        self.whole.give_up()
        self._runner.interrupt()
        if self.cancels():
            if not start_daemon(threading.Thread(target=self._cancel, name="letta-cancel")):
                self._cancel()
            return True
        return not self.streaming

    def _run(self) -> None:
        step = self.advance(None, self._taken())
        while not isinstance(step, Over):
            answer: Any = None
            error: BaseException | None = None
            try:
                self.check(step)
                answer = self._carry_out(step)
            except BaseException as raised:
                error = raised
            step = self.advance(answer, error)
        self.end(step)
        self._outbox.put(step)
        self._over.set()
        _in_flight.discard(self)

    def _taken(self) -> BaseException | None:
        """Wait for the turns before this one; give what came of it, if not the right to begin."""
        try:
            self.whole.acquire(self.busy_timeout)
        except BaseException as error:
            return error
        self.whole.enter()
        return None

    def _tell(self, event: LoopEvent) -> None:
        self.hear(event)
        if self.listened:
            self._outbox.put(event)

    def _carry_out(self, step: Step) -> Any:
        match step:
            case Send():
                return _in_time(partial(self._send, step)) if step.settling else self._round(step)
            case Attach():
                return self._round(step)
            case Read():
                return _in_time(partial(self._read, step)) if step.settling else self._read(step)
            case Ask():
                return self._runner.call(partial(self._ask, step.call))
            case Batch():
                return self._runner.run(step, self._tell)
            case _:
                assert_never(step)

    def _round(self, step: Send | Attach) -> FinishedTurn:
        self.streaming, self.run_id = True, None
        try:
            turn = self._send(step)
        finally:
            self.streaming = False
        self._tell(RoundFinished(turn=turn))
        return turn

    def _send(self, step: Send | Attach) -> FinishedTurn:
        settling = isinstance(step, Send) and step.settling
        with self._stream(step) as stream:
            for event in stream:
                self.run_id = stream.run_id
                if not settling:
                    self._tell(event)
            return stream.result()

    def _stream(self, step: Send | Attach) -> TurnStream:
        if isinstance(step, Attach):
            if self._client.runs.retrieve(step.run_id).background:  # nobody can attach to any other one (measured)
                return self._client.conversations.messages.stream(**self.place, run_id=step.run_id)
            step = step.otherwise
        return self._client.conversations.messages.create(streaming=True, **self.rules.request.arguments(step))

    def _read(self, step: Read) -> Rows:
        return self._client.conversations.messages.list(**self.place, **step.query)

    def _ask(self, call: PendingCall) -> Any:
        assert self.rules.on_approval is not None, "without it nobody is asked"
        decision = self.rules.on_approval(call)
        return asyncio.run(_awaited(decision)) if inspect.isawaitable(decision) else decision

    def _cancel(self) -> None:
        agent_id, conversation_id = self.rules.request.agent_id, self.rules.request.conversation_id
        with suppress(LettaError, RuntimeError):  # it ended meanwhile, or the process does and has closed the client
            if agent_id is not None and self.run_id is not None:
                self._client.agents.messages.cancel(agent_id, run_ids=[self.run_id])
            elif conversation_id != "default":  # there it would end the runs of all the agent's conversations
                self._client.conversations.cancel(conversation_id)


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value


def _in_time(function: Callable[[], Any]) -> Any:
    """Call a function that must not take for ever; when it does it is left behind in its thread."""
    outbox: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def work() -> None:
        try:
            outbox.put((function(), None))
        except BaseException as raised:
            outbox.put((None, raised))

    if not start_daemon(threading.Thread(target=work, name="letta-settle")):
        return function()  # the process ends, and waits for this thread for so long only
    try:
        value, error = outbox.get(timeout=pumps.SETTLE_TIMEOUT)
    except Empty:
        raise too_long() from None
    if error is not None:
        raise error
    return value


_in_flight: set[ThreadPump] = set()


def _keep_until_over(pump: ThreadPump) -> None:
    _in_flight.add(pump)
    # Handlers run last registered first: this one must be registered after the one that closes the pump's client.
    atexit.unregister(_settle_at_exit)
    atexit.register(_settle_at_exit)


def _settle_at_exit() -> None:
    """Give loops that go on in the background a little time to leave no call pending; their threads are daemons."""
    still = list(_in_flight)
    for pump in still:
        pump.stop()
    deadline = time.monotonic() + pumps.EXIT_TIMEOUT
    for pump in still:
        pump.wait(max(0.0, deadline - time.monotonic()))
