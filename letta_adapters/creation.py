"""A conversation that is made once, whatever becomes of the process that makes it (rule 10 of the planner). No I/O.

Its summary carries two marks and a number. One mark is of what its first request said: by that it is found when an old
checkpoint is run again, and when a process died and the user goes on with another message. The other is of the very
task that sent it: by that the same task finds its own after a crash. Tasks of one step that say the same are told apart
by the number of the step: they run side by side, and each has a conversation of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from letta_adapters.client.endpoints import (
    Endpoint,
    create_conversation,
    delete_conversation,
    fork_conversation,
    list_conversations,
    retrieve_conversation,
    update_conversation,
)
from letta_adapters.errors import LettaError, StatusError
from letta_adapters.identity import conversation_marker
from letta_adapters.job import Job
from letta_adapters.plans import Into, Plan
from letta_adapters.wire import Conversation

__all__ = [
    "SUMMARY_BEGINS",
    "Marks",
    "conversation_for",
    "fork_of",
    "is_made_for_a_transcript",
    "marked_conversation",
]

SUMMARY_BEGINS = "letta-adapters"
"""How the summary of every conversation begins that this package marks."""

_AT_ANCHOR = "at-anchor"
"""Says in a summary that the conversation was forked by the server and has everything up to the anchor."""

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_OURS = re.compile(rf"{SUMMARY_BEGINS}(?: {_UUID}){{0,2}}(?: step-\d+)?(?: {_AT_ANCHOR})?")

_MAX_LOST = 5
"""Times that a conversation is made whose answer is lost each time."""

_NEW = Into(conversation_id="", is_new=True)

Making = Generator[Endpoint[Any], Any, Into]


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What a conversation is found again by.

    Args:
        said: The mark of what its first request says.
        task: The mark of the task that sends it, where there is one.
        step: The number of the task's step.
        begun: Marks of what earlier requests may have said, of which this one is the continuation; latest first.
    """

    said: str
    task: str = ""
    step: int | None = None
    begun: Sequence[str] = ()

    @property
    def summary(self) -> str:
        """What the summary of the conversation says."""
        return " ".join(filter(None, (SUMMARY_BEGINS, self.said, self.task, self._step)))

    @property
    def _step(self) -> str:
        return f"step-{self.step}" if self.step is not None else ""

    def choose(self, found: Sequence[Conversation]) -> Conversation | None:
        """Of the conversations that say the same, the one to go on with."""
        own = [one for one in found if self.task in (one.summary or "").split() or not self.task]
        # Without a number nobody can tell another step from a task of this one.
        earlier = [one for one in found if self.step is not None and self._step not in (one.summary or "").split()]
        return _oldest(own or earlier) if own or earlier else None


def is_made_for_a_transcript(summary: str | None) -> bool:
    """Whether a summary is one that followed mode wrote, and that nobody changed since.

    What a chat history marks (`session-…`) is none of these: its conversation is found by a name that people choose.
    """
    return summary not in (None, SUMMARY_BEGINS) and _OURS.fullmatch(summary) is not None


def conversation_for(job: Job, made: Plan) -> Making:
    """A conversation for a transcript that has none; for a LangGraph thread the one that was made for it before."""
    return (yield from _conversation(job, _marks_of(job, made)))


def fork_of(job: Job, made: Plan) -> Making:
    """A conversation that goes on from the anchor of a plan, in another way than the anchor's own conversation.

    Whoever has the same transcript finds the same fork, unless it was asked to have a request answered anew.
    """
    marks = None
    if made.repeatable and made.stored_run_id is None:
        told = job.plan(into=_NEW)
        marks = Marks(said=_mark(job, told, "fork", made.conversation_id, made.anchor_message_id))
    into = yield from _conversation(job, marks, fork=made)
    return replace(into, repeatable=made.repeatable)


def marked_conversation(
    agent_id: str, marks: Marks, make: Callable[[], Generator[Endpoint[Any], Any, Conversation]]
) -> Making:
    """The conversation that carries the marks; the first of several that were made at once is the one.

    The server does not keep a summary unique, so it is looked for before and after one is made.

    Args:
        agent_id: The agent.
        marks: What it is found by.
        make: Makes one.
    """
    lookup = list_conversations(agent_id=agent_id, summary_search=marks.said)
    found: Sequence[Conversation] = yield lookup
    chosen = marks.choose(found)
    if chosen is not None:
        return _into(chosen)
    for mark in marks.begun:
        found = yield list_conversations(agent_id=agent_id, summary_search=mark)
        if len(found) == 1:  # of several, nobody can tell whose they are
            return _into(found[0])
    made = yield from _made_though_lost(make, lookup, marks)
    found = yield lookup
    oldest = marks.choose([*found, made]) or made
    if oldest.id == made.id:
        return _into(made)  # not new: whoever has the same marks may have found it and been quicker
    with suppress(LettaError):  # an empty conversation that is left behind does no harm
        yield delete_conversation(made.id)
    return _into(oldest)


