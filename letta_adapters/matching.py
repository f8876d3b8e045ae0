"""Which run stored a request: by its otids, and the answers to calls by what they say. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeGuard

from letta_adapters.wire import (
    Approval,
    ApprovalCreate,
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    ApprovalReturn,
    AssistantMessage,
    ContentPart,
    EventMessage,
    ImageContent,
    InputMessage,
    KnownMessage,
    MessageCreate,
    SummaryMessage,
    SystemMessage,
    TextContent,
    Unknown,
    UserMessage,
    calls_of,
    packed_alert,
)

__all__ = [
    "Row",
    "answers_by_call",
    "is_input",
    "is_the_servers",
    "response_to",
    "run_that_stored",
    "runs_that_stored",
    "same_answer",
    "same_answers",
]

Row = KnownMessage | Unknown
"""One row of a list of messages."""

_COMPARED = 2000
"""Characters of two results that are compared."""


def run_that_stored(messages: Sequence[InputMessage], rows: Sequence[Row], *, anchored: bool) -> str | None:
    """The one run that stored all messages of a request, if there is one.

    Args:
        messages: The request, with otids.
        rows: What the conversation holds, oldest first.
        anchored: Whether they begin right after the message that the request follows; else they are the newest.
    """
    runs = set(runs_that_stored(messages, rows, anchored=anchored))
    return runs.pop() if len(runs) == 1 else None


def runs_that_stored(messages: Sequence[InputMessage], rows: Sequence[Row], *, anchored: bool) -> list[str | None]:
    """The run that stored each message of a request.

    The answers to calls are listed without their otids, so they are told by their ids and texts. What an assistant
    says is listed with otids of the server's: it is told by its text, in the runs that stored anything else of it. So
    an answer that lost its anchor is there, too, where its question is.
    """
    known = [row for row in rows if not isinstance(row, Unknown)]
    by_otid = {row.otid: row.run_id for row in known if row.otid}
    runs = [_run_of(message, known, by_otid, anchored=anchored) for message in messages]
    said = _said_by(known, {run_id for run_id in runs if run_id is not None}) if None in runs else {}
    return [
        run_id or (_take(said, str(message.content)) if _is_the_assistants(message) else None)
        for message, run_id in zip(messages, runs, strict=True)
    ]


def _is_the_assistants(message: InputMessage) -> TypeGuard[MessageCreate]:
    return isinstance(message, MessageCreate) and message.role == "assistant"


def _said_by(rows: Sequence[Row], runs: Collection[str]) -> dict[str, list[str]]:
    """The runs that say a text, in one message or in all of their messages together, once for each time."""
    parts: dict[str, list[str]] = {}
    for row in rows:
        if isinstance(row, AssistantMessage) and isinstance(row.content, str) and row.run_id in runs:
            parts.setdefault(row.run_id or "", []).append(row.content)
    said: dict[str, list[str]] = {}
    for run_id, texts in parts.items():
        for text in texts if len(texts) == 1 else ["".join(texts), *texts]:
            said.setdefault(text, []).append(run_id)
    return said


def _take(said: dict[str, list[str]], text: str) -> str | None:
    return said[text].pop(0) if said.get(text) else None


def _run_of(
    message: InputMessage, rows: Sequence[Row], by_otid: Mapping[str, str | None], *, anchored: bool
) -> str | None:
    if isinstance(message, MessageCreate):
        return by_otid.get(message.otid or "")
    if isinstance(message, ApprovalCreate):
        response = response_to(answers_by_call(message).keys(), rows, anchored=anchored)
        return response.run_id if response is not None and same_answers(response, message) else None
    return None


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


def same_answers(stored: ApprovalResponseMessage, sent: ApprovalCreate) -> bool:
    """Whether an answer to calls is the one that is stored."""
    ours, theirs = answers_by_call(sent), answers_by_call(stored)
    return ours.keys() == theirs.keys() and all(same_answer(ours[call_id], theirs[call_id]) for call_id in ours)


def same_answer(sent: Approval, stored: Approval) -> bool:
    """Whether an answer is stored, as far as it can be told: long texts are clipped, images left out (measured)."""
    if isinstance(sent, ApprovalReturn) or isinstance(stored, ApprovalReturn):
        return (
            isinstance(sent, ApprovalReturn) and isinstance(stored, ApprovalReturn) and sent.approve == stored.approve
        )
    texts = [_listed(answer.tool_return).replace("\0", "")[:_COMPARED] for answer in (sent, stored)]
    return sent.status == stored.status and texts[0] == texts[1]


def _listed(given: str | list[ContentPart]) -> str:
    """A result as a list of messages shows it: without its images (measured)."""
    if isinstance(given, str):
        return given
    text = "\n".join(part.text for part in given if isinstance(part, TextContent) and part.text)
    images = sum(isinstance(part, ImageContent) for part in given)
    omitted = "[Image omitted]" if images == 1 else f"[{images} images omitted]" if images else ""
    return " ".join(filter(None, (text, omitted)))


def answers_by_call(message: ApprovalCreate | ApprovalResponseMessage) -> dict[str, Approval]:
    """The answers of a message, by the ids of their calls."""
    return {answer.tool_call_id: answer for answer in message.approvals or ()}


def is_input(row: Row) -> bool:
    """Whether a row is part of what a request said, and surely so: the assistant's words may be an answer."""
    return isinstance(row, (UserMessage, SystemMessage, ApprovalResponseMessage)) and not is_the_servers(row)


def is_the_servers(row: Row) -> bool:
    """Whether the server wrote it by itself: summaries, notes, and alerts that it packs in a user's message."""
    if isinstance(row, (SummaryMessage, EventMessage)):
        return True
    return isinstance(row, UserMessage) and packed_alert(row) is not None
