"""The errors of `ChatLetta`: each is one of `letta_adapters.errors` and one of LangChain's `ModelError` at once.

Catch the classes of either tree; those here only join them.

| `letta_adapters.errors` | `langchain_core.exceptions` |
|---|---|
| `ConnectFailed`, `ConnectionLost`, `TurnInterrupted` | `ModelConnectionError` |
| `RequestTimeout` | `ModelTimeoutError` |
| `AuthenticationError` | `ModelAuthenticationError` |
| `PermissionDenied` | `ModelPermissionDeniedError` |
| `NotFound` | `ModelNotFoundError` |
| `InvalidRequest`, `Conflict`, `PendingApprovalError`, `Divergence`, `NothingToSend` | `ModelInvalidRequestError` |
| `RateLimited`, `QuotaExceeded`, `ConversationBusy` | `ModelRateLimitError` |
| `ServerError`, `ProtocolError` | `ModelAPIError` |
| `TurnFailed` | `ModelAPIError`, or what the server says of its provider: `ModelRateLimitError`, `ModelTimeoutError`, |
| | `ModelAuthenticationError`, `ModelInvalidRequestError`, `ContextOverflowError` |

`is_retryable` is true where the cause may pass *and* the server took nothing of the turn (`accepted` is `False`):
whoever heeds it, as LangChain's `ModelRetryMiddleware` does, asks again only for what was never taken.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import cast

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)

from letta_adapters import errors as core

__all__ = [
    "AuthenticationError",
    "Conflict",
    "ConnectFailed",
    "ConnectionLost",
    "ConversationBusy",
    "Divergence",
    "InvalidRequest",
    "LettaError",
    "NotFound",
    "NothingToSend",
    "PendingApprovalError",
    "PermissionDenied",
    "ProtocolError",
    "QuotaExceeded",
    "RateLimited",
    "RequestTimeout",
    "ServerError",
    "StatusError",
    "ToolLoopLimit",
    "TurnFailed",
    "TurnInterrupted",
    "TurnNotAuthenticated",
    "TurnOverflowed",
    "TurnRateLimited",
    "TurnRefused",
    "TurnTimedOut",
    "both_trees",
    "in_both_trees",
]


class LettaError(core.LettaError, ModelError):
    """Any other error of the package."""


class ConnectFailed(core.ConnectFailed, ModelConnectionError):
    """The server could not be reached."""


class ConnectionLost(core.ConnectionLost, ModelConnectionError):
    """The connection broke after the request went out."""


class RequestTimeout(core.RequestTimeout, ModelTimeoutError):
    """The server sent no byte in time."""


class StatusError(core.StatusError, ModelError):
    """The server answered with an error status that none of the others stands for."""


class InvalidRequest(core.InvalidRequest, ModelInvalidRequestError):
    """The server refused the request as malformed."""


class AuthenticationError(core.AuthenticationError, ModelAuthenticationError):
    """The API key is missing or wrong."""


class PermissionDenied(core.PermissionDenied, ModelPermissionDeniedError):
    """The API key may not do this."""


class NotFound(core.NotFound, ModelNotFoundError):
    """The agent, the conversation or the model does not exist."""


class Conflict(core.Conflict, ModelInvalidRequestError):
    """The request contradicts the state of the server."""


class ConversationBusy(core.ConversationBusy, ModelRateLimitError):
    """Another turn of the conversation is in flight: it takes one at a time."""


class PendingApprovalError(core.PendingApprovalError, ModelInvalidRequestError):
    """A tool call of the conversation waits for its answer."""


class RateLimited(core.RateLimited, ModelRateLimitError):
    """Too many requests."""


class QuotaExceeded(core.QuotaExceeded, ModelRateLimitError):
    """The account's quota or credits are used up: another model may still answer, asking again is no use."""


class ServerError(core.ServerError, ModelAPIError):
    """The server failed."""


class Divergence(core.Divergence, ModelInvalidRequestError):
    """The conversation went on without this transcript."""


class NothingToSend(core.NothingToSend, ModelInvalidRequestError):
    """The transcript has nothing that the conversation does not know."""


class ProtocolError(core.ProtocolError, ModelAPIError):
    """The answer is not what a Letta server sends."""


class TurnInterrupted(core.TurnInterrupted, ModelConnectionError):
    """A turn was (or may have been) taken, and its end was not seen."""


