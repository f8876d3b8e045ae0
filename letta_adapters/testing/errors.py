"""What the server refuses: status and JSON body, in its own words.

A client can only classify these by their texts, so the texts are the server's, letter by letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "ORGANIZATION_ID",
    "USER_ID",
    "ApiError",
    "ModelError",
    "PendingApproval",
    "PromptOverflow",
    "busy",
    "conversation_not_found",
    "agent_not_found",
    "broken_connection",
    "handle_not_found",
    "invalid",
    "invalid_argument",
    "model_failure",
    "no_active_runs",
    "no_summary",
    "no_text",
    "not_found",
    "redis_missing",
    "run_not_found",
    "unprocessable",
]

USER_ID = "user-00000000-0000-4000-8000-000000000000"
ORGANIZATION_ID = "org-00000000-0000-4000-8000-000000000000"
_ACTOR = f"id='{USER_ID}' organization_id='{ORGANIZATION_ID}' name='default_user'"


class ApiError(Exception):
    """A request that is answered with an HTTP error, or with an error event inside a stream.

    `own` is true for the server's own error classes: a stream shows their text as the message, while any
    other failure hides behind a general sentence and shows its text as the detail only.
    """

    def __init__(self, status: int, body: dict[str, Any], *, own: bool = False) -> None:
        super().__init__(str(body.get("detail", body)))
        self.status = status
        self.body = body
        self.own = own

    @property
    def detail(self) -> str:
        """The text that says what went wrong."""
        return str(self)


class ModelError(Exception):
    """The language model's provider failed.

    A request that does not stream is answered with `status` and `kind`; a stream knows only three kinds of its own.
    """

    def __init__(self, *, status: int, kind: str, message: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.message = message
        self.detail = detail

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body when the request was not a stream."""
        return {"error": {"type": self.kind, "message": self.message, "detail": self.detail}}

    @property
    def in_stream(self) -> tuple[str, str]:
        """The type and the message of the error event when nothing was sent before."""
        named = self.kind in ("llm_rate_limit", "llm_authentication", "llm_timeout")
        return (self.kind, self.message) if named else ("llm_error", "An error occurred with the LLM request.")


def not_found(detail: str) -> ApiError:
    """Make the 404 of something that does not exist."""
    return ApiError(404, {"detail": detail})


def conversation_not_found(conversation_id: str) -> ApiError:
    """Make the 404 of a conversation that never was or is deleted."""
    return not_found(_missing_row("Conversation", conversation_id, deletable=True))


def agent_not_found(agent_id: str) -> ApiError:
    """Make the 404 of an agent."""
    return not_found(f"Agent with ID {agent_id} not found")


def run_not_found(run_id: str) -> ApiError:
    """Make the 404 of a run."""
    return not_found(_missing_row("Run", run_id, deletable=False))


def _missing_row(table: str, identifier: str, *, deletable: bool) -> str:
    end = ", is_deleted=False" if deletable else ""
    return f"{table} not found with id='{[identifier]}', access level in ['read'] for actor='{_ACTOR}'{end}"


def handle_not_found(handle: str) -> ApiError:
    """Make the 404 of a model handle that no provider serves."""
    return ApiError(404, {"detail": f"NOT_FOUND: Handle {handle} not found, must be one of []"}, own=True)


def invalid(detail: str) -> ApiError:
    """Make the 400 of a plain `ValueError` inside the server."""
    return ApiError(400, {"detail": detail})


def no_text(model: str, field: str) -> ApiError:
    """Make the 400 of a tool's result that has neither text nor image: the server cannot show it again."""
    problem = "Input should be a valid string [type=string_type, input_value=None, input_type=NoneType]"
    link = "https://errors.pydantic.dev/2.11/v/string_type"
    text = f"1 validation error for {model}\n{field}\n  {problem}\n    For further information visit {link}"
    return invalid(text)


def invalid_argument(message: str) -> ApiError:
    """Make the 400 of an argument that the server checks itself."""
    return ApiError(400, {"detail": f"INVALID_ARGUMENT: {message}"}, own=True)


class PendingApproval(ApiError):
    """The 409 of a message that comes while a tool call waits for its answer."""

    def __init__(self, request_id: str) -> None:
        text = (
            "CONFLICT: Cannot send a new message: The agent is waiting for approval on a tool call. "
            "Please approve or deny the pending request before continuing."
        )
        super().__init__(409, {"detail": text}, own=True)
        self._request_id = request_id

    def with_code(self) -> ApiError:
        """Make the same error as the agent's own endpoint words it."""
        detail = {"code": "PENDING_APPROVAL", "message": self.detail, "pending_request_id": self._request_id}
        return ApiError(409, {"detail": detail}, own=True)


