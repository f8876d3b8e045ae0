"""Reading what a plan has to know before it is sent (rules 1, 5 and 8 of the planner). Generators without I/O."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from letta_adapters.alignment import Seen, behind, is_compiled_prompt
from letta_adapters.anchoring import extent_before, position_of
from letta_adapters.client.endpoints import Endpoint, list_messages, retrieve_conversation
from letta_adapters.client.run_endpoints import list_newest_runs, list_run_messages, list_runs_in_flight, retrieve_run
from letta_adapters.delivery_steps import Claim, Pause
from letta_adapters.errors import ConversationBusy, Divergence, NotFound
from letta_adapters.job import Job
from letta_adapters.locks import InFlight
from letta_adapters.matching import Row, is_the_servers
from letta_adapters.plans import Into, Plan
from letta_adapters.retry import busy_delay
from letta_adapters.system_text import digest_of, system_text
from letta_adapters.transcript import (
    Anchor,
    AssistantEntry,
    Entry,
    PendingRef,
    ToolEntry,
    Transcript,
    without_anchors,
)
from letta_adapters.under_way import is_stale, is_under_way
from letta_adapters.waiting import newest_first, waiting_calls
from letta_adapters.wire import Conversation, KnownMessage, MessageCreate, Run, SystemMessage, Unknown

__all__ = ["ROWS_READ", "Gone", "check_that_it_is_over", "keep_others_away", "look", "newest_rows", "with_ends_of_runs"]

ROWS_READ = 100
"""Rows that are read at once: the first after an anchor, or a conversation's newest."""

_MAX_PAGES = 50

_APPEARS = 5.0
"""Seconds after which a run that is not on record is none; a server has it on record 0.2 to 2.2 s late (measured)."""

Reading = Generator[Endpoint[Any] | Claim | Pause, Any, Plan]


class Gone(Exception):
    """A conversation, or the anchor in it, is not there any more. Internal.

    Args:
        conversation_id: The conversation.
        error: What a caller is told who cannot do without it.
    """

    def __init__(self, conversation_id: str, error: NotFound) -> None:
        super().__init__(conversation_id)
        self.conversation_id = conversation_id
        self.error = error


def look(job: Job, made: Plan, *, into: Into | None, nonce: str) -> Reading:
    """Read the conversation, keeping other turns away, and plan again with what it holds.

    Raises:
        Gone: The conversation is not there any more, or its anchor is not.
        ConversationBusy: Another turn of this process is under way, whose rows are not there to be read yet.
    """
    conversation_id = made.conversation_id or ""
    other: InFlight | None = yield _claim(job, conversation_id)
    if other is not None and not _is_the_same(made, other, nonce):
        yield from check_that_it_is_over(conversation_id, job.target.agent_id, other)
    elif _may_have_begun(made):
        yield from _check_that_nothing_is_in_flight(conversation_id, job.target.agent_id)
    if made.reads == "newest":
        rows = yield from newest_rows(job, conversation_id)
        return job.plan(seen=Seen(rows=rows, anchored=False, nonce=nonce), into=into)
    planned = yield from _looked(job, made, into, nonce)
    if planned.stored_run_id is None and not planned.forks and len(planned.items) < len(made.items):
        # What is there may be the beginning of a turn that has stored the rest by now, or will.
        yield from _check_that_nothing_is_in_flight(conversation_id, job.target.agent_id)
        planned = yield from _looked(job, made, into, nonce)
    return planned


def _looked(job: Job, made: Plan, into: Into | None, nonce: str) -> Generator[Endpoint[Any], Any, Plan]:
    conversation_id = made.conversation_id or ""
    rows, planned = yield from _look_on(job, made, into, nonce)
    # Answers to calls are told by ids that some models use again and again, so old rows may be taken for new ones.
    if not planned.forks and (not made.answering if rows else _is_head(job, made)):
        return planned
    if planned.forks and planned.stored_run_id is not None:
        # Asked for a new answer to what may still be under way: then that one is waited for.
        run: Run = yield retrieve_run(planned.stored_run_id)
        return replace(planned, forks=False) if run.in_flight and not is_stale(run) else planned
    if made.anchor_message_id is None or conversation_id == "default":
        return planned  # nobody can ask what stands behind an anchor there
    return (yield from _look_closer(job, conversation_id, made.anchor_message_id, into, nonce, rows))


