"""Carry a transcript to the server: plan, find or make the conversation, send the turn, count attempts.

`delivery` is a generator without I/O that yields what is to be done and is sent the outcome; `carriers.py` does it,
blocking and async. So the order of things exists once.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any
from uuid import uuid4

from letta_adapters.client.endpoints import (
    Endpoint,
    create_conversation,
    list_messages,
    list_run_messages,
    retrieve_agent,
    retrieve_conversation,
    retrieve_run,
)
from letta_adapters.client.turns import PreparedTurn, create_message
from letta_adapters.creation import marked_conversation
from letta_adapters.delivery_steps import Claim, Delivered, Flow, Pause, Policies, Thread, TurnOptions, TurnOutcome
from letta_adapters.errors import (
    ConversationBusy,
    Divergence,
    LettaError,
    PendingApprovalError,
    ProtocolError,
    TurnInterrupted,
)
from letta_adapters.events import FinishedTurn
from letta_adapters.identity import conversation_marker
from letta_adapters.locks import Patience
from letta_adapters.matching import Row, response_to, run_that_stored
from letta_adapters.memory import LostTurn, TurnMemory
from letta_adapters.pending import check_may_be_denied
from letta_adapters.planner import Held, Plan, Target, plan
from letta_adapters.retry import busy_delay
from letta_adapters.transcript import Entry, ToolEntry, anchor_of
from letta_adapters.waiting import newest_first, waiting_calls
from letta_adapters.wire import Agent, ApprovalResponseMessage, Conversation, Run, SystemMessage

__all__ = ["delivery"]

_ROWS_READ = 100
"""Rows that are read at once: the first after an anchor, or a conversation's newest."""

_MAX_REPLAYED_FAILURES = 20
"""Failures of earlier processes that one call counts past."""

_BUSY_TIMEOUT = 60.0

_MAX_SETTLED = 2
"""Times that one call finds other calls pending and denies them."""


_MEMORY = TurnMemory()
_NONE = Patience(0.0)


def delivery(
    transcript: Sequence[Entry],
    target: Target,
    *,
    server: str,
    policies: Policies | None = None,
    options: TurnOptions | None = None,
    thread: Thread | None = None,
    patience: Patience | None = None,
    memory: TurnMemory = _MEMORY,
) -> Flow:
    """Yield what is to be done, be sent what came of it, return the finished turn.

    Args:
        transcript: The whole dialogue.
        target: Where it goes.
        server: The server's address; what is remembered of one says nothing of another.
        policies: What is decided by whoever sends.
        options: How the turn is to be run.
        thread: Where in a program it is sent; a conversation that is made for it is found again after a crash.
        patience: How long to wait for other turns of the conversation.
        memory: What this process remembers of turns that went wrong.

    Raises:
        ValueError: There is nothing to send.
        LettaError: The turn failed.
    """
    try:
        return (
            yield from _Delivery(
                transcript=transcript,
                target=target,
                server=server,
                policies=policies or Policies(),
                options=options or TurnOptions(),
                thread=thread,
                memory=memory,
                patience=patience or Patience(_BUSY_TIMEOUT),
            ).run()
        )
    except LettaError as error:
        error.agent_id = error.agent_id or target.agent_id
        error.conversation_id = error.conversation_id or target.conversation_id
        raise


