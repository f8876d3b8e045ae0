"""The API's types, as pydantic models: a closed union of what is known, and `Unknown` for the rest.

What few programs name is loaded when it is asked for: pydantic takes about a millisecond to make a class.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from letta_adapters.wire.base import Handle, InputModel, Unknown, WireModel
from letta_adapters.wire.content import (
    Base64Image,
    ContentPart,
    ImageContent,
    ImageSource,
    InputPart,
    LettaImage,
    OmittedReasoningContent,
    ReasoningContent,
    RedactedReasoningContent,
    SummarizedReasoningContent,
    SummaryPart,
    TextContent,
    ToolCallContent,
    ToolReturnContent,
    UrlImage,
    text_of,
)
from letta_adapters.wire.messages import (
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    AssistantMessage,
    CompactionStats,
    EventMessage,
    HiddenReasoningMessage,
    KnownMessage,
    Message,
    MessageType,
    ReasoningMessage,
    SummaryMessage,
    SystemMessage,
    ToolCallMessage,
    ToolReturnMessage,
    UserMessage,
    calls_of,
    parse_messages,
    returns_of,
)
from letta_adapters.wire.requests import (
    ApprovalCreate,
    AsyncTurnRequest,
    ClientSkill,
    ClientTool,
    InputMessage,
    MessageCreate,
    MessageRequest,
    ToolReturnCreate,
    TurnRequest,
)
from letta_adapters.wire.resources import (
    Agent,
    Conversation,
    JobStatus,
    JobType,
    LettaResponse,
    Model,
    Run,
    RunConfig,
    RunUsage,
)
from letta_adapters.wire.stream import (
    ErrorMessage,
    Ping,
    ResponseState,
    StopReason,
    StopReasonType,
    StreamEvent,
    UsageStatistics,
    parse_event,
)
from letta_adapters.wire.summaries import packed_alert, summary_of
from letta_adapters.wire.tokens import Logprobs, TokenLogprob, TokenTurn, TopLogprob
from letta_adapters.wire.tools import Approval, ApprovalReturn, ToolCall, ToolCallDelta, ToolReturn

if TYPE_CHECKING:
    from letta_adapters.wire.compaction import (
        CompactionRequest,
        CompactionResponse,
        CompactionSettings,
    )
    from letta_adapters.wire.internal import (
        FunctionCall,
        InternalMessage,
        InternalToolCall,
        InternalToolReturn,
        MessageRole,
    )
    from letta_adapters.wire.model_settings import (
        AnthropicModelSettings,
        AzureModelSettings,
        BasetenModelSettings,
        BedrockModelSettings,
        ChatGPTOAuthModelSettings,
        ChatGPTOAuthReasoning,
        ClearableThinking,
        DeepseekModelSettings,
        GoogleAIModelSettings,
        GoogleVertexModelSettings,
        GroqModelSettings,
        JsonObjectResponseFormat,
        JsonSchemaResponseFormat,
        ModelSettings,
        MoonshotCodingModelSettings,
        MoonshotModelSettings,
        OpenAIModelSettings,
        OpenRouterModelSettings,
        Reasoning,
        ResponseFormat,
        SGLangModelSettings,
        TextResponseFormat,
        Thinking,
        ThinkingConfig,
        TogetherModelSettings,
        XAIModelSettings,
        ZAIModelSettings,
    )
    from letta_adapters.wire.updates import (
        MessageUpdate,
        UpdateAssistantMessage,
        UpdateReasoningMessage,
        UpdateSystemMessage,
        UpdateUserMessage,
    )

__all__ = [
    "Agent",
    "AnthropicModelSettings",
    "Approval",
    "ApprovalCreate",
    "ApprovalRequestMessage",
    "ApprovalResponseMessage",
    "ApprovalReturn",
    "AssistantMessage",
    "AsyncTurnRequest",
    "AzureModelSettings",
    "Base64Image",
    "BasetenModelSettings",
    "BedrockModelSettings",
    "ChatGPTOAuthModelSettings",
    "ChatGPTOAuthReasoning",
    "ClearableThinking",
    "ClientSkill",
    "ClientTool",
    "CompactionRequest",
    "CompactionResponse",
    "CompactionSettings",
    "CompactionStats",
    "ContentPart",
    "Conversation",
    "DeepseekModelSettings",
    "ErrorMessage",
    "EventMessage",
    "FunctionCall",
    "GoogleAIModelSettings",
    "GoogleVertexModelSettings",
    "GroqModelSettings",
    "Handle",
    "HiddenReasoningMessage",
    "ImageContent",
    "ImageSource",
    "InputMessage",
    "InputModel",
    "InputPart",
    "InternalMessage",
    "InternalToolCall",
    "InternalToolReturn",
    "JobStatus",
    "JobType",
    "JsonObjectResponseFormat",
    "JsonSchemaResponseFormat",
    "KnownMessage",
    "LettaImage",
    "LettaResponse",
    "Logprobs",
    "Message",
    "MessageCreate",
    "MessageRequest",
    "MessageRole",
    "MessageType",
    "MessageUpdate",
    "Model",
    "ModelSettings",
    "MoonshotCodingModelSettings",
    "MoonshotModelSettings",
    "OmittedReasoningContent",
    "OpenAIModelSettings",
    "OpenRouterModelSettings",
    "Ping",
    "ResponseState",
    "Reasoning",
    "ReasoningContent",
    "ReasoningMessage",
    "RedactedReasoningContent",
    "ResponseFormat",
    "Run",
    "RunConfig",
    "RunUsage",
    "SGLangModelSettings",
    "StopReason",
    "StopReasonType",
    "StreamEvent",
    "SummarizedReasoningContent",
    "SummaryMessage",
    "SummaryPart",
    "SystemMessage",
    "TextContent",
    "TextResponseFormat",
    "Thinking",
    "ThinkingConfig",
    "TogetherModelSettings",
    "TokenLogprob",
    "TokenTurn",
    "ToolCall",
    "ToolCallContent",
    "ToolCallDelta",
    "ToolCallMessage",
    "ToolReturn",
    "ToolReturnContent",
    "ToolReturnCreate",
    "ToolReturnMessage",
    "TopLogprob",
    "TurnRequest",
    "Unknown",
    "UpdateAssistantMessage",
    "UpdateReasoningMessage",
    "UpdateSystemMessage",
    "UpdateUserMessage",
    "UrlImage",
    "UsageStatistics",
    "UserMessage",
    "WireModel",
    "XAIModelSettings",
    "ZAIModelSettings",
    "calls_of",
    "packed_alert",
    "parse_event",
    "parse_messages",
    "returns_of",
    "summary_of",
    "text_of",
]

_ON_DEMAND = ("updates", "internal", "compaction", "model_settings")
"""The modules of what few programs name, the small ones first: a name is looked for in one after the other."""


def __getattr__(name: str) -> object:
    if name in _ON_DEMAND:
        return import_module(f"{__name__}.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    modules = (import_module(f"{__name__}.{module}") for module in _ON_DEMAND)
    value: object = next(getattr(module, name) for module in modules if name in module.__all__)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ON_DEMAND})
