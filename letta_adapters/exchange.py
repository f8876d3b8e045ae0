"""One HTTP request and its answer, without I/O: what to send, and how an error answer is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, cast
from urllib.parse import urlsplit

from letta_adapters import errors
from letta_adapters.redaction import redact, redact_body

__all__ = [
    "Broken",
    "BrokenKind",
    "Request",
    "call_ids_expected",
    "error_from_detail",
    "error_from_response",
    "excerpt",
]

QueryValue = str | int | Sequence[str] | None
Query = Mapping[str, QueryValue]

_EXCERPT = 200
_DETAIL = 2000
"""Characters of a server's detail that are kept."""
_REASONS = 10


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request to the API.

    Args:
        method: `GET`, `POST`, …
        path: Begins with `/v1`.
        query: What is `None` is left out, a list repeats its name.
        body: JSON.
    """

    method: str
    path: str
    query: Query = field(default_factory=dict[str, "QueryValue"])
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
        self.kind = kind
        self.reason = redact(reason)[:_DETAIL]
        self.url = url
        super().__init__(self.reason)

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
        return errors.ConnectionLost(
            f"The connection to the Letta server at {url} broke: {self.reason}.",
            hint="What became of the request is not known; look before it is made again.",
            accepted=None,
        )


def excerpt(body: bytes) -> str:
    """A printable excerpt of an answer, at most 200 characters, without keys."""
    text = redact(" ".join(redact_body(body)[: 4 * _EXCERPT].decode("utf-8", "replace").split()))
    return text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…"


_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,255}")


_BY_STATUS: dict[int, tuple[type[errors.StatusError], str]] = {
    401: (errors.AuthenticationError, "Check `api_key` (or LETTA_API_KEY)."),
    403: (errors.PermissionDenied, "The API key does not give access to this."),
    404: (errors.NotFound, "Check the id, and that `base_url` is the Letta server it belongs to."),
    410: (errors.NotFound, "A run can be asked for during three hours."),
    429: (errors.RateLimited, "Try again later."),
}

_LASTING = ("credits", "exceeded", "model-unknown", "not-available", "not-supported")
"""What the reasons of Letta Cloud have in them where time is no cure; others limit how many requests come at once."""


def error_from_response(
    status: int,
    body: bytes,
    *,
    what: str,
    location: str | None = None,
    conversation_id: str | None = None,
    agent_id: str | None = None,
) -> errors.LettaError:
    """Turn an error answer into the error to raise.

    Args:
        status: The HTTP status.
        body: The body, or as much of it as was read.
        what: The request, as `POST /v1/…`.
        location: Where a redirect points to: the `Location` header.
        conversation_id: The conversation concerned, where known.
        agent_id: The agent concerned, where known.
    """
    told = _read(body)
    detail = told.detail
    known: dict[str, Any] = {
        "detail": detail,
        "run_id": told.run_id,
        "conversation_id": conversation_id,
        "agent_id": agent_id,
    }
    message = f"{what} was answered with HTTP {status}."
    if 300 <= status < 400:
        return _redirected(message, location, known)
    if status < 400:
        known["detail"] = None
        return errors.ProtocolError(f"{message} The body begins with: {excerpt(body)!r}", accepted=None, **known)
    if status in (400, 409):  # JSON mode answers wrong call ids with 400
        ids = {name: value for name, value in known.items() if name != "detail"}
        meant = error_from_detail(detail or "", ids, status=status, code=told.code)
        if meant is not None and not (status == 400 and isinstance(meant, errors.ConversationBusy)):
            return meant
    if status == 409:
        return errors.Conflict(message, status=409, **known)
    if status == 402 or (status == 429 and told.quota):
        hint = "Look at the plan of the account, or use another model; trying again soon is no use."
        quota = {"reasons": told.reasons, "resets_in": told.resets_in}
        return errors.QuotaExceeded(message, status=status, hint=hint, **quota, **known)
    if status in _BY_STATUS:
        kind, hint = _BY_STATUS[status]
        if status == 404 and "handle" in (detail or "").lower():
            hint = "`client.models.list()` names the models of this server."
        return kind(message, status=status, hint=hint, **known)
    if status >= 500:
        return errors.ServerError(message, status=status, accepted=False if told.refused else None, **known)
    return errors.InvalidRequest(message, status=status, **known)


def _redirected(message: str, location: str | None, known: Mapping[str, Any]) -> errors.ProtocolError:
    """A redirect is not followed: the key would go where nobody sent it."""
    target = _origin(location or "")
    there = (
        "If the Letta server is there, pass that address as `base_url` (or LETTA_BASE_URL); if you did, another "
        "program answers at it."
    )
    return errors.ProtocolError(
        f"{message} It redirects{f' to {target}' if target else ''}, and redirects are not followed.",
        hint=there if target else "Check that `base_url` (or LETTA_BASE_URL) is a Letta server and no other program.",
        accepted=False,
        **{**known, "detail": None},
    )


def _origin(location: str) -> str | None:
    """Scheme, host and port of an address, nothing else: its user, path and query may hold secrets."""
    try:
        parts = urlsplit(location)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https", "") or not host or not re.fullmatch(r"[\w.:-]{1,253}", host):
        return None
    host = f"[{host}]" if ":" in host else host
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    return redact(f"{scheme}{host}{f':{port}' if port else ''}")


def error_from_detail(
    detail: str, known: Mapping[str, Any], *, status: int = 409, code: str = ""
) -> errors.LettaError | None:
    """The error that a detail stands for where its status does not tell: busy, pending, wrong call ids.

    On conversations these fragments are all there is to go by (measured on 0.16.8); they arrive with status 400 or
    409, or in a stream of status 200. The agents endpoint has a `code` for one of them.
    """
    lowered = detail.lower()
    if "waiting for approval" in lowered or code == "PENDING_APPROVAL":
        return errors.PendingApprovalError(
            "The conversation waits for the answer to a tool call, so it takes no new message.",
            status=status,
            hint="Answer every pending call first, with results or with denials.",
            detail=detail,
            **known,
        )
    if "invalid tool call ids" in lowered:
        return errors.PendingApprovalError(
            "The answers do not match the calls that the conversation waits for.",
            status=status,
            hint="Answer exactly the pending calls, all in one message.",
            detail=detail,
            pending=tuple({"tool_call_id": call_id} for call_id in call_ids_expected(detail)),
            **known,
        )
    if "no tool call is currently awaiting approval" in lowered:
        return errors.Conflict(
            "The calls were answered already, or the conversation never made them.",
            status=status,
            hint="Read the conversation; a new message can be sent.",
            detail=detail,
            **known,
        )
    if "currently being processed" in lowered:
        return errors.ConversationBusy(
            "Another turn of the conversation is in flight.",
            status=status,
            hint="Wait for it to end, or raise `busy_timeout`.",
            detail=detail,
            **known,
        )
    return None


def call_ids_expected(detail: str) -> list[str]:
    """Read the pending ids out of `Invalid tool call IDs. Expected '[…]', but received '[…]'`."""
    expected = re.search(r"Expected '\[(.*?)\]'", detail)
    return re.findall(r"'([^']+)'", expected.group(1)) if expected else []


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What an error body says, whichever of the server's envelopes it came in.

    Args:
        detail: The cause.
        code: The server's name for it.
        run_id: The run concerned.
        reasons: Why an account may not do it (Letta Cloud).
        resets_in: Seconds until it may again (Letta Cloud).
        refused: Whether the server says that it took nothing (Letta Cloud, while it is deployed).
    """

    detail: str | None
    code: str = ""
    run_id: str | None = None
    reasons: tuple[str, ...] = ()
    resets_in: float | None = None
    refused: bool = False

    @property
    def quota(self) -> bool:
        """Whether trying again soon is in vain."""
        return any(part in reason for reason in self.reasons for part in _LASTING)


