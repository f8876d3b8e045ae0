"""What a model's own server ran, read out of the content of its message, whichever vendor's it is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

from langchain_core.messages import AIMessage

from langchain_letta.blocks import WAITS, arguments_in
from letta_adapters.transcript import Call, ServerCall

__all__ = ["server_calls_of"]

_LONGEST = 5000
"""Characters of a result that are told; results of a web search may be long, and full of what only a vendor reads."""


def server_calls_of(message: AIMessage) -> tuple[ServerCall, ...]:
    """The calls that the server of a model ran, or waits to run, each with its result where the message has it.

    A result whose call stands in an earlier message has a call without a name.
    """
    if isinstance(message.content, str):
        return ()
    calls: dict[str, ServerCall] = {}
    for number, block in enumerate(message.content_blocks):
        fields = cast("dict[str, Any]", block)
        if block["type"] == "server_tool_call":
            call = _call(fields, number)
            calls[call.call.tool_call_id] = call
        elif block["type"] == "server_tool_result":
            call_id = str(fields.get("tool_call_id") or number)
            call = calls.get(call_id) or ServerCall(call=Call(tool_call_id=call_id, name="", arguments=""))
            status = "error" if fields.get("status") == "error" else "success"
            output = fields.get("output")  # OpenAI shows none
            calls[call_id] = replace(call, result=None if output is None else _text(output), status=status)
    return tuple(calls.values())


def _call(block: dict[str, Any], number: int) -> ServerCall:
    extras: Any = block.get("extras") or {}
    name = str(block.get("name") or "?")
    call = Call(tool_call_id=str(block.get("id") or number), name=name, arguments=arguments_in(block))
    return ServerCall(call=call, waits=bool(extras.get(WAITS)))


def _text(output: Any) -> str:
    if isinstance(output, list):
        parts = cast("list[Any]", output)
        texts = [_text_of_part(part) for part in parts]
        if parts and None not in texts:
            return _clipped("".join(text or "" for text in texts))
    return _clipped(output if isinstance(output, str) else json.dumps(output, ensure_ascii=False, default=str))


def _text_of_part(part: object) -> str | None:
    text = cast("dict[str, object]", part).get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else None


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
