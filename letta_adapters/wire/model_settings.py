"""Settings of a model, one class per provider; `provider_type` tells them apart and is always sent."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from letta_adapters.wire.base import InputModel

__all__ = [
    "AnthropicModelSettings",
    "AzureModelSettings",
    "BasetenModelSettings",
    "BedrockModelSettings",
    "ChatGPTOAuthModelSettings",
    "ChatGPTOAuthReasoning",
    "ClearableThinking",
    "DeepseekModelSettings",
    "GoogleAIModelSettings",
    "GoogleVertexModelSettings",
    "GroqModelSettings",
    "JsonObjectResponseFormat",
    "JsonSchemaResponseFormat",
    "ModelSettings",
    "MoonshotCodingModelSettings",
    "MoonshotModelSettings",
    "OpenAIModelSettings",
    "OpenRouterModelSettings",
    "Reasoning",
    "ResponseFormat",
    "SGLangModelSettings",
    "TextResponseFormat",
    "Thinking",
    "ThinkingConfig",
    "TogetherModelSettings",
    "XAIModelSettings",
    "ZAIModelSettings",
]

Effort = Literal["low", "medium", "high", "xhigh", "max"]
Verbosity = Literal["low", "medium", "high"]


class TextResponseFormat(InputModel):
    """Plain text."""

    type: Literal["text"] = "text"


class JsonSchemaResponseFormat(InputModel):
    """JSON of a schema."""

    type: Literal["json_schema"] = "json_schema"
    json_schema: dict[str, Any]


class JsonObjectResponseFormat(InputModel):
    """Any JSON object."""

    type: Literal["json_object"] = "json_object"


ResponseFormat = Annotated[
    TextResponseFormat | JsonSchemaResponseFormat | JsonObjectResponseFormat, Field(discriminator="type")
]


class Reasoning(InputModel):
    """How hard a reasoning model thinks."""

    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None


class ChatGPTOAuthReasoning(InputModel):
    """How hard a model behind a ChatGPT account thinks."""

    reasoning_effort: Literal["none", "low", "medium", "high", "xhigh"] | None = None


class Thinking(InputModel):
    """Extended thinking, and how many tokens it may take."""

    type: Literal["enabled", "disabled"] | None = None
    budget_tokens: Annotated[int | None, Field(ge=0)] = None


class ClearableThinking(InputModel):
    """Thinking that may be cleared from the context afterwards."""

    type: Literal["enabled", "disabled"] | None = None
    clear_thinking: bool | None = None


class ThinkingConfig(InputModel):
    """Thinking of Google's models, and how many tokens it may take."""

    include_thoughts: bool | None = None
    thinking_budget: int | None = None


class _Settings(InputModel):
    max_output_tokens: Annotated[int | None, Field(ge=1)] = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    parallel_tool_calls: bool | None = None


class _Formatted(_Settings):
    response_format: ResponseFormat | None = None


class OpenAIModelSettings(_Formatted):
    """OpenAI, and servers that speak its API."""

    provider_type: Literal["openai"] = "openai"
    reasoning: Reasoning | None = None
    strict: bool | None = None


class SGLangModelSettings(_Formatted):
    """SGLang."""

    provider_type: Literal["sglang"] = "sglang"
    reasoning: Reasoning | None = None
    strict: bool | None = None
    tool_call_parser: str | None = None


class AnthropicModelSettings(_Formatted):
    """Anthropic."""

    provider_type: Literal["anthropic"] = "anthropic"
    effort: Effort | None = None
    strict: bool | None = None
    thinking: Thinking | None = None
    verbosity: Verbosity | None = None


class _Google(_Settings):
    response_schema: ResponseFormat | None = None
    thinking_config: ThinkingConfig | None = None


class GoogleAIModelSettings(_Google):
    """Google's Gemini API."""

    provider_type: Literal["google_ai"] = "google_ai"


class GoogleVertexModelSettings(_Google):
    """Google's Vertex AI."""

    provider_type: Literal["google_vertex"] = "google_vertex"


class AzureModelSettings(_Formatted):
    """Azure OpenAI."""

    provider_type: Literal["azure"] = "azure"


class XAIModelSettings(_Formatted):
    """xAI."""

    provider_type: Literal["xai"] = "xai"


class MoonshotModelSettings(_Formatted):
    """Moonshot AI; not known to a self-hosted 0.16.8."""

    provider_type: Literal["moonshot"] = "moonshot"
    strict: bool | None = None


class ZAIModelSettings(_Formatted):
    """Z.ai."""

    provider_type: Literal["zai"] = "zai"
    thinking: ClearableThinking | None = None


class MoonshotCodingModelSettings(_Formatted):
    """Moonshot AI's coding plan; not known to a self-hosted 0.16.8."""

    provider_type: Literal["moonshot_coding"] = "moonshot_coding"
    effort: Effort | None = None
    strict: bool | None = None
    thinking: Thinking | None = None
    verbosity: Verbosity | None = None


class GroqModelSettings(_Formatted):
    """Groq."""

    provider_type: Literal["groq"] = "groq"


class DeepseekModelSettings(_Formatted):
    """DeepSeek."""

    provider_type: Literal["deepseek"] = "deepseek"


class TogetherModelSettings(_Formatted):
    """Together AI."""

    provider_type: Literal["together"] = "together"


class BedrockModelSettings(_Formatted):
    """Amazon Bedrock."""

    provider_type: Literal["bedrock"] = "bedrock"


class BasetenModelSettings(_Settings):
    """Baseten."""

    provider_type: Literal["baseten"] = "baseten"


class OpenRouterModelSettings(_Formatted):
    """OpenRouter."""

    provider_type: Literal["openrouter"] = "openrouter"


class ChatGPTOAuthModelSettings(_Settings):
    """Models behind a ChatGPT account."""

    provider_type: Literal["chatgpt_oauth"] = "chatgpt_oauth"
    reasoning: ChatGPTOAuthReasoning | None = None


ModelSettings = Annotated[
    OpenAIModelSettings
    | SGLangModelSettings
    | AnthropicModelSettings
    | GoogleAIModelSettings
    | GoogleVertexModelSettings
    | AzureModelSettings
    | XAIModelSettings
    | MoonshotModelSettings
    | ZAIModelSettings
    | MoonshotCodingModelSettings
    | GroqModelSettings
    | DeepseekModelSettings
    | TogetherModelSettings
    | BedrockModelSettings
    | BasetenModelSettings
    | OpenRouterModelSettings
    | ChatGPTOAuthModelSettings,
    Field(discriminator="provider_type"),
]
"""The settings of any provider's model."""