def keep_others_away(job: Job, conversation_id: str) -> Generator[Endpoint[Any] | Claim, Any, None]:
    """Keep other turns of this process away from a conversation until the next one is sent.

    Raises:
        ConversationBusy: One of them is under way, whose rows are not there to be read yet.
    """
    other: InFlight | None = yield _claim(job, conversation_id)
    if other is not None:
        yield from check_that_it_is_over(conversation_id, job.target.agent_id, other)


def _claim(job: Job, conversation_id: str) -> Claim:
    return Claim(conversation_id=conversation_id, agent_id=job.target.agent_id, patience=job.patience)


def _is_the_same(made: Plan, other: InFlight, nonce: str) -> bool:
    """Whether a turn in flight is this very request, which is then attached to by sending it again."""
    otids = [message.otid for message in made.messages(made.conversation_id or "", attempt=1, nonce=nonce)]
    return other.run_id is not None and otids == list(other.otids)


def _may_have_begun(made: Plan) -> bool:
    """Whether a part of it may have been sent before, by somebody who died or went on: it answers or asks twice."""
    return sum(not isinstance(item.message, MessageCreate) or item.message.role == "user" for item in made.items) > 1


def _check_that_nothing_is_in_flight(conversation_id: str, agent_id: str | None) -> Generator[Endpoint[Any], Any, None]:
    runs: Sequence[Run] = yield list_runs_in_flight(conversation_id, agent_id=agent_id)
    for run in runs:
        if is_under_way(run, conversation_id):
            raise _busy(run.id)


def check_that_it_is_over(
    conversation_id: str, agent_id: str | None, other: InFlight
) -> Generator[Endpoint[Any], Any, None]:
    """A turn that ends between the reading and the sending would be missed, and ours end up behind it.

    Raises:
        ConversationBusy: It goes on. One whose end nobody saw counts as in flight for good here: only the server knows.
    """
    if other.run_id is None:
        yield from _check_that_nothing_is_in_flight(conversation_id, agent_id)
        return
    try:
        run: Run = yield retrieve_run(other.run_id)
    except NotFound:  # not on record yet
        pass
    else:
        if not run.in_flight or is_stale(run):
            return
    raise _busy(other.run_id)


def _busy(run_id: str) -> ConversationBusy:
    return ConversationBusy(
        "Another turn of this conversation is in flight.",
        status=409,
        hint="Wait for it, or raise `busy_timeout`.",
        run_id=run_id,
    )


def newest_rows(job: Job, conversation_id: str) -> Generator[Endpoint[Any], Any, list[KnownMessage]]:
    """The newest rows of a conversation, oldest first; after a compaction no list tells their order (measured)."""
    listed: Sequence[Row] = yield list_messages(
        conversation_id, agent_id=job.target.agent_id, order="desc", limit=ROWS_READ
    )
    rows = newest_first(listed)[::-1]
    if conversation_id != "default" and any(is_the_servers(row) for row in rows):
        conversation: Conversation = yield retrieve_conversation(conversation_id)
        places = {one: place for place, one in enumerate(conversation.in_context_message_ids)}
        rows.sort(key=lambda row: places.get(row.id, -1))
    return rows


