"""Carry a transcript to the server: plan, find or make the conversation, send the turn, count attempts.

`delivery` is a generator without I/O that yields what is to be done and is sent the outcome; `carriers.py` does it,
blocking and async. So the order of things exists once.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import Any
from uuid import uuid4

from letta_adapters.client.endpoints import (
    Endpoint,
    create_conversation,
    list_messages,
    list_run_messages,
    retrieve_conversation,
    retrieve_run,
)
from letta_adapters.client.turns import PreparedTurn, create_message
from letta_adapters.errors import ConversationBusy, LettaError, TurnInterrupted
from letta_adapters.events import FinishedTurn
from letta_adapters.memory import LostTurn, TurnMemory
from letta_adapters.planner import Held, Plan, SystemPolicy, Target, plan
from letta_adapters.retry import busy_delay
from letta_adapters.transcript import Anchor, Entry, anchor_of
from letta_adapters.wire import (
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    ClientSkill,
    ClientTool,
    Conversation,
    InputMessage,
    KnownMessage,
    MessageCreate,
    MessageType,
    Run,
    SystemMessage,
    Unknown,
    calls_of,
)

__all__ = ["Claim", "Delivered", "Flow", "Pause", "Step", "TurnOptions", "TurnOutcome", "delivery"]

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
    """How a turn ended.

    Args:
        result: What came of it.
        run_id: The run that it had at the server, if it came so far.
        replayed: Whether that was a run of before.
    """

    result: FinishedTurn | LettaError
    run_id: str | None
    replayed: bool


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Keep every other turn of this process away from the conversation, until this one is accepted."""

    conversation_id: str
    agent_id: str | None


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Wait this many seconds."""

    seconds: float


_MEMORY = TurnMemory()

Step = Endpoint[Any] | Claim | Pause | PreparedTurn
Flow = Generator[Step, Any, Delivered]


def delivery(
    transcript: Sequence[Entry],
    target: Target,
    *,
    server: str,
    system_policy: SystemPolicy = "once",
    options: TurnOptions | None = None,
    memory: TurnMemory = _MEMORY,
    busy_timeout: float = 60.0,
) -> Flow:
    """Yield what is to be done, be sent what came of it, return the finished turn.

    Args:
        transcript: The whole dialogue.
        target: Where it goes.
        server: The server's address; what is remembered of one says nothing of another.
        system_policy: What becomes of system messages.
        options: How the turn is to be run.
        memory: What this process remembers of turns that went wrong.
        busy_timeout: Seconds to wait, in all, for another turn of the conversation to end.

    Raises:
        ValueError: There is nothing to send.
        LettaError: The turn failed.
    """
    try:
        options = options or TurnOptions()
        return (yield from _delivery(transcript, target, server, system_policy, options, memory, busy_timeout))
    except LettaError as error:
        error.agent_id = error.agent_id or target.agent_id
        error.conversation_id = error.conversation_id or target.conversation_id
        raise


def _delivery(
    transcript: Sequence[Entry],
    target: Target,
    server: str,
    system_policy: SystemPolicy,
    options: TurnOptions,
    memory: TurnMemory,
    busy_timeout: float,
) -> Flow:
    waited = 0.0
    for tries in count():
        made = plan(transcript, target, system_policy=system_policy)
        reads = made.needs_held
        if reads:
            made = yield from _plan_with_what_is_held(made, transcript, target, system_policy, memory)
        try:
            # What was read may be old news once another turn has ended, so such a plan is not kept while waiting.
            return (yield from _send(made, target, server, options, memory, patient=not reads))
        except ConversationBusy as busy:
            if not reads or waited > busy_timeout:
                raise
            waited += yield from _wait_for_the_other_turn(busy, tries, at_most=busy_timeout - waited)
    raise AssertionError("count() has no end")


def _agent_of(conversation_id: str, server: str, memory: TurnMemory) -> Generator[Endpoint[Any], Any, str | None]:
    """The agent of a conversation that was given without one; asked for once in a process."""
    known = memory.agent_of((server, conversation_id))
    if known is None:
        try:
            conversation: Conversation = yield retrieve_conversation(conversation_id)
        except LettaError:
            return None  # the answer is here; what its anchor lacks is not worth losing it
        known = conversation.agent_id
        memory.keep_agent((server, conversation_id), known)
    return known


def _wait_for_the_other_turn(
    busy: ConversationBusy, tries: int, *, at_most: float
) -> Generator[Endpoint[Any] | Pause, Any, float]:
    """Wait until the run that keeps the conversation busy is over: only then are its rows there to be read.

    Returns:
        Seconds waited.
    """
    waited = 0.0
    for more in count(tries):
        delay = busy_delay(more)
        waited += delay
        yield Pause(seconds=delay)
        if busy.run_id is None or waited > at_most:
            break
        try:
            run: Run = yield retrieve_run(busy.run_id)
        except LettaError:
            break  # it cannot be watched; the conversation itself will tell whether it is free
        if run.status not in ("created", "running"):
            break
    return waited


def _send(made: Plan, target: Target, server: str, options: TurnOptions, memory: TurnMemory, *, patient: bool) -> Flow:
    """Send what was planned, counting past failures of before; `patient` waits for a conversation that is busy."""
    content = (server, repr((target, options)), *_otids(made, made.conversation_id or "", attempt=0, nonce=""))
    lost = memory.take_lost(content)
    nonce = lost.nonce if lost else uuid4().hex
    conversation_id = lost.conversation_id if lost else made.conversation_id or (yield from _new_conversation(target))
    request = _otids(made, conversation_id, attempt=0, nonce=nonce)
    first = memory.attempt(request)
    for attempt in count(first):
        prepared = _prepare(made, conversation_id, attempt, nonce, options)
        outcome: TurnOutcome = yield replace(prepared, patient=patient)
        if isinstance(outcome.result, FinishedTurn):
            agent_id = outcome.result.agent_id or (yield from _agent_of(conversation_id, server, memory))
            turn = replace(outcome.result, agent_id=agent_id)
            return Delivered(turn=turn, anchor=anchor_of(turn, system_hash=made.system_hash))
        error = outcome.result
        if outcome.run_id is not None:
            yield from _find_out_what_was_stored(error, outcome.run_id)
        if isinstance(error, TurnInterrupted):
            memory.lost(content, LostTurn(conversation_id=conversation_id, nonce=nonce))
        # Only a run can be replayed: a request that never became one is the same request next time.
        failed_for_good = error.accepted is False and outcome.run_id is not None
        if failed_for_good:
            memory.failed(request, attempt)
        if not failed_for_good or not outcome.replayed or attempt - first >= _MAX_REPLAYED_FAILURES:
            raise error
    raise AssertionError("count() has no end")


def _plan_with_what_is_held(
    made: Plan, transcript: Sequence[Entry], target: Target, system_policy: SystemPolicy, memory: TurnMemory
) -> Generator[Endpoint[Any] | Claim, Any, Plan]:
    """Read what a pinned conversation holds and plan again, unless what it holds is this very request."""
    assert target.conversation_id is not None, "only a pinned plan asks"
    yield Claim(conversation_id=target.conversation_id, agent_id=target.agent_id)
    rows: Sequence[KnownMessage | Unknown] = yield list_messages(
        target.conversation_id, agent_id=target.agent_id, order="desc", limit=_ROWS_READ
    )
    held = _held(rows)
    before = plan(transcript, target, system_policy=system_policy, held=replace(held, system_texts=frozenset()))
    attempt = memory.attempt(_otids(before, target.conversation_id, attempt=0, nonce=""))
    if _is_stored(before.messages(target.conversation_id, attempt=attempt, nonce=""), rows):
        return before  # sent by somebody who did not see its end: the same otids attach to it
    return plan(transcript, target, system_policy=system_policy, held=held)


def _is_stored(messages: Sequence[InputMessage], rows: Sequence[KnownMessage | Unknown]) -> bool:
    """Whether a run stored all messages of a request; the answers to calls are listed without their otids."""
    runs = {row.otid: row.run_id for row in rows if not isinstance(row, Unknown)}
    otids = [message.otid or "" for message in messages if isinstance(message, MessageCreate)]
    return bool(otids) and all(otid in runs for otid in otids) and len({runs[otid] for otid in otids}) == 1


def _held(rows: Sequence[KnownMessage | Unknown]) -> Held:
    """What the newest rows of a conversation tell; a call waits when its message is the last of all."""
    known = [row for row in rows if not isinstance(row, Unknown)]
    if known and _oldest_first(known):
        known.reverse()
    responses = [row for row in known if isinstance(row, ApprovalResponseMessage)]
    return Held(
        system_texts=frozenset(row.content for row in known if isinstance(row, SystemMessage)),
        pending=tuple(
            call.tool_call_id or ""
            for row in known
            if isinstance(row, ApprovalRequestMessage) and row.id == known[0].id
            for call in calls_of(row)
        ),
        answered=tuple(answer.tool_call_id for row in responses[:1] for answer in row.approvals or ()),
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


def _find_out_what_was_stored(error: LettaError, run_id: str) -> Generator[Endpoint[Any], Any, None]:
    """A failed first step stores nothing, a later one leaves the input stored; the run's messages tell."""
    if error.accepted is False or isinstance(error, TurnInterrupted):
        return  # of a turn that may still be running, missing rows prove nothing
    try:
        rows = yield list_run_messages(run_id, limit=1)
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
