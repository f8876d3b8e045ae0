"""What Letta Cloud says before its server says anything: keys, quotas, deployments, and the edge in front of it all.

Nobody has measured it. The shapes are those that Letta's own published programs send or read; `tests/cloud/shapes`
names the page of each. Which words an answer has beside its codes is this double's guess.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["EDGE_TIMEOUT", "NO_CREDITS", "UNAUTHORIZED", "Gateway", "Refusal", "over_quota", "shutting_down"]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An answer in the place of the server's, which never sees the request.

    `turns_only` says that only what asks a model is answered so.
    """

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    turns_only: bool = False

    def concerns(self, scope: Scope) -> bool:
        """Whether a request is answered so."""
        return not self.turns_only or (scope["method"] == "POST" and scope["path"].endswith(("/messages", "/async")))


UNAUTHORIZED = Refusal(
    status=401,
    body={
        "message": "Unauthorized",
        "details": "The API key is missing, or it is none of this server's.",
        "ownership": "This is the double of api.letta.com; a server of your own is elsewhere.",
    },
)
"""What comes without a key."""

NO_CREDITS = Refusal(status=402, body={"error": "Rate limited", "reasons": ["not-enough-credits"]}, turns_only=True)
"""What comes where a model costs credits and there are none."""

EDGE_TIMEOUT = Refusal(
    status=524,
    body={
        "title": "Error 524: A timeout occurred",
        "status": 524,
        "error_name": "origin_response_timeout",
        "cloudflare_error": True,
        "zone": "api.letta.com",
    },
)
"""What the edge says where the server took too long. As it is served here the server did not see the request."""


def shutting_down(*, retry_after: int = 1) -> Refusal:
    """Make the answer of a server that is being deployed; it says that it took nothing.

    Args:
        retry_after: Seconds.
    """
    body = {
        "error": "Temporarily unavailable. Please retry.",
        "errorCode": "cloud_api_shutting_down",
        "admitted": False,
        "retryable": True,
    }
    return Refusal(status=503, body=body, headers={"Retry-After": str(retry_after)})


def over_quota(*reasons: str, resets_in: float | None = None) -> Refusal:
    """Make the answer to an account that has used up what its plan gives it.

    Args:
        reasons: Such as `premium-usage-exceeded`; `exceeded-quota` if none is given.
        resets_in: Seconds until it may again.
    """
    body: dict[str, Any] = {"error": "Rate limited", "reasons": list(reasons or ("exceeded-quota",))}
    if resets_in is not None:
        body["timeToQuotaResetMs"] = round(resets_in * 1000)
    return Refusal(status=429, body=body, turns_only=True)


class Gateway:
    """Stands in front of the server: asks for the key, and refuses what it was told to refuse."""

    def __init__(self, app: ASGIApp, *, key: str | None) -> None:
        """Let everything through that has the key."""
        self._app = app
        self._key = key
        self._refusals: deque[Refusal] = deque()

    def refuse(self, refusal: Refusal, times: int) -> None:
        """Answer the next requests that a refusal concerns with it, from any thread."""
        self._refusals.extend([refusal] * times)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        refusal = self._refusal_of(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            answer = JSONResponse(refusal.body, status_code=refusal.status, headers=dict(refusal.headers))
            await answer(scope, receive, send)

    def _refusal_of(self, scope: Scope) -> Refusal | None:
        given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        if self._key is not None and given != f"Bearer {self._key}":
            return UNAUTHORIZED
        if self._refusals and self._refusals[0].concerns(scope):
            return self._refusals.popleft()
        return None
