"""Reading back what the server stored of a turn whose stream cannot be had any more. Generators without I/O.

A reading yields requests and pauses, is sent the answer to each request, and returns what it was after. The turn
machine carries it out with its own connections.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter

from letta_adapters import retry
from letta_adapters.errors import Conflict, ConversationBusy, LettaError
from letta_adapters.exchange import Query, Request, excerpt
from letta_adapters.matching import Row, answers_by_call, is_input, response_to, run_that_stored
from letta_adapters.under_way import is_under_way, runs_in_flight
from letta_adapters.waiting import newest_first
from letta_adapters.wire import (
    ApprovalCreate,
    ApprovalRequestMessage,
    AssistantMessage,
    Conversation,
    ErrorMessage,
    InputMessage,
    ReasoningMessage,
    Run,
    ToolCallMessage,
    Unknown,
    UsageStatistics,
    calls_of,
    parse_messages,
)

__all__ = [
    "Answer",
    "AnsweredOtherwise",
    "Pause",
    "Reading",
    "StillBusy",
    "StoredTurn",
    "Unreadable",
    "kept_calls",
    "messages_path",
    "record_of",
    "what_became_of",
]

T = TypeVar("T")

_CONFIRM_ROWS = 20
"""Newest rows of a run to look for the pending calls in."""
_ROWS = 200
"""Rows of a conversation to look for a request in."""
_RUN_ROWS = 1000
_SETTLING = 5.0
"""Seconds without any run in flight after which a request that left no row counts as not taken.

A run is on record about 0.2 seconds after its request, 2.2 on a busy machine (measured on 0.16.8).
"""
_RUNS: TypeAdapter[list[Run]] = TypeAdapter(list[Run])


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a request brought: an answer, or (status 0) the reason why there was none."""

    status: int
    body: bytes = b""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Wait this many seconds; `reason` is for the log."""

    seconds: float
    reason: str


class Unreadable(Exception):
    """What was asked for could not be read. Internal: the turn makes a `LettaError` of it."""

    hint = "It could not be checked whether the server has the request already; try again."
    run_id: str | None = None
    """The run that could not be read to its end."""

    def to_error(self, ids: Mapping[str, Any]) -> LettaError:
        """The public error, where nothing was sent yet."""
        return LettaError(f"Nothing was sent: {self}.", hint=self.hint, **ids)


class StillBusy(Unreadable):
    """Another turn, or this very one, was in flight for too long."""

    hint = "Wait for it to end, or raise `busy_timeout`."

    def to_error(self, ids: Mapping[str, Any]) -> LettaError:
        """The public error, where nothing was sent yet."""
        return ConversationBusy(f"Nothing was sent: {self}.", status=409, hint=self.hint, **ids)


class AnsweredOtherwise(Unreadable):
    """The calls that a request answers have another answer already."""

    hint = "Read the conversation; a new message can be sent."

    def to_error(self, ids: Mapping[str, Any]) -> LettaError:
        """The public error, where nothing was sent yet."""
        return Conflict(f"Nothing was sent: {self}.", status=409, hint=self.hint, **ids)


Reading = Generator[Request | Pause, Any, T]


@dataclass(frozen=True, kw_only=True)
class StoredTurn:
    """A run that ended, as the server recorded it.

    Args:
        run: Its record.
        rows: The messages that it stored, what was sent included, oldest first.
        usage: Its tokens, where they could be read.
    """

    run: Run
    rows: Sequence[Row]
    usage: UsageStatistics | None

    def answer_to(self, otids: Collection[str]) -> Sequence[Row]:
        """What came back: all that follows the input, which may have the assistant's words in it, too.

        Args:
            otids: Those of the request, where it is known.
        """
        known = [number for number, row in enumerate(self.rows) if not isinstance(row, Unknown) and row.otid in otids]
        sent = known or [number for number, row in enumerate(self.rows) if is_input(row)]
        return self.rows[sent[-1] + 1 :] if sent else self.rows

    @property
    def stop_reason(self) -> str:
        """Why it ended."""
        return self.run.stop_reason or ("end_turn" if self.run.status == "completed" else "error")

    @property
    def error(self) -> ErrorMessage | None:
        """The error that ended it; a stream would have brought it as its last event."""
        error = (self.run.metadata or {}).get("error")
        if not isinstance(error, dict):
            return None
        told = cast("dict[str, Any]", error)
        return ErrorMessage(
            error_type=str(told.get("error_type") or "unknown"),
            message=str(told.get("message") or ""),
            detail=str(told["detail"]) if told.get("detail") else None,
        )


def messages_path(conversation_id: str) -> str:
    """The path of a conversation's messages."""
    return f"/v1/conversations/{conversation_id}/messages"


