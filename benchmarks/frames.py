"""Bodies of streamed answers, event by event, as a Letta 0.16.8 sends them with `stream_tokens`."""

from __future__ import annotations

import json
from typing import Any

TOKEN = "token "
DONE = b"data: [DONE]\n\n"


def sse(event: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"


def _row(kind: str, number: int, **fields: Any) -> bytes:
    return sse(
        {
            "id": "message-cfdc2aa3-3188-4f2c-aaaa-63f89fb51a30",
            "date": "2026-01-02T03:04:05+00:00",
            "name": None,
            "message_type": kind,
            "otid": f"cfdc2aa3-3188-4f2c-aaaa-63f89fb5{kind[0]}00",
            "sender_id": None,
            "step_id": "step-9104c3f9-75b7-4fff-9b0b-0f0fbcab7c64",
            "is_err": None,
            "seq_id": number,
            "run_id": "run-b1ca97e1-9837-4766-857e-2bc06e3d60ab",
            **fields,
        }
    )


def text(number: int, content: str = TOKEN) -> bytes:
    return _row("assistant_message", number, content=content)


def reasoning(number: int) -> bytes:
    return _row("reasoning_message", number, source="reasoner_model", reasoning=TOKEN, signature=None)


def arguments(number: int) -> bytes:
    """A piece of a call's arguments; the call is `{"text": "token token …"}`."""
    first = number == 2
    piece = '{"text": "' if first else TOKEN
    delta = {"name": "write" if first else None, "arguments": piece, "tool_call_id": "call-1"}
    return _row("approval_request_message", number, tool_call=delta, tool_calls=delta)


def body(kind: str, count: int) -> list[bytes]:
    """The events of a turn of `count` deltas: `text`, `reasoning`, `arguments`, or one `line` of `count` KiB."""
    ping = _row("ping", 1)
    match kind:
        case "line":
            deltas = [text(2, "x" * 1024 * count)]
        case "arguments":
            last = {"name": None, "arguments": '"}', "tool_call_id": "call-1"}
            deltas = [arguments(number) for number in range(2, count + 2)]
            deltas.append(_row("approval_request_message", count + 2, tool_call=last, tool_calls=last))
        case _:
            make = {"text": text, "reasoning": reasoning}[kind]
            deltas = [make(number) for number in range(2, count + 2)]
    stop = "requires_approval" if kind == "arguments" else "end_turn"
    usage = {"message_type": "usage_statistics", "completion_tokens": count, "prompt_tokens": 100, "step_count": 1}
    return [ping, *deltas, sse({"message_type": "stop_reason", "stop_reason": stop}), sse(usage), DONE]


def in_packets(events: list[bytes], size: int = 1460) -> list[bytes]:
    """The same bytes, cut as a network cuts them."""
    whole = b"".join(events)
    return [whole[at : at + size] for at in range(0, len(whole), size)]


def in_blocks(count: int) -> list[bytes]:
    """An answer of text, cut as a fast connection is read."""
    return in_packets(body("text", count), 64 * 1024)


def stored(number: int) -> dict[str, Any]:
    """A message of a stored history: questions and answers in turn."""
    kind = "assistant_message" if number % 2 else "user_message"
    return {
        "id": f"message-{number}",
        "date": "2026-01-02T03:04:05+00:00",
        "name": None,
        "message_type": kind,
        "otid": f"cfdc2aa3-3188-4f2c-aaaa-{number:012}",
        "sender_id": None,
        "step_id": f"step-{number // 2}",
        "is_err": None,
        "seq_id": None,
        "run_id": f"run-{number // 2}",
        "content": TOKEN * 20,
    }
