"""Changes of messages that are stored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from letta_adapters.wire.base import InputModel
from letta_adapters.wire.content import ImageContent, TextContent

__all__ = [
    "MessageUpdate",
    "UpdateAssistantMessage",
    "UpdateReasoningMessage",
    "UpdateSystemMessage",
    "UpdateUserMessage",
]


class UpdateSystemMessage(InputModel):
    """Another text for a system message."""

    message_type: Literal["system_message"] = "system_message"
    content: str


class UpdateUserMessage(InputModel):
    """Another content for what the user said."""

    message_type: Literal["user_message"] = "user_message"
    content: str | list[Annotated[TextContent | ImageContent, Field(discriminator="type")]]


class UpdateReasoningMessage(InputModel):
    """Another text for the agent's reasoning."""

    message_type: Literal["reasoning_message"] = "reasoning_message"
    reasoning: str


class UpdateAssistantMessage(InputModel):
    """Another content for what the agent said."""

    message_type: Literal["assistant_message"] = "assistant_message"
    content: str | list[TextContent]


MessageUpdate = UpdateSystemMessage | UpdateUserMessage | UpdateReasoningMessage | UpdateAssistantMessage
"""A change of one row."""