def _made_though_lost(
    make: Callable[[], Generator[Endpoint[Any], Any, Conversation]], lookup: Endpoint[Any], marks: Marks
) -> Generator[Endpoint[Any], Any, Conversation]:
    """Make one; where the answer is lost, it is looked for before another one is made."""
    for tries in count(1):
        try:
            return (yield from make())
        except LettaError as error:
            if error.accepted is not None or tries == _MAX_LOST:
                raise
        found: Sequence[Conversation] = yield lookup
        chosen = marks.choose(found)
        if chosen is not None:
            return chosen
    raise AssertionError("count() has no end")


def _conversation(job: Job, marks: Marks | None, *, fork: Plan | None = None) -> Making:
    agent_id = job.target.agent_id
    assert agent_id is not None, "followed mode has an agent"
    if marks is None:
        return replace(_into((yield from _made(job, agent_id, None, fork))), is_new=True)
    return (yield from marked_conversation(agent_id, marks, lambda: _made(job, agent_id, marks.summary, fork)))


def _made(
    job: Job, agent_id: str, summary: str | None, fork: Plan | None
) -> Generator[Endpoint[Any], Any, Conversation]:
    if fork is not None:
        forked = yield from _fork_at_anchor(job, fork, summary)
        if forked is not None:
            return forked
    # Without a mark nobody finds one whose answer was lost; an empty conversation that is left behind does no harm.
    endpoint = replace(create_conversation(agent_id=agent_id, summary=summary), repeatable=summary is None)
    made: Conversation = yield endpoint
    return made


def _fork_at_anchor(job: Job, made: Plan, summary: str | None) -> Generator[Endpoint[Any], Any, Conversation | None]:
    """A fork that ends with the anchor; `None` where the server forks at the end only, which its answer hides."""
    origin, anchor_id = made.conversation_id, made.anchor_message_id
    if origin is None or origin == "default" or anchor_id is None or not job.memory.may_fork_at_messages(job.server):
        return None
    try:
        fork: Conversation = yield replace(fork_conversation(origin, message_id=anchor_id), repeatable=True)
    except StatusError:
        return None  # a compaction may have taken the anchor out of what can be forked; telling it always works
    fork = yield retrieve_conversation(fork.id)
    if fork.in_context_message_ids[-1:] != [anchor_id]:
        job.memory.keep_that_it_forks_at_the_end_only(job.server)
        with suppress(LettaError):
            yield delete_conversation(fork.id)
        return None
    return (yield update_conversation(fork.id, summary=f"{summary or SUMMARY_BEGINS} {_AT_ANCHOR}"))


def _into(conversation: Conversation) -> Into:
    return Into(conversation_id=conversation.id, at_anchor=(conversation.summary or "").endswith(_AT_ANCHOR))


def _marks_of(job: Job, made: Plan) -> Marks | None:
    """Without a thread, or with messages that have no ids, the same words twice are two conversations."""
    if job.thread is None or not made.repeatable:
        return None
    return Marks(
        said=_mark(job, made, *_place(job)),
        task=_mark(job, made, "task", job.thread.thread_id, job.thread.namespace),
        step=job.thread.step,
        begun=[_mark(job, earlier.plan(), *_place(job)) for earlier in job.earlier],
    )


def _place(job: Job) -> tuple[str | None, ...]:
    return ("said", job.thread.thread_id, job.thread.path) if job.thread else ()


def _mark(job: Job, made: Plan, *place: str | None) -> str:
    otids = [message.otid for message in made.messages("", attempt=0, nonce="")]
    lasts = "ephemeral" if job.policies.ephemeral else "lasting"
    return conversation_marker(job.target.agent_id, lasts, *place, *otids, repr(job.options.client_tools))


def _oldest(conversations: Sequence[Conversation]) -> Conversation:
    return min(conversations, key=lambda one: (str(one.created_at), one.id))