def kept_calls(run_id: str, *, retries: int) -> Reading[set[str]]:
    """Ids of the calls that a run left pending: of several streamed ones the server may keep the first only."""
    for tries in count(1):
        try:
            rows = yield from _rows_of_run(run_id, order="desc", limit=_CONFIRM_ROWS, retries=0)
        except Unreadable as trouble:
            rows, reason = (), str(trouble)
        else:
            reason = "the run's messages do not show the calls"
        for row in rows:
            if isinstance(row, ApprovalRequestMessage):
                return {call.tool_call_id or "" for call in calls_of(row)}
        if tries > retries:
            raise Unreadable(reason)
        yield Pause(seconds=retry.backoff(tries), reason=reason)
    raise AssertionError("count() has no end")


def record_of(run_id: str, *, retries: int) -> Reading[Run]:
    """The record of a run."""
    return (yield from _get(f"/v1/runs/{run_id}", Run.model_validate_json, retries=retries))


def what_became_of(
    messages: Sequence[InputMessage],
    conversation_id: str,
    agent_id: str | None,
    *,
    run_id: str | None,
    after: str | None,
    sent: bool,
    at_most: float,
    idle_timeout: float,
    retries: int,
    whole: bool = False,
) -> Reading[StoredTurn | None]:
    """The turn that a request became, once it has ended; `None` where the server has no trace of it.

    Args:
        messages: What was sent, with otids.
        conversation_id: Where it was sent.
        agent_id: The agent, for `default`.
        run_id: Its run, where it is known.
        after: The message that it follows, where that is known.
        sent: Whether the request may just have been sent, so that its run may not be on record yet.
        at_most: Seconds to wait for runs in flight that may be the one: input is not listed before a step ends.
        idle_timeout: Seconds without any new row after which its run is not waited for any longer.
        retries: Failures of one request after which reading is given up.
        whole: Whether it was to be answered whole: such a run belongs to no conversation and never ends (measured).

    Raises:
        AnsweredOtherwise: The calls that the request answers have another answer.
        StillBusy: A run was in flight for too long.
        Unreadable: The server does not say.
    """
    if run_id is None and messages:
        run_id = yield from _find_run(
            messages, conversation_id, agent_id, after=after, sent=sent, at_most=at_most, retries=retries, whole=whole
        )
    if run_id is None:
        return None
    try:
        return (yield from _stored_turn(run_id, idle_timeout=idle_timeout, retries=retries))
    except Unreadable as trouble:
        trouble.run_id = run_id
        raise


def _stored_turn(run_id: str, *, idle_timeout: float, retries: int) -> Reading[StoredTurn]:
    run = yield from _ended(run_id, idle_timeout=idle_timeout, retries=retries)
    rows = yield from _all_rows_of_run(run_id, retries=retries)
    try:
        usage = yield from _get(f"/v1/runs/{run_id}/usage", _usage, retries=retries)
    except Unreadable:
        usage = None  # the answer is worth more than its price
    if usage is not None:
        usage = usage.model_copy(update={"step_count": _steps_in(rows)})
    return StoredTurn(run=run, rows=rows, usage=usage)


def _find_run(
    messages: Sequence[InputMessage],
    conversation_id: str,
    agent_id: str | None,
    *,
    after: str | None,
    sent: bool,
    at_most: float,
    retries: int,
    whole: bool,
) -> Reading[str | None]:
    busy = quiet = 0.0
    for tries in count():
        # Runs first: one that ends in between has its rows by the time that they are read.
        in_flight = yield from _in_flight(conversation_id, agent_id, retries=retries)
        if whole and conversation_id != "default":
            in_flight = [*in_flight, *(yield from _of_no_conversation(conversation_id, agent_id, retries=retries))]
        rows = yield from _rows_since(after, conversation_id, agent_id, retries=retries)
        run_id = run_that_stored(messages, rows, anchored=after is not None)
        if run_id is not None:
            return run_id
        delay = retry.busy_delay(tries)
        if in_flight:
            busy += delay
            if busy > at_most:
                raise StillBusy(f"run {in_flight[0].id} of the conversation is in flight for too long")
        else:
            quiet += delay
            if not sent or quiet > _SETTLING:
                _check_not_answered(messages, rows, anchored=after is not None)
                return None
        yield Pause(seconds=delay, reason="waiting for what became of the request")
    raise AssertionError("count() has no end")


def _check_not_answered(messages: Sequence[InputMessage], rows: Sequence[Row], *, anchored: bool) -> None:
    """Answering a call twice would make the server tell the agent so, in a turn of its own (measured)."""
    for message in messages:
        if isinstance(message, ApprovalCreate):
            response = response_to(answers_by_call(message).keys(), rows, anchored=anchored)
            if response is not None:
                raise AnsweredOtherwise("the calls were answered before, in other words")


def _steps_in(rows: Sequence[Row]) -> int:
    answered = (AssistantMessage, ReasoningMessage, ToolCallMessage, ApprovalRequestMessage)
    return len({row.step_id for row in rows if isinstance(row, answered)})


