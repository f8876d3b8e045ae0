"""Carry a transcript to the server: plan, find or make the conversation, send the turn, count attempts.

`delivery` is a generator without I/O that yields what is to be done and is sent the outcome; `deliver` and `adeliver`
do it, blocking and async. So the order of things exists once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar
from uuid import uuid4

from letta_adapters.assembly import FinishedTurn, TurnEvent
from letta_adapters.client import AsyncLettaClient, LettaClient
from letta_adapters.client.endpoints import (
    Endpoint,
    PreparedTurn,
    create_conversation,
    create_message,
    list_messages,
    list_run_messages,
)
from letta_adapters.errors import LettaError
from letta_adapters.planner import Plan, SystemPolicy, Target, plan
from letta_adapters.transcript import Anchor, Entry, anchor_of
from letta_adapters.wire import ClientSkill, ClientTool, Conversation, MessageType, SystemMessage

__all__ = ["Attempts", "Delivered", "TurnOptions", "TurnOutcome", "adeliver", "deliver", "delivery"]

T = TypeVar("T")

_SYSTEM_TEXTS_READ = 100
"""Newest rows of a conversation that are searched for a system text."""

_MAX_REPLAYED_FAILURES = 20
"""Failures of earlier processes that one call counts past."""


@dataclass(frozen=True, kw_only=True)
class TurnOptions:
    """How a turn is to be run; each is passed on to the API."""

    client_tools: tuple[ClientTool, ...] = ()
    client_skills: tuple[ClientSkill, ...] = ()
    max_steps: int | None = None
    override_model: str | None = None
    override_system: str | None = None
    include_return_message_types: tuple[MessageType, ...] | None = None
    background: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """A turn that ended, and the anchor for its answer."""

    turn: FinishedTurn
    anchor: Anchor


@dataclass(frozen=True, kw_only=True)
class TurnOutcome:
    """How a turn ended."""

    result: FinishedTurn | LettaError
    replayed: bool


class Attempts:
    """Failures of requests that left nothing at the server, remembered in this process.

    The server replays a failed run to whoever sends the same otids, so a retry must count up to be a new request.

    Args:
        limit: How many requests are remembered; the oldest are forgotten first.
    """

    def __init__(self, *, limit: int = 10_000) -> None:
        self._failures: OrderedDict[tuple[str, ...], int] = OrderedDict()
        self._limit = limit
        self._mutex = threading.Lock()

    def number(self, request: tuple[str, ...]) -> int:
        """Which attempt of a request the next one is; 1 for the first."""
        with self._mutex:
            return self._failures.get(request, 0) + 1

    def failed(self, request: tuple[str, ...], attempt: int) -> None:
        """Remember that an attempt failed and left nothing."""
        with self._mutex:
            self._failures[request] = max(attempt, self._failures.get(request, 0))
            self._failures.move_to_end(request)
            while len(self._failures) > self._limit:
                self._failures.popitem(last=False)


_ATTEMPTS = Attempts()

Flow = Generator[Endpoint[Any] | PreparedTurn, Any, Delivered]


def delivery(
    transcript: Sequence[Entry],
    target: Target,
    *,
    system_policy: SystemPolicy = "once",
    options: TurnOptions | None = None,
    attempts: Attempts = _ATTEMPTS,
) -> Flow:
    """Yield what is to be done, be sent what came of it, return the finished turn.

    Raises:
        ValueError: There is nothing to send.
        LettaError: The turn failed.
    """
    options = options or TurnOptions()
    made = plan(transcript, target, system_policy=system_policy)
    if made.needs_system_texts:
        held = yield from _system_texts(target)
        made = plan(transcript, target, system_policy=system_policy, held_system_texts=held)
    conversation_id = made.conversation_id or (yield from _new_conversation(target))
    nonce = uuid4().hex
    request = _otids(made, conversation_id, attempt=0, nonce=nonce)
    first = attempts.number(request)
    for attempt in count(first):
        outcome: TurnOutcome = yield _prepare(made, conversation_id, attempt, nonce, options)
        if isinstance(outcome.result, FinishedTurn):
            return Delivered(turn=outcome.result, anchor=anchor_of(outcome.result, system_hash=made.system_hash))
        error = outcome.result
        yield from _find_out_what_was_stored(error)
        if error.accepted is False:
            attempts.failed(request, attempt)
        if error.accepted is not False or not outcome.replayed or attempt - first >= _MAX_REPLAYED_FAILURES:
            raise error
    raise AssertionError("count() has no end")


def deliver(client: LettaClient, flow: Flow) -> Generator[TurnEvent | Delivered, None, None]:
    """Carry out a delivery; yields the events of the turn, last the finished turn."""
    step = _advance(flow, None)
    while not isinstance(step, Delivered):
        answer: Any
        if isinstance(step, Endpoint):
            try:
                answer = client.send(step)
            except LettaError as error:
                answer = error
        else:
            with client.open_turn(step) as stream:
                held: list[TurnEvent] = []
                try:
                    for event in stream:
                        if stream.replayed:
                            held.append(event)  # it may be a failure of before, which nobody should see
                        else:
                            yield event
                    answer = TurnOutcome(result=stream.result(), replayed=stream.replayed)
                    yield from held
                except LettaError as error:
                    answer = TurnOutcome(result=error, replayed=stream.replayed)
        step = _advance(flow, answer)
    yield step


async def adeliver(client: AsyncLettaClient, flow: Flow) -> AsyncGenerator[TurnEvent | Delivered, None]:
    """Carry out a delivery; yields the events of the turn, last the finished turn."""
    step = _advance(flow, None)
    while not isinstance(step, Delivered):
        answer: Any
        if isinstance(step, Endpoint):
            try:
                answer = await client.send(step)
            except LettaError as error:
                answer = error
        else:
            async with client.open_turn(step) as stream:
                held: list[TurnEvent] = []
                try:
                    async for event in stream:
                        if stream.replayed:
                            held.append(event)  # it may be a failure of before, which nobody should see
                        else:
                            yield event
                    answer = TurnOutcome(result=await stream.result(), replayed=stream.replayed)
                    for event in held:
                        yield event
                except LettaError as error:
                    answer = TurnOutcome(result=error, replayed=stream.replayed)
        step = _advance(flow, answer)
    yield step


def _advance(flow: Flow, answer: Any) -> Endpoint[Any] | PreparedTurn | Delivered:
    """Hand an answer over, or raise an error where it was asked for, and get what is to be done next."""
    try:
        return flow.throw(answer) if isinstance(answer, LettaError) else flow.send(answer)
    except StopIteration as finished:
        return finished.value


def _system_texts(target: Target) -> Generator[Endpoint[Any], Any, set[str]]:
    assert target.conversation_id is not None, "only a pinned plan asks"
    rows = yield list_messages(target.conversation_id, agent_id=target.agent_id, order="desc", limit=_SYSTEM_TEXTS_READ)
    return {row.content for row in rows if isinstance(row, SystemMessage)}


def _new_conversation(target: Target) -> Generator[Endpoint[Any], Any, str]:
    assert target.agent_id is not None, "followed mode has an agent"
    conversation: Conversation = yield create_conversation(agent_id=target.agent_id)
    return conversation.id


def _find_out_what_was_stored(error: LettaError) -> Generator[Endpoint[Any], Any, None]:
    """A failed first step stores nothing, a later one leaves the input stored; the run's messages tell."""
    if error.accepted is False or error.run_id is None:
        return
    try:
        rows = yield list_run_messages(error.run_id, limit=1)
    except LettaError:
        return  # the failure of the turn is what matters; what was stored stays unknown
    error.accepted = bool(rows)


def _otids(made: Plan, conversation_id: str, *, attempt: int, nonce: str) -> tuple[str, ...]:
    messages = made.messages(conversation_id, attempt=attempt, nonce=nonce)
    return tuple(message.otid or "" for message in messages)


def _prepare(made: Plan, conversation_id: str, attempt: int, nonce: str, options: TurnOptions) -> PreparedTurn:
    return create_message(
        conversation_id,
        agent_id=made.agent_id,
        messages=made.messages(conversation_id, attempt=attempt, nonce=nonce),
        client_tools=options.client_tools,
        client_skills=options.client_skills,
        max_steps=options.max_steps,
        override_model=options.override_model,
        override_system=made.override_system or options.override_system,
        include_return_message_types=options.include_return_message_types,
        background=options.background is not False,
    )
