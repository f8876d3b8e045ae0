"""The body of a request for a turn, validated as strictly as the server does it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, Field, TypeAdapter, ValidationError, field_validator, model_validator

from letta_adapters.testing.errors import unprocessable
from letta_adapters.testing.messages import new_id

__all__ = [
    "ApprovalIn",
    "ClientSkill",
    "ClientTool",
    "DecisionIn",
    "MessageIn",
    "ResultIn",
    "StreamRequest",
    "ToolReturnIn",
    "TurnRequest",
    "check_stream_options",
    "checked",
    "checked_change",
]

MessageType = Literal[
    "system_message",
    "user_message",
    "assistant_message",
    "reasoning_message",
    "hidden_reasoning_message",
    "tool_call_message",
    "tool_return_message",
    "approval_request_message",
    "approval_response_message",
    "summary_message",
    "event_message",
]


class TextIn(BaseModel):
    """Text as a content part."""

    type: Literal["text"] = "text"
    text: str
    signature: str | None = None


class UrlIn(BaseModel):
    """An image by its address."""

    type: Literal["url"] = "url"
    url: str


class Base64In(BaseModel):
    """An image by its bytes."""

    type: Literal["base64"] = "base64"
    media_type: str
    data: str
    detail: str | None = None


class FileIn(BaseModel):
    """An image that the server keeps already."""

    type: Literal["letta"] = "letta"
    file_id: str
    media_type: str | None = None
    data: str | None = None
    detail: str | None = None


class ImageIn(BaseModel):
    """An image as a content part."""

    type: Literal["image"] = "image"
    source: Annotated[UrlIn | Base64In | FileIn, Field(discriminator="type")]


class ReasoningIn(BaseModel):
    """Reasoning as a content part."""

    type: Literal["reasoning"] = "reasoning"
    is_native: bool
    reasoning: str
    signature: str | None = None


class RedactedReasoningIn(BaseModel):
    """Reasoning that a provider encrypted."""

    type: Literal["redacted_reasoning"] = "redacted_reasoning"
    data: str


class OmittedReasoningIn(BaseModel):
    """Reasoning that a provider does not show."""

    type: Literal["omitted_reasoning"] = "omitted_reasoning"
    signature: str | None = None


class SummaryPartIn(BaseModel):
    """A part of a summary of reasoning."""

    index: int
    text: str


class SummarizedReasoningIn(BaseModel):
    """A summary of reasoning."""

    type: Literal["summarized_reasoning"] = "summarized_reasoning"
    id: str
    summary: list[SummaryPartIn]
    encrypted_content: str | None = None


class ToolCallPartIn(BaseModel):
    """A call as a content part."""

    type: Literal["tool_call"] = "tool_call"
    id: str
    name: str
    input: dict[str, Any]
    signature: str | None = None


class ToolReturnPartIn(BaseModel):
    """A result as a content part."""

    type: Literal["tool_return"] = "tool_return"
    tool_call_id: str
    content: str
    is_error: bool


PartIn = Annotated[
    TextIn
    | ImageIn
    | ReasoningIn
    | RedactedReasoningIn
    | OmittedReasoningIn
    | SummarizedReasoningIn
    | ToolCallPartIn
    | ToolReturnPartIn,
    Field(discriminator="type"),
]
ResultPartIn = Annotated[TextIn | ImageIn, Field(discriminator="type")]


class _WithOtid(BaseModel):
    otid: str | None = None

    @model_validator(mode="after")
    def _own_otid(self) -> _WithOtid:
        """A message without an otid gets one of its own, so that it repeats nothing."""
        if self.otid is None:
            self.otid = new_id("otid").removeprefix("otid-")
        return self


class MessageIn(_WithOtid):
    """A message of a user, of the system, or seeded for the assistant."""

    type: Literal["message"] | None = "message"
    role: Literal["user", "system", "assistant"]
    content: str | list[PartIn]
    name: str | None = None
    sender_id: str | None = None
    group_id: str | None = None


class DecisionIn(BaseModel):
    """A yes or no to one pending call."""

    type: Literal["approval"]
    tool_call_id: str
    approve: bool
    reason: str | None = None


class ResultIn(BaseModel):
    """The result of one pending call."""

    type: Literal["tool"]
    tool_return: str | list[ResultPartIn]
    status: Literal["success", "error"]
    tool_call_id: str
    stdout: list[str] | None = None
    stderr: list[str] | None = None


class ApprovalIn(_WithOtid):
    """The answers to all pending calls."""

    type: Literal["approval"] = "approval"
    approvals: list[Annotated[DecisionIn | ResultIn, Field(discriminator="type")]] | None = None
    approve: bool | None = None
    approval_request_id: str | None = None
    reason: str | None = None

    @model_validator(mode="after")
    def _from_old_fields(self) -> ApprovalIn:
        if not self.approvals and self.approve is not None and self.approval_request_id is not None:
            answer = DecisionIn(
                type="approval",
                tool_call_id=self.approval_request_id,
                approve=self.approve,
                reason=self.reason,
            )
            self.approvals = [answer]
        return self


class ToolReturnIn(_WithOtid):
    """The results of all pending calls."""

    type: Literal["tool_return"] = "tool_return"
    tool_returns: list[ResultIn]


class ClientTool(BaseModel):
    """A tool that the client runs."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ClientSkill(BaseModel):
    """A skill of the client's environment."""

    name: str
    description: str
    location: str


