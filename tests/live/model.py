"""A scripted language model behind an OpenAI-compatible API, for a real Letta server to call.

It serves two models: what `scripted` answers is decided by `letta_adapters.testing.script`, what `eager` answers by
`letta_adapters.testing.eager`. Besides the models' API it has controls for tests:

- `POST /gates/{name}` opens a gate (also before anybody waits at it; opening twice changes nothing),
- `GET /gates/{name}` answers `{"waiting": n, "open": bool}`; with `?wait=1` only when somebody waits there, the gate
  is open or 30 s have passed,
- `GET /requests?limit=N` answers the latest chat requests, the newest last.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from letta_adapters.testing.eager import eager_reply_to
from letta_adapters.testing.script import COMPLETION_TOKENS, PROMPT_TOKENS, Call, Reply, reply_to, tokens
from letta_adapters.testing.token_data import logprobs_of, spoken, token_ids_of

MODEL = "scripted"
EAGER_MODEL = "eager"
CONTEXT_WINDOW = 128_000
HOLD_LIMIT = 60.0
POLL_LIMIT = 30.0
REQUESTS_KEPT = 500

USAGE = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": COMPLETION_TOKENS,
    "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
}

Json = dict[str, Any]


class ConnectionBroken(Exception):
    """Raised inside a response to break its connection, as the script said."""


@dataclass(kw_only=True)
class Gate:
    """A place in a reply where the model waits until a test lets it go on."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0

    def open(self) -> None:
        self.opened.set()
        self.reached.set()

    async def pass_through(self, request: Request) -> None:
        """Wait until the gate is open, the caller has gone, or `HOLD_LIMIT` is over."""
        self.waiting += 1
        self.reached.set()
        waits = {asyncio.ensure_future(self.opened.wait()), asyncio.ensure_future(_caller_gone(request))}
        try:
            await asyncio.wait(waits, timeout=HOLD_LIMIT, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            self.waiting -= 1
            if not self.waiting and not self.opened.is_set():
                self.reached.clear()

    async def until_reached(self) -> None:
        """Wait until somebody waits here, the gate is open, or `POLL_LIMIT` is over."""
        await asyncio.wait({reached := asyncio.ensure_future(self.reached.wait())}, timeout=POLL_LIMIT)
        reached.cancel()


async def _caller_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


class ScriptedModel:
    """The state and the endpoints of one model server."""

    def __init__(self) -> None:
        self._gates: dict[str, Gate] = {}
        self._requests: deque[Json] = deque(maxlen=REQUESTS_KEPT)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/generate", self._generate, methods=["POST"]),
                Route("/gates/{name}", self._open_gate, methods=["POST"]),
                Route("/gates/{name}", self._show_gate, methods=["GET"]),
                Route("/requests", self._show_requests),
            ]
        )

    def _gate(self, name: str) -> Gate:
        return self._gates.setdefault(name, Gate())

    async def _models(self, request: Request) -> Response:
        fields = {"object": "model", "owned_by": MODEL, "max_model_len": CONTEXT_WINDOW}
        return JSONResponse({"object": "list", "data": [{"id": name, **fields} for name in (MODEL, EAGER_MODEL)]})

    async def _open_gate(self, request: Request) -> Response:
        self._gate(request.path_params["name"]).open()
        return await self._show_gate(request)

    async def _show_gate(self, request: Request) -> Response:
        gate = self._gate(request.path_params["name"])
        if request.query_params.get("wait") == "1":
            await gate.until_reached()
        return JSONResponse({"waiting": gate.waiting, "open": gate.opened.is_set()})

    async def _show_requests(self, request: Request) -> Response:
        limit = int(request.query_params.get("limit", REQUESTS_KEPT))
        return JSONResponse(list(self._requests)[-limit:] if limit else [])

    async def _complete(self, request: Request) -> Response:
        body: Json = await request.json()
        self._requests.append(body)
        reply = _reply_of(body)
        if reply.fail is not None:
            await self._hold(reply, request)
            return _failure(reply.fail)
        if body.get("stream"):
            options: Json = body.get("stream_options") or {}
            with_usage = bool(options.get("include_usage"))
            return StreamingResponse(self._stream(reply, request, with_usage), media_type="text/event-stream")
        await self._hold(reply, request)
        if reply.break_after is not None:
            return StreamingResponse(_broken(b'{"id": '), media_type="application/json")
        return JSONResponse(_completion(reply, asked=body))

    async def _generate(self, request: Request) -> Response:
        """Answer as SGLang does where tokens go in and come out; those of a chat are its characters: `bootstrap.py`."""
        body: Json = await request.json()
        self._requests.append(body)
        chat: list[Json] = json.loads("".join(map(chr, body["input_ids"])))
        # Calls that were asked for approval come as the messages of a role of the server's own.
        reply = reply_to([{**one, "role": "assistant"} if one.get("tool_calls") else one for one in chat])
        await self._hold(reply, request)
        if reply.fail is not None:
            return _failure(reply.fail)
        text = spoken(reply.text, reply.calls)
        told = token_ids_of(text)
        meta = {"finish_reason": {"type": "stop"}, "prompt_tokens": PROMPT_TOKENS, "output_token_logprobs": told}
        return JSONResponse({"text": text, "output_ids": [one[1] for one in told], "meta_info": meta})

    async def _hold(self, reply: Reply, request: Request) -> None:
        if reply.hold is not None:
            await self._gate(reply.hold.gate).pass_through(request)

    async def _stream(self, reply: Reply, request: Request, with_usage: bool) -> AsyncIterator[str]:
        head = {"id": _new_id("chatcmpl-"), "object": "chat.completion.chunk", "created": int(time.time())}
        head["model"] = MODEL
        pieces = list(deltas(reply))
        hold_after = min(reply.hold.after, len(pieces)) if reply.hold else None
        break_after = min(reply.break_after, len(pieces)) if reply.break_after is not None else None
        for position in range(len(pieces) + 1):
            if position == hold_after:
                await self._hold(reply, request)
            if position == break_after:
                raise ConnectionBroken(f"after {position} tokens, as the script says")
            if position < len(pieces):
                yield _frame({**head, "choices": [_choice(pieces[position])]})
        yield _frame({**head, "choices": [_choice({}, finish_reason=_finish_reason(reply))]})
        if with_usage:
            yield _frame({**head, "choices": [], "usage": _usage(reply)})
        yield "data: [DONE]\n\n"