class PromptOverflow(ApiError):
    """A system prompt that is longer than the context window, found out when the context is to be compacted."""

    reason = "context_window_overflow_in_system_prompt"
    message = (
        "Compaction failed because the system prompt is too large for this model's context window. Reduce system "
        "instructions, memory blocks, or tools, or use a model with a larger context window."
    )

    def __init__(self, *, tokens: int, window: int) -> None:
        sizes = {"system_prompt_token_estimate": tokens, "context_window": window}
        text = (
            f"CONTEXT_WINDOW_EXCEEDED: The system prompt tokens {tokens} exceeds the context window {window}. Please "
            f"reduce the size of your system prompt, memory blocks, or increase the context window. ({sizes})"
        )
        super().__init__(400, {"detail": text}, own=True)


def busy(run_id: str | None) -> ApiError:
    """Make the 409 of a conversation that another request holds."""
    if run_id is None:
        text = "Another request is currently being processed for this conversation. "
        return ApiError(
            409,
            {"detail": f"CONFLICT: Cannot send a new message: {text}Please wait for the current request to complete."},
            own=True,
        )
    text = f"Another request (run_id={run_id}) is currently being processed for this conversation. "
    detail = f"CONFLICT: Cannot send a new message: {text}Please wait for it to complete."
    return ApiError(409, {"detail": detail, "run_id": run_id}, own=True)


def no_active_runs(conversation_id: str) -> ApiError:
    """Make the 409 of a cancel when nothing runs."""
    detail = f"CONFLICT: No active runs to cancel for conversation {conversation_id}"
    return ApiError(409, {"detail": detail}, own=True)


def redis_missing(*, prefix: str = "") -> ApiError:
    """Make the 503 of background streams on a server without Redis."""
    text = (
        "Background streaming requires Redis to be running. Please ensure Redis is properly configured. "
        "LETTA_REDIS_HOST: None, LETTA_REDIS_PORT: 6379"
    )
    return ApiError(503, {"detail": prefix + text}, own=True)


def unprocessable(errors: Sequence[dict[str, Any]] | str, **more: Any) -> ApiError:
    """Make the 422 of a body or a path that does not validate: the errors as one Python text."""
    if isinstance(errors, str):
        return ApiError(422, {"detail": errors})
    return ApiError(422, {"trace_id": "", "detail": repr(list(errors)), **more})


_ANY = ("llm_error", "An error occurred with the LLM request.")
_BAD_REQUEST = ("llm_bad_request", "The request to the LLM model provider was invalid.")
_NO_CREDITS = ("llm_insufficient_credits", "Insufficient credits for LLM request. Please check your account.")
_NOT_AUTHENTICATED = ("llm_authentication", "Authentication failed with the LLM model provider.")
_TOO_MANY = (
    "llm_rate_limit",
    "Rate limit exceeded for LLM model provider. Please wait before making another request.",
)
_BY_STATUS: dict[int, tuple[int, tuple[str, str], str]] = {
    400: (400, _BAD_REQUEST, "INVALID_ARGUMENT: Bad request to OpenAI-compatible endpoint"),
    401: (401, _NOT_AUTHENTICATED, "UNAUTHENTICATED: Authentication failed with OpenAI"),
    402: (402, _NO_CREDITS, "PAYMENT_REQUIRED: Insufficient credits"),
    403: (500, _ANY, "PERMISSION_DENIED: Permission denied by OpenAI"),
    404: (500, _ANY, "NOT_FOUND: Resource not found in OpenAI"),
    422: (500, _ANY, "INVALID_ARGUMENT: Invalid request content for OpenAI"),
    429: (429, _TOO_MANY, "RATE_LIMIT_EXCEEDED: Rate limited by OpenAI"),
}


def model_failure(status: int) -> ModelError:
    """Make the failure that the provider's HTTP `status` becomes."""
    code, (kind, message), prefix = _BY_STATUS.get(status, (500, _ANY, "INTERNAL_SERVER_ERROR: OpenAI API error"))
    kind_of_error = {401: "authentication_error", 429: "rate_limit_error"}.get(status, "server_error")
    error = {"error": {"message": f"The script says {status}", "type": kind_of_error, "param": None, "code": None}}
    return ModelError(status=code, kind=kind, message=message, detail=f"{prefix}: Error code: {status} - {error}")


def no_summary() -> ModelError:
    """Make the failure of a model that answers with anything but text when it is asked for a summary."""
    detail = "Unhandled LLM error: Summary failed to generate"
    return ModelError(status=500, kind=_ANY[0], message=_ANY[1], detail=detail)


def broken_connection(*, streaming: bool) -> ModelError:
    """Make the failure of a provider that hangs up in the middle of its answer."""
    happened = (
        "Connection error during OpenAI streaming: peer closed connection without sending complete message body "
        "(incomplete chunked read)"
        if streaming
        else "Failed to connect to OpenAI: Connection error."
    )
    return ModelError(status=500, kind=_ANY[0], message=_ANY[1], detail=f"INTERNAL_SERVER_ERROR: {happened}")
