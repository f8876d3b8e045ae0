"""Stored message in, wire messages out: a message with reasoning, text and calls becomes several rows with one id."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from letta_adapters.testing.errors import no_text
from letta_adapters.testing.messages import Denial, StoredMessage, ToolCall, ToolReturn, numbered_otid, plain_text

__all__ = ["call_json", "row", "rows_of", "rows_of_all"]

Row = dict[str, Any]


def rows_of_all(
    messages: Iterable[StoredMessage], *, types: Sequence[str] | None = None, cloud: bool = False
) -> list[Row]:
    """Show stored messages as a list does, in the order given; a type filter works on the rows.

    `cloud` gives summaries the type that Letta Cloud has for them.
    """
    rows = [row for message in messages for row in (_summary_rows(message) if cloud else None) or rows_of(message)]
    return rows if types is None else [row for row in rows if row["message_type"] in types]


def rows_of(message: StoredMessage) -> list[Row]:
    """Show one stored message."""
    if message.role == "assistant":
        rows = _content_rows(message)
        return rows + _tool_call_rows(message, index=len(rows))
    if message.role == "tool":
        return [_tool_return_row(message)]
    if message.role == "approval":
        ending = _approval_request_row(message) if message.is_approval_request else _approval_response_row(message)
        return [*_content_rows(message), ending]
    return [_text_row(message)]


def row(message: StoredMessage, message_type: str, otid: str | None, **fields: Any) -> Row:
    """Make one wire message: what all types share, then the fields of its own."""
    shared: Row = {
        "id": message.id,
        "date": message.created_at.isoformat(timespec="seconds"),
        "name": message.name,
        "message_type": message_type,
        "otid": otid,
        "sender_id": message.sender_id,
        "step_id": message.step_id,
        "is_err": None,
        "seq_id": None,
        "run_id": message.run_id,
    }
    return shared | fields


def call_json(call: ToolCall) -> Row:
    """Show a tool call."""
    return {"name": call.name, "arguments": call.arguments, "tool_call_id": call.id}


def _text_row(message: StoredMessage) -> Row:
    only = message.content[0] if len(message.content) == 1 else None
    content: Any = only["text"] if only is not None and only["type"] == "text" else list(message.content)
    if message.role == "user" and isinstance(content, str):
        content = _unpacked(content)
    return row(message, f"{message.role}_message", message.otid, content=content)


def _summary_rows(message: StoredMessage) -> list[Row] | None:
    """Show a summary as one; `None` where the message is none."""
    text = plain_text(list(message.content)) if message.role == "user" else ""
    packed: Any = json.loads(text) if text.startswith('{\n  "type": "system_alert"') else None
    if packed is None:
        return None
    fields = {"summary": packed["message"], "compaction_stats": packed.get("compaction_stats")}
    return [row(message, "summary_message", message.otid, **fields)]


def _unpacked(text: str) -> str:
    """Take a user's text out of the JSON that old clients pack it in."""
    try:
        packed: Any = json.loads(text)
    except ValueError:
        return text
    if isinstance(packed, dict) and packed.get("type") == "user_message" and "message" in packed:  # pyright: ignore[reportUnknownMemberType]
        return packed["message"]  # pyright: ignore[reportUnknownVariableType]
    return text


def _content_rows(message: StoredMessage) -> list[Row]:
    rows: list[Row] = []
    for part in message.content:
        otid = numbered_otid(message.id, len(rows))
        if (thought := _thought(part)) is not None:
            message_type, fields = thought
            rows.append(row(message, message_type, otid, **fields))
        elif part["type"] == "text" and rows and rows[-1]["message_type"] == "assistant_message":
            rows[-1]["content"] += part["text"]
        elif part["type"] == "text":
            rows.append(row(message, "assistant_message", otid, content=part["text"]))
    return rows


def _thought(part: dict[str, Any]) -> tuple[str, Row] | None:
    """How reasoning is shown: the type of its row, and its fields."""
    shown = {"source": "reasoner_model"}
    match part["type"]:
        case "reasoning":
            told = {"reasoning": part["reasoning"], "signature": part.get("signature")}
            return "reasoning_message", {**shown, **told}
        case "summarized_reasoning":
            text = "\n\n".join(one["text"] for one in part["summary"])
            return "reasoning_message", {**shown, "reasoning": text, "signature": part["encrypted_content"]}
        case "redacted_reasoning":
            return "hidden_reasoning_message", {"state": "redacted", "hidden_reasoning": part["data"]}
        case "omitted_reasoning":
            return "hidden_reasoning_message", {"state": "omitted", "hidden_reasoning": None}
        case _:
            return None


def _tool_call_rows(message: StoredMessage, *, index: int) -> list[Row]:
    if not message.tool_calls:
        return []
    calls = [call_json(call) for call in message.tool_calls]
    otid = numbered_otid(message.id, index)
    return [row(message, "tool_call_message", otid, tool_call=calls[0], tool_calls=calls)]


def _approval_request_row(message: StoredMessage) -> Row:
    calls = [call_json(call) for call in message.tool_calls or ()]
    return row(message, "approval_request_message", message.otid, tool_call=calls[0], tool_calls=calls)


def _approval_response_row(message: StoredMessage) -> Row:
    first = next((answer for answer in message.approvals if isinstance(answer, Denial)), None)
    return row(
        replace(message, step_id=None),
        "approval_response_message",
        message.otid,
        approvals=[_answer_json(answer) for answer in message.approvals],
        approve=first.approve if first else None,
        approval_request_id=first.tool_call_id if first else None,
        reason=first.reason if first else None,
    )


def _answer_json(answer: ToolReturn | Denial) -> Row:
    if isinstance(answer, ToolReturn):
        return _return_json(answer, parts_as_text=True)
    return {
        "type": "approval",
        "tool_call_id": answer.tool_call_id,
        "approve": answer.approve,
        "reason": answer.reason,
    }


def _tool_return_row(message: StoredMessage) -> Row:
    returns = [_return_json(result) for result in message.tool_returns]
    first = {name: value for name, value in returns[0].items() if name != "type"}
    text = plain_text(first["tool_return"])
    if isinstance(first["tool_return"], list) and not text:
        raise no_text("ToolReturnMessage", "tool_return")
    first["tool_return"] = text
    return row(message, "tool_return_message", numbered_otid(message.id, 0), **first, tool_returns=returns)


def _return_json(result: ToolReturn, *, parts_as_text: bool = False) -> Row:
    status = result.status
    if isinstance(result.response, str):
        packed = json.loads(result.response)
        shown: Any = str(packed["message"])
        status = "success" if packed["status"] == "OK" else "error"
    else:
        shown = (plain_text(result.response) or "[Multi-modal content]") if parts_as_text else result.response
        status = status if parts_as_text else "success"
    return {
        "type": "tool",
        "tool_return": shown,
        "status": status,
        "tool_call_id": result.tool_call_id,
        "stdout": result.stdout,
        "stderr": result.stderr,
    }
