"""Content parts: what a message is made of when it is more than a string."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WrapValidator

from letta_adapters.wire.base import Unknown, WireModel, keep_unknown

__all__ = [
    "Base64Image",
    "ContentPart",
    "ImageContent",
    "ImageSource",
    "InputPart",
    "LettaImage",
    "OmittedReasoningContent",
    "ReasoningContent",
    "RedactedReasoningContent",
    "SummarizedReasoningContent",
    "SummaryPart",
    "TextContent",
    "ToolCallContent",
    "ToolReturnContent",
    "UrlImage",
    "text_of",
]


class TextContent(WireModel):
    """A piece of text."""

    type: Literal["text"] = "text"
    text: str
    signature: str | None = None


class UrlImage(WireModel):
    """An image by its address."""

    type: Literal["url"] = "url"
    url: str


class Base64Image(WireModel):
    """An image by its bytes, base64."""

    type: Literal["base64"] = "base64"
    media_type: str
    data: str
    detail: str | None = None


class LettaImage(WireModel):
    """An image that the server keeps; what other sources become once they are stored."""

    type: Literal["letta"] = "letta"
    file_id: str
    media_type: str | None = None
    data: str | None = None
    detail: str | None = None


ImageSource = Annotated[UrlImage | Base64Image | LettaImage, Field(discriminator="type")]


class ImageContent(WireModel):
    """An image."""

    type: Literal["image"] = "image"
    source: ImageSource


class ToolCallContent(WireModel):
    """A tool call as a part of a message."""

    type: Literal["tool_call"] = "tool_call"
    id: str
    name: str
    input: dict[str, Any]
    signature: str | None = None


class ToolReturnContent(WireModel):
    """A tool result as a part of a message."""

    type: Literal["tool_return"] = "tool_return"
    tool_call_id: str
    content: str
    is_error: bool


class ReasoningContent(WireModel):
    """Reasoning as a part of a message."""

    type: Literal["reasoning"] = "reasoning"
    is_native: bool
    reasoning: str
    signature: str | None = None


class RedactedReasoningContent(WireModel):
    """Reasoning that the provider encrypted."""

    type: Literal["redacted_reasoning"] = "redacted_reasoning"
    data: str


class OmittedReasoningContent(WireModel):
    """Reasoning that exists but that the provider does not show."""

    type: Literal["omitted_reasoning"] = "omitted_reasoning"
    signature: str | None = None


class SummaryPart(WireModel):
    """One part of a reasoning summary."""

    index: int
    text: str


class SummarizedReasoningContent(WireModel):
    """Reasoning as OpenAI's Responses API shows it: a summary."""

    type: Literal["summarized_reasoning"] = "summarized_reasoning"
    id: str
    summary: list[SummaryPart]
    encrypted_content: str | None = None


InputPart = Annotated[
    TextContent
    | ImageContent
    | ToolCallContent
    | ToolReturnContent
    | ReasoningContent
    | RedactedReasoningContent
    | OmittedReasoningContent
    | SummarizedReasoningContent,
    Field(discriminator="type"),
]

"""A content part that can be sent."""

ContentPart = Annotated[InputPart | Unknown, WrapValidator(keep_unknown)]
"""Any content part; one of a type that is not known is kept as `Unknown`."""


def text_of(content: str | list[Any]) -> str:
    """Join the text of a content, leaving out what is not text."""
    if isinstance(content, str):
        return content
    return "".join(part.text for part in content if isinstance(part, TextContent))
