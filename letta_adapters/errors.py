"""Every error that the package raises, in one tree.

    LettaError
    ├── ConnectFailed            the server could not be reached; nothing was sent
    ├── ConnectionLost           the connection broke in mid-answer
    ├── RequestTimeout           the server did not answer in time
    ├── StatusError              the server answered with an error status
    │   ├── InvalidRequest       400, 422 and every other 4xx
    │   ├── AuthenticationError  401
    │   ├── PermissionDenied     403
    │   ├── NotFound             404, 410
    │   ├── Conflict             409
    │   │   ├── ConversationBusy      another turn is in flight
    │   │   └── PendingApprovalError  a tool call waits for its answer
    │   ├── RateLimited          429
    │   │   └── QuotaExceeded        402, 429: quota or credits are used up
    │   └── ServerError          5xx
    ├── Divergence               the conversation went on without this transcript
    ├── NothingToSend            the transcript ends with the agent's own answer (a ValueError, too)
    ├── ProtocolError            the answer is not what a Letta server sends
    ├── TurnInterrupted          a turn was (or may have been) accepted and its end was not seen
    └── TurnFailed               the server ended the turn with an error
        └── ToolLoopLimit    a client-side tool loop reached its limit of rounds

Bad input raises the built-in `ValueError` or `TypeError` before anything is sent.
"""

from __future__ import annotations

from typing import Any

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
]


class LettaError(Exception):
    """Base of every error of this package.

    Args:
        message: What happened.
        hint: One sentence on what to do about it.
        agent_id: The agent concerned, where known.
        conversation_id: The conversation concerned, where known.
        run_id: The run concerned, where known.
        detail: What the server said about the cause, where it said something.
        accepted: Whether the server accepted the input of a turn: `False` means that nothing was stored and that
            sending again is safe, `None` that it is not known.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        agent_id: str | None = None,
        conversation_id: str | None = None,
        run_id: str | None = None,
        detail: str | None = None,
        accepted: bool | None = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.agent_id = agent_id
        self.conversation_id = conversation_id
        self.run_id = run_id
        self.detail = detail
        self.accepted = accepted

    @property
    def told(self) -> str:
        """What happened, with what the server said about the cause; without ids, and without what to do."""
        if not self.detail or self.detail in self.message:
            return self.message
        return f"{self.message} The server says: {_sentence(self.detail)}"

    def __str__(self) -> str:
        ids = ", ".join(
            f"{name}={value}"
            for name, value in (
                ("agent_id", self.agent_id),
                ("conversation_id", self.conversation_id),
                ("run_id", self.run_id),
            )
            if value
        )
        parts = [self.told]
        if self.hint:
            parts.append(self.hint)
        if ids:
            parts.append(f"({ids})")
        return " ".join(parts)

    def __reduce__(self) -> tuple[Any, ...]:
        # The arguments are keyword-only, which the default pickling of exceptions cannot express.
        return _restore, (type(self), self.args, self.__dict__)


def _sentence(text: str) -> str:
    return text if text.rstrip().endswith((".", "!", "?")) else f"{text.rstrip()}."


def _restore(kind: type[LettaError], args: tuple[Any, ...], state: dict[str, Any]) -> LettaError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConnectFailed(LettaError):
    """The server could not be reached: refused, unknown host, TLS failure."""


class ConnectionLost(LettaError):
    """The connection broke after the request went out, so whether it was carried out is not known."""


class RequestTimeout(LettaError):
    """The server sent no byte for longer than the idle timeout."""


class StatusError(LettaError):
    """The server answered with an error status, kept in `status`."""

    def __init__(self, message: str, *, status: int, **known: Any) -> None:
        super().__init__(message, **known)
        self.status = status


class InvalidRequest(StatusError):
    """The server refused the request as malformed (400, 422 and other 4xx)."""


class AuthenticationError(StatusError):
    """The API key is missing or wrong (401)."""


class PermissionDenied(StatusError):
    """The API key may not do this (403)."""


class NotFound(StatusError):
    """The agent, conversation, run or model does not exist, or not any more (404, 410)."""


class Conflict(StatusError):
    """The request contradicts the state of the server (409)."""


class ConversationBusy(Conflict):
    """Another turn of the conversation is in flight, and it did not end within the waiting time."""


class PendingApprovalError(Conflict):
    """A tool call of the conversation waits for its answer, so no new message is taken.

    Args:
        pending: The calls that wait, each `{"tool_call_id", "name", "arguments"}`, where known.
    """

    def __init__(
        self, message: str, *, status: int = 409, pending: tuple[dict[str, str], ...] = (), **known: Any
    ) -> None:
        super().__init__(message, status=status, **known)
        self.pending = pending


class RateLimited(StatusError):
    """Too many requests (429), and waiting did not help."""


class QuotaExceeded(RateLimited):
    """The account's quota or credits are used up, or its plan lacks what was asked for (402, 429): waiting is no cure.

    Args:
        reasons: What the server calls the causes, such as `not-enough-credits`.
        resets_in: Seconds until the quota is whole again, where the server says so.
    """

    def __init__(
        self, message: str, *, reasons: tuple[str, ...] = (), resets_in: float | None = None, **known: Any
    ) -> None:
        super().__init__(message, **known)
        self.reasons = reasons
        self.resets_in = resets_in


class ServerError(StatusError):
    """The server failed (5xx), and trying again did not help."""


class Divergence(LettaError):
    """The conversation holds messages that the transcript does not know of."""


class NothingToSend(LettaError, ValueError):
    """The transcript has nothing that the conversation does not know, so there is nothing to answer."""


class ProtocolError(LettaError):
    """The answer is not what a Letta server sends: HTML, broken JSON, a wrong content type.

    The message carries an excerpt of at most 200 characters.
    """


class TurnInterrupted(LettaError):
    """The connection was lost for good before the end of the turn was seen.

    Args:
        partial: The text that had arrived.
    """

    def __init__(self, message: str, *, partial: str = "", **known: Any) -> None:
        super().__init__(message, **{"accepted": None, **known})
        self.partial = partial


class TurnFailed(LettaError):
    """The server ended the turn with an error.

    Args:
        stop_reason: One of the server's stop reasons (`llm_api_error`, `cancelled`, …).
        error_type: The server's class of error, where it sent one (`llm_error`, `internal_error`, …).
    """

    def __init__(self, message: str, *, stop_reason: str | None = None, error_type: str | None = None, **known: Any):
        super().__init__(message, **{"accepted": None, **known})
        self.stop_reason = stop_reason
        self.error_type = error_type


class ToolLoopLimit(TurnFailed):
    """The agent went on calling tools when the limit of rounds was reached; the last calls were denied.

    Args:
        result: What the turn had come to, a `letta_adapters.loop.LoopResult`.
    """

    def __init__(self, message: str, *, result: Any = None, **known: Any) -> None:
        super().__init__(message, **known)
        self.result = result
