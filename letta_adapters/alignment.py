"""What a conversation has of a request already, and what it has besides (rule 8 of the planner). Pure.

Rows come run by run. A run that stored nothing but our own messages and what the agent made of them is ours, whoever
sent it: a process that died, a caller that left. One that only answers calls settles what was left pending. Any other
run is a stranger's: the conversation went another way than the transcript.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from letta_adapters.identity import MAX_ATTEMPTS, Item, with_otids
from letta_adapters.matching import Row, is_the_servers, response_to, runs_that_stored, same_answer, same_answers
from letta_adapters.wire import (
    ApprovalCreate,
    ApprovalResponseMessage,
    KnownMessage,
    MessageCreate,
    SystemMessage,
    ToolReturn,
    ToolReturnMessage,
    Unknown,
    UserMessage,
)

__all__ = ["Alignment", "Seen", "align", "answered_otherwise", "behind", "is_compiled_prompt"]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was read of a conversation.

    Args:
        rows: Its rows, oldest first.
        anchored: Whether they begin right after the anchor, or with the conversation; else they are the newest.
        nonce: What stood for the ids of messages that have none, where the request was sent before.
        unread: Whether there are more that no list shows.
    """

    rows: Sequence[Row]
    anchored: bool
    nonce: str = ""
    unread: bool = False


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """A request beside the rows.

    Args:
        runs: The run that stored each message; `None` for what is not there.
        stranger: The first row of somebody else's that stands before the end of what is there.
    """

    runs: tuple[str | None, ...]
    stranger: Row | None


def align(
    items: Sequence[Item], scope: Sequence[str | None], seen: Seen, *, repeatable: bool, own_run: str | None = None
) -> Alignment:
    """Lay a request beside the rows of its conversation.

    Args:
        items: The request.
        scope: What its otids belong to, but for the attempt: each that may have been made is tried.
        seen: What was read.
        repeatable: Whether its otids are made of its messages alone.
        own_run: The run that the anchor belongs to; its rows are no news.
    """
    if not seen.rows:
        return Alignment(runs=(None,) * len(items), stranger=None)
    runs: list[str | None] = [None] * len(items)
    ours: set[str | None] = set()
    ways = (True, False) if repeatable and any(_is_nameless(item) for item in items) else (repeatable,)
    for attempt, way in product(range(1, MAX_ATTEMPTS + 1), ways):
        messages = with_otids(items, scope=[*scope, attempt], nonce=seen.nonce, repeatable=way)
        stored = runs_that_stored(messages, seen.rows, anchored=seen.anchored)
        ours.update(message.otid for message, run_id in zip(messages, stored, strict=True) if run_id)
        runs = [known or run_id for known, run_id in zip(runs, stored, strict=True)]
        if all(runs):
            break
    return Alignment(runs=tuple(runs), stranger=_stranger(runs, seen.rows, ours, own_run) if seen.anchored else None)


def _is_nameless(item: Item) -> bool:
    """Whether it had a nonce for its id when it was sent alone, without the answer to a call."""
    return isinstance(item.message, MessageCreate) and item.framework_id is None


def answered_otherwise(items: Sequence[Item], results: Sequence[ToolReturn], seen: Seen) -> set[str]:
    """Calls that have another answer already.

    Args:
        items: The request, which may answer calls.
        results: What the transcript says of other calls.
        seen: What was read.
    """
    late = {result.tool_call_id for result in results if _is_answered_otherwise(result, seen)}
    for item in items:
        if not isinstance(item.message, ApprovalCreate):
            continue
        ids = {answer.tool_call_id for answer in item.message.approvals or ()}
        response = response_to(ids, seen.rows, anchored=seen.anchored)
        if response is not None and not same_answers(response, item.message):
            late |= ids & {answer.tool_call_id for answer in response.approvals or ()}
    return late


def behind(anchor_id: str, in_context: Sequence[str]) -> list[str]:
    """The messages that stand behind the anchor in what the model sees.

    After a compaction a list of rows tells neither their order nor what is new (measured); the ids in context do. An
    anchor that is not among them was taken out by it, and whatever is left but the prompt and the summary is newer.

    Args:
        anchor_id: The anchor's message.
        in_context: The ids of all messages in context.
    """
    return list(in_context[in_context.index(anchor_id) + 1 if anchor_id in in_context else 2 :])


def _is_answered_otherwise(result: ToolReturn, seen: Seen) -> bool:
    response = response_to({result.tool_call_id}, seen.rows, anchored=seen.anchored)
    if response is None:
        return False
    stored = [answer for answer in response.approvals or () if answer.tool_call_id == result.tool_call_id]
    return not any(same_answer(result, answer) for answer in stored)


def is_compiled_prompt(row: Row) -> bool:
    """Whether it is the row that every conversation begins with: the only one that no run made (measured)."""
    return isinstance(row, SystemMessage) and row.run_id is None and row.otid is None


Runs = Mapping[str | None, Sequence[KnownMessage]]


def _stranger(
    runs: Sequence[str | None], rows: Sequence[Row], ours: Collection[str | None], own_run: str | None
) -> Row | None:
    by_run = _by_run(rows)
    known = {run for run in (*runs, own_run) if run is not None and not _was_told_else(by_run.get(run, ()), ours)}
    last = runs[-1]
    for row in rows:
        if isinstance(row, Unknown) or is_compiled_prompt(row) or is_the_servers(row):
            continue
        if last is not None and row.run_id == last and last in known:
            return None  # all of the request is there; what came later is another story
        if row.run_id not in known and not _settles(by_run[row.run_id]):
            return row
    return None


def _by_run(rows: Sequence[Row]) -> Runs:
    runs: dict[str | None, list[KnownMessage]] = {}
    for row in rows:
        if not isinstance(row, Unknown):
            runs.setdefault(row.run_id, []).append(row)
    return runs


def _was_told_else(run: Sequence[KnownMessage], ours: Collection[str | None]) -> bool:
    """Whether a run was given anything that is not ours."""
    return any(
        isinstance(row, (UserMessage, SystemMessage)) and row.otid not in ours and not is_the_servers(row)
        for row in run
    )


def _settles(run: Sequence[KnownMessage]) -> bool:
    """Whether a run did nothing but answer calls."""
    return bool(run) and all(isinstance(row, (ApprovalResponseMessage, ToolReturnMessage)) for row in run)