@dataclass(frozen=True, kw_only=True)
class _Delivery:
    """One call: what it was given, and the way it goes."""

    transcript: Sequence[Entry]
    target: Target
    server: str
    policies: Policies
    options: TurnOptions
    thread: Thread | None
    memory: TurnMemory
    patience: Patience

    def run(self) -> Flow:
        for tries in count():
            made = self._plan()
            # One new message needs no look: its otid tells whether the server has it.
            reads = made.conversation_id is not None and bool(made.needs_held or made.answering or len(made.items) > 1)
            if reads:
                made = yield from self._plan_with_what_is_there(made)
            try:
                # What was read may be old news once another turn has ended, so such a plan is not kept while waiting.
                return (yield from self._send_and_settle(made, patience=_NONE if reads else self.patience))
            except ConversationBusy as error:
                if not reads or self.patience.left() <= 0:
                    raise
                busy = error
            yield from self._wait_for_the_other_turn(busy, tries)
        raise AssertionError("count() has no end")

    def _plan(self, *, held: Held | None = None, settle: Sequence[str] = (), too_late: Collection[str] = ()) -> Plan:
        return plan(
            self.transcript,
            self.target,
            system_policy=self.policies.system_messages,
            held=held,
            settle=settle,
            too_late=too_late,
        )

    def _wait_for_the_other_turn(
        self, busy: ConversationBusy, tries: int
    ) -> Generator[Endpoint[Any] | Pause, Any, None]:
        """Wait until the run that keeps the conversation busy is over: only then are its rows there to be read."""
        for more in count(tries):
            yield Pause(seconds=min(busy_delay(more), self.patience.left()))
            if busy.run_id is None or self.patience.left() <= 0:
                break
            try:
                run: Run = yield retrieve_run(busy.run_id)
            except LettaError:
                break  # it cannot be watched; the conversation itself will tell whether it is free
            if not run.in_flight:
                break

    # Rule 9: calls that wait and that the transcript does not know of.

    def _send_and_settle(self, made: Plan, *, patience: Patience) -> Flow:
        for _ in range(_MAX_SETTLED):
            try:
                return (yield from self._send(made, patience))
            except PendingApprovalError as error:
                if error.accepted is not False:
                    raise
                refused = error
            made = yield from self._plan_with_what_waits(made, refused)
        return (yield from self._send(made, patience))

    def _plan_with_what_waits(self, made: Plan, refused: PendingApprovalError) -> Generator[Endpoint[Any], Any, Plan]:
        """Read which calls wait and plan to answer them too, unless that is for somebody else to decide.

        Raises:
            PendingApprovalError: It is.
        """
        conversation_id = refused.conversation_id or made.conversation_id
        assert conversation_id is not None, "a refusal names the conversation"
        listed: Sequence[Row] = yield list_messages(
            conversation_id, agent_id=self.target.agent_id, order="desc", limit=_ROWS_READ
        )
        held, rows = _held(listed), newest_first(listed)
        if not held.pending:
            if held.answered:  # by a process that died, perhaps in this very request
                settled = self._news(self._plan(settle=held.answered), conversation_id, rows[::-1], anchored=False)
                if settled.stored_run_id is not None:
                    return settled
            return self._news(self._plan(held=held), conversation_id, rows[::-1], anchored=False)
        unknown = [call for call in waiting_calls(rows) if call.tool_call_id not in self._results]
        if unknown:
            agent_id = self.target.agent_id or (yield from self._agent_of(conversation_id))
            agent: Agent | None = (yield retrieve_agent(agent_id)) if agent_id else None
            policy = self.policies.on_pending_approval
            check_may_be_denied(unknown, agent, policy=policy, bound=self._bound, refused=refused)
        plan_to_settle = self._plan(held=held, settle=held.pending)
        return self._news(plan_to_settle, conversation_id, rows[::-1], anchored=False)

    @property
    def _results(self) -> set[str]:
        """Ids of the calls that the transcript has results for."""
        return {entry.tool_call_id for entry in self.transcript if isinstance(entry, ToolEntry)}

    @property
    def _bound(self) -> set[str]:
        """Names of the tools that this call offers."""
        return {tool.name for tool in self.options.client_tools}

    # Sending what was planned.

    def _send(self, made: Plan, patience: Patience) -> Flow:
        """Send what was planned, counting past failures of before."""
        content = (
            self.server,
            repr((self.target, self.options)),
            *_otids(made, made.conversation_id or "", attempt=0, nonce=""),
        )
        lost = self.memory.take_lost(content)
        nonce = lost.nonce if lost else uuid4().hex
        conversation_id = lost.conversation_id if lost else made.conversation_id
        if conversation_id is None:
            conversation_id = yield from self._new_conversation(made)
        request = _otids(made, conversation_id, attempt=0, nonce=nonce)
        first = self.memory.attempt(request)
        missing = lost  # the turn whose end is still not known
        try:
            for attempt in count(first):
                outcome: TurnOutcome = yield replace(
                    self._prepare(made, conversation_id, attempt, nonce),
                    patience=patience,
                    may_be_stored=made.repeatable or lost is not None,
                    stored_run_id=made.stored_run_id,
                    after=made.anchor_message_id,
                )
                if isinstance(outcome.result, FinishedTurn):
                    missing = None
                    return (yield from self._delivered(outcome.result, made))
                error = outcome.result
                if outcome.run_id is not None:
                    filtered = self.options.include_return_message_types is not None
                    yield from _find_out_what_was_stored(error, outcome.run_id, filtered=filtered)
                if isinstance(error, (TurnInterrupted, ProtocolError)):
                    missing = LostTurn(conversation_id=conversation_id, nonce=nonce)
                # Only a run can be replayed: a request that never became one is the same request next time.
                failed_for_good = error.accepted is False and outcome.run_id is not None and outcome.background
                if failed_for_good:
                    missing = None
                    self.memory.failed(request, attempt)
                if not failed_for_good or not outcome.replayed or attempt - first >= _MAX_REPLAYED_FAILURES:
                    raise error
        finally:
            if missing is not None:
                self.memory.lost(content, missing)
        raise AssertionError("count() has no end")

    def _delivered(self, turn: FinishedTurn, made: Plan) -> Generator[Endpoint[Any], Any, Delivered]:
        turn = replace(turn, agent_id=turn.agent_id or (yield from self._agent_of(turn.conversation_id)))
        return Delivered(turn=turn, anchor=anchor_of(turn, system_hash=made.system_hash))

    def _prepare(self, made: Plan, conversation_id: str, attempt: int, nonce: str) -> PreparedTurn:
        options = self.options
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
            on_abandon=self.policies.on_abandon,
        )

    def _agent_of(self, conversation_id: str) -> Generator[Endpoint[Any], Any, str | None]:
        """The agent of a conversation that was given without one; asked for once in a process."""
        known = self.memory.agent_of((self.server, conversation_id))
        if known is None:
            try:
                conversation: Conversation = yield retrieve_conversation(conversation_id)
            except LettaError:
                return None  # the answer is here; what its anchor lacks is not worth losing it
            known = conversation.agent_id
            self.memory.keep_agent((self.server, conversation_id), known)
        return known

    # Rule 10: a conversation that a process before this one may have made.

    def _new_conversation(self, made: Plan) -> Generator[Endpoint[Any], Any, str]:
        """Make a conversation; for a thread, find the one that was made for the same request before."""
        agent_id = self.target.agent_id
        assert agent_id is not None, "followed mode has an agent"
        if self.thread is None or not made.repeatable:
            conversation: Conversation = yield create_conversation(agent_id=agent_id)
            return conversation.id
        marker = conversation_marker(
            agent_id,
            self.thread.thread_id,
            self.thread.namespace,
            *_otids(made, "", attempt=0, nonce=""),
            repr(self.options.client_tools),
        )
        return (yield from marked_conversation(agent_id, marker))

    # Rules 5 and 8: what the conversation holds, and what it took since the anchor.

    def _plan_with_what_is_there(self, made: Plan) -> Generator[Endpoint[Any] | Claim, Any, Plan]:
        """Read the conversation, keeping other turns away, and plan again with what it holds."""
        conversation_id, agent_id = made.conversation_id or "", self.target.agent_id
        yield Claim(conversation_id=conversation_id, agent_id=agent_id, patience=self.patience)
        if made.anchor_message_id is not None:
            rows: Sequence[Row] = yield list_messages(
                conversation_id, agent_id=agent_id, after=made.anchor_message_id, order="asc", limit=_ROWS_READ
            )
            return self._news(self._not_too_late(made, conversation_id, rows), conversation_id, rows, anchored=True)
        listed: Sequence[Row] = yield list_messages(conversation_id, agent_id=agent_id, order="desc", limit=_ROWS_READ)
        held, newest = _held(listed), newest_first(listed)[::-1]
        before = self._plan(held=replace(held, system_texts=frozenset()))
        before = self._news(before, conversation_id, newest, anchored=False)
        if before.stored_run_id is not None:
            return before  # sent by somebody who did not see its end
        now = self._plan(held=held, too_late=set(held.answered) - set(held.pending))
        return self._news(now, conversation_id, newest, anchored=False)

    def _not_too_late(self, made: Plan, conversation_id: str, rows: Sequence[Row]) -> Plan:
        """Answer no call twice: the server would tell the agent so, in a turn of its own (measured).

        Raises:
            Divergence: A call has another answer, so this transcript went another way than the conversation.
        """
        response = response_to(made.answering, rows, anchored=True)
        if response is None or any(self._runs(made, conversation_id, rows, anchored=True)):
            return made
        too_late = made.answering & {answer.tool_call_id for answer in response.approvals or ()}
        if not self.target.pinned:
            raise Divergence(
                f"The calls {sorted(too_late)} were answered before, in other words, and the conversation went on.",
                hint="Go on with the transcript that answered them, or start a new one.",
                conversation_id=conversation_id,
            )
        return self._plan(too_late=too_late)

    def _news(self, made: Plan, conversation_id: str, rows: Sequence[Row], *, anchored: bool) -> Plan:
        """Leave out what earlier requests brought: of turns that were accepted, and whose answers nobody saw."""
        runs = self._runs(made, conversation_id, rows, anchored=anchored)
        if not any(runs):
            return made
        # The last message tells: stored, it is a re-run, and the request that stored it is made again.
        kept = tuple(item for item, run_id in zip(made.items, runs, strict=True) if run_id == runs[-1])
        return replace(made, items=kept, stored_run_id=runs[-1])

    def _runs(self, made: Plan, conversation_id: str, rows: Sequence[Row], *, anchored: bool) -> list[str | None]:
        """The run that stored each message of a request."""
        attempts = {1, self.memory.attempt(_otids(made, conversation_id, attempt=0, nonce=""))}
        tried = [made.messages(conversation_id, attempt=attempt, nonce="") for attempt in sorted(attempts)]
        return [
            next((run for message in same if (run := run_that_stored([message], rows, anchored=anchored))), None)
            for same in zip(*tried, strict=True)
        ]


