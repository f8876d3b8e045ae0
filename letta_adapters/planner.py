"""The planner: what of a transcript the server does not have yet, as one request. Pure, no I/O.

`plan` works by rules, each a small function below, numbered as in `docs/planner.md`:

1. anchor and tail: what follows the last answer of this agent (pinned: of this conversation) is new;
2. tool results: one approval message, first, that answers every pending call;
3. human messages, with their text and images;
4. foreign turns, of another model or another agent, are told: as the assistant's words, or as text;
5. system messages: sent when new or changed, or as an override, or not at all;
6. an empty tail sends nothing: there is nothing to answer;
7. identity: otids that are the same whenever the same thing is sent again.

Where a rule needs to know what the server holds, the plan says so (`needs_system_texts`) and is made again with the
answer.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from typing_extensions import assert_never

from letta_adapters.identity import Item, with_otids
from letta_adapters.transcript import (
    Anchor,
    AssistantEntry,
    Content,
    Entry,
    HumanEntry,
    SystemEntry,
    ToolEntry,
)
from letta_adapters.wire import (
    Approval,
    ApprovalCreate,
    ApprovalReturn,
    ContentPart,
    InputMessage,
    InputPart,
    MessageCreate,
    TextContent,
    ToolReturn,
)

__all__ = ["Plan", "SystemPolicy", "Target", "plan"]

_LOG = logging.getLogger("letta_adapters.planner")

SystemPolicy = Literal["once", "override", "ignore"]
"""What becomes of system messages: told once, sent as `override_system` every time, or left out."""

Tail = Sequence[tuple[int, Entry]]
"""What is new, with positions."""

_UNANSWERED = "The application gave no result for this call."


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a transcript goes.

    Args:
        agent_id: The agent; needed in followed mode and for `default`.
        conversation_id: The conversation in pinned mode, `None` in followed mode.
    """

    agent_id: str | None
    conversation_id: str | None = None

    @property
    def pinned(self) -> bool:
        """Whether the conversation is given."""
        return self.conversation_id is not None

    def holds(self, anchor: Anchor) -> bool:
        """Whether an anchor lies in this conversation (pinned) or with this agent (followed)."""
        if self.pinned and self.conversation_id != "default":
            return anchor.conversation_id == self.conversation_id
        if anchor.agent_id != self.agent_id:
            return False
        return not self.pinned or anchor.conversation_id == "default"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to send.

    Args:
        conversation_id: The conversation to go on with; `None` to create one.
        agent_id: The agent.
        items: What to send, in order.
        anchor_message_id: The message after which it is new; `None` at the start.
        system_hash: Digest of the leading system text, for the anchor of the answer.
        override_system: The system prompt of this request.
        needs_system_texts: Whether the plan has to be made again with the system texts that the conversation holds.
        reasons: What was decided and why, for people.
    """

    conversation_id: str | None
    agent_id: str | None
    items: tuple[Item, ...]
    anchor_message_id: str | None = None
    system_hash: str | None = None
    override_system: str | None = None
    needs_system_texts: bool = False
    reasons: tuple[str, ...] = ()

    def messages(self, conversation_id: str, *, attempt: int, nonce: str) -> list[InputMessage]:
        """The messages with their otids (rule 7).

        Args:
            conversation_id: The conversation that they go to.
            attempt: 1, and one more after every failure of the same request that left nothing at the server.
            nonce: Stands for the ids of messages that have none.
        """
        agent_id = self.agent_id if conversation_id == "default" else None
        scope = [conversation_id, agent_id, self.anchor_message_id or "start", attempt]
        return with_otids(self.items, scope=scope, nonce=nonce)


def plan(
    transcript: Sequence[Entry],
    target: Target,
    *,
    system_policy: SystemPolicy = "once",
    held_system_texts: Collection[str] | None = None,
) -> Plan:
    """Work out what to send.

    Args:
        transcript: The whole dialogue.
        target: Where it goes.
        system_policy: What becomes of system messages.
        held_system_texts: System texts that the conversation holds, when a plan asked for them.

    Raises:
        ValueError: There is nothing to send: an empty transcript, only system messages, or nothing after the last
            answer.
    """
    _check_something_is_said(transcript)
    anchor_index = _find_anchor(transcript, target)
    anchored = transcript[anchor_index] if anchor_index is not None else None
    anchor = anchored.anchor if isinstance(anchored, AssistantEntry) else None
    boundary = anchor_index if anchor_index is not None else _find_boundary(transcript, target)
    leading = _leading_system(transcript)
    start = max(boundary + 1 if boundary is not None else 0, leading)
    tail = list(enumerate(transcript[start:]))
    reasons = [_tell_anchor(anchor, boundary, target)]

    answered = transcript[boundary] if boundary is not None else None
    answers = _answers(tail, answered, reasons)
    system = _System.of(transcript[:leading], tail, system_policy)
    send_system, needs_texts = system.decide(anchor, target, held_system_texts, reasons)
    items = [
        *answers,
        *([send_system] if send_system else []),
        *_said(tail, answered, keep_system=system_policy == "once"),
    ]
    if not items and not needs_texts:
        raise ValueError(
            "There is nothing new to send: the transcript ends with the agent's own answer. "
            "Add a human message or a tool result after it."
        )
    if anchor is not None:
        conversation_id = anchor.conversation_id if not target.pinned else target.conversation_id
    else:
        conversation_id = target.conversation_id
    result = Plan(
        conversation_id=conversation_id,
        agent_id=target.agent_id,
        items=tuple(items),
        anchor_message_id=anchor.message_id if anchor else None,
        system_hash=system.hash,
        override_system=system.override,
        needs_system_texts=needs_texts,
        reasons=tuple(reasons),
    )
    _LOG.debug("plan: %s", "; ".join(result.reasons))
    return result


def _check_something_is_said(transcript: Sequence[Entry]) -> None:
    if not transcript:
        raise ValueError("The list of messages is empty; there is nothing to send.")
    if all(isinstance(entry, SystemEntry) for entry in transcript):
        raise ValueError("There are only system messages; add a human message to answer.")


# Rule 1: anchor and tail.


def _find_anchor(transcript: Sequence[Entry], target: Target) -> int | None:
    for index in range(len(transcript) - 1, -1, -1):
        entry = transcript[index]
        if isinstance(entry, AssistantEntry) and entry.anchor is not None and target.holds(entry.anchor):
            return index
    return None


def _find_boundary(transcript: Sequence[Entry], target: Target) -> int | None:
    """Pinned without an anchor: the server has everything up to the last answer that is not another agent's."""
    if not target.pinned:
        return None
    for index in range(len(transcript) - 1, -1, -1):
        entry = transcript[index]
        if isinstance(entry, AssistantEntry) and not _is_anothers(entry, target):
            return index
    return None


