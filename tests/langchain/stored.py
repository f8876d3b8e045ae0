"""Rows of a conversation, as a server lists them, and what they become."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_letta.stored_to_langchain import StoredToLangChain
from letta_adapters.matching import Row
from letta_adapters.stored_turns import TurnGrouping
from letta_adapters.wire import parse_messages

AGENT = "agent-1"
CONVERSATION = "conv-1"

Json = dict[str, Any]


def row(message_type: str, key: str, run: str | None = "run-1", /, **fields: Any) -> Json:
    """A row: rows of the same key are of one message."""
    shared = {"id": f"message-{key}", "date": "2026-01-01T00:00:00Z", "run_id": run, "otid": f"otid-{key}"}
    return {"message_type": message_type, **shared, **fields}


def system(text: str, name: str, run: str | None = "run-1") -> Json:
    return row("system_message", name, run, content=text, **({} if run else {"otid": None}))


def user(content: Any, key: str, run: str | None = "run-1", /, **fields: Any) -> Json:
    return row("user_message", key, run, content=content, **fields)


def assistant(text: str, key: str, run: str | None = "run-1", /, **fields: Any) -> Json:
    return row("assistant_message", key, run, content=text, **fields)


def call(call_id: str, tool: str = "add", arguments: str = '{"a": 1}') -> Json:
    return {"name": tool, "arguments": arguments, "tool_call_id": call_id}


def asks(name: str, *calls: Json, run: str = "run-1", kind: str = "approval_request_message") -> Json:
    """Calls: such as wait for the client, or such as the server runs (`kind`)."""
    return row(kind, name, run, tool_call=calls[0], tool_calls=list(calls))


def result(call_id: str, text: Any, status: str = "success", **logs: Any) -> Json:
    return {"type": "tool", "tool_call_id": call_id, "tool_return": text, "status": status, **logs}


def decision(call_id: str, *, approve: bool, reason: str | None = None) -> Json:
    return {"type": "approval", "tool_call_id": call_id, "approve": approve, "reason": reason}


def answered(name: str, *approvals: Json, run: str = "run-2") -> Json:
    return row("approval_response_message", name, run, otid=None, approvals=list(approvals))


def returned(name: str, *results: Json, run: str = "run-2") -> Json:
    first = {field: value for field, value in results[0].items() if field != "type"}
    text = first["tool_return"] if isinstance(first["tool_return"], str) else "[parts]"
    return row("tool_return_message", name, run, **{**first, "tool_return": text}, tool_returns=list(results))


def packed(text: str, name: str, run: str | None = None) -> Json:
    """What a self-hosted server says by itself, in a user's message."""
    content = json.dumps({"type": "system_alert", "message": text, "time": "now"})
    return user(content, name, run, **({} if run else {"otid": None}))


def parsed(*rows: Json) -> list[Row]:
    return parse_messages(json.dumps(rows).encode())


def translated(
    rows: Sequence[Row], *, include: Collection[str] | None = None, anchor_key: str | None = None
) -> list[BaseMessage]:
    """What rows become, whichever pages they come in: here one row a page."""
    turns = TurnGrouping()
    translate = StoredToLangChain(conversation_id=CONVERSATION, agent_id=AGENT, include=include, anchor_key=anchor_key)
    whole = [turn for one in rows for turn in turns.feed([one])] + turns.finish()
    return [message for turn in whole for message in translate.messages(turn)]
