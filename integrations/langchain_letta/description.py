"""What a `ChatLetta` says of itself: to traces, caches and serializers, and to whoever asks what it can do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.tools import BaseTool
from pydantic import ConfigDict, model_validator
from typing_extensions import Self, override

from langchain_letta.configuration import ConfiguredModel
from langchain_letta.tools import openai_tools_from_langchain
from langchain_letta.tracing import traceable
from letta_adapters.version import __version__

__all__ = ["DescribedModel"]

_CHARACTERS_PER_TOKEN = 4

_PROFILE = ModelProfile(
    text_inputs=True,
    image_inputs=True,
    image_url_inputs=True,
    image_tool_message=True,
    pdf_inputs=False,
    pdf_tool_message=False,
    audio_inputs=False,
    video_inputs=False,
    text_outputs=True,
    image_outputs=False,
    audio_outputs=False,
    video_outputs=False,
    reasoning_output=True,
    tool_calling=True,
    tool_choice=False,
    tool_call_streaming=True,
    # Of the provider's own kind, with a request: `with_structured_output` and `ToolStrategy` call a tool instead.
    structured_output=False,
    mid_conversation_system_messages=True,
    mid_conversation_tools=False,
)
"""What the API takes and gives, whichever model the agent has: how much that model reads is not known here."""


class DescribedModel(ConfiguredModel):
    """A chat model with everything of `ChatLetta` that is told without a call."""

    model_config = ConfigDict(use_attribute_docstrings=False)  # no fields from here on: nothing to read the source for

    @model_validator(mode="after")
    def _set_letta_adapters_version(self) -> Self:
        self._add_version("letta-adapters", __version__)
        return self

    @override
    def _resolve_model_profile(self) -> ModelProfile:
        return _PROFILE.copy()

    @property
    @override
    def _llm_type(self) -> str:
        return "letta-chat"

    @property
    @override
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "agent_id": self.agent_id,
            "conversation_id": self.conversation_id,
            "base_url": self._server,
            "override_model": self.override_model,
        }

    @override
    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        return traceable(super()._get_invocation_params(stop=stop, **kwargs))

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        # Without what the server is not told, as the temperature: a trace says what happened.
        return LangSmithParams(
            ls_provider="letta", ls_model_type="chat", ls_model_name=self._with(kwargs)._reported_name
        )

    @classmethod
    @override
    def is_lc_serializable(cls) -> bool:
        """It is, by `langchain_core.load`: keys are written as the names of environment variables."""
        return True

    @classmethod
    @override
    def get_lc_namespace(cls) -> list[str]:
        """Where the class is imported from."""
        return ["langchain_letta"]

    @property
    @override
    def lc_secrets(self) -> dict[str, str]:
        """The fields that are kept out, by the environment variables that they are read from."""
        return {"api_key": "LETTA_API_KEY", "anchor_key": "LETTA_ANCHOR_KEY"}

    @override
    def get_num_tokens(self, text: str) -> int:
        """Estimate the tokens of a text, four characters each: which model the agent has is its own matter."""
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens(text)
        return math.ceil(len(text) / _CHARACTERS_PER_TOKEN)

    @override
    def get_num_tokens_from_messages(
        self,
        messages: list[BaseMessage],
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool] | None = None,
    ) -> int:
        """Estimate the tokens of messages, and of tools that are offered with them."""
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens_from_messages(messages, tools)
        offered: list[BaseTool | dict[str, Any]] = [*openai_tools_from_langchain(tools or ())]
        return count_tokens_approximately(messages, tools=offered)