def _ended(run_id: str, *, idle_timeout: float, retries: int) -> Reading[Run]:
    newest: str | None = None
    waited = 0.0
    for tries in count():
        run = yield from record_of(run_id, retries=retries)
        if not run.in_flight:
            return run
        rows = yield from _rows_of_run(run_id, order="desc", limit=1, retries=retries)
        if run.status == "created" and run.conversation_id is None and (reason := _reason_of(rows)):
            return run.model_copy(update={"status": "completed", "stop_reason": reason})
        last = next((row.id for row in rows if not isinstance(row, Unknown)), None)
        waited = waited if last == newest else 0.0
        newest = last
        if waited > idle_timeout:
            raise StillBusy(f"the run is still {run.status}, and for {waited:.0f} s it stored nothing")
        delay = retry.busy_delay(tries)
        waited += delay
        yield Pause(seconds=delay, reason="waiting for the run to end")
    raise AssertionError("count() has no end")


def _reason_of(newest: Sequence[Row]) -> str | None:
    """Why a turn that was answered whole ended, whose record never says so (measured); `None` if it goes on."""
    if any(isinstance(row, ApprovalRequestMessage) for row in newest):
        return "requires_approval"
    goes_on = any(isinstance(row, ToolCallMessage) for row in newest)
    return "end_turn" if not goes_on and any(isinstance(row, AssistantMessage) for row in newest) else None


def _in_flight(conversation_id: str, agent_id: str | None, *, retries: int) -> Reading[Sequence[Run]]:
    runs = yield from _get("/v1/runs/", _RUNS.validate_json, runs_in_flight(conversation_id, agent_id), retries=retries)
    return [run for run in runs if is_under_way(run, conversation_id)]


def _of_no_conversation(conversation_id: str, agent_id: str | None, *, retries: int) -> Reading[Sequence[Run]]:
    """Runs of the agent that may be a turn of this conversation which is answered whole: without rows so far."""
    if agent_id is None:
        path = f"/v1/conversations/{conversation_id}"
        agent_id = (yield from _get(path, Conversation.model_validate_json, retries=retries)).agent_id
    runs = yield from _in_flight("default", agent_id, retries=retries)
    found: list[Run] = []
    for run in runs:
        if not (yield from _rows_of_run(run.id, order="desc", limit=1, retries=retries)):
            found.append(run)
    return found


def _rows_since(
    after: str | None, conversation_id: str, agent_id: str | None, *, retries: int
) -> Reading[Sequence[Row]]:
    """The rows that follow a message, or the newest ones; oldest first."""
    order = "asc" if after else "desc"
    query: Query = {"order": order, "after": after, "limit": _ROWS, "agent_id": agent_id}
    rows = yield from _get(messages_path(conversation_id), parse_messages, query, retries=retries)
    return rows if after else newest_first(rows)[::-1]


def _all_rows_of_run(run_id: str, *, retries: int) -> Reading[Sequence[Row]]:
    rows: list[Row] = []
    after: str | None = None
    while True:
        page = yield from _rows_of_run(run_id, order="asc", limit=_RUN_ROWS, after=after, retries=retries)
        rows.extend(page)
        ids = list(dict.fromkeys(row.id for row in page if not isinstance(row, Unknown)))
        if len(ids) < _RUN_ROWS or ids[-1] == after:
            return rows
        after = ids[-1]


def _rows_of_run(
    run_id: str, *, order: str, limit: int, retries: int, after: str | None = None
) -> Reading[Sequence[Row]]:
    query: Query = {"order": order, "limit": limit, "after": after}
    return (yield from _get(f"/v1/runs/{run_id}/messages", parse_messages, query, retries=retries))


def _get(path: str, parse: Callable[[bytes], T], query: Query | None = None, *, retries: int) -> Reading[T]:
    for failures in count(1):
        answer: Answer = yield Request(method="GET", path=path, query=query or {})
        reason = answer.reason or f"GET {path} was answered with HTTP {answer.status}"
        if answer.status == 200:
            try:
                return parse(answer.body)
            except ValueError:
                reason = f"the answer to GET {path} cannot be read: {excerpt(answer.body)!r}"
        # What is only read is in nobody's way: a 409 is a conflict in the server's database, which passes.
        passing = answer.status in (0, 200, 409) or retry.should_retry(answer.status)
        if not passing or failures > retries:
            raise Unreadable(reason)
        yield Pause(seconds=retry.backoff(failures), reason=reason)
    raise AssertionError("count() has no end")


def _usage(body: bytes) -> UsageStatistics:
    """The usage of a run, which the server records under other names than it streams."""
    usage = UsageStatistics.model_validate_json(body)
    details: Mapping[str, Any] = usage.model_extra or {}
    prompt: Mapping[str, Any] = details.get("prompt_tokens_details") or {}
    completion: Mapping[str, Any] = details.get("completion_tokens_details") or {}
    return usage.model_copy(
        update={
            "cached_input_tokens": prompt.get("cached_tokens") or prompt.get("cache_read_tokens"),
            "cache_write_tokens": prompt.get("cache_creation_tokens"),
            "reasoning_tokens": completion.get("reasoning_tokens"),
        }
    )
