"""Models that have their answer ready: what the frameworks themselves cost.

Each yields the same tokens, either out of nothing or (with a `url`) one for each event of a body that it reads itself:
then it is the least integration that could be written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, cast

import httpx
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.chat_engine.types import BaseChatEngine
from llama_index.core.llms import CustomLLM
from typing_extensions import override

from benchmarks import paths
from benchmarks.frames import TOKEN
from langchain_letta import ChatLetta

__all__ = ["Canned", "answered", "astreamed", "canned_engine", "model_on", "streamed"]


class Canned(BaseChatModel):
    """A chat model of LangChain that has its answer ready."""

    count: int = 0
    url: str = ""
    http: Any = None
    http_async: Any = None

    @property
    def _llm_type(self) -> str:
        return "canned"

    @override
    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        raise AssertionError("only streams are measured")

    @override
    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        events = paths.raw_events(paths.bytes_of(self.http, self.url)) if self.url else range(self.count)
        for _event in events:
            yield ChatGenerationChunk(message=AIMessageChunk(content=TOKEN))

    @override
    async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        if self.url:
            async for _event in paths.araw_events(self.http_async, self.url):
                yield ChatGenerationChunk(message=AIMessageChunk(content=TOKEN))
        for _number in range(self.count):
            yield ChatGenerationChunk(message=AIMessageChunk(content=TOKEN))


class CannedLLM(CustomLLM):
    """A model of LlamaIndex that has its answer ready."""

    count: int = 0
    url: str = ""
    http: Any = None

    @property
    @override
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_chat_model=True)

    @override
    def complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponse:
        raise AssertionError("only streams are measured")

    @override
    def stream_complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponseGen:
        raise AssertionError("only chats are measured")

    @override
    def stream_chat(self, messages: Sequence[ChatMessage], **_: Any) -> ChatResponseGen:
        events = paths.raw_events(paths.bytes_of(self.http, self.url)) if self.url else range(self.count)
        for _event in events:
            yield ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=TOKEN), delta=TOKEN)


def canned_engine(*, count: int = 0, url: str = "", http: httpx.Client | None = None) -> SimpleChatEngine:
    """LlamaIndex's own chat engine, on a model that has its answer ready."""
    return SimpleChatEngine.from_defaults(llm=CannedLLM(count=count, url=url, http=http))


def model_on(url: str, conversation_id: str) -> ChatLetta:
    """A pinned model on the server of the benchmarks."""
    return ChatLetta(base_url=url, conversation_id=conversation_id, agent_id="agent-1")


def streamed(model: BaseChatModel) -> int:
    """Stream one answer; gives the number of chunks."""
    return sum(1 for _ in model.stream("Hello"))


async def astreamed(model: BaseChatModel) -> int:
    """`streamed`, for tasks."""
    count = 0
    async for _ in model.astream("Hello"):
        count += 1
    return count


def answered(engine: BaseChatEngine) -> int:
    """Stream one answer of an engine; gives the number of tokens."""
    response: Any = cast("Any", engine).stream_chat("Hello")
    return sum(1 for _ in response.response_gen)
