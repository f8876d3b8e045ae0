"""Sending what was planned: once, past failures of before, remembering what was lost. A generator without I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import Any
from uuid import uuid4

from letta_adapters.client.endpoints import Endpoint, delete_conversation, retrieve_conversation
from letta_adapters.client.run_endpoints import list_run_messages
from letta_adapters.client.turns import PreparedTurn, create_message
from letta_adapters.delivery_steps import Delivered, Flow, TurnOutcome
from letta_adapters.errors import LettaError, ProtocolError, StatusError, TurnFailed, TurnInterrupted
from letta_adapters.events import FinishedTurn
from letta_adapters.identity import MAX_ATTEMPTS
from letta_adapters.job import Job
from letta_adapters.locks import Patience
from letta_adapters.memory import LostTurn
from letta_adapters.plans import Into, Plan
from letta_adapters.transcript import anchor_of
from letta_adapters.wire import Conversation

__all__ = ["LookFirst", "Sending", "agent_of", "answer_key"]


class LookFirst(Exception):
    """A request failed before, so others may have brought some of it since. Internal."""


@dataclass(kw_only=True)
class Sending:
    """One call on its way.

    Args:
        job: The call.
        key: What the call is known by when it is made again.
        into: The conversation that it goes on in, where no anchor of the transcript says so.
        nonce: Stands for the ids of messages that have none.
        lost: The turn that the server may have taken, when the same call was made before and its end was not seen.
        look: Whether the conversation is looked at in any case.
        looked_again: Whether it was looked at once more since calls were found to wait.
        begun: What was lost of calls that this one continues; it is remembered for them unless this one is answered.
    """

    job: Job
    key: tuple[str, ...]
    into: Into | None
    nonce: str
    lost: LostTurn | None
    look: bool = False
    looked_again: bool = False
    begun: tuple[tuple[tuple[str, ...], LostTurn], ...] = ()

    @classmethod
    def of(cls, job: Job) -> Sending:
        """Take up a call; where it, or the one that it continues, was lost before, on the same way."""
        first = job.plan()
        key = _key(job, first)
        lost = job.memory.take_lost(key)
        begun = _lost_before(job)
        continued = begun[0][1] if begun and not lost else None
        lost = lost or continued
        elsewhere = lost is not None and lost.conversation_id != first.conversation_id
        return cls(
            job=job,
            key=key,
            into=_into(lost) if lost and elsewhere else None,
            nonce=lost.nonce if lost else uuid4().hex,
            lost=lost,
            look=continued is not None,
            begun=begun,
        )

    def plan(self) -> Plan:
        """Plan it with what is known. What failed before is looked for: another request may have stored it since."""
        made = self.job.plan(into=self.into, look=self.look)
        if made.conversation_id is not None and self.job.memory.attempt(self._request(made)) > 1:
            self.look = True
            return self.job.plan(into=self.into, look=True)
        return made

    def look_first(self) -> None:
        """Look at the conversation before anything is sent again, were it new a moment ago."""
        self.look = True
        if self.into is not None:
            self.into = replace(self.into, is_new=False)

    def remember(self) -> None:
        """Remember turns whose end was not seen."""
        for key, turn in self.begun:
            self.job.memory.lost(key, turn)
        if self.lost is not None:
            self.job.memory.lost(self.key, self.lost)

    def forget(self) -> None:
        """Forget what was lost: it was found, or where it was is gone."""
        self.lost, self.begun = None, ()

    def send(self, made: Plan, patience: Patience, *, looked: bool) -> Flow:
        """Send what was planned, counting past failures of before.

        Raises:
            LookFirst: It failed before, and was planned without looking at the conversation.
            LettaError: The turn failed.
        """
        conversation_id, memory = made.conversation_id or "", self.job.memory
        request = self._request(made)
        may_be_stored = made.repeatable or self.lost is not None
        first = memory.attempt(request)
        for attempt in count(first):
            outcome: TurnOutcome = yield replace(
                self._prepare(made, conversation_id, attempt),
                patience=patience,
                may_be_stored=may_be_stored,
                stored_run_id=made.stored_run_id,
                after=made.asked_in or made.anchor_message_id,
            )
            if isinstance(outcome.result, FinishedTurn):
                self.forget()
                is_old = made.stored_run_id is not None or outcome.replayed
                return (yield from self._delivered(outcome.result, made, is_old=is_old))
            error = outcome.result
            if outcome.run_id is not None:
                filtered = self.job.options.include_return_message_types is not None
                yield from _find_out_what_was_stored(error, outcome.run_id, filtered=filtered)
            if _is_lost(error):
                self.lost = _lost_in(self.into or Into(conversation_id=conversation_id), self.nonce)
            # Only a run can be replayed: a request that never became one is the same request next time.
            failed_for_good = error.accepted is False and outcome.run_id is not None and outcome.background
            if failed_for_good:
                self.lost = None
                memory.failed(request, attempt)
            if not failed_for_good or not outcome.replayed or attempt >= MAX_ATTEMPTS:
                yield from self._clear_up(error, made)
                raise error
            if not looked:
                raise LookFirst
        raise AssertionError("count() has no end")

    def _request(self, made: Plan) -> tuple[str, ...]:
        return (self.job.server, *_otids(made, made.conversation_id or "", nonce=self.nonce))

    def _prepare(self, made: Plan, conversation_id: str, attempt: int) -> PreparedTurn:
        options = self.job.options
        return create_message(
            conversation_id,
            agent_id=made.agent_id or self.job.memory.agent_of((self.job.server, conversation_id)),
            messages=made.messages(conversation_id, attempt=attempt, nonce=self.nonce),
            client_tools=options.client_tools,
            client_skills=options.client_skills,
            max_steps=options.max_steps,
            override_model=options.override_model,
            override_system=made.override_system or options.override_system,
            include_return_message_types=options.include_return_message_types,
            # Letta Cloud tells nothing of a compaction unasked, and what comes after one has to be looked for.
            include_compaction_messages=True,
            background=options.background is not False,
            whole=options.whole,
            return_logprobs=options.return_logprobs or None,
            top_logprobs=options.top_logprobs,
            return_token_ids=options.return_token_ids or None,
            on_abandon=self.job.policies.on_abandon,
        )

    def _delivered(self, turn: FinishedTurn, made: Plan, *, is_old: bool) -> Generator[Endpoint[Any], Any, Delivered]:
        turn = replace(turn, agent_id=turn.agent_id or (yield from agent_of(self.job, turn.conversation_id)))
        self.job.memory.keep_answer(answer_key(self.job, turn.text))
        anchor = anchor_of(
            turn,
            system_hash=made.system_hash,
            transcript_length=made.transcript_length,
            transcript_digest=made.transcript_digest,
            asked_at=made.asked_at,
            nudged=made.nudged,
            ephemeral=self.job.policies.ephemeral,
        )
        if anchor.message_id is not None and not is_old:
            self.job.memory.keep_head((self.job.server, turn.conversation_id), anchor.message_id)
        if anchor.is_over:
            with suppress(LettaError):  # the answer is here; what is left behind is not worth losing it
                yield delete_conversation(turn.conversation_id)
        return Delivered(turn=turn, anchor=anchor)

    def _clear_up(self, error: LettaError, made: Plan) -> Generator[Endpoint[Any], Any, None]:
        """Delete a conversation that was made for a turn that left nothing, unless a re-run would look for it."""
        made_for_it = self.into is not None and self.into.is_new
        if made_for_it and error.accepted is False and isinstance(error, (StatusError, TurnFailed)):
            with suppress(LettaError):
                yield delete_conversation(made.conversation_id or "")


def answer_key(job: Job, text: str) -> tuple[str, ...]:
    """What an answer is known by when its metadata is lost."""
    return (job.server, job.target.agent_id or "", hashlib.sha256(repr(text).encode()).hexdigest())


def _otids(made: Plan, conversation_id: str, *, nonce: str) -> list[str]:
    """What makes a request itself, whichever attempt it is."""
    return [message.otid or "" for message in made.messages(conversation_id, attempt=0, nonce=nonce)]


def agent_of(job: Job, conversation_id: str) -> Generator[Endpoint[Any], Any, str | None]:
    """The agent of a conversation that was given without one; asked for once in a process."""
    known = job.target.agent_id or job.memory.agent_of((job.server, conversation_id))
    if known is None:
        try:
            conversation: Conversation = yield retrieve_conversation(conversation_id)
        except LettaError:
            return None  # the answer is here; what its anchor lacks is not worth losing it
        known = conversation.agent_id
        job.memory.keep_agent((job.server, conversation_id), known)
    return known


def _key(job: Job, first: Plan) -> tuple[str, ...]:
    return (job.server, repr((job.target, job.options)), *_otids(first, first.conversation_id or "", nonce=""))


def _lost_before(job: Job) -> tuple[tuple[tuple[str, ...], LostTurn], ...]:
    """The turns that were lost when less was said, latest first; they are looked for under the otids that they had."""
    keys = [_key(earlier, earlier.plan()) for earlier in job.earlier]
    return tuple((key, lost) for key in keys if (lost := job.memory.take_lost(key)) is not None)


def _into(lost: LostTurn) -> Into:
    return Into(conversation_id=lost.conversation_id, at_anchor=lost.at_anchor, repeatable=lost.repeatable)


def _lost_in(into: Into, nonce: str) -> LostTurn:
    return LostTurn(
        conversation_id=into.conversation_id, nonce=nonce, at_anchor=into.at_anchor, repeatable=into.repeatable
    )


def _is_lost(error: LettaError) -> bool:
    """Whether the server may have taken a turn whose end was not seen: it may still be under way."""
    if isinstance(error, (TurnInterrupted, ProtocolError)):
        return True
    return error.accepted is None and not isinstance(error, TurnFailed)


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
