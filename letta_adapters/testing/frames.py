"""What a stream sends besides whole messages: deltas, pings, stop reasons, usage and errors, and their SSE text."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from letta_adapters.testing.messages import ToolCall, minus_one, new_id, now, numbered_otid

__all__ = [
    "CANCELLED",
    "DONE",
    "DeltaFrames",
    "ending",
    "error_frame",
    "event",
    "ping",
    "stop_reason",
    "usage_statistics",
]

Frame = dict[str, Any]

DONE = "data: [DONE]\n\n"
"""The line that ends a healthy stream."""

CANCELLED = 'data: {"message_type": "stop_reason", "stop_reason": "cancelled"}\n\n'
"""The server writes this one frame by another encoder, hence the spaces."""


def event(frame: Frame, *, name: str | None = None) -> str:
    """Write a frame as server-sent event."""
    data = json.dumps(frame, separators=(",", ":"), ensure_ascii=False)
    return f"event: {name}\ndata: {data}\n\n" if name else f"data: {data}\n\n"


def ping(run_id: str, *, seq_id: int | None = None) -> Frame:
    """Make a keep-alive frame."""
    return _shared(new_id("ping"), "ping", otid=None, step_id=None, run_id=run_id) | {"seq_id": seq_id}


def stop_reason(reason: str) -> Frame:
    """Make the frame that says why a turn ended."""
    return {"message_type": "stop_reason", "stop_reason": reason}


def ending(reason: str, *, cloud: bool) -> list[Frame]:
    """Make the frames of a turn's end before its usage: Letta Cloud marks what it has cached where calls wait."""
    end = [stop_reason(reason)]
    if cloud and reason == "requires_approval":
        mark = {"cache_scope": "approval_boundary", "response_id": f"resp-{uuid4().hex}"}
        end.append({"message_type": "response_state", **mark})
    return end


def usage_statistics(
    *,
    prompt_tokens: int,
    completion_tokens: int,
    step_count: int,
    context_tokens: int | None,
    cached_tokens: int | None,
    reasoning_tokens: int | None,
    details: int | None,
) -> Frame:
    """Make the frame with the tokens of all steps of a turn; `details` is what is said where nothing was reported."""
    return {
        "message_type": "usage_statistics",
        "completion_tokens": completion_tokens,
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "step_count": step_count,
        "run_ids": None,
        "cached_input_tokens": details if cached_tokens is None else cached_tokens,
        "cache_write_tokens": details,
        "reasoning_tokens": details if reasoning_tokens is None else reasoning_tokens,
        "context_tokens": context_tokens,
    }


def error_frame(*, run_id: str, error_type: str, message: str, detail: str) -> Frame:
    """Make the frame of a failure inside a stream."""
    return {
        "message_type": "error_message",
        "run_id": run_id,
        "error_type": error_type,
        "message": message,
        "detail": detail,
        "seq_id": None,
    }


def _shared(frame_id: str, message_type: str, *, otid: str | None, step_id: str | None, run_id: str) -> Frame:
    return {
        "id": frame_id,
        "date": now().isoformat(timespec="seconds"),
        "name": None,
        "message_type": message_type,
        "otid": otid,
        "sender_id": None,
        "step_id": step_id,
        "is_err": None,
        "seq_id": None,
        "run_id": run_id,
    }


class DeltaFrames:
    """Makes the token frames of one step: one id for all, an otid that changes with the kind of part."""

    def __init__(self, *, message_id: str, step_id: str, run_id: str) -> None:
        """Begin a step."""
        self._message_id = message_id
        self._step_id = step_id
        self._run_id = run_id
        self._index = 0
        self._kind: str | None = None

    def reasoning(self, text: str) -> Frame:
        """Make a piece of reasoning."""
        fields = {"source": "reasoner_model", "reasoning": text, "signature": None}
        return self._frame("reasoning_message") | fields

    def text(self, text: str) -> Frame:
        """Make a piece of the answer."""
        return self._frame("assistant_message") | {"content": text}

    def call(self, call: ToolCall, *, name: str | None, arguments: str | None, needs_approval: bool) -> Frame:
        """Make a piece of a tool call; one that waits for approval has an id and an otid of its own."""
        delta: Frame = {"name": name, "arguments": arguments, "tool_call_id": call.id}
        if not needs_approval:
            delta = {key: value for key, value in delta.items() if value is not None}
        frame = self._frame("approval_request_message" if needs_approval else "tool_call_message")
        if needs_approval:
            frame["id"] = frame["otid"] = minus_one(self._message_id)
        return frame | {"tool_call": delta, "tool_calls": delta}

    def _frame(self, kind: str) -> Frame:
        if self._kind is not None and kind != self._kind:
            self._index += 1
        self._kind = kind
        otid = numbered_otid(self._message_id, self._index)
        return _shared(self._message_id, kind, otid=otid, step_id=self._step_id, run_id=self._run_id)
