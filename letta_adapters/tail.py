"""What the tail of a transcript becomes: answers to calls, human messages, foreign turns (rules 2 to 4). Pure."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from typing import Literal

from typing_extensions import assert_never

from letta_adapters.anchoring import Tail
from letta_adapters.identity import Item
from letta_adapters.transcript import (
    AssistantEntry,
    Call,
    Content,
    Entry,
    HumanEntry,
    ServerCall,
    SystemEntry,
    ToolEntry,
    sendable,
)
from letta_adapters.wire import (
    Approval,
    ApprovalCreate,
    ApprovalReturn,
    ContentPart,
    ImageContent,
    InputPart,
    MessageCreate,
    TextContent,
    ToolReturn,
)

__all__ = ["answers", "item", "result_of", "results_of_others", "said"]

_LOG = logging.getLogger("letta_adapters.planner")

_UNANSWERED = "The application gave no result for this call."


# Rule 2: tool results.


def answers(tail: Tail, pending: Sequence[str], reasons: list[str], answered: Entry | None = None) -> list[Item]:
    """One message that answers every pending call: with its result, a person's decision, or a denial.

    A call that the server runs itself is a person's to decide on. Nobody else denies it: without a decision it is left
    out, and the server refuses what is sent.

    Args:
        tail: What is new.
        pending: Ids of the calls.
        reasons: Takes what was decided.
        answered: The answer before it, which made the calls.

    Raises:
        ValueError: A decision lets the server run a tool that is the program's own.
    """
    theirs = results_of_others(tail)
    results = {
        entry.tool_call_id: (position, entry)
        for position, entry in tail
        if isinstance(entry, ToolEntry) and entry.tool_call_id in pending and position not in theirs
    }
    undecided = {call.call.tool_call_id for call in _server_calls(answered) if call.waits} - results.keys()
    pending = [call_id for call_id in pending if call_id not in undecided]
    if not pending:
        return []
    for _, entry in results.values():
        _check_is_the_servers(entry, answered)
    approvals: list[Approval] = [
        _answer_of(results[call_id][1])
        if call_id in results
        else ApprovalReturn(tool_call_id=call_id, approve=False, reason=_UNANSWERED)
        for call_id in pending
    ]
    denied = len(pending) - len(results)
    reasons.append(f"rule 2: {len(results)} results" + (f" and {denied} denials" if denied else ""))
    # In the order of the calls: tools that ran side by side may have been listed in another order the first time.
    ids = [results[call_id][1].id or "" for call_id in pending if call_id in results]
    return [
        Item(
            message=ApprovalCreate(approvals=approvals),
            position=min((position for position, _ in results.values()), default=0),
            framework_id=",".join(ids) if any(ids) else None,
        )
    ]


def results_of_others(tail: Tail) -> set[int]:
    """Where results of another model's calls are: some models use the same ids again and again."""
    called: set[str] = set()
    places: set[int] = set()
    for position, entry in tail:
        if isinstance(entry, AssistantEntry):
            called.update(call.tool_call_id for call in entry.calls)
        elif isinstance(entry, ToolEntry) and entry.tool_call_id in called:
            places.add(position)
    return places


def _answer_of(entry: ToolEntry) -> Approval:
    if entry.approve is None:
        return result_of(entry)
    reason = entry.content if isinstance(entry.content, str) else ""
    return ApprovalReturn(tool_call_id=entry.tool_call_id, approve=entry.approve, reason=sendable(reason) or None)


def _check_is_the_servers(entry: ToolEntry, answered: Entry | None) -> None:
    """A server has no tool to run where a program's own is approved, and tells the agent so (measured)."""
    calls = answered.calls if isinstance(answered, AssistantEntry) else ()
    for call in calls:
        if entry.approve and call.tool_call_id == entry.tool_call_id:
            raise ValueError(
                f"The call {call.tool_call_id} is one of the tool {call.name!r}, which this program runs: pass its "
                "result instead of an approval."
            )


def _server_calls(entry: Entry | None) -> Sequence[ServerCall]:
    return entry.server_calls if isinstance(entry, AssistantEntry) else ()


def result_of(entry: ToolEntry) -> ToolReturn:
    """What a tool gave back, as the answer to its call."""
    content = sendable(entry.content) if isinstance(entry.content, str) else list[ContentPart](_parts(entry.content))
    return ToolReturn(tool_call_id=entry.tool_call_id, tool_return=content, status=entry.status)


# Rules 3 and 4: what people, other models and their tools said.


