"""What a request may send while a tool call waits, and while none does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from letta_adapters.testing.errors import PendingApproval, invalid
from letta_adapters.testing.messages import Denial, Role, StoredMessage, ToolReturn, new_id, now, packed_result
from letta_adapters.testing.turn_request import ApprovalIn, DecisionIn, MessageIn, ResultIn, ToolReturnIn, TurnRequest

__all__ = ["admitted"]

_KEEP_ALIVE = (
    "<system-alert>Automated keep-alive ping. Ignore this message and continue from where you stopped.</system-alert>"
)
_RECENT = 10
"""How far back a repeated answer is recognised."""


def admitted(request: TurnRequest, context: Sequence[StoredMessage]) -> list[StoredMessage]:
    """Turn the messages of a request into stored ones, if the context lets them in.

    Raises:
        ApiError: a new message while a call waits, answers to other calls than the waiting ones, or an answer
            when nothing waits and nothing was answered lately.
    """
    first, *rest = request.all_messages
    if isinstance(first, MessageIn):
        if context and context[-1].is_approval_request:
            raise PendingApproval(context[-1].id)
        return [_stored(_plain(message)) for message in request.all_messages]
    answer = ApprovalIn(approvals=list(first.tool_returns)) if isinstance(first, ToolReturnIn) else first
    follow_ups = [message for message in rest if isinstance(message, MessageIn)]
    if context and context[-1].role != "approval":
        if not _answered_before(answer, context):
            raise invalid(
                "Cannot process approval response: No tool call is currently awaiting approval. "
                "Please send a regular message to interact with the agent."
            )
        return [_stored(message) for message in follow_ups or [MessageIn(role="user", content=_KEEP_ALIVE)]]
    _check_ids(answer, context[-1])
    return [_answer(answer), *(_stored(message) for message in follow_ups)]


def _check_ids(answer: ApprovalIn, request: StoredMessage) -> None:
    if not answer.approvals:
        raise invalid("Invalid approval response. Approval response message does not contain any approvals.")
    expected = [call.id for call in request.tool_calls or ()]
    received = [part.tool_call_id for part in answer.approvals]
    by_message_id = len(expected) == 1 and received[0] == request.id
    if set(expected) != set(received) and not by_message_id:
        raise invalid(f"Invalid tool call IDs. Expected '{expected}', but received '{received}'.")


def _answered_before(answer: ApprovalIn, context: Sequence[StoredMessage]) -> bool:
    ids = {part.tool_call_id for part in answer.approvals or ()}
    recent = [message for message in context[-_RECENT:] if message.role == "tool"]
    return any(ids == {result.tool_call_id for result in message.tool_returns} for message in recent)


def _answer(answer: ApprovalIn) -> StoredMessage:
    approvals = tuple(_answer_part(part) for part in answer.approvals or ())
    return StoredMessage(id=new_id("message"), role="approval", approvals=approvals, created_at=now())


def _answer_part(part: DecisionIn | ResultIn) -> ToolReturn | Denial:
    if isinstance(part, DecisionIn):
        return Denial(tool_call_id=part.tool_call_id, approve=part.approve, reason=part.reason)
    value = part.tool_return
    return ToolReturn(
        tool_call_id=part.tool_call_id,
        status=part.status,
        response=packed_result(value, success=part.status == "success")
        if isinstance(value, str)
        else [piece.model_dump() for piece in value],
        stdout=part.stdout,
        stderr=part.stderr,
    )


def _kept(part: dict[str, Any]) -> dict[str, Any]:
    """Take an image into the server's files, where an image by its address has no bytes: the double fetches none."""
    if part["type"] != "image" or part["source"]["type"] == "letta":
        return part
    source = part["source"]
    media_type, data = source.get("media_type"), source.get("data")
    if source.get("url", "").startswith("data:"):
        head, _, data = source["url"].removeprefix("data:").partition(",")
        media_type = head.partition(";")[0]
    file_id = new_id("file")
    return {
        "type": "image",
        "source": {"type": "letta", "file_id": file_id, "media_type": media_type, "data": data, "detail": None},
    }


def _plain(message: MessageIn | ApprovalIn | ToolReturnIn) -> MessageIn:
    if isinstance(message, MessageIn):
        return message
    name = "ApprovalCreate" if isinstance(message, ApprovalIn) else "ToolReturnCreate"
    raise invalid(f"Expected MessageCreate, got {name}")


def _stored(message: MessageIn) -> StoredMessage:
    if not message.content:
        raise invalid("Message content is empty or invalid")
    parts = message.content
    role: Role = message.role
    return StoredMessage(
        id=new_id("message"),
        role=role,
        content=({"type": "text", "text": parts},)
        if isinstance(parts, str)
        else tuple(_kept(part.model_dump()) for part in parts),
        name=message.name,
        otid=message.otid,
        sender_id=message.sender_id,
        group_id=message.group_id,
        created_at=now(),
    )
