"""What the endpoints take."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from letta_adapters.wire.content import InputPart
from letta_adapters.wire.messages import MessageType
from letta_adapters.wire.tools import Approval, ApprovalReturn, ToolReturn

__all__ = [
    "ApprovalCreate",
    "ClientSkill",
    "ClientTool",
    "InputMessage",
    "MessageCreate",
    "ToolReturnCreate",
    "TurnRequest",
]


class _Input(BaseModel):
    """Base of what is sent; a field that the API does not have is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MessageCreate(_Input):
    """A message to the agent; `assistant` and `system` messages seed a transcript."""

    type: Literal["message"] = "message"
    role: Literal["user", "system", "assistant"]
    content: str | list[InputPart]
    otid: str | None = None
    name: str | None = None
    sender_id: str | None = None
    group_id: str | None = None
    batch_item_id: str | None = None


class ApprovalCreate(_Input):
    """The answers to all pending calls; the first message of its request."""

    type: Literal["approval"] = "approval"
    approvals: list[Approval] | None = None
    otid: str | None = None
    group_id: str | None = None
    approve: bool | None = None
    approval_request_id: str | None = None
    reason: str | None = None


class ToolReturnCreate(_Input):
    """Tool results alone; the server discards the otid of this form, so this package sends `ApprovalCreate`."""

    type: Literal["tool_return"] = "tool_return"
    tool_returns: list[ToolReturn]
    otid: str | None = None
    group_id: str | None = None


InputMessage = Annotated[MessageCreate | ApprovalCreate | ToolReturnCreate, Field(discriminator="type")]
"""One message of a request."""


class ClientTool(_Input):
    """A tool that the client runs; `parameters` is a JSON Schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ClientSkill(_Input):
    """A skill in the client's environment, shown to the agent."""

    name: str
    description: str
    location: str


class TurnRequest(_Input):
    """The body of `POST /v1/conversations/{id}/messages`.

    The three switches that say how a turn is carried (`streaming`, `background`, `stream_tokens`) default to what
    this package sends: streamed, in the background, token by token.
    """

    messages: list[InputMessage] | None = None
    input: str | list[InputPart] | None = None
    client_tools: list[ClientTool] | None = None
    client_skills: list[ClientSkill] | None = None
    agent_id: str | None = None
    max_steps: int | None = None
    override_model: str | None = None
    override_system: str | None = None
    include_return_message_types: list[MessageType] | None = None
    include_compaction_messages: bool | None = None
    return_logprobs: bool | None = None
    top_logprobs: int | None = None
    return_token_ids: bool | None = None
    use_assistant_message: bool | None = None
    assistant_message_tool_name: str | None = None
    assistant_message_tool_kwarg: str | None = None
    enable_thinking: str | None = None
    streaming: bool = True
    stream_tokens: bool = True
    background: bool = True
    include_pings: bool = True

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