def _look_on(
    job: Job, made: Plan, into: Into | None, nonce: str
) -> Generator[Endpoint[Any], Any, tuple[list[Row], Plan]]:
    """Read on from the anchor until the rows tell what to do, which the first page nearly always does."""
    conversation_id = made.conversation_id or ""
    rows: list[Row] = []
    after = made.anchor_message_id
    planned = made
    for _ in range(_MAX_PAGES):
        page: Sequence[Row] = yield list_messages(
            conversation_id, agent_id=job.target.agent_id, after=after, order="asc", limit=ROWS_READ
        )
        if not rows and _begins_again(made, page):
            raise Gone(conversation_id, _gone(made))
        if not page and after is None and conversation_id != "default":
            # A deleted conversation lists no rows (measured); a new one would, too, if its prompt was written later.
            yield from _existing(conversation_id)
        rows.extend(page)
        try:
            planned = job.plan(seen=Seen(rows=rows, anchored=True, nonce=nonce), into=into)
        except Divergence:
            if made.anchor_message_id is None or conversation_id == "default":
                raise
            return rows, replace(made, forks=True)  # unless a closer look finds that the rows are old ones
        known = [row.id for row in page if not isinstance(row, Unknown)]
        if planned.forks or planned.stored_run_id is not None or len(page) < ROWS_READ or not known:
            break
        after = known[-1]
    return rows, planned


def _begins_again(made: Plan, page: Sequence[Row]) -> bool:
    """Whether the anchor is gone: an unknown cursor gives the oldest rows (measured)."""
    return made.anchor_message_id is not None and bool(page) and is_compiled_prompt(page[0])


def _existing(conversation_id: str) -> Generator[Endpoint[Any], Any, Conversation]:
    """The record of a conversation, unless it is gone."""
    try:
        return (yield retrieve_conversation(conversation_id))
    except NotFound as error:
        raise Gone(conversation_id, error) from error


def _gone(made: Plan) -> NotFound:
    return NotFound(
        f"The conversation is not there any more, or message {made.anchor_message_id}, after which the transcript goes "
        "on, is not.",
        status=404,
        hint="Start without `conversation_id`, or with a transcript that it knows.",
        conversation_id=made.conversation_id,
    )


def _is_head(job: Job, made: Plan) -> bool:
    """Whether an empty page can be trusted: after a compaction it may hide what is new (measured)."""
    return job.memory.is_head((job.server, made.conversation_id or ""), made.anchor_message_id)


def _look_closer(
    job: Job, conversation_id: str, anchor_id: str, into: Into | None, nonce: str, rows: list[Row]
) -> Generator[Endpoint[Any], Any, Plan]:
    """Ask which messages the model sees: after a compaction a list shows old rows as new ones, and hides new ones."""
    conversation = yield from _existing(conversation_id)
    ids = behind(anchor_id, conversation.in_context_message_ids)
    by_id = _by_id(rows)
    taken_out = anchor_id not in conversation.in_context_message_ids
    if taken_out or not by_id.keys() >= set(ids):
        by_id = {**_by_id((yield from newest_rows(job, conversation_id))), **by_id}
    if taken_out:  # what came after it may be in the summary, too
        later = yield from _runs_after(job, conversation_id)
        known = [one for one, of_one in by_id.items() if of_one[0].run_id in later and one not in ids]
        ids = [*sorted(known, key=lambda one: later.index(by_id[one][0].run_id or "")), *ids]
    seen = Seen(
        rows=[row for one in ids for row in by_id.get(one, ())],
        anchored=True,
        nonce=nonce,
        unread=not by_id.keys() >= set(ids),
    )
    return job.plan(seen=seen, into=into)


def _runs_after(job: Job, conversation_id: str) -> Generator[Endpoint[Any], Any, list[str]]:
    """The runs of a conversation that came after the anchor's, the oldest first, as far as they are listed."""
    anchor = position_of(job.transcript, job.target).anchor
    own = anchor.run_id if anchor is not None else None
    runs: Sequence[Run] = yield list_newest_runs(conversation_id, limit=ROWS_READ)
    names = [run.id for run in runs]
    return names[: names.index(own)][::-1] if own in names else []


