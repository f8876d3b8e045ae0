"""LlamaIndex's messages as a conversation stores them: the way back from `history`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast
from uuid import uuid4

from llama_index.core.base.llms.types import ChatMessage, ContentBlock, TextBlock, ThinkingBlock, ToolCallBlock
from pydantic import TypeAdapter
from typing_extensions import assert_never

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
from letta_adapters.transcript import AssistantEntry, Entry, HumanEntry, SystemEntry, ToolEntry
from letta_adapters.wire import (
    ApprovalResponseMessage,
    EventMessage,
    Message,
    SummaryMessage,
    SystemMessage,
    ToolReturn,
    ToolReturnMessage,
    Unknown,
    UserMessage,
    returns_of,
)
from llama_index_letta.history import said_by
from llama_index_letta.messages import arguments_in, from_llama_index, letta_of

__all__ = ["letta_from_llama_index"]

_ROW: TypeAdapter[Row] = TypeAdapter(Message)


def letta_from_llama_index(messages: Sequence[ChatMessage]) -> list[Row]:
    """Translate messages into those that a Letta server stores, to keep a history in Letta's own form.

    Messages that were read from a server become the very rows that they were made of, each once, with ids, otids,
    dates and runs; what was changed since says what the message says now. Any other message is told by its blocks:
    thoughts with signatures, calls, texts, results, in order. Such a message gets an id, which all of its rows have.

    Args:
        messages: Any messages that can be sent to Letta.

    Raises:
        ValueError: A message, or a block of one, is of a kind that Letta does not have; it says which and where.

    Example:
        ```python
        from llama_index.core.llms import ChatMessage
        from llama_index_letta import letta_from_llama_index

        for row in letta_from_llama_index([ChatMessage("Hello"), ChatMessage("Hello, Ann.", role="assistant")]):
            print(row.message_type)
        ```
    """
    entries = from_llama_index(messages)
    return rows_of(_telling(message, partial(_entry, entries, number)) for number, message in enumerate(messages))


def _entry(entries: Sequence[Entry], number: int) -> Entry:
    return entries[number]


def _telling(message: ChatMessage, entry: partial[Entry]) -> Telling:
    letta = letta_of(message) or {}
    return Telling(
        says=lambda: _said(message, entry()),
        read_from=letta.get("rows"),
        changed=letta.get("said") not in (None, said_by(message)),
    )


def _said(message: ChatMessage, entry: Entry) -> list[Row]:
    letta = letta_of(message) or {}
    id = str(letta.get("message_id") or f"message-{uuid4()}")
    match entry:
        case SystemEntry(text=text):
            return [SystemMessage(id=id, content=text)]
        case HumanEntry(content=content):
            name = message.additional_kwargs.get("name")
            return [UserMessage(id=id, name=name, content=content if isinstance(content, str) else list(content))]
        case ToolEntry(tool_call_id=call_id, content=content, status=status):
            stdout, stderr = _logs(letta, call_id)
            answer = ToolReturn(
                tool_call_id=call_id,
                tool_return=content if isinstance(content, str) else list(content),
                status=status,
                stdout=stdout,
                stderr=stderr,
            )
            return [ApprovalResponseMessage(id=id, approvals=[answer])]
        case AssistantEntry(anchor=anchor, name=name):
            return rows_from_parts(_parts(message, letta), id=id, run_id=anchor.run_id if anchor else None, name=name)
        case _:
            assert_never(entry)


def _parts(message: ChatMessage, letta: dict[str, Any]) -> list[TurnPart]:
    """The parts of an answer, in order: of its blocks, and of what an engine's answer has no blocks for."""
    blocks = [block for block in message.blocks if not (isinstance(block, TextBlock) and not block.text)]
    waits = {call.get("tool_call_id") for call in letta["pending"]} if "pending" in letta else None
    told = cast("list[dict[str, Any]]", letta.get("parts") or ())
    parts: list[TurnPart] = []
    for one in told:
        kind = one["kind"]
        if kind == "ServerToolResult":
            parts.append(_server_result(one, len(parts)))
        elif kind == "Notice":
            parts.append(Notice(index=len(parts), message=_note(one["message"])))
        elif kind == "ServerToolCall" and not _is_call(blocks[:1], one["tool_call_id"]):
            # A message of `LettaAgent` has no block of it.
            call_id, name, arguments = one["tool_call_id"], one["name"], one["arguments"]
            parts.append(ServerToolCall(index=len(parts), tool_call_id=call_id, name=name, arguments=arguments))
        elif blocks:
            parts.append(_part(blocks.pop(0), len(parts), is_ours=kind == "PendingCall"))
    for block in blocks:
        # A call that waits, or that anybody else's agent made, is the client's.
        is_ours = waits is None or (isinstance(block, ToolCallBlock) and block.tool_call_id in waits)
        parts.append(_part(block, len(parts), is_ours=is_ours))
    return parts


def _is_call(blocks: Sequence[ContentBlock], call_id: str) -> bool:
    return any(isinstance(block, ToolCallBlock) and block.tool_call_id == call_id for block in blocks)


def _part(block: ContentBlock, index: int, *, is_ours: bool) -> TurnPart:
    match block:
        case TextBlock(text=text):
            return Text(index=index, text=text)
        case ThinkingBlock(additional_information=told) if "state" in told:
            return HiddenReasoning(index=index, state=told["state"], text=told.get("data"))
        case ThinkingBlock(content=text, additional_information=told):
            return Reasoning(index=index, text=text or "", signature=told.get("signature"))
        case ToolCallBlock(tool_call_id=call_id, tool_name=name):
            kind = PendingCall if is_ours else ServerToolCall
            return kind(index=index, tool_call_id=call_id or "", name=name, arguments=arguments_in(block))
        case _:
            kind = getattr(block, "block_type", type(block).__name__)
            raise ValueError(f"An agent's answer has no block of type {kind!r}, as block {index} is.")


def _server_result(told: dict[str, Any], index: int) -> ServerToolResult:
    fields = {name: value for name, value in told.items() if name not in ("kind", "content")}
    read = ToolReturn.model_validate({**fields, "tool_return": told["content"]})
    return ServerToolResult(
        index=index,
        tool_call_id=read.tool_call_id,
        content=read.tool_return,
        status=read.status,
        stdout=read.stdout,
        stderr=read.stderr,
    )


def _note(raw: Any) -> SummaryMessage | EventMessage | Unknown:
    note = _ROW.validate_python(raw)
    return note if isinstance(note, (SummaryMessage, EventMessage)) else Unknown(raw=raw)


def _logs(letta: dict[str, Any], call_id: str) -> tuple[list[str] | None, list[str] | None]:
    """What a tool printed, which a message has no place for, out of the rows that it was read from."""
    for raw in letta.get("rows") or ():
        row = _ROW.validate_python(raw)
        for result in returns_of(row) if isinstance(row, ToolReturnMessage) else ():
            if result.tool_call_id == call_id:
                return result.stdout, result.stderr
    return None, None