def _is_anothers(entry: AssistantEntry, target: Target) -> bool:
    return (
        entry.anchor is not None
        and target.agent_id is not None
        and entry.anchor.agent_id is not None
        and entry.anchor.agent_id != target.agent_id
    )


def _tell_anchor(anchor: Anchor | None, boundary: int | None, target: Target) -> str:
    if anchor is not None:
        return f"rule 1: goes on in {anchor.conversation_id} after {anchor.message_id}"
    if boundary is not None:
        return f"rule 1: no anchor; what follows message {boundary} is new to {target.conversation_id}"
    return "rule 1: no anchor; the whole transcript is new"


# Rule 2: tool results.


def _answers(tail: Tail, answered: Entry | None, reasons: list[str]) -> list[Item]:
    pending = _pending_ids(answered)
    if not pending:
        return []
    results = {
        entry.tool_call_id: (position, entry)
        for position, entry in tail
        if isinstance(entry, ToolEntry) and entry.tool_call_id in pending
    }
    approvals: list[Approval] = [
        _result(results[call_id][1])
        if call_id in results
        else ApprovalReturn(tool_call_id=call_id, approve=False, reason=_UNANSWERED)
        for call_id in pending
    ]
    denied = len(pending) - len(results)
    reasons.append(f"rule 2: {len(results)} results" + (f" and {denied} denials" if denied else ""))
    ids = ",".join(entry.id or "" for _, entry in results.values())
    return [
        Item(
            message=ApprovalCreate(approvals=approvals),
            position=min((position for position, _ in results.values()), default=0),
            framework_id=ids if ids.strip(",") else None,
        )
    ]


def _pending_ids(answered: Entry | None) -> Sequence[str]:
    """The calls that wait, as the answer told them; without its anchor, all that it made."""
    if not isinstance(answered, AssistantEntry):
        return ()
    if answered.anchor is not None:
        return [call.tool_call_id for call in answered.anchor.pending]
    return [call.tool_call_id for call in answered.calls]


def _result(entry: ToolEntry) -> ToolReturn:
    content = entry.content if isinstance(entry.content, str) else list[ContentPart](entry.content)
    return ToolReturn(tool_call_id=entry.tool_call_id, tool_return=content, status=entry.status)


# Rules 3 and 4: what people, other models and their tools said.