def _by_id(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        if not isinstance(row, Unknown):
            found.setdefault(row.id, []).append(row)
    return found


# Answers whose end was not seen.


def with_ends_of_runs(job: Job) -> Generator[Endpoint[Any] | Pause, Any, Job]:
    """The call, once its last answer, which may be part of one, is known to its end.

    Raises:
        ConversationBusy: The run did not end in time.
    """
    while (made := job.plan()).reads == "run":
        assert made.run_id is not None, "a part of an answer names its run"
        rows = yield from _rows_of_run(job, made.run_id, made.conversation_id)
        job = replace(job, transcript=_with_end(job, made.run_id, rows))
    return job


def _rows_of_run(
    job: Job, run_id: str, conversation_id: str | None
) -> Generator[Endpoint[Any] | Pause, Any, list[KnownMessage]]:
    """What a run stored, newest first, once it is over; nothing, if there is no such run."""
    waited = 0.0
    for tries in count():
        try:
            run: Run = yield retrieve_run(run_id)
        except NotFound:
            if waited >= _APPEARS:
                return []
        else:
            if not run.in_flight or is_stale(run):
                break
            if job.patience.left() <= 0:
                raise ConversationBusy(
                    "The turn whose answer is begun in the transcript has not ended yet.",
                    status=409,
                    hint="Wait for it, or raise `busy_timeout`.",
                    conversation_id=conversation_id,
                    run_id=run_id,
                )
        delay = busy_delay(tries)
        waited += delay
        yield Pause(seconds=delay)
    listed: Sequence[Row] = yield list_run_messages(run_id, order="desc", limit=ROWS_READ)
    return newest_first(listed)


def _with_end(job: Job, run_id: str, rows: Sequence[KnownMessage]) -> Transcript:
    """The transcript with the anchor that the answer would have had; with none, where nothing of it was stored."""
    if not rows:
        return without_anchors(job.transcript, lambda anchor: anchor.run_id == run_id)
    ids = tuple(dict.fromkeys(row.id for row in reversed(rows)))
    told = {digest_of(row.content) for row in rows if isinstance(row, SystemMessage)}
    now = system_text(position_of(job.transcript, job.target), "once").hash
    waiting = [PendingRef(tool_call_id=call.tool_call_id or "", name=call.name or "") for call in waiting_calls(rows)]
    end: dict[str, Any] = {"message_id": ids[-1], "message_ids": ids}

    def ended(entry: Entry, position: int) -> Entry:
        anchor = entry.anchor if isinstance(entry, AssistantEntry) else None
        if not isinstance(entry, AssistantEntry) or anchor is None or anchor.run_id != run_id:
            return entry
        heard = now if now in told else _heard_before(job.transcript, position, anchor)
        answered = extent_before(job.transcript, position)
        knew = {"transcript_length": answered.length, "transcript_digest": answered.digest, "system_hash": heard}
        # Whose decision the others are cannot be told from here: the server's refusal of what is sent says that.
        known = _calls_known(entry, job.transcript[position + 1 :])
        pending = tuple(call for call in waiting if call.tool_call_id in known)
        return replace(entry, anchor=anchor.model_copy(update={**end, **knew, "pending": pending}))

    return Transcript(job.transcript, ended)


def _calls_known(part: AssistantEntry, after: Sequence[Entry]) -> set[str]:
    """Calls that a part of an answer shows, or that the transcript answers all the same."""
    shown = {call.tool_call_id for call in (*part.calls, *(call.call for call in part.server_calls))}
    return shown | {entry.tool_call_id for entry in after if isinstance(entry, ToolEntry)}


def _heard_before(transcript: Sequence[Entry], position: int, anchor: Anchor) -> str | None:
    """The system text that the conversation had heard before: the last one that an anchor in it tells of."""
    for index in range(position - 1, -1, -1):
        entry = transcript[index]
        earlier = entry.anchor if isinstance(entry, AssistantEntry) else None
        if earlier is not None and earlier.conversation_id == anchor.conversation_id:
            return earlier.system_hash
    return None
