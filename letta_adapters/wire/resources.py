"""Agents, conversations and runs, as the server describes them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WrapValidator

from letta_adapters.wire.base import Explanation, Id, Unknown, WireModel, keep_unknown
from letta_adapters.wire.content import text_of
from letta_adapters.wire.messages import AssistantMessage, Message
from letta_adapters.wire.stream import Count, StopReason, StopReasonType, UsageStatistics
from letta_adapters.wire.tokens import Logprobs, TokenTurn

__all__ = ["Agent", "Conversation", "JobStatus", "JobType", "LettaResponse", "Model", "Run", "RunConfig", "RunUsage"]

JobStatus = Literal["created", "running", "completed", "failed", "pending", "cancelled", "expired"]
"""What a run, or another job, can have come to."""

JobType = Literal["job", "run", "batch"]


_MessageIds = Annotated[list[str], BeforeValidator(lambda value: [] if value is None else value)]
"""Ids that Letta Cloud leaves out as null where they were not looked up."""


class Agent(WireModel):
    """An agent; fields that are not named here are in `model_extra`."""

    id: Id
    name: str
    agent_type: str | None = None
    model: str | None = None
    model_settings: dict[str, Any] | None = None
    system: str | None = None


class Model(WireModel):
    """A model that agents can use; `handle` is what `model` takes, as `provider/model`."""

    handle: str


class Conversation(WireModel):
    """A conversation of an agent; `in_context_message_ids` are those that the model sees, in order.

    Only a conversation that is retrieved by itself has them.
    """

    id: Id
    agent_id: Id
    summary: str | None = None
    description: str | None = None
    hidden: bool | None = None
    archived: bool | None = None
    archived_at: datetime | None = None
    context_window_limit: int | None = None
    isolated_block_ids: list[str] = Field(default_factory=list)
    in_context_message_ids: _MessageIds = Field(default_factory=list)
    model: str | None = None
    model_settings: dict[str, Any] | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    last_message_at: datetime | None = None


class RunConfig(WireModel):
    """How a run was asked to answer."""

    use_assistant_message: bool | None = None
    assistant_message_tool_name: str | None = None
    assistant_message_tool_kwarg: str | None = None
    include_return_message_types: list[str] | None = None


class Run(WireModel):
    """One run of an agent. Its `status` alone proves nothing: a failed run can be recorded as completed.

    `callback_…` tell of the call that announced its end; `ttft_ns` and `total_duration_ns` are nanoseconds.
    """

    id: Id
    agent_id: str | None = None
    conversation_id: str | None = None
    base_template_id: str | None = None
    status: JobStatus | str | None = None
    stop_reason: StopReasonType | str | None = None
    background: bool | None = None
    metadata: dict[str, Any] | None = None
    request_config: RunConfig | None = None
    callback_url: str | None = None
    callback_sent_at: datetime | None = None
    callback_status_code: int | None = None
    callback_error: Explanation | None = None
    ttft_ns: int | None = None
    total_duration_ns: int | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None

    @property
    def in_flight(self) -> bool:
        """Whether it has not ended, as far as its record says; a server that died leaves its runs so."""
        return self.status in ("created", "running")


class RunUsage(WireModel):
    """Tokens of a run, as its record has them; the details are those of the provider."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    total_tokens: Count = 0
    prompt_tokens_details: dict[str, Any] | None = None
    completion_tokens_details: dict[str, Any] | None = None


class LettaResponse(WireModel):
    """The answer to a turn that is not streamed.

    `logprobs` are those of the last call of the model (`return_logprobs`), `turns` the tokens of all of them
    (`return_token_ids`).
    """

    messages: list[Message]
    stop_reason: StopReason
    usage: UsageStatistics
    logprobs: Annotated[Logprobs | Unknown, WrapValidator(keep_unknown)] | None = None
    turns: list[Annotated[TokenTurn | Unknown, WrapValidator(keep_unknown)]] | None = None

    @property
    def text(self) -> str:
        """The text of the answer."""
        return "".join(text_of(message.content) for message in self.messages if isinstance(message, AssistantMessage))