def _reply_of(request: Json) -> Reply:
    if request.get("model") == EAGER_MODEL:
        return eager_reply_to(request["messages"], request.get("tools") or ())
    return reply_to(request["messages"])


async def _broken(start: bytes) -> AsyncIterator[bytes]:
    yield start
    raise ConnectionBroken("as the script says")


def deltas(reply: Reply) -> Iterator[Json]:
    """The deltas in which a reply is streamed: reasoning, text, then one tool call after the other."""
    for token in tokens(reply.reasoning):
        yield {"role": "assistant", "reasoning_content": token}
    for token in tokens(reply.text):
        yield {"role": "assistant", "content": token}
    for index, call in enumerate(reply.calls):
        yield {"role": "assistant", "tool_calls": [{"index": index, **_tool_call(call, arguments="")}]}
        for piece in _argument_pieces(call.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _argument_pieces(arguments: str) -> list[str]:
    size = max(1, -(-len(arguments) // 3))
    return [arguments[start : start + size] for start in range(0, len(arguments), size)]


def _tool_call(call: Call, *, arguments: str) -> Json:
    return {"id": _new_id("call_"), "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _completion(reply: Reply, *, asked: Json) -> Json:
    message: Json = {"role": "assistant", "content": reply.text or None}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.calls:
        message["tool_calls"] = [_tool_call(call, arguments=call.arguments) for call in reply.calls]
    choice: Json = {"index": 0, "message": message, "finish_reason": _finish_reason(reply)}
    if asked.get("logprobs"):
        choice["logprobs"] = logprobs_of(reply.text, asked.get("top_logprobs"))
    return {
        "id": _new_id("chatcmpl-"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [choice],
        "usage": _usage(reply),
    }


def _usage(reply: Reply) -> Json:
    usage: Json = dict(USAGE)
    if reply.cached_tokens is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": reply.cached_tokens}
    if reply.reasoning_tokens is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": reply.reasoning_tokens}
    return usage


def _choice(delta: Json, *, finish_reason: str | None = None) -> Json:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


def _finish_reason(reply: Reply) -> str:
    if reply.cut_off:
        return "length"
    return "tool_calls" if reply.calls else "stop"


def _failure(status: int) -> Response:
    kind = {401: "authentication_error", 429: "rate_limit_error"}.get(status, "server_error")
    error = {"message": f"The script says {status}", "type": kind, "param": None, "code": None}
    return JSONResponse({"error": error}, status_code=status)


def _frame(payload: Json) -> str:
    return f"data: {json.dumps(payload)}\n\n"


def _new_id(prefix: str) -> str:
    return prefix + uuid.uuid4().hex[:24]


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a scripted model on 127.0.0.1.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--owner", help="shown in the list of processes, so that whoever ends this one can be sure")
    port = parser.parse_args().port
    uvicorn.run(ScriptedModel().app(), host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
