"""Frames as a server of version 0.16.8 sends them, short enough to be cut at every byte."""

from __future__ import annotations

import json
from typing import Any

RUN = "run-1"
DONE = b"data: [DONE]\n\n"


def sse(data: Any, *, event: str | None = None) -> bytes:
    """One event."""
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _numbered(data: dict[str, Any], seq: int | None) -> bytes:
    return sse({**data, "run_id": RUN, "seq_id": seq})


def ping(seq: int | None = None) -> bytes:
    return _numbered({"message_type": "ping", "id": "ping-1"}, seq)


def text(content: str, seq: int | None = None, *, id: str = "message-1", otid: str = "o-1") -> bytes:
    return _numbered({"message_type": "assistant_message", "id": id, "otid": otid, "content": content}, seq)


def reasoning(content: str, seq: int | None = None, *, id: str = "message-1", signature: str | None = None) -> bytes:
    row = {"message_type": "reasoning_message", "id": id, "otid": "o-0", "source": "reasoner_model"}
    return _numbered({**row, "reasoning": content, "signature": signature}, seq)


def _delta(kind: str, call_id: str | None, name: str | None, arguments: str | None, seq: int | None, id: str) -> bytes:
    delta = {"name": name, "arguments": arguments, "tool_call_id": call_id}
    return _numbered({"message_type": kind, "id": id, "otid": id, "tool_call": delta, "tool_calls": delta}, seq)


def pending(
    call_id: str | None, name: str | None, arguments: str | None, seq: int | None = None, *, id: str = "message-0"
) -> bytes:
    """A piece of a call that the client runs."""
    return _delta("approval_request_message", call_id, name, arguments, seq, id)


def server_call(
    call_id: str | None, name: str | None, arguments: str | None, seq: int | None = None, *, id: str = "message-0"
) -> bytes:
    """A piece of a call that the server runs."""
    return _delta("tool_call_message", call_id, name, arguments, seq, id)


def result(call_id: str, value: str, seq: int | None = None, *, id: str = "message-2") -> bytes:
    """The result of a tool."""
    one = {"type": "tool", "tool_call_id": call_id, "tool_return": value, "status": "success"}
    top: dict[str, Any] = {
        "tool_call_id": call_id,
        "tool_return": value,
        "status": "success",
        "stdout": [],
        "stderr": None,
    }
    return _numbered(
        {"message_type": "tool_return_message", "id": id, "otid": "o-2", **top, "tool_returns": [one]}, seq
    )


def stop(reason: str = "end_turn") -> bytes:
    return sse({"message_type": "stop_reason", "stop_reason": reason})


def usage(completion: int = 20) -> bytes:
    return sse({"message_type": "usage_statistics", "completion_tokens": completion, "prompt_tokens": 100})


def error(detail: str | None, seq: int | None = None, *, kind: str = "internal_error") -> bytes:
    data = {"message_type": "error_message", "run_id": RUN, "error_type": kind, "message": "generic"}
    return sse({**data, "detail": detail, "seq_id": seq}, event="error")


def approval_row(*calls: tuple[str, str, str], id: str = "message-0") -> dict[str, Any]:
    """A stored request for answers, as `GET …/messages` lists it."""
    listed = [{"tool_call_id": call_id, "name": name, "arguments": arguments} for call_id, name, arguments in calls]
    return {"message_type": "approval_request_message", "id": id, "tool_call": listed[0], "tool_calls": listed}


def user_row(content: str = "Hi", *, otid: str = "otid-1") -> dict[str, Any]:
    """A stored user message."""
    return {"message_type": "user_message", "id": "message-u", "otid": otid, "run_id": RUN, "content": content}


def text_row(content: str, *, id: str = "message-1", otid: str = "o-1") -> dict[str, Any]:
    """A stored answer."""
    return {
        "message_type": "assistant_message",
        "id": id,
        "otid": otid,
        "run_id": RUN,
        "step_id": "step-1",
        "content": content,
    }


def reasoning_row(content: str) -> dict[str, Any]:
    """Stored reasoning."""
    row = {"message_type": "reasoning_message", "id": "message-1", "otid": "o-0", "run_id": RUN, "step_id": "step-1"}
    return {**row, "source": "reasoner_model", "reasoning": content}


TEXT = (ping(1), text("Grüße ", 2), text("🎉 {}", 3), text("\n\ndata: [DONE]", 4), stop(), usage(), DONE)
REASONING = (ping(1), reasoning("let ", 2), reasoning("me", 3, signature="sig"), text("so", 4), stop(), usage(), DONE)
TOOL = (
    ping(1),
    text("I add", 2),
    pending("call-1", "add", None, 3),
    pending("call-1", None, '{"a": ', 4),
    pending("call-1", None, "1}", 5),
    stop("requires_approval"),
    usage(),
    DONE,
)
SERVER_TOOL = (
    ping(1),
    server_call("call-1", "roll", None, 2),
    server_call("call-1", None, '{"sides": 6}', 3),
    result("call-1", "four", 4),
    text("four it is", 5, id="message-3"),
    stop(),
    usage(40),
    DONE,
)
PARALLEL = (
    ping(1),
    pending("call-1", "add", None, 2),
    pending("call-1", None, '{"a": 1}', 3),
    pending("call-2", "mul", None, 4),
    pending("call-2", None, '{"a": 7}', 5),
    stop("requires_approval"),
    usage(),
    DONE,
)
FAILED = (ping(1), text("one ", 2), stop("error"), stop("llm_api_error"), error("the model broke", 5))
REFUSED = (ping(1), stop("error"), error("CONFLICT: The agent is waiting for approval on a tool call.", 3))
