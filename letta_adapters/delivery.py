"""Carry a transcript to the server: plan, find or make the conversation, send the turn, count attempts.

`delivery` is a generator without I/O that yields what is to be done and is sent the outcome; `deliver` and `adeliver`
do it, blocking and async. So the order of things exists once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any
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
from letta_adapters.drivers import busy_here
from letta_adapters.errors import LettaError, TurnInterrupted
from letta_adapters.locks import Hold
from letta_adapters.memory import LostTurn, TurnMemory
from letta_adapters.planner import Held, Plan, SystemPolicy, Target, plan
from letta_adapters.transcript import Anchor, Entry, anchor_of
from letta_adapters.wire import (
    ApprovalRequestMessage,
    ClientSkill,
    ClientTool,
    Conversation,
    KnownMessage,
    MessageType,
    SystemMessage,
    Unknown,
    calls_of,
)

__all__ = ["Claim", "Delivered", "TurnOptions", "TurnOutcome", "adeliver", "deliver", "delivery"]

_ROWS_READ = 100
"""Newest rows of a pinned conversation that are read for its system texts and its pending calls."""

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


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Keep every other turn of this process away from the conversation, until this one is accepted."""

    conversation_id: str
    agent_id: str | None


_MEMORY = TurnMemory()

Step = Endpoint[Any] | Claim | PreparedTurn
Flow = Generator[Step, Any, Delivered]


def delivery(
    transcript: Sequence[Entry],
    target: Target,
    *,
    system_policy: SystemPolicy = "once",
    options: TurnOptions | None = None,
    memory: TurnMemory = _MEMORY,
) -> Flow:
    """Yield what is to be done, be sent what came of it, return the finished turn.

    Raises:
        ValueError: There is nothing to send.
        LettaError: The turn failed.
    """
    try:
        return (yield from _delivery(transcript, target, system_policy, options or TurnOptions(), memory))
    except LettaError as error:
        error.agent_id = error.agent_id or target.agent_id
        error.conversation_id = error.conversation_id or target.conversation_id
        raise


def _delivery(
    transcript: Sequence[Entry],
    target: Target,
    system_policy: SystemPolicy,
    options: TurnOptions,
    memory: TurnMemory,
) -> Flow:
    made = plan(transcript, target, system_policy=system_policy)
    if made.needs_held:
        made = yield from _plan_with_what_is_held(made, transcript, target, system_policy, memory)
    content = _otids(made, made.conversation_id or "", attempt=0, nonce="")
    lost = memory.take_lost(content)
    nonce = lost.nonce if lost else uuid4().hex
    conversation_id = lost.conversation_id if lost else made.conversation_id or (yield from _new_conversation(target))
    request = _otids(made, conversation_id, attempt=0, nonce=nonce)
    first = memory.attempt(request)
    for attempt in count(first):
        outcome: TurnOutcome = yield _prepare(made, conversation_id, attempt, nonce, options)
        if isinstance(outcome.result, FinishedTurn):
            return Delivered(turn=outcome.result, anchor=anchor_of(outcome.result, system_hash=made.system_hash))
        error = outcome.result
        yield from _find_out_what_was_stored(error)
        if error.accepted is False:
            memory.failed(request, attempt)
        elif isinstance(error, TurnInterrupted):
            memory.lost(content, LostTurn(conversation_id=conversation_id, nonce=nonce))
        if error.accepted is not False or not outcome.replayed or attempt - first >= _MAX_REPLAYED_FAILURES:
            raise error
    raise AssertionError("count() has no end")


def deliver(client: LettaClient, flow: Flow) -> Generator[TurnEvent | Delivered, None, None]:
    """Carry out a delivery; yields the events of the turn, last the finished turn."""
    hold: Hold | None = None
    try:
        step = _advance(flow, None)
        while not isinstance(step, Delivered):
            answer: Any = None
            if isinstance(step, Endpoint):
                answer = _call(client, step)
            elif isinstance(step, Claim):
                hold = client.hold(step.conversation_id, step.agent_id)
                if not hold.acquire(client.busy_timeout):
                    answer = busy_here(client.busy_timeout)
            else:
                with client.open_turn(step, hold) as stream:
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
    finally:
        if hold is not None:
            hold.release()


async def adeliver(client: AsyncLettaClient, flow: Flow) -> AsyncGenerator[TurnEvent | Delivered, None]:
    """Carry out a delivery; yields the events of the turn, last the finished turn."""
    hold: Hold | None = None
    try:
        step = _advance(flow, None)
        while not isinstance(step, Delivered):
            answer: Any = None
            if isinstance(step, Endpoint):
                answer = await _acall(client, step)
            elif isinstance(step, Claim):
                hold = client.hold(step.conversation_id, step.agent_id)
                if not await hold.acquire_async(client.busy_timeout):
                    answer = busy_here(client.busy_timeout)
            else:
                async with client.open_turn(step, hold) as stream:
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
    finally:
        if hold is not None:
            hold.release()


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


def _plan_with_what_is_held(
    made: Plan, transcript: Sequence[Entry], target: Target, system_policy: SystemPolicy, memory: TurnMemory
) -> Generator[Endpoint[Any] | Claim, Any, Plan]:
    """Read what a pinned conversation holds and plan again, unless what it holds is this very request."""
    assert target.conversation_id is not None, "only a pinned plan asks"
    yield Claim(conversation_id=target.conversation_id, agent_id=target.agent_id)
    rows: Sequence[KnownMessage | Unknown] = yield list_messages(
        target.conversation_id, agent_id=target.agent_id, order="desc", limit=_ROWS_READ
    )
    attempt = memory.attempt(_otids(made, target.conversation_id, attempt=0, nonce=""))
    own = set(_otids(made, target.conversation_id, attempt=attempt, nonce=""))
    if any(row.otid in own for row in rows if not isinstance(row, Unknown)):
        return made  # sent before, by a process that did not see its end: the same otids attach to it
    return plan(transcript, target, system_policy=system_policy, held=_held(rows))


def _held(rows: Sequence[KnownMessage | Unknown]) -> Held:
    """What the newest rows of a conversation tell; a call waits when its message is the last of all."""
    known = [row for row in rows if not isinstance(row, Unknown)]
    newest = (known[-1] if _oldest_first(known) else known[0]).id if known else None
    return Held(
        system_texts=frozenset(row.content for row in known if isinstance(row, SystemMessage)),
        pending=tuple(
            call.tool_call_id or ""
            for row in known
            if isinstance(row, ApprovalRequestMessage) and row.id == newest
            for call in calls_of(row)
        ),
    )


def _oldest_first(rows: Sequence[KnownMessage]) -> bool:
    """Whether a page came the wrong way round: a self-hosted server lists `default` so (measured)."""
    first, last = rows[0].date, rows[-1].date
    if isinstance(first, datetime) and isinstance(last, datetime) and first != last:
        return first < last
    return isinstance(rows[0], SystemMessage)  # times are in whole seconds; the compiled prompt is the oldest row


def _new_conversation(target: Target) -> Generator[Endpoint[Any], Any, str]:
    assert target.agent_id is not None, "followed mode has an agent"
    conversation: Conversation = yield create_conversation(agent_id=target.agent_id)
    return conversation.id


def _find_out_what_was_stored(error: LettaError) -> Generator[Endpoint[Any], Any, None]:
    """A failed first step stores nothing, a later one leaves the input stored; the run's messages tell."""
    if error.accepted is False or error.run_id is None or isinstance(error, TurnInterrupted):
        return  # of a turn that may still be running, missing rows prove nothing
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
