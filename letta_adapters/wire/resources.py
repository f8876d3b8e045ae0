"""Agents, conversations and runs, as the server describes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from letta_adapters.wire.base import Id, WireModel
from letta_adapters.wire.messages import Message
from letta_adapters.wire.stream import StopReason, UsageStatistics

__all__ = ["Agent", "Conversation", "LettaResponse", "Model", "Run"]


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
    """A conversation of an agent; `in_context_message_ids` are those that the model sees, in order."""

    id: Id
    agent_id: Id
    summary: str | None = None
    in_context_message_ids: list[str] = Field(default_factory=list)
    model: str | None = None
    model_settings: dict[str, Any] | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    last_message_at: datetime | None = None


class Run(WireModel):
    """One run of an agent. Its `status` alone proves nothing: a failed run can be recorded as completed."""

    id: Id
    agent_id: str | None = None
    conversation_id: str | None = None
    status: str | None = None
    stop_reason: str | None = None
    background: bool | None = None
    metadata: dict[str, Any] | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None

    @property
    def in_flight(self) -> bool:
        """Whether it has not ended, as far as its record says; a server that died leaves its runs so."""
        return self.status in ("created", "running")


class LettaResponse(WireModel):
    """The answer to a turn that is not streamed."""

    messages: list[Message]
    stop_reason: StopReason
    usage: UsageStatistics
    logprobs: dict[str, Any] | None = None
    turns: list[dict[str, Any]] | None = None