def _held(rows: Sequence[Row]) -> Held:
    """What the newest rows of a conversation tell."""
    known = newest_first(rows)
    responses = [row for row in known if isinstance(row, ApprovalResponseMessage)]
    return Held(
        system_texts=frozenset(row.content for row in known if isinstance(row, SystemMessage)),
        pending=tuple(call.tool_call_id or "" for call in waiting_calls(known)),
        answered=tuple(answer.tool_call_id for row in responses[:1] for answer in row.approvals or ()),
    )


def _find_out_what_was_stored(error: LettaError, run_id: str, *, filtered: bool) -> Generator[Endpoint[Any], Any, None]:
    """A failed first step stores nothing, a later one leaves the input stored; the run's messages tell."""
    if error.accepted is False or isinstance(error, (TurnInterrupted, ProtocolError)):
        return  # of a turn that may still be running, missing rows prove nothing
    try:
        rows = yield list_run_messages(run_id, limit=1)
    except LettaError:
        return  # the failure of the turn is what matters; what was stored stays unknown
    if rows or not filtered:  # a filter of types hides rows of the run too (measured)
        error.accepted = bool(rows)


def _otids(made: Plan, conversation_id: str, *, attempt: int, nonce: str) -> tuple[str, ...]:
    messages = made.messages(conversation_id, attempt=attempt, nonce=nonce)
    return tuple(message.otid or "" for message in messages)
