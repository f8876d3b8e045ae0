"""Two carriers that do what a delivery yields: one for threads, one for tasks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

from letta_adapters.client import AsyncLettaClient, LettaClient
from letta_adapters.client.endpoints import Endpoint
from letta_adapters.delivery_steps import Claim, Delivered, Flow, Pause, Step, TurnOutcome
from letta_adapters.driver import busy_here
from letta_adapters.errors import LettaError
from letta_adapters.events import FinishedTurn, TurnEvent
from letta_adapters.locks import Hold
from letta_adapters.task_driver import AsyncTurnStream
from letta_adapters.thread_driver import TurnStream

__all__ = ["adeliver", "deliver"]


def deliver(client: LettaClient, flow: Flow) -> Generator[TurnEvent | Delivered, None, None]:
    """Carry out a delivery; yields the events of the turn, last the finished turn."""
    hold: Hold | None = None
    held = ""
    try:
        step = _advance(flow, None)
        while not isinstance(step, Delivered):
            answer: Any = None
            if isinstance(step, Endpoint):
                answer = _call(client, step)
            elif isinstance(step, Claim):
                _let_go(hold)
                hold, held = client.hold(step.conversation_id, step.agent_id), step.conversation_id
                taken = hold.acquire(step.patience.left())
                answer = hold.in_flight if taken else busy_here(step.patience.seconds)
            elif isinstance(step, Pause):
                _let_go(hold)
                client.pause(step.seconds)
            else:
                if held != step.conversation_id:
                    _let_go(hold)
                    hold = None
                with client.open_turn(step, hold) as stream:
                    answer = yield from _events(stream)
            step = _advance(flow, answer)
        yield step
    finally:
        _let_go(hold)


async def adeliver(client: AsyncLettaClient, flow: Flow) -> AsyncGenerator[TurnEvent | Delivered, None]:
    """Carry out a delivery; yields the events of the turn, last the finished turn."""
    hold: Hold | None = None
    held = ""
    try:
        step = _advance(flow, None)
        while not isinstance(step, Delivered):
            answer: Any = None
            if isinstance(step, Endpoint):
                answer = await _acall(client, step)
            elif isinstance(step, Claim):
                _let_go(hold)
                hold, held = client.hold(step.conversation_id, step.agent_id), step.conversation_id
                taken = await hold.acquire_async(step.patience.left())
                answer = hold.in_flight if taken else busy_here(step.patience.seconds)
            elif isinstance(step, Pause):
                _let_go(hold)
                await client.pause(step.seconds)
            else:
                if held != step.conversation_id:
                    _let_go(hold)
                    hold = None
                async with client.open_turn(step, hold) as stream:
                    # What `_events` does, but not in a generator of its own, which costs something for each token.
                    replay: list[TurnEvent] = []
                    try:
                        async for event in stream:
                            if stream.replayed:
                                replay.append(event)
                            else:
                                yield event
                        answer = _outcome(await stream.result(), stream)
                    except LettaError as error:
                        answer = _outcome(error, stream)
                        replay.clear()
                    for event in replay:
                        yield event
            step = _advance(flow, answer)
        yield step
    finally:
        _let_go(hold)


def _let_go(hold: Hold | None) -> None:
    if hold is not None:
        hold.release()


def _events(stream: TurnStream) -> Generator[TurnEvent, None, TurnOutcome]:
    """The events of a turn; returns how it ended. A run of before is told at its end: it may be a failure."""
    replay: list[TurnEvent] = []
    try:
        for event in stream:
            if stream.replayed:
                replay.append(event)
            else:
                yield event
        outcome = _outcome(stream.result(), stream)
    except LettaError as error:
        outcome = _outcome(error, stream)
        replay.clear()
    yield from replay
    return outcome


def _outcome(result: FinishedTurn | LettaError, stream: TurnStream | AsyncTurnStream) -> TurnOutcome:
    return TurnOutcome(result=result, run_id=stream.run_id, replayed=stream.replayed, background=stream.background)


def _call(client: LettaClient, endpoint: Endpoint[Any]) -> Any:
    try:
        return client.send(endpoint)
    except LettaError as error:
        return error


async def _acall(client: AsyncLettaClient, endpoint: Endpoint[Any]) -> Any:
    try:
        return await client.send(endpoint)
    except LettaError as error:
        return error


def _advance(flow: Flow, answer: Any) -> Step | Delivered:
    """Hand an answer over, or raise an error where it was asked for, and get what is to be done next."""
    try:
        return flow.throw(answer) if isinstance(answer, LettaError) else flow.send(answer)
    except StopIteration as finished:
        return finished.value
