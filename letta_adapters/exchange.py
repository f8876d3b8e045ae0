"""One HTTP request and its answer, without I/O: what to send, and how an error answer is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, cast

from letta_adapters import errors

__all__ = [
    "Broken",
    "BrokenKind",
    "Request",
    "call_ids_expected",
    "error_from_detail",
    "error_from_response",
    "excerpt",
]

_EXCERPT = 200


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request to the API; `path` begins with `/v1`, `query` leaves out what is `None`."""

    method: str
    path: str
    query: Mapping[str, str | int | None] = field(default_factory=dict[str, "str | int | None"])
    body: bytes | None = None


class BrokenKind(Enum):
    """How a connection failed."""

    CONNECT = "connect"  # nothing was sent
    TIMEOUT = "timeout"
    LOST = "lost"


class Broken(Exception):
    """A connection failed. Internal: the transport raises it, the turn or the client turns it into a `LettaError`.

    Args:
        kind: How it failed.
        reason: What the HTTP library said.
        url: The server, without credentials.
    """

    def __init__(self, kind: BrokenKind, reason: str, *, url: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.url = url

    def to_error(self) -> errors.LettaError:
        """The public error for it."""
        url = self.url
        if self.kind is BrokenKind.CONNECT:
            return errors.ConnectFailed(
                f"Could not reach the Letta server at {url}: {self.reason}.",
                hint="Check `base_url` (or LETTA_BASE_URL) and that the server is running.",
            )
        if self.kind is BrokenKind.TIMEOUT:
            return errors.RequestTimeout(
                f"The Letta server at {url} did not answer in time: {self.reason}.",
                hint="Raise `timeout` if the server is slow.",
                accepted=None,
            )
        return errors.LettaError(f"The connection to the Letta server at {url} broke: {self.reason}.", accepted=None)


def excerpt(body: bytes) -> str:
    """A printable excerpt of an answer, at most 200 characters."""
    text = " ".join(body[: 4 * _EXCERPT].decode("utf-8", "replace").split())
    return text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…"


_BY_STATUS: dict[int, tuple[type[errors.StatusError], str]] = {
    401: (errors.AuthenticationError, "Check `api_key` (or LETTA_API_KEY)."),
    403: (errors.PermissionDenied, "The API key does not give access to this."),
    404: (errors.NotFound, "Check the id, and that it belongs to this server."),
    410: (errors.NotFound, "A run can be asked for during three hours."),
    429: (errors.RateLimited, "Try again later."),
}


def error_from_response(
    status: int, body: bytes, *, what: str, conversation_id: str | None = None, agent_id: str | None = None
) -> errors.LettaError:
    """Turn an error answer into the error to raise.

    Args:
        status: The HTTP status.
        body: The body, or as much of it as was read.
        what: The request, as `POST /v1/…`.
        conversation_id: The conversation concerned, where known.
        agent_id: The agent concerned, where known.
    """
    detail, run_id = _read_detail(body)
    known: dict[str, Any] = {
        "detail": detail,
        "run_id": run_id,
        "conversation_id": conversation_id,
        "agent_id": agent_id,
    }
    message = f"{what} was answered with HTTP {status}."
    if status < 400:
        return errors.ProtocolError(f"{message} The body begins with: {excerpt(body)!r}", **{**known, "detail": None})
    if status == 409:
        return _conflict(message, detail or "", known)
    if status in _BY_STATUS:
        kind, hint = _BY_STATUS[status]
        return kind(message, status=status, hint=hint, **known)
    if status >= 500:
        return errors.ServerError(message, status=status, accepted=None, **known)
    return errors.InvalidRequest(message, status=status, **known)


def error_from_detail(detail: str, known: Mapping[str, Any]) -> errors.LettaError | None:
    """The error that a detail stands for where the server has no code for it: busy, pending, wrong call ids.

    These fragments are all there is to go by (measured on 0.16.8); they arrive with status 409 or in a stream of
    status 200.
    """
    lowered = detail.lower()
    if "waiting for approval" in lowered:
        return errors.PendingApprovalError(
            "The conversation waits for the answer to a tool call, so it takes no new message.",
            hint="Answer every pending call first, with results or with denials.",
            detail=detail,
            **known,
        )
    if "invalid tool call ids" in lowered:
        return errors.PendingApprovalError(
            "The answers do not match the calls that the conversation waits for.",
            hint="Answer exactly the pending calls, all in one message.",
            detail=detail,
            pending=tuple({"tool_call_id": call_id} for call_id in call_ids_expected(detail)),
            **known,
        )
    if "no tool call is currently awaiting approval" in lowered:
        return errors.Conflict(
            "The calls were answered already, or the conversation never made them.",
            status=409,
            hint="Read the conversation; a new message can be sent.",
            detail=detail,
            **known,
        )
    if "currently being processed" in lowered:
        return errors.ConversationBusy(
            "Another turn of the conversation is in flight.",
            status=409,
            hint="Wait for it to end, or raise `busy_timeout`.",
            detail=detail,
            **known,
        )
    return None


def call_ids_expected(detail: str) -> list[str]:
    """Read the pending ids out of `Invalid tool call IDs. Expected '[…]', but received '[…]'`."""
    expected = re.search(r"Expected '\[(.*?)\]'", detail)
    return re.findall(r"'([^']+)'", expected.group(1)) if expected else []


def _conflict(message: str, detail: str, known: dict[str, Any]) -> errors.LettaError:
    ids = {name: value for name, value in known.items() if name != "detail"}
    return error_from_detail(detail, ids) or errors.Conflict(message, status=409, **known)


def _read_detail(body: bytes) -> tuple[str | None, str | None]:
    """The `detail` and the `run_id` of an error body, whichever of the server's envelopes it came in."""
    try:
        envelope: Any = json.loads(body)
    except ValueError:
        return (excerpt(body) or None), None
    if not isinstance(envelope, dict):
        return excerpt(body), None
    fields = cast("dict[str, Any]", envelope)
    inner = fields.get("detail", fields.get("error", fields))
    if isinstance(inner, dict):
        nested = cast("dict[str, Any]", inner)
        text = nested.get("detail") or nested.get("message") or json.dumps(nested)
    else:
        text = inner
    run_id = fields.get("run_id")
    return str(text)[:2000], run_id if isinstance(run_id, str) else None
