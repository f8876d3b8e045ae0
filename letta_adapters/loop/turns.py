"""A tool loop of one's own, without a framework: `run_turn`, `arun_turn`, and both as streams."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

from typing_extensions import Self, Unpack

from letta_adapters.client import AsyncLettaClient, LettaClient
from letta_adapters.loop.options import LoopOptions, check_client, check_hook, rules_of
from letta_adapters.loop.pumps import SETTLE_TIMEOUT, Listener, Over, left
from letta_adapters.loop.steps import LoopEvent, LoopResult
from letta_adapters.loop.task_pump import TaskPump
from letta_adapters.loop.thread_pump import ThreadPump
from letta_adapters.wire import InputPart

__all__ = ["AsyncToolLoop", "ToolLoop", "arun_turn", "astream_turn", "run_turn", "stream_turn"]


def run_turn(
    client: LettaClient,
    conversation_id: str,
    input: str | Sequence[InputPart] | None = None,
    *,
    on_event: Callable[[LoopEvent], object] | None = None,
    **options: Unpack[LoopOptions],
) -> LoopResult:
    """Send a message, run the tools that the agent calls until it has answered, and give the answer.

    Each call runs once. Its arguments are validated and coerced; what is wrong with them, what the tool raises and
    a tool that takes too long become results of `status="error"` that the agent can act on. All calls of a round are
    answered in one message whose otid is derived from the run and the results, so that a lost continuation attaches
    to the run that it became. A call of a tool that nobody has is answered by the server itself.

    However it ends, no call of these tools is left pending: they are answered with the results that are there, else
    denied, without calling the model; then the error goes on. There are two exceptions. A turn that is lost
    (`TurnInterrupted`) may still be at work at the server; the next turn finds its calls and denies them. And where a
    tool of the server waits for a person in the same round, all calls wait with it.

    Args:
        client: The client.
        conversation_id: The conversation, or `default` with `agent_id`.
        input: Short for one user message: a text, or parts.
        on_event: Called with each event as it arrives, in the caller's thread.
        options: Any of these:

            - `agent_id`: the agent, for `default`.
            - `messages`: what to send instead of `input`. With otids of your own, sending the same again gives back
              the turn that is there, and no tool runs again.
            - `tools`: functions (see `Tool.from_function`) and `Tool` objects.
            - `max_tool_rounds`: how often tools may be run, 20; one more raises `ToolLoopLimit`.
            - `max_parallel`: how many tools run at a time, 4; each in a thread of its own.
            - `tool_timeout`: seconds for each call, 300; `None` for no limit. A thread cannot be killed: the one of a
              tool that hangs is left behind as a daemon.
            - `on_approval`: called with each pending call that is none of the tools, thus a tool of the server that
              needs a person's approval. It gives `True`, `False` or `Deny(reason=…)`, and is called in a thread of
              the loop's. Without it such a call raises `PendingApprovalError`, and nothing of that round is run.
            - `ask_for`: `all` asks `on_approval` for the calls of the tools too; default `others`.
            - `on_pending_approval`: what becomes of calls that an earlier process left open: if all are to tools that
              are given here they are denied; with `error`, or with any other call, `PendingApprovalError` is raised.
            - `on_abandon`: what becomes of a run in flight when the caller is interrupted: it goes on at the server
              and its calls are denied (`finish`), or it is cancelled there (`cancel`).
            - `max_steps`, `client_skills`, `override_model`, `override_system`, `include_return_message_types`,
              `background`: as in `client.conversations.messages.create`; they go with every round.
            - `return_logprobs`, `top_logprobs`, `return_token_ids`: what the answers looked like token by token, in
              `logprobs` and `token_turns` of each of the result's `turns`. No stream tells it, so each round comes
              whole, and one whose connection is lost is read back without it.
            - `busy_timeout`: seconds to wait for other turns of the conversation; else the client's.

    One turn at a time in a conversation: those of this process wait for each other from their message to their end,
    tools included, so that none denies the calls of another while they run. A tool of the turn that sends a message to
    the conversation gets `ConversationBusy` at once.

    Raises:
        TypeError: A tool's signature is not supported, or the client is the other kind; nothing was sent.
        ValueError: A tool's name is refused, two tools have the same one, or there is nothing to send.
        ToolLoopLimit: The agent went on calling tools; its `result` has what there is.
        PendingApprovalError: A call waits that is not for this loop to answer; it has ids, names and arguments.
        ConversationBusy: Other turns of the conversation took longer than `busy_timeout`; nothing was sent.
        LettaError: The turn failed; the tree is in `letta_adapters.errors`.

    Example:
        ```python
        def add(a: int, b: int) -> int:
            '''Add two numbers.'''
            return a + b


        with LettaClient() as client:
            answer = run_turn(client, "conv-…", "What is 19 + 23?", tools=[add])
            print(answer.text, [(call.name, call.arguments, call.content) for call in answer.executions])
        ```
    """
    check_hook("on_event", on_event)
    loop = stream_turn(client, conversation_id, input, **options)
    try:
        for event in loop:
            if on_event is not None:
                on_event(event)
        return loop.result()
    except BaseException:
        if loop.stop():
            loop.wait(SETTLE_TIMEOUT)
        raise


async def arun_turn(
    client: AsyncLettaClient,
    conversation_id: str,
    input: str | Sequence[InputPart] | None = None,
    *,
    on_event: Callable[[LoopEvent], object] | None = None,
    **options: Unpack[LoopOptions],
) -> LoopResult:
    """Do what `run_turn` does, in tasks: blocking tools run in threads, and hooks may be async.

    When its task is cancelled, the tools that still run are cancelled, their calls are denied, and the cancellation
    goes on once that is done, after 10 seconds at the latest. It goes on at once while a run is in flight at the
    server; calls that the run still asks for are then denied in the background.

    Example:
        ```python
        async with AsyncLettaClient() as client:
            answer = await arun_turn(client, "conv-…", "What is 19 + 23?", tools=[add])
        ```
    """
    check_hook("on_event", on_event)
    loop = astream_turn(client, conversation_id, input, **options)
    try:
        async for event in loop:
            if on_event is not None:
                told = on_event(event)
                if inspect.isawaitable(told):
                    await told
        return await loop.result()
    except BaseException:
        if loop.stop():
            await loop.wait(SETTLE_TIMEOUT)
        raise


def stream_turn(
    client: LettaClient,
    conversation_id: str,
    input: str | Sequence[InputPart] | None = None,
    *,
    listener: Listener | None = None,
    **options: Unpack[LoopOptions],
) -> ToolLoop:
    """Do what `run_turn` does, and see the events as they arrive; the arguments are the same.

    Args:
        client: The client.
        conversation_id: The conversation, or `default` with `agent_id`.
        input: Short for one user message: a text, or parts.
        listener: Called in the loop's own thread with each event, whether anybody iterates or not, and at last with an
            `Over`, before `wait` returns. With it the loop gives no events, only its `result`.
        options: As in `run_turn`.

    Raises:
        TypeError: A tool's signature is not supported, or the client is the other kind.
        ValueError: A tool's name is refused, two tools have the same one, or there is nothing to send.

    Example:
        ```python
        with stream_turn(client, conversation.id, "What is 19 + 23?", tools=[add]) as loop:
            for event in loop:
                if isinstance(event, TextDelta):
                    print(event.text, end="")
            print(loop.result().usage)
        ```
    """
    check_client(client, LettaClient)
    check_hook("listener", listener)
    return ToolLoop(ThreadPump(client, rules_of(conversation_id, input, **options), listener))


def astream_turn(
    client: AsyncLettaClient,
    conversation_id: str,
    input: str | Sequence[InputPart] | None = None,
    *,
    listener: Listener | None = None,
    **options: Unpack[LoopOptions],
) -> AsyncToolLoop:
    """Do what `arun_turn` does, and see the events as they arrive; the arguments are those of `stream_turn`.

    The listener is called in the event loop.

    Raises:
        TypeError: A tool's signature is not supported, or the client is the other kind.
        ValueError: A tool's name is refused, two tools have the same one, or there is nothing to send.
    """
    check_client(client, AsyncLettaClient)
    check_hook("listener", listener)
    return AsyncToolLoop(TaskPump(client, rules_of(conversation_id, input, **options), listener))


class ToolLoop:
    """A loop in flight: iterate over its events, then ask for its `result`.

    Nothing is sent before `start`, or before the first event is asked for; from then on a thread of its own carries
    the loop, whether its events are asked for or not. Leaving early is up to `on_abandon`: by default the loop goes on
    in the background to its end, tools included; with `cancel` it stops. The client must stay open meanwhile: `wait`
    tells when nothing needs it any more. A process that ends stops the loops that are left and gives them 5 seconds
    to settle.

    Raises:
        LettaError: While iterating; the tree is in `letta_adapters.errors`.
        BaseException: What a tool or a hook raised, where it is no `Exception`.
    """

    def __init__(self, pump: ThreadPump) -> None:
        self._pump = pump
        self._over: Over | None = None
        self._left = False

    def start(self) -> Self:
        """Begin at once."""
        if not self._left:
            self._pump.start()
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> LoopEvent:
        if self._left or self._over is not None:
            raise StopIteration
        self._pump.start()
        item = self._pump.take()
        if not isinstance(item, Over):
            return item
        self._over = item
        if item.error is not None:
            raise item.error
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def result(self) -> LoopResult:
        """Wait for the end and give the result.

        Raises:
            LettaError: The loop failed, or was left before its end.
        """
        for _ in self:
            pass
        return _result_of(self._over)

    def close(self) -> None:
        """Leave. The loop goes on to its end in the background, or stops, as `on_abandon` says."""
        self._left = True
        self._pump.listened = False
        if self._over is None and self._pump.rules.on_abandon == "cancel":
            self._pump.stop()

    def stop(self) -> bool:
        """Leave, and run no tool any more: calls that wait, or that the run in flight still asks for, are denied.

        Returns:
            Whether that will soon be done; not while a run is in flight, unless `on_abandon` cancels it.
        """
        self._left = True
        return self._pump.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait, after leaving, until nothing goes on in the background; tell whether that is so."""
        return self._pump.wait(timeout)


