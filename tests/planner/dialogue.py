"""Short words for transcripts, so that a test shows the dialogue and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from letta_adapters.alignment import Seen
from letta_adapters.joins import extent_of
from letta_adapters.matching import Row
from letta_adapters.planner import Plan, Target
from letta_adapters.transcript import (
    Anchor,
    AssistantEntry,
    Call,
    Entry,
    HumanEntry,
    PendingRef,
    SystemEntry,
    ToolEntry,
)
from letta_adapters.wire import (
    ApprovalCreate,
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    ApprovalReturn,
    AssistantMessage,
    InputMessage,
    MessageCreate,
    SystemMessage,
    ToolCall,
    ToolReturn,
    UserMessage,
)

AGENT = "agent-1"
FOLLOWED = Target(agent_id=AGENT)
PINNED = Target(agent_id=AGENT, conversation_id="conv-1")


def human(text: str, id: str | None = None, name: str | None = None) -> HumanEntry:
    return HumanEntry(content=text, id=id, name=name)


def system(text: str) -> SystemEntry:
    return SystemEntry(text=text)


def anchor(
    *pending: str,
    agent_id: str = AGENT,
    conversation_id: str = "conv-1",
    message_id: str | None = "message-9",
    run_id: str | None = None,
    system_hash: str | None = None,
    knew: Sequence[Entry] | None = None,
    asked_at: int | None = None,
    nudged: bool = False,
) -> Anchor:
    extent = extent_of(knew) if knew is not None else None
    return Anchor(
        agent_id=agent_id,
        conversation_id=conversation_id,
        message_id=message_id,
        run_id=run_id,
        pending=tuple(PendingRef(tool_call_id=call_id, name="add") for call_id in pending),
        system_hash=system_hash,
        transcript_length=extent.length if extent is not None else None,
        transcript_digest=extent.digest if extent is not None else None,
        asked_at=asked_at,
        nudged=nudged,
    )


def ours(
    text: str = "", *pending: str, where: Anchor | None = None, also_called: tuple[str, ...] = ()
) -> AssistantEntry:
    """An answer of our agent that waits for `pending`; `also_called` are calls that the server did not keep."""
    return AssistantEntry(
        text=text,
        calls=tuple(Call(tool_call_id=call_id, name="add", arguments="{}") for call_id in (*pending, *also_called)),
        anchor=where or anchor(*pending),
    )


def foreign(text: str = "", *calls: str, name: str | None = None, where: Anchor | None = None) -> AssistantEntry:
    return AssistantEntry(
        text=text,
        calls=tuple(Call(tool_call_id=call_id, name="look", arguments='{"q": 1}') for call_id in calls),
        name=name,
        anchor=where,
    )


def result(call_id: str, content: str = "3", *, error: bool = False, id: str | None = None) -> ToolEntry:
    return ToolEntry(tool_call_id=call_id, content=content, status="error" if error else "success", id=id)


def sent(plan: Plan) -> list[tuple[str, object]]:
    """What a plan sends: role and text, or `approval` and the answers."""
    return [_short(item.message) for item in plan.items]


def _short(message: MessageCreate | ApprovalCreate) -> tuple[str, object]:
    if isinstance(message, MessageCreate):
        return message.role, message.content
    return "approval", [_answer(answer) for answer in message.approvals or ()]


def _answer(answer: ToolReturn | ApprovalReturn) -> tuple[str, object]:
    if isinstance(answer, ToolReturn):
        return answer.tool_call_id, answer.tool_return if answer.status == "success" else ("error", answer.tool_return)
    return answer.tool_call_id, "denied"


def otids(messages: list[InputMessage]) -> list[str]:
    return [message.otid or "" for message in messages]


def newest(*rows: Row) -> Seen:
    """The newest rows of a conversation."""
    return Seen(rows=rows, anchored=False)


def following(*rows: Row) -> Seen:
    """The rows that follow the anchor."""
    return Seen(rows=rows, anchored=True)


def requested(plan: Plan, *, attempt: int = 1) -> list[InputMessage]:
    """What goes out, with its otids."""
    return plan.messages(plan.conversation_id or "", attempt=attempt, nonce="")


def stored(plan: Plan, *, run_id: str = "run-2", attempt: int = 1) -> list[Row]:
    """A request as its conversation lists it; what the assistant says has an otid of the server's there."""
    return [_row(message, number, run_id) for number, message in enumerate(requested(plan, attempt=attempt))]


def _row(message: InputMessage, number: int, run_id: str) -> Row:
    id = f"message-of-{run_id}-{number}"
    if isinstance(message, ApprovalCreate):
        return ApprovalResponseMessage(id=id, approvals=message.approvals, run_id=run_id)
    assert isinstance(message, MessageCreate)
    text = str(message.content)
    match message.role:
        case "user":
            return UserMessage(id=id, content=text, otid=message.otid, run_id=run_id)
        case "system":
            return SystemMessage(id=id, content=text, otid=message.otid, run_id=run_id)
        case "assistant":
            return AssistantMessage(id=id, content=text, otid=f"otid-of-{id}", run_id=run_id)


def replied(text: str = "so it is", *, run_id: str = "run-2") -> AssistantMessage:
    return AssistantMessage(id=f"message-reply-{run_id}", content=text, otid=f"otid-reply-{run_id}", run_id=run_id)


def strangers(text: str = "somebody else", *, run_id: str = "run-x") -> UserMessage:
    """A message of a client that this transcript knows nothing of."""
    return UserMessage(id=f"message-{run_id}", content=text, otid=f"otid-{run_id}", run_id=run_id)


def told(text: str) -> SystemMessage:
    return SystemMessage(id="message-s", content=text, run_id="run-s", otid="otid-s")


def waiting(*call_ids: str, run_id: str = "run-w") -> ApprovalRequestMessage:
    calls = [ToolCall(name="add", arguments="{}", tool_call_id=call_id) for call_id in call_ids]
    return ApprovalRequestMessage(id="message-w", tool_call=calls[0], tool_calls=calls, run_id=run_id)


def responded(call_id: str, content: str | None = "3", *, run_id: str = "run-2") -> ApprovalResponseMessage:
    """The stored answer to a call; a denial without `content`."""
    denial = ApprovalReturn(tool_call_id=call_id, approve=False, reason="because")
    answer = denial if content is None else ToolReturn(tool_call_id=call_id, tool_return=content, status="success")
    return ApprovalResponseMessage(id=f"message-response-{run_id}", approvals=[answer], run_id=run_id)