def _said(tail: Tail, answered: Entry | None, *, keep_system: bool) -> list[Item]:
    known = set(_pending_ids(answered))
    never_kept = {call.tool_call_id for call in answered.calls} if isinstance(answered, AssistantEntry) else set[str]()
    names = _call_names(tail)
    items: list[Item] = []
    last = tail[-1][0] if tail else -1
    for position, entry in tail:
        match entry:
            case HumanEntry():
                items.append(_human(position, entry))
            case AssistantEntry():
                items.extend(_foreign_turn(position, entry, ends_tail=position == last))
            case ToolEntry():
                if entry.tool_call_id in known:
                    continue  # rule 2 sent it
                if entry.tool_call_id in never_kept:
                    _LOG.warning(
                        "The result of call %s is dropped: the server did not keep that call.", entry.tool_call_id
                    )
                    continue
                items.append(_foreign_result(position, entry, names.get(entry.tool_call_id)))
            case SystemEntry():
                if keep_system:
                    items.append(_item("system", entry.text, position, entry.id))
            case _:
                assert_never(entry)
    return items


def _item(
    role: Literal["user", "system", "assistant"],
    content: Content,
    position: int,
    framework_id: str | None,
    name: str | None = None,
) -> Item:
    body = content if isinstance(content, str) else list[InputPart](content)
    message = MessageCreate(role=role, content=body, name=name)
    return Item(message=message, position=position, framework_id=framework_id)


def _human(position: int, entry: HumanEntry) -> Item:
    return _item("user", entry.content, position, entry.id, entry.name)


def _foreign_turn(position: int, entry: AssistantEntry, *, ends_tail: bool) -> list[Item]:
    """Another model's turn: its words as the assistant's, its calls as text.

    A turn that ends the request must be the user's, or the agent would answer to its own words.
    """
    items: list[Item] = []
    author = entry.name or "assistant"
    if entry.text and ends_tail and not entry.calls:
        items.append(_item("user", f"[{author} said: {entry.text}]", position, entry.id))
    elif entry.text:
        items.append(_item("assistant", entry.text, position, entry.id, entry.name))
    if entry.calls:
        calls = ", ".join(f"{call.name}({call.arguments})" for call in entry.calls)
        items.append(_item("user", f"[{author} called the tools: {calls}]", position, entry.id))
    return items


def _foreign_result(position: int, entry: ToolEntry, name: str | None) -> Item:
    verb = "failed with" if entry.status == "error" else "answered"
    head = f"[The tool {entry.name or name or 'of call ' + entry.tool_call_id} {verb}: "
    if isinstance(entry.content, str):
        return _item("user", f"{head}{entry.content}]", position, entry.id)
    parts = (TextContent(text=head), *entry.content, TextContent(text="]"))
    return _item("user", parts, position, entry.id)


def _call_names(tail: Tail) -> dict[str, str]:
    return {
        call.tool_call_id: call.name for _, entry in tail if isinstance(entry, AssistantEntry) for call in entry.calls
    }


# Rule 5: system messages.


def _leading_system(transcript: Sequence[Entry]) -> int:
    """How many messages the leading run of system messages has."""
    count = 0
    while count < len(transcript) and isinstance(transcript[count], SystemEntry):
        count += 1
    return count


@dataclass(frozen=True, kw_only=True)
class _System:
    """The leading system text and what is to become of it."""

    text: str
    hash: str | None
    override: str | None
    policy: SystemPolicy

    @classmethod
    def of(cls, leading: Sequence[Entry], tail: Tail, policy: SystemPolicy) -> _System:
        text = _joined(leading)
        whole = "\n\n".join(filter(None, (text, _joined([entry for _, entry in tail]))))
        return cls(
            text=text,
            hash=hashlib.sha256(text.encode()).hexdigest()[:16] if text and policy == "once" else None,
            override=whole or None if policy == "override" else None,
            policy=policy,
        )

    def decide(
        self, anchor: Anchor | None, target: Target, held: Collection[str] | None, reasons: list[str]
    ) -> tuple[Item | None, bool]:
        """The message to send, if any, and whether the held texts must be read first."""
        if not self.text or self.policy != "once":
            return None, False
        if anchor is not None and anchor.system_hash == self.hash:
            return None, False
        if anchor is None and target.pinned:
            if held is None:
                return None, True
            if self.text in held:
                reasons.append("rule 5: the conversation holds the system text already")
                return None, False
        reasons.append("rule 5: the system text is new" if anchor is None else "rule 5: the system text changed")
        return _item("system", self.text, -1, None), False


def _joined(entries: Sequence[Entry]) -> str:
    return "\n\n".join(entry.text for entry in entries if isinstance(entry, SystemEntry) and entry.text)