class TurnRequest(BaseModel):
    """What `POST …/messages` takes."""

    messages: list[MessageIn | ApprovalIn | ToolReturnIn] | None = None
    input: str | list[PartIn] | None = None
    agent_id: str | None = None
    max_steps: int = 50
    streaming: bool | None = None
    stream_tokens: bool = False
    include_pings: bool = True
    background: bool = False
    include_return_message_types: list[MessageType] | None = None
    client_tools: list[ClientTool] | None = None
    client_skills: list[ClientSkill] | None = None
    include_compaction_messages: bool = False
    callback_url: str | None = None
    return_logprobs: bool = False
    top_logprobs: int | None = None
    return_token_ids: bool = False
    override_model: str | None = None
    override_system: str | None = Field(None, validation_alias=AliasChoices("override_system", "system"))

    @field_validator("messages", mode="before")
    @classmethod
    def _name_types(cls, value: Any) -> Any:
        if isinstance(value, list):
            for item in value:  # pyright: ignore[reportUnknownVariableType]
                if isinstance(item, dict) and "type" not in item:
                    answers = "approval_request_id" in item or "approve" in item
                    item["type"] = "approval" if answers else "message"
        return value  # pyright: ignore[reportUnknownVariableType]

    @model_validator(mode="after")
    def _input_or_messages(self) -> TurnRequest:
        if self.input is not None and self.messages is not None:
            raise ValueError("Cannot specify both 'input' and 'messages'. Use one or the other.")
        if self.input is None and self.messages is None:
            raise ValueError("Must specify either 'input' or 'messages'.")
        if self.input is not None:
            self.messages = [MessageIn(role="user", content=self.input)]
        return self

    @property
    def all_messages(self) -> list[MessageIn | ApprovalIn | ToolReturnIn]:
        """The messages, wherever they came from."""
        return self.messages or []

    @property
    def otids(self) -> list[str]:
        """The otids of all messages, in order."""
        return [message.otid for message in self.all_messages if message.otid]

    def wants(self, message_type: str) -> bool:
        """Whether the type filter lets a type through."""
        return self.include_return_message_types is None or message_type in self.include_return_message_types


class _ChangeOfContent(BaseModel):
    message_type: Literal["system_message", "user_message", "assistant_message"]
    content: str | list[PartIn]


class _ChangeOfReasoning(BaseModel):
    message_type: Literal["reasoning_message"]
    reasoning: str


_CHANGE: TypeAdapter[_ChangeOfContent | _ChangeOfReasoning] = TypeAdapter(_ChangeOfContent | _ChangeOfReasoning)


class StreamRequest(BaseModel):
    """What `POST …/stream` takes."""

    agent_id: str | None = None
    run_id: str | None = None
    otid: str | None = None
    starting_after: int = 0
    include_pings: bool | None = True
    poll_interval: float | None = 0.1
    batch_size: int | None = 100


def checked(body: Any, *, streams: bool = True) -> TurnRequest:
    """Validate the body of a turn; `streams` is what it does unless it says otherwise.

    Raises:
        ApiError: the 422 that names what is wrong.
    """
    try:
        request = TurnRequest.model_validate(body)
    except ValidationError as error:
        raise unprocessable(
            [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        ) from error
    if request.streaming is None:
        request.streaming = streams
    if not request.all_messages:
        raise unprocessable("Messages must not be empty")
    return request


def checked_change(body: Any) -> None:
    """Validate the body of a change of a message.

    Raises:
        ApiError: the 422 that names what is wrong.
    """
    try:
        _CHANGE.validate_python(body)
    except ValidationError as error:
        raise unprocessable(
            [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        ) from error


def check_stream_options(request: TurnRequest) -> None:
    """Refuse what is said of a stream that an agent's endpoint is not asked for.

    Raises:
        ApiError: the 422 that names what is wrong.
    """
    if request.streaming:
        return
    errors = [
        text
        for text, is_wrong in (
            ("stream_tokens can only be true when streaming=true", request.stream_tokens),
            ("include_pings can only be set to false when streaming=true", not request.include_pings),
            ("background can only be true when streaming=true", request.background),
        )
        if is_wrong
    ]
    if errors:
        raise unprocessable(
            f"Streaming options set without streaming enabled. {'; '.join(errors)}. "
            "Either set streaming=true or use default values for streaming options."
        )
