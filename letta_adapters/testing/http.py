"""What all routes share: bodies, ids in paths, errors and event streams."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from letta_adapters.testing.errors import ApiError, ModelError, unprocessable
from letta_adapters.testing.state import Page

__all__ = ["api_error", "body_of", "checked_id", "event_stream", "json_of", "not_here", "page_of", "stopping"]

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_EXAMPLE = "123e4567-e89b-42d3-8456-426614174000"
_CONVERSATION_ID_LENGTH = 41
_PREFIXES = {"agent": "agent", "conversation": "conv"}


async def api_error(request: Request, error: Exception) -> Response:
    """Answer with the error that was raised."""
    assert isinstance(error, ApiError | ModelError)
    return JSONResponse(error.body, status_code=error.status)


async def stopping(request: Request, error: Exception) -> Response:
    """Answer a request that is open while the double stops."""
    return JSONResponse({"detail": "The server is shutting down."}, status_code=503)


async def not_here(request: Request, error: Exception) -> Response:
    """Answer for a path that does not exist."""
    return JSONResponse({"detail": "Not Found"}, status_code=404)


async def json_of(request: Request) -> Any:
    """Read the body as JSON, or none if there is no body."""
    raw = await request.body()
    try:
        return json.loads(raw) if raw else None
    except json.JSONDecodeError as error:
        problem = {
            "type": "json_invalid",
            "loc": ("body", error.pos),
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": error.msg},
        }
        raise unprocessable([problem]) from error


async def body_of(request: Request) -> dict[str, Any]:
    """Read the body as a JSON object; anything else counts as an empty one."""
    body = await json_of(request)
    return body if isinstance(body, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def checked_id(request: Request, kind: str) -> str:
    """Check the form of an id in the path before it is looked up."""
    given = str(request.path_params[f"{kind}_id"])
    prefix = _PREFIXES[kind]
    pattern = f"^{prefix}-{_UUID}$"
    if re.match(pattern, given):
        return given
    if kind == "conversation" and len(given) < _CONVERSATION_ID_LENGTH:
        short = {
            "type": "string_too_short",
            "loc": ("path", "conversation_id"),
            "msg": f"String should have at least {_CONVERSATION_ID_LENGTH} characters",
            "input": given,
            "ctx": {"min_length": _CONVERSATION_ID_LENGTH},
        }
        raise unprocessable([short])
    problem = {
        "type": "string_pattern_mismatch",
        "loc": ("path", f"{kind}_id"),
        "msg": f"String should match pattern '{kind}-{{uuid4}}'",
        "input": given,
        "ctx": {"pattern": pattern},
    }
    raise unprocessable([problem], examples=[f"{prefix}-{_EXAMPLE}"])


def event_stream(frames: AsyncIterator[str]) -> StreamingResponse:
    """Answer with server-sent events."""
    return StreamingResponse(frames, media_type="text/event-stream")


def page_of(request: Request, *, order: str = "desc", limit: int = 100, relative: bool = False) -> Page:
    """Read which part of a list is asked for; relative cursors point where the order points."""
    query = request.query_params
    descending = query.get("order", order) == "desc"
    before, after = query.get("before"), query.get("after")
    if relative and descending:
        before, after = after, before
    return Page(
        limit=int(query.get("limit", limit)),
        before=before,
        after=after,
        descending=descending,
        group_id=query.get("group_id"),
    )