class AsyncToolLoop:
    """A loop in flight: iterate over its events, then await its `result`. The twin of `ToolLoop`, in a task.

    An event loop that ends stops the loops that are left and waits for them to settle.
    """

    def __init__(self, pump: TaskPump) -> None:
        self._pump = pump
        self._over: Over | None = None
        self._left = False

    def start(self) -> Self:
        """Begin at once; the event loop must be running."""
        if not self._left:
            self._pump.start()
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LoopEvent:
        if self._left or self._over is not None:
            raise StopAsyncIteration
        self._pump.start()
        item = await self._pump.take()
        if not isinstance(item, Over):
            return item
        self._over = item
        if item.error is not None:
            raise item.error
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        self._pump.listened = False
        if self._over is None and not self._left and self._pump.rules.on_abandon == "cancel":
            self._pump.stop_soon()

    async def result(self) -> LoopResult:
        """Wait for the end and give the result.

        Raises:
            LettaError: The loop failed, or was left before its end.
        """
        async for _ in self:
            pass
        return _result_of(self._over)

    async def aclose(self) -> None:
        """Leave. The loop goes on to its end in the background, or stops, as `on_abandon` says."""
        self._left = True
        self._pump.listened = False
        if self._over is None and self._pump.rules.on_abandon == "cancel":
            self._pump.stop()

    def stop(self) -> bool:
        """Leave, and run no tool any more: calls that wait, or that the run in flight still asks for, are denied.

        Returns:
            Whether that will soon be done; not while a run is in flight, unless `on_abandon` cancels it.
        """
        self._left = True
        return self._pump.stop()

    def stop_soon(self) -> None:
        """Stop from wherever this is called: another thread, another event loop, none at all."""
        self._left = True
        self._pump.stop_soon()

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait, after leaving, until nothing goes on in the background; tell whether that is so."""
        return await self._pump.wait(timeout)


def _result_of(over: Over | None) -> LoopResult:
    if over is None:
        raise left()
    if over.error is not None:
        raise over.error
    assert over.result is not None, "a loop ends with a result or an error"
    return over.result
