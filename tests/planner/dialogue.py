"""Short words for transcripts, so that a test shows the dialogue and nothing else."""

from __future__ import annotations

from letta_adapters.alignment import Seen
from letta_adapters.matching import Row
from letta_adapters.planner import Plan, Target
from letta_adapters.transcript import Anchor, AssistantEntry, Call, HumanEntry, PendingRef, SystemEntry, ToolEntry
from letta_adapters.wire import (
    ApprovalCreate,
    ApprovalRequestMessage,
    ApprovalReturn,
    InputMessage,
    MessageCreate,
    SystemMessage,
    ToolCall,
    ToolReturn,
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
    message_id: str = "message-9",
    system_hash: str | None = None,
) -> Anchor:
    return Anchor(
        agent_id=agent_id,
        conversation_id=conversation_id,
        message_id=message_id,
        pending=tuple(PendingRef(tool_call_id=call_id, name="add") for call_id in pending),
        system_hash=system_hash,
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


def told(text: str) -> SystemMessage:
    return SystemMessage(id="message-s", content=text, run_id="run-s", otid="otid-s")


def waiting(*call_ids: str) -> ApprovalRequestMessage:
    calls = [ToolCall(name="add", arguments="{}", tool_call_id=call_id) for call_id in call_ids]
    return ApprovalRequestMessage(id="message-w", tool_call=calls[0], tool_calls=calls, run_id="run-w")