def _read(body: bytes) -> _Told:
    try:
        envelope: Any = json.loads(body)
    except (ValueError, RecursionError):
        envelope = None
    if not isinstance(envelope, dict):
        return _Told(detail=excerpt(body) or None)
    fields = cast("dict[str, Any]", envelope)
    inner: Any = next((fields[name] for name in _DETAILS if fields.get(name)), None)
    nested = cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}
    text: Any = nested.get("detail") or nested.get("message") or cast("object", inner)
    reasons = _reasons(fields) or _reasons(nested)
    run_id = fields.get("run_id")
    return _Told(
        detail=_printable(f"{text} ({', '.join(reasons)})" if reasons else text) if text else None,
        code=str(nested.get("code", ""))[:_EXCERPT],
        run_id=run_id if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id) else None,
        reasons=reasons,
        resets_in=_seconds(fields.get("timeToQuotaResetMs")),
        refused=fields.get("admitted") is False and fields.get("retryable") is True,
    )


_DETAILS = ("detail", "details", "reason_text", "error", "message")
"""Where the cause may stand, the most telling first; `details` and `reason_text` are Letta Cloud's."""


def _seconds(milliseconds: object) -> float | None:
    if not isinstance(milliseconds, int | float) or isinstance(milliseconds, bool):
        return None
    # NaN and numbers too large for a clock (or for `float`) are no times.
    return milliseconds / 1000 if abs(milliseconds) < 1e15 else None


def _reasons(fields: Mapping[str, Any]) -> tuple[str, ...]:
    given: Any = fields.get("reasons")
    listed = cast("list[object]", given) if isinstance(given, list) else []
    return tuple(redact(reason)[:_EXCERPT] for reason in listed[:_REASONS] if isinstance(reason, str))


def _printable(value: object) -> str:
    """A detail as a text that every terminal and every log takes: JSON can hold half a surrogate pair."""
    try:
        text = str(value)
    except RecursionError:
        return "(nested too deeply)"
    return redact(text.encode("utf-8", "replace").decode())[:_DETAIL]