def said(
    tail: Tail,
    answered: Entry | None,
    pending: Sequence[str],
    *,
    too_late: Collection[str],
    keep_system: bool,
    more_follows: bool = False,
    earlier: Sequence[Entry] = (),
) -> list[Item]:
    """Everything else that is new, in order.

    Args:
        tail: What is new.
        answered: The answer before it.
        pending: The calls that `answers` answers.
        too_late: Calls that have an answer already; what the transcript says of them is told as text.
        keep_system: Whether system messages in the tail are sent.
        more_follows: Whether the request goes on after it.
        earlier: What stands before it; it is looked at only for the name of a tool.
    """
    asked = _asked(answered)
    never_kept, answered_alike = _called(answered) - asked, asked - set(too_late)
    theirs = results_of_others(tail)
    items: list[Item] = []
    last = tail[-1][0] if tail and not more_follows else None
    for position, entry in tail:
        match entry:
            case HumanEntry():
                items.append(_human(position, entry))
            case AssistantEntry():
                items.extend(_foreign_turn(position, entry, ends_tail=position == last))
            case ToolEntry():
                # Rule 2 sends what is pending; of the others, one that was asked for has this very answer.
                ours = position not in theirs
                settled = ours and (entry.tool_call_id in pending or entry.tool_call_id in answered_alike)
                lost = never_kept if ours else ()
                if not settled and not _is_superseded(position, entry, tail) and _was_kept(entry, lost):
                    name = _name_of(entry.tool_call_id, [answered, *(one for _, one in tail)], earlier)
                    items.append(_foreign_result(position, entry, name))
            case SystemEntry():
                if keep_system and entry.text:
                    items.append(item("system", entry.text, position, entry.id))
            case _:
                assert_never(entry)
    return items


def _was_kept(entry: ToolEntry, never_kept: Collection[str]) -> bool:
    if entry.tool_call_id in never_kept:
        _LOG.warning("The result of call %s is dropped: the server did not keep that call.", entry.tool_call_id)
    return entry.tool_call_id not in never_kept


def _is_superseded(position: int, entry: ToolEntry, tail: Tail) -> bool:
    """Whether the tail has a later result of the same call, and no other call of that id in between."""
    for later, other in tail:
        if later <= position:
            continue
        if isinstance(other, ToolEntry) and other.tool_call_id == entry.tool_call_id:
            return True
        if isinstance(other, AssistantEntry) and any(call.tool_call_id == entry.tool_call_id for call in other.calls):
            return False
    return False


def _called(answered: Entry | None) -> set[str]:
    """The calls of an answer of ours."""
    if not isinstance(answered, AssistantEntry) or answered.anchor is None:
        return set()
    return {call.tool_call_id for call in answered.calls}


def _asked(answered: Entry | None) -> set[str]:
    """Those of them that the server waited for; of several it may keep the first only."""
    if not isinstance(answered, AssistantEntry) or answered.anchor is None:
        return set()
    return {call.tool_call_id for call in answered.anchor.pending}


def item(
    role: Literal["user", "system", "assistant"],
    content: Content,
    position: int,
    framework_id: str | None,
    name: str | None = None,
) -> Item:
    """A message to send."""
    body = sendable(content) if isinstance(content, str) else list[InputPart](_parts(content))
    message = MessageCreate(role=role, content=body, name=name)
    return Item(message=message, position=position, framework_id=framework_id)


def _parts(parts: Sequence[TextContent | ImageContent]) -> list[TextContent | ImageContent]:
    return [
        part.model_copy(update={"text": sendable(part.text)}) if isinstance(part, TextContent) else part
        for part in parts
    ]


def _human(position: int, entry: HumanEntry) -> Item:
    return item("user", entry.content, position, entry.id, entry.name)


def _foreign_turn(position: int, entry: AssistantEntry, *, ends_tail: bool) -> list[Item]:
    """Another model's turn: its words as the assistant's, its calls as text, and so what its server ran meanwhile.

    A turn that ends the request must be the user's, or the agent would answer to its own words.
    """
    items: list[Item] = []
    author = entry.name or "assistant"
    if entry.server_calls:
        runs = "\n".join(line for run in entry.server_calls for line in _run_told(run, author))
        items.append(item("user", runs, position, entry.id))
    if entry.text and ends_tail and not entry.calls:
        items.append(item("user", f"[{author} said: {entry.text}]", position, entry.id))
    elif entry.text:
        items.append(item("assistant", entry.text, position, entry.id, entry.name))
    if entry.calls:
        calls = ", ".join(map(_told, entry.calls))
        items.append(item("user", f"[{author} called the tools: {calls}]", position, entry.id))
    return items


def _told(call: Call) -> str:
    return f"{call.name}({call.arguments})"


def _run_told(run: ServerCall, author: str) -> Iterator[str]:
    """What a model's own server ran, in words; the call itself may stand in an earlier message."""
    if run.call.name:
        yield f"[{author} called the tools: {_told(run.call)}]"
    if run.result is not None:
        name = run.call.name or f"of call {run.call.tool_call_id}"
        yield f"[The tool {name} {'failed with' if run.status == 'error' else 'answered'}: {run.result}]"


def _foreign_result(position: int, entry: ToolEntry, name: str | None) -> Item:
    verb = "failed with" if entry.status == "error" else "answered"
    if entry.approve is not None:
        verb = "may run" if entry.approve else "may not run"
    head = f"[The tool {entry.name or name or 'of call ' + entry.tool_call_id} {verb}: "
    if isinstance(entry.content, str):
        return item("user", f"{head}{entry.content}]", position, entry.id)
    parts = (TextContent(text=head), *entry.content, TextContent(text="]"))
    return item("user", parts, position, entry.id)


def _name_of(call_id: str, *places: Sequence[Entry | None]) -> str | None:
    for entries in places:
        for entry in reversed(entries):
            for call in entry.calls if isinstance(entry, AssistantEntry) else ():
                if call.tool_call_id == call_id:
                    return call.name
    return None
