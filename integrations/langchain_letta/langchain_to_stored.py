"""LangChain's messages as a conversation stores them: the way back from `stored_to_langchain`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from pydantic import TypeAdapter
from typing_extensions import assert_never

from langchain_letta.blocks import WAITS, Block, arguments_in, legible
from langchain_letta.messages import ANCHOR_KEY, calls_in, from_langchain
from langchain_letta.stored_to_langchain import STORED_KEY, said_by
from letta_adapters.composing import Telling, rows_of
from letta_adapters.disassembly import rows_from_parts
from letta_adapters.events import (
    HiddenReasoning,
    Notice,
    PendingCall,
    Reasoning,
    ServerToolCall,
    ServerToolResult,
    Text,
    TurnPart,
)
from letta_adapters.matching import Row
from letta_adapters.transcript import Anchor, AssistantEntry, Entry, HumanEntry, SystemEntry, ToolEntry
from letta_adapters.wire import (
    ApprovalResponseMessage,
    ApprovalReturn,
    EventMessage,
    Message,
    SummaryMessage,
    SystemMessage,
    ToolReturn,
    Unknown,
    UserMessage,
)

__all__ = ["letta_from_langchain", "parts_of"]

_ROW: TypeAdapter[Row] = TypeAdapter(Message)
_RESULT: TypeAdapter[ToolReturn] = TypeAdapter(ToolReturn)


def letta_from_langchain(messages: Sequence[BaseMessage]) -> list[Row]:
    """Translate messages into those that a Letta server stores, to keep a history in Letta's own form.

    Messages that were read from a server become the very rows that they were made of, each once, with ids, otids,
    dates and runs; what was changed since says what the message says now. An answer of `ChatLetta`, or anybody's, is
    told by its content: reasoning with signatures, calls, results with their logs, in order. Then its rows have one id,
    since a message does not say which step of the agent brought what, and a message without an id gets one.

    Args:
        messages: Any messages that can be sent to Letta.

    Raises:
        ValueError: A message, or a part of one, is of a kind that Letta does not have; it says which and where.

    Example:
        ```python
        from langchain_core.messages import AIMessage, HumanMessage
        from langchain_letta import letta_from_langchain

        for row in letta_from_langchain([HumanMessage("Hello"), AIMessage("Hello, Ann.")]):
            print(row.message_type)
        ```
    """
    entries = from_langchain(messages)
    return rows_of(_telling(message, partial(_entry, entries, number)) for number, message in enumerate(messages))


def _entry(entries: Sequence[Entry], number: int) -> Entry:
    return entries[number]


def _telling(message: BaseMessage, entry: partial[Entry]) -> Telling:
    stored: Any = message.response_metadata.get(STORED_KEY)
    found = cast("dict[str, Any]", stored) if isinstance(stored, dict) else {}
    return Telling(
        says=lambda: _said(message, entry()),
        read_from=found.get("rows"),
        changed=found.get("said") not in (None, said_by(message)),
    )


def _said(message: BaseMessage, entry: Entry) -> list[Row]:
    id = message.id or f"message-{uuid4()}"
    match entry:
        case SystemEntry(text=text):
            return [SystemMessage(id=id, content=text)]
        case HumanEntry(content=content, name=name):
            return [UserMessage(id=id, name=name, content=content if isinstance(content, str) else list(content))]
        case ToolEntry():
            return [ApprovalResponseMessage(id=id, approvals=[_answer(message, entry)])]
        case AssistantEntry():
            anchor = Anchor.from_metadata(message.response_metadata.get(ANCHOR_KEY))
            run_id = anchor.run_id if anchor else None
            return rows_from_parts(parts_of(message), id=id, run_id=run_id, name=message.name)
        case _:
            assert_never(entry)


def _answer(message: BaseMessage, entry: ToolEntry) -> ToolReturn | ApprovalReturn:
    call_id, content = entry.tool_call_id, entry.content
    if entry.approve is not None:
        return ApprovalReturn(tool_call_id=call_id, approve=entry.approve, reason=str(content) or None)
    artifact = message.artifact if isinstance(message, ToolMessage) else None
    logs = cast("dict[str, Any]", artifact) if isinstance(artifact, dict) else {}
    return ToolReturn(
        tool_call_id=call_id,
        tool_return=content if isinstance(content, str) else list(content),
        status=entry.status,
        stdout=_lines(logs.get("stdout")),
        stderr=_lines(logs.get("stderr")),
    )


def _lines(log: object) -> list[str] | None:
    return [str(line) for line in cast("list[object]", log)] if isinstance(log, list) else None


def parts_of(message: BaseMessage) -> list[TurnPart]:
    """The parts of an answer: what `message_from` makes a message of.

    Raises:
        ValueError: A block is of a kind that an agent's answer does not have.
    """
    blocks = [cast("Block", block) for block in message.content_blocks]
    parts = [
        _part(block, index)
        for index, block in enumerate(blocks)
        if block["type"] not in ("tool_call", "invalid_tool_call") and block.get("text") != ""
    ]
    calls = calls_in(message) if isinstance(message, AIMessage) else ()
    for call in calls:
        arguments = legible(call.arguments)
        parts.append(PendingCall(index=len(parts), tool_call_id=call.tool_call_id, name=call.name, arguments=arguments))
    return sorted(parts, key=lambda part: isinstance(part, PendingCall))


def _part(block: Block, index: int) -> TurnPart:
    """The part that a block is of; see `block_of`."""
    extras: dict[str, Any] = block.get("extras") or {}
    match block["type"]:
        case "text":
            return Text(index=index, text=block["text"])
        case "reasoning" if state := extras.get("state"):
            return HiddenReasoning(index=index, state=state, text=extras.get("hidden_reasoning"))
        case "reasoning":
            return Reasoning(index=index, text=block.get("reasoning") or "", signature=extras.get("signature"))
        case "server_tool_call":
            kind = PendingCall if extras.get(WAITS) else ServerToolCall
            call_id, name = str(block.get("id") or ""), str(block.get("name") or "")
            return kind(index=index, tool_call_id=call_id, name=name, arguments=arguments_in(block))
        case "server_tool_result":
            return _result(block, index)
        case "non_standard" if isinstance(block.get("value"), dict) and "message_type" in block["value"]:
            note = _ROW.validate_python(block["value"])
            known = isinstance(note, (SummaryMessage, EventMessage, Unknown))
            return Notice(index=index, message=note if known else Unknown(raw=block["value"]))
        case kind:
            raise ValueError(f"An agent's answer has no part of type {kind!r}, as block {index} is.")


def _result(block: Block, index: int) -> ServerToolResult:
    logs: dict[str, Any] = block.get("extras") or {}
    read = _RESULT.validate_python(
        {
            "tool_call_id": str(block.get("tool_call_id") or ""),
            "tool_return": block.get("output") or "",
            "status": "error" if block.get("status") == "error" else "success",
            "stdout": logs.get("stdout"),
            "stderr": logs.get("stderr"),
        }
    )
    return ServerToolResult(
        index=index,
        tool_call_id=read.tool_call_id,
        content=read.tool_return,
        status=read.status,
        stdout=read.stdout,
        stderr=read.stderr,
    )
