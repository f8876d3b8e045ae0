"""Fields that LangChain reads off the model itself, given with a call: it has read them when the call gets to ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import RunnableConfig
from typing_extensions import Self, override

from langchain_letta.description import DescribedModel

__all__ = ["OverridableModel"]

_READ_BY_LANGCHAIN = frozenset({"cache", "disable_streaming", "output_version", "rate_limiter", "streaming"})


class OverridableModel(DescribedModel):
    """A chat model that heeds LangChain's own fields with a call, too, as every other field of `ChatLetta`."""

    def _as_read(self, kwargs: dict[str, Any]) -> tuple[Self, dict[str, Any]]:
        """The model that LangChain is to read, and what else is given with the call.

        A copy, not a new one: a field of a new one counts as set, and a `streaming` that is set to `False` would
        forbid to stream.
        """
        read = {name: value for name, value in kwargs.items() if name in _READ_BY_LANGCHAIN}
        others = {name: value for name, value in kwargs.items() if name not in _READ_BY_LANGCHAIN}
        return (self.model_copy(update=read) if read else self), others

    @override
    def generate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer each of several transcripts, with fields of LangChain's own given with the call."""
        model, others = self._as_read(kwargs)
        return super(OverridableModel, model).generate(messages, stop, callbacks, **others)

    @override
    async def agenerate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer each of several transcripts, with fields of LangChain's own given with the call."""
        model, others = self._as_read(kwargs)
        return await super(OverridableModel, model).agenerate(messages, stop, callbacks, **others)

    @override
    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Stream an answer, with fields of LangChain's own given with the call."""
        model, others = self._as_read(kwargs)
        return super(OverridableModel, model).stream(input, config, stop=stop, **others)

    @override
    def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Stream an answer, with fields of LangChain's own given with the call."""
        model, others = self._as_read(kwargs)
        return super(OverridableModel, model).astream(input, config, stop=stop, **others)