class TurnFailed(core.TurnFailed, ModelAPIError):
    """The server ended the turn with an error."""


class TurnRateLimited(core.TurnFailed, ModelRateLimitError):
    """The agent's model provider had too many requests."""


class TurnTimedOut(core.TurnFailed, ModelTimeoutError):
    """The agent's model provider did not answer in time."""


class TurnNotAuthenticated(core.TurnFailed, ModelAuthenticationError):
    """The agent's model provider did not take the server's key."""


class TurnRefused(core.TurnFailed, ModelInvalidRequestError):
    """The agent's model provider refused the request, or somebody cancelled the turn: again would be no better."""


class TurnOverflowed(core.TurnFailed, ContextOverflowError):
    """What the agent has to read does not fit into its model's context window, compacted or not."""


class ToolLoopLimit(core.ToolLoopLimit, ModelError):
    """A client-side tool loop reached its limit of rounds."""


_JOINED: dict[type[core.LettaError], type[core.LettaError]] = {
    kind.__bases__[0]: kind
    for kind in (
        LettaError,
        ConnectFailed,
        ConnectionLost,
        RequestTimeout,
        StatusError,
        InvalidRequest,
        AuthenticationError,
        PermissionDenied,
        NotFound,
        Conflict,
        ConversationBusy,
        PendingApprovalError,
        RateLimited,
        QuotaExceeded,
        ServerError,
        Divergence,
        NothingToSend,
        ProtocolError,
        TurnInterrupted,
        TurnFailed,
        ToolLoopLimit,
    )
}

_BY_TYPE_OF_CAUSE = {
    "llm_rate_limit": TurnRateLimited,
    "llm_timeout": TurnTimedOut,
    "llm_authentication": TurnNotAuthenticated,
    "context_window_overflow_in_system_prompt": TurnOverflowed,
}
"""What a stream calls the failure of a provider."""

_BY_CODE = {
    "CONTEXT_WINDOW_EXCEEDED": TurnOverflowed,
    "INVALID_ARGUMENT": TurnRefused,
    "NOT_FOUND": TurnRefused,
    "PAYMENT_REQUIRED": TurnRefused,
    "PERMISSION_DENIED": TurnRefused,
}
"""What the server's detail begins with where a stream calls the failure just an error."""

_MAY_PASS = (ModelAPIError, ModelConnectionError, ModelRateLimitError, ModelTimeoutError)


@contextmanager
def both_trees() -> Generator[None]:
    """Raise what is raised inside as an error of both trees."""
    try:
        yield
    except core.LettaError as error:
        raise in_both_trees(error).with_traceback(error.__traceback__) from error.__cause__


def in_both_trees(error: core.LettaError) -> core.LettaError:
    """The same error as one of LangChain's kinds too, with everything that it knows.

    Example:
        >>> error = in_both_trees(ConnectFailed.__bases__[0]("Nobody listens there."))
        >>> type(error).__name__, error.is_retryable
        ('ConnectFailed', True)
    """
    if isinstance(error, ModelError):
        return error
    kind = _kind_of(error)
    both = kind.__new__(kind)
    both.args = error.args
    both.__dict__.update(error.__dict__)
    # Of each error, not of its class: what the server took is known of this one only.
    cast("ModelError", both).is_retryable = error.accepted is False and _may_pass(error, kind)
    return both


def _may_pass(error: core.LettaError, kind: type[core.LettaError]) -> bool:
    return issubclass(kind, _MAY_PASS) and not isinstance(error, core.ProtocolError | core.QuotaExceeded)


def _kind_of(error: core.LettaError) -> type[core.LettaError]:
    if isinstance(error, core.TurnFailed) and not isinstance(error, core.ToolLoopLimit):
        return _kind_of_failure(error)
    return next(_JOINED[kind] for kind in type(error).__mro__ if kind in _JOINED)


def _kind_of_failure(error: core.TurnFailed) -> type[core.TurnFailed]:
    if error.stop_reason == "cancelled":
        return TurnRefused
    for said in (error.error_type, error.stop_reason):
        if said in _BY_TYPE_OF_CAUSE:
            return _BY_TYPE_OF_CAUSE[said]
    code = (error.detail or "").partition(":")[0]
    return _BY_CODE.get(code, TurnFailed)
