"""What the endpoints take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, field_validator, model_validator
from typing_extensions import Self

from letta_adapters.wire.base import Handle, InputModel
from letta_adapters.wire.content import InputPart
from letta_adapters.wire.messages import MessageType
from letta_adapters.wire.tools import Approval, ApprovalReturn, ToolReturn

__all__ = [
    "ApprovalCreate",
    "AsyncTurnRequest",
    "ClientSkill",
    "ClientTool",
    "InputMessage",
    "MessageCreate",
    "MessageRequest",
    "ToolReturnCreate",
    "TurnRequest",
]


class MessageCreate(InputModel):
    """A message to the agent; `assistant` and `system` messages seed a transcript."""

    type: Literal["message"] = "message"
    role: Literal["user", "system", "assistant"]
    content: str | list[InputPart]
    otid: str | None = None
    name: str | None = None
    sender_id: str | None = None
    group_id: str | None = None
    batch_item_id: str | None = None


class ApprovalCreate(InputModel):
    """The answers to all pending calls; the first message of its request."""

    type: Literal["approval"] = "approval"
    approvals: list[Approval] | None = None
    otid: str | None = None
    group_id: str | None = None
    approve: bool | None = None
    approval_request_id: str | None = None
    reason: str | None = None


class ToolReturnCreate(InputModel):
    """Tool results alone; the server discards the otid of this form, so this package sends `ApprovalCreate`."""

    type: Literal["tool_return"] = "tool_return"
    tool_returns: list[ToolReturn]
    otid: str | None = None
    group_id: str | None = None


def _typed(message: Any) -> Any:
    """A dict that says no type but who says what is a message, to the API as well."""
    if not isinstance(message, Mapping):
        return message
    fields = cast("Mapping[str, Any]", message)
    return {"type": "message", **fields} if fields.keys() & {"role", "content"} else fields


InputMessage = Annotated[
    MessageCreate | ApprovalCreate | ToolReturnCreate, Field(discriminator="type"), BeforeValidator(_typed)
]
"""One message of a request."""


class ClientTool(InputModel):
    """A tool that the client runs; `parameters` is a JSON Schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ClientSkill(InputModel):
    """A skill in the client's environment, shown to the agent."""

    name: str
    description: str
    location: str


class MessageRequest(InputModel):
    """What every endpoint takes that makes an agent answer; what is not set is the server's default.

    `use_assistant_message`, the two `assistant_message_tool_…` and `enable_thinking` are of older agent types; the API
    still takes them.
    """

    messages: list[InputMessage] | None = None
    input: str | list[InputPart] | None = None
    client_tools: list[ClientTool] | None = None
    client_skills: list[ClientSkill] | None = None
    max_steps: Annotated[int | None, Field(ge=1)] = None
    override_model: Handle | None = None
    override_system: str | None = None
    include_return_message_types: list[MessageType] | None = None
    include_compaction_messages: bool | None = None
    return_logprobs: bool | None = None
    top_logprobs: Annotated[int | None, Field(ge=0, le=20)] = None
    return_token_ids: bool | None = None
    use_assistant_message: bool | None = None
    assistant_message_tool_name: str | None = None
    assistant_message_tool_kwarg: str | None = None
    enable_thinking: str | None = None

    @field_validator("client_tools", "client_skills")
    @classmethod
    def _each_a_name(cls, value: list[Any] | None) -> list[Any] | None:
        names = [one.name for one in value or ()]
        if "" in names:
            raise ValueError("one has no name")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two are named {twice!r}")
        return value

    @field_validator("messages")
    @classmethod
    def _otids_once(cls, value: list[InputMessage] | None) -> list[InputMessage] | None:
        otids = [message.otid for message in value or () if message.otid is not None]
        if len(set(otids)) < len(otids):
            raise ValueError("two messages have the same otid")
        return value

    @model_validator(mode="after")
    def _logprobs_are_asked_for(self) -> Self:
        if self.top_logprobs is not None and not self.return_logprobs:
            raise ValueError("`top_logprobs` needs `return_logprobs=True`")
        return self

    @property
    def otids(self) -> tuple[str, ...]:
        """The otids of the messages, in order; what the server dedupes by."""
        return tuple(message.otid for message in self.messages or () if message.otid is not None)

    @property
    def own_results(self) -> tuple[str, ...]:
        """Ids of the calls whose results this request brings; an approved call has its result from the server."""
        ids: list[str] = []
        for message in self.messages or ():
            if isinstance(message, ApprovalCreate):
                answers = message.approvals or ()
                ids.extend(one.tool_call_id for one in answers if not (isinstance(one, ApprovalReturn) and one.approve))
            elif isinstance(message, ToolReturnCreate):
                ids.extend(one.tool_call_id for one in message.tool_returns)
        return tuple(ids)

    def to_json(self) -> bytes:
        """The bytes to send; what was not set is left out."""
        return self.model_dump_json(exclude_none=True).encode()


class AsyncTurnRequest(MessageRequest):
    """The body of `POST /v1/agents/{id}/messages/async`; the server calls `callback_url` when the run has ended."""

    callback_url: Annotated[str | None, Field(pattern="^https?://")] = None


class TurnRequest(MessageRequest):
    """The body of `POST /v1/conversations/{id}/messages`.

    The three switches that say how a turn is carried (`streaming`, `background`, `stream_tokens`) default to what
    this package sends: streamed, in the background, token by token.
    """

    agent_id: str | None = None
    streaming: bool = True
    stream_tokens: bool = True
    background: bool = True
    include_pings: bool = True
