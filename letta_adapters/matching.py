"""Which run stored a request: by its otids, and the answers to calls by what they say. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from letta_adapters.wire import (
    Approval,
    ApprovalCreate,
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    ApprovalReturn,
    InputMessage,
    KnownMessage,
    MessageCreate,
    Unknown,
    calls_of,
)

__all__ = ["Row", "answers_by_call", "response_to", "run_that_stored"]

Row = KnownMessage | Unknown
"""One row of a list of messages."""

_COMPARED = 2000
"""Characters of two results that are compared."""


def run_that_stored(messages: Sequence[InputMessage], rows: Sequence[Row], *, anchored: bool) -> str | None:
    """The one run that stored all messages of a request, if there is one.

    The answers to calls are listed without their otids, so they are told by their ids and texts.

    Args:
        messages: The request, with otids.
        rows: What the conversation holds, oldest first.
        anchored: Whether they begin right after the message that the request follows; else they are the newest.
    """
    known = [row for row in rows if not isinstance(row, Unknown)]
    by_otid = {row.otid: row.run_id for row in known if row.otid}
    runs: set[str | None] = set()
    for message in messages:
        if isinstance(message, MessageCreate):
            runs.add(by_otid.get(message.otid or ""))
        elif isinstance(message, ApprovalCreate):
            response = response_to(answers_by_call(message).keys(), known, anchored=anchored)
            runs.add(response.run_id if response is not None and _same_answers(response, message) else None)
        else:
            return None
    return runs.pop() if len(runs) == 1 else None


def response_to(call_ids: Collection[str], rows: Sequence[Row], *, anchored: bool) -> ApprovalResponseMessage | None:
    """What was answered to calls: some models use the same ids again and again.

    Args:
        call_ids: The calls.
        rows: What the conversation holds, oldest first.
        anchored: Whether they begin right after the calls; else those that were made last are meant.
    """
    response: ApprovalResponseMessage | None = None
    for row in rows:
        if isinstance(row, ApprovalRequestMessage) and any(call.tool_call_id in call_ids for call in calls_of(row)):
            response = response if anchored else None
        elif isinstance(row, ApprovalResponseMessage) and answers_by_call(row).keys() & set(call_ids):
            response = response or row
    return response


def _same_answers(stored: ApprovalResponseMessage, sent: ApprovalCreate) -> bool:
    ours, theirs = answers_by_call(sent), answers_by_call(stored)
    return ours.keys() == theirs.keys() and all(_same(ours[call_id], theirs[call_id]) for call_id in ours)


def _same(sent: Approval, stored: Approval) -> bool:
    """Whether an answer is stored, as far as it can be told: long texts are clipped, images left out (measured)."""
    if isinstance(sent, ApprovalReturn) or isinstance(stored, ApprovalReturn):
        return (
            isinstance(sent, ApprovalReturn) and isinstance(stored, ApprovalReturn) and sent.approve == stored.approve
        )
    if not isinstance(sent.tool_return, str) or not isinstance(stored.tool_return, str):
        return sent.status == stored.status
    texts = [text.replace("\0", "")[:_COMPARED] for text in (sent.tool_return, stored.tool_return)]
    return sent.status == stored.status and texts[0] == texts[1]


def answers_by_call(message: ApprovalCreate | ApprovalResponseMessage) -> dict[str, Approval]:
    """The answers of a message, by the ids of their calls."""
    return {answer.tool_call_id: answer for answer in message.approvals or ()}
