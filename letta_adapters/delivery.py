"""Carry a transcript to the server: plan, read, find or make the conversation, send the turn.

`delivery` is a generator without I/O that yields what is to be done and is sent the outcome; `carriers.py` does it,
blocking and async. So the order of things exists once.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from letta_adapters.alignment import Seen
from letta_adapters.client.endpoints import Endpoint, retrieve_agent, retrieve_conversation
from letta_adapters.client.run_endpoints import retrieve_run
from letta_adapters.creation import conversation_for, fork_of
from letta_adapters.delivery_steps import Claim, Flow, Pause, Thread, TurnOptions
from letta_adapters.errors import ConversationBusy, LettaError, NotFound, PendingApprovalError
from letta_adapters.job import Job
from letta_adapters.locks import Patience
from letta_adapters.looking import Gone, keep_others_away, look, newest_rows, with_ends_of_runs
from letta_adapters.memory import TurnMemory
from letta_adapters.pending import check_may_be_denied
from letta_adapters.planner import Target
from letta_adapters.plans import Plan, held_in
from letta_adapters.policies import Policies
from letta_adapters.retry import busy_delay
from letta_adapters.sending import LookFirst, Sending, agent_of, answer_key
from letta_adapters.transcript import Anchor, AssistantEntry, Entry, trusted, without_anchors
from letta_adapters.waiting import waiting_calls
from letta_adapters.wire import Agent, Run

__all__ = ["delivery"]

_LOG = logging.getLogger("letta_adapters.delivery")

_BUSY_TIMEOUT = 60.0

_MAX_SETTLED = 2
"""Times that one call finds other calls pending and denies them."""

_MAX_GONE = 20
"""Conversations of one transcript that one call finds gone."""

_MEMORY = TurnMemory()
_NONE = Patience(0.0)


def delivery(
    transcript: Sequence[Entry],
    target: Target,
    *,
    server: str,
    policies: Policies | None = None,
    options: TurnOptions | None = None,
    must_call: Sequence[str] = (),
    thread: Thread | None = None,
    patience: Patience | None = None,
    memory: TurnMemory = _MEMORY,
    anchor_key: str | None = None,
) -> Flow:
    """Yield what is to be done, be sent what came of it, return the finished turn.

    Args:
        transcript: The whole dialogue.
        target: Where it goes.
        server: The server's address; what is remembered of one says nothing of another.
        policies: What is decided by whoever sends.
        options: How the turn is to be run.
        must_call: Names of the tools one of which the framework wants called.
        thread: Where in a program it is sent; a conversation that is made for it is found again after a crash.
        patience: How long to wait for other turns of the conversation.
        memory: What this process remembers of turns that went wrong.
        anchor_key: Signs the anchor of the answer; anchors without its signature count as none.

    Raises:
        ValueError: There is nothing to send, or the policies do not fit the target.
        LettaError: The turn failed.
    """
    policies = policies or Policies()
    policies.check(pinned=target.pinned)
    if anchor_key == "":
        raise ValueError("`anchor_key` is empty: it would sign nothing. Leave it out, or pass a secret.")
    transcript = trusted(transcript, anchor_key) if anchor_key else transcript
    job = Job(
        transcript=without_anchors(transcript, lambda anchor: _is_nobodys(anchor, policies)),
        target=target,
        server=server,
        policies=policies,
        options=options or TurnOptions(),
        must_call=must_call,
        thread=thread,
        patience=patience or Patience(_BUSY_TIMEOUT),
        memory=memory,
        retold=policies.ephemeral,
    )
    try:
        delivered = yield from _delivered(job)
    except LettaError as error:
        error.agent_id = error.agent_id or target.agent_id
        error.conversation_id = error.conversation_id or target.conversation_id
        raise
    return replace(delivered, anchor=delivered.anchor.signed(anchor_key)) if anchor_key else delivered


def _is_nobodys(anchor: Anchor, policies: Policies) -> bool:
    """Whether a conversation cannot be gone on with: it was deleted, or would be and is not ours to delete."""
    return anchor.is_over or (policies.ephemeral and not anchor.ephemeral)


def _delivered(job: Job) -> Flow:
    """Deliver; a followed transcript whose conversation is gone is told to another one."""
    for gone_before in count():
        job = yield from with_ends_of_runs(job)
        try:
            return (yield from _one_turn(job))
        except Gone as gone:
            if job.target.pinned or gone_before == _MAX_GONE:
                raise gone.error from None
            _LOG.warning("Conversation %s is gone; the transcript is told to another one.", gone.conversation_id)
            job = job.without_conversation(gone.conversation_id)
    raise AssertionError("count() has no end")


def _one_turn(job: Job) -> Flow:
    sending = Sending.of(job)
    try:
        for tries in count():
            made, looked = None, True
            try:
                made, looked = yield from _planned(sending)
                # What was read may be old news once another turn has ended, so such a plan is not kept while waiting.
                return (yield from _send_and_settle(sending, made, looked=looked))
            except LookFirst:
                sending.look_first()
                continue
            except ConversationBusy as error:
                if job.patience.left() <= 0:
                    raise
                busy = error
            except NotFound as error:
                yield from _check_that_it_is_there(sending, made, error)
                raise
            yield from _wait_for_the_other_turn(job, busy, tries)
    except Gone:
        sending.forget()
        raise
    finally:
        sending.remember()
    raise AssertionError("count() has no end")


def _planned(sending: Sending) -> Generator[Endpoint[Any] | Claim | Pause, Any, tuple[Plan, bool]]:
    """What to send and where, and whether the conversation was looked at for it (rules 8 and 10)."""
    job, looked = sending.job, False
    made = sending.plan()
    if made.conversation_id is None:
        _warn_of_lost_anchors(job)
        sending.into = yield from conversation_for(job, made)
        made = sending.plan()
    while made.reads is not None:
        made = yield from look(job, made, into=sending.into, nonce=sending.nonce)
        looked = not made.forks
        if made.forks:
            sending.into = yield from fork_of(job, made)
            made = sending.plan()
    return made, looked


def _check_that_it_is_there(
    sending: Sending, made: Plan | None, error: NotFound
) -> Generator[Endpoint[Any], Any, None]:
    """Tell a conversation that is gone from a model or a run that is."""
    is_new = sending.into is not None and sending.into.is_new
    if made is None or made.conversation_id is None or sending.job.target.pinned or is_new:
        return  # one that was made for this turn was there, and may have been cleared up by now
    try:
        yield retrieve_conversation(made.conversation_id)
    except NotFound:
        raise Gone(made.conversation_id, error) from error


def _wait_for_the_other_turn(
    job: Job, busy: ConversationBusy, tries: int
) -> Generator[Endpoint[Any] | Pause, Any, None]:
    """Wait until the run that keeps the conversation busy is over: only then are its rows there to be read."""
    for more in count(tries):
        yield Pause(seconds=min(busy_delay(more), job.patience.left()))
        if busy.run_id is None or job.patience.left() <= 0:
            break
        try:
            run: Run = yield retrieve_run(busy.run_id)
        except LettaError:
            break  # it cannot be watched; the conversation itself will tell whether it is free
        if not run.in_flight:
            break


def _warn_of_lost_anchors(job: Job) -> None:
    """Say once that a program loses the anchors of its answers, and what that costs (rule 1)."""
    stripped = not job.retold and any(
        isinstance(entry, AssistantEntry)
        and entry.anchor is None
        and entry.text
        and job.memory.was_given(answer_key(job, entry.text))
        for entry in job.transcript
    )
    if stripped and job.memory.is_new("lost anchors"):
        _LOG.warning(
            "A transcript came without the anchor of the agent's last answer (the metadata of its message), so it is "
            "told to a new conversation, every time. Keep the answers with their `response_metadata`; an agent of "
            "LangChain's keeps its conversation with `langchain_letta.LettaMiddleware`."
        )


# Rule 9: calls that wait and that the transcript does not know of.


def _send_and_settle(sending: Sending, made: Plan, *, looked: bool) -> Flow:
    patience = _NONE if looked else sending.job.patience
    for settled in range(_MAX_SETTLED):
        try:
            return (yield from sending.send(made, patience, looked=looked))
        except PendingApprovalError as error:
            if error.accepted is not False:
                raise
            if looked and not settled and not sending.looked_again:
                sending.looked_again = True
                raise LookFirst from error  # what asked for the calls may be another branch's turn
            refused = error
        made = yield from _plan_with_what_waits(sending, made, refused)
        looked, patience = True, _NONE
    return (yield from sending.send(made, patience, looked=True))


def _plan_with_what_waits(
    sending: Sending, made: Plan, refused: PendingApprovalError
) -> Generator[Endpoint[Any] | Claim, Any, Plan]:
    """Read which calls wait and plan to answer them too, unless that is for somebody else to decide.

    Raises:
        PendingApprovalError: It is.
        ConversationBusy: Another turn of this process is under way, which may answer or ask for calls.
    """
    job = sending.job
    conversation_id = refused.conversation_id or made.conversation_id
    assert conversation_id is not None, "a refusal names the conversation"
    yield from keep_others_away(job, conversation_id)
    rows = yield from newest_rows(job, conversation_id)
    held, seen = held_in(rows), Seen(rows=rows, anchored=False, nonce=sending.nonce)
    if not held.pending:
        if held.answered:  # by a process that died, perhaps in this very request
            settled = job.plan(seen=seen, settle=held.answered[0], into=sending.into)
            if settled.stored_run_id is not None:
                return settled
        return job.plan(seen=seen, into=sending.into)
    unknown = [call for call in waiting_calls(rows[::-1]) if call.tool_call_id not in job.results]
    if unknown:
        agent_id = yield from agent_of(job, conversation_id)
        agent: Agent | None = (yield retrieve_agent(agent_id)) if agent_id else None
        check_may_be_denied(unknown, agent, policy=job.policies.on_pending_approval, bound=job.bound, refused=refused)
    return job.plan(seen=seen, settle=held.pending, settle_in=held.asked_in.get(held.pending[0]), into=sending.into)
