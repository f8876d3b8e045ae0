"""`ChatLetta`: a Letta conversation as a LangChain chat model."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, closing
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, BaseRunManager, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from typing_extensions import override

from langchain_letta.configuration import ConfiguredModel
from langchain_letta.events import Chunks, message_from
from langchain_letta.messages import from_langchain
from langchain_letta.threads import thread_of
from langchain_letta.tools import must_call, openai_tools_from_langchain
from letta_adapters.carriers import adeliver, deliver
from letta_adapters.delivery import delivery
from letta_adapters.delivery_steps import Delivered, Flow
from letta_adapters.events import TurnEvent
from letta_adapters.locks import Patience
from letta_adapters.transcript import Anchor

__all__ = ["ChatLetta"]

_LOG = logging.getLogger("langchain_letta")

_FRAMEWORK_KWARGS = frozenset({"tool_choice", "ls_structured_output_format", "stream", "strict", "parallel_tool_calls"})
"""What LangChain passes on and what an agent server has no place for."""


class ChatLetta(ConfiguredModel):
    """A Letta agent as a LangChain chat model.

    LangChain passes the whole transcript on every call; Letta remembers it. `ChatLetta` sends what is new, once.

    Two modes:

    * **followed** (no `conversation_id`): the transcript is the truth. A transcript without an answer of this agent
      starts a conversation and seeds it; from then on every answer carries an anchor in its `response_metadata`, and
      the next call goes on there. One model serves any number of threads.
    * **pinned** (`conversation_id="conv-…"`, or `"default"` with `agent_id`): the server's conversation is the truth,
      and what follows the last answer in the transcript is sent.

    `stop` is accepted and ignored: when an answer ends is the agent's matter. Letta has no `tool_choice`: a framework
    that forces a call and asks again gets the agent asked once for it by name, then a `NothingToSend`.

    Raises:
        ValueError: At construction, when neither an agent nor a conversation is given or an id is malformed; on a
            call, when there is nothing to send or a content part is not one that Letta takes.
        LettaError: On a call; the tree is in `letta_adapters.errors`.

    Example:
        ```python
        from langchain_letta import ChatLetta

        model = ChatLetta(agent_id="agent-…", base_url="http://localhost:8283")
        print(model.invoke("Hello, I am Ann.").text)
        ```
    """

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        model = self._with(kwargs)
        with closing(deliver(model.client, model._flow(messages, kwargs, run_manager))) as events:
            for event in events:
                if isinstance(event, Delivered):
                    return model._result(event)
        raise AssertionError("a delivery ends with what was delivered")

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        model = self._with(kwargs)
        async with aclosing(adeliver(model.async_client, model._flow(messages, kwargs, run_manager))) as events:
            async for event in events:
                if isinstance(event, Delivered):
                    return model._result(event)
        raise AssertionError("a delivery ends with what was delivered")

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        model = self._with(kwargs)
        chunks = Chunks(model._begun)
        with closing(deliver(model.client, model._flow(messages, kwargs, run_manager))) as events:
            for event in events:
                if chunk := model._chunk(chunks, event):
                    yield chunk

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        model = self._with(kwargs)
        chunks = Chunks(model._begun)
        async with aclosing(adeliver(model.async_client, model._flow(messages, kwargs, run_manager))) as events:
            async for event in events:
                if chunk := model._chunk(chunks, event):
                    yield chunk

    @override
    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools to the agent; LangChain runs them.

        Args:
            tools: Tools, functions, pydantic classes, OpenAI's dicts.
            tool_choice: Accepted and ignored: Letta has no way to force a call.
            kwargs: Passed on with every call.

        Raises:
            ValueError: A name is refused by the API, or two tools have the same one.
        """
        if not tools:
            return self.bind(**kwargs)
        return self.bind(tools=openai_tools_from_langchain(tools), tool_choice=tool_choice, **kwargs)

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
            "base_url": self.client.base_url,
            "override_model": self.override_model,
        }

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "letta"
        params["ls_model_name"] = self._with(kwargs)._model_name
        return params

    def _flow(
        self, messages: Sequence[BaseMessage], kwargs: dict[str, Any], run_manager: BaseRunManager | None
    ) -> Flow:
        for name in kwargs.keys() - type(self).model_fields.keys() - _FRAMEWORK_KWARGS - {"tools"}:
            _LOG.warning("ChatLetta ignores the argument %r.", name)
        options = self._options(kwargs.get("tools") or ())
        return delivery(
            from_langchain(messages),
            self._target(),
            server=self.client.base_url,
            policies=self._policies(),
            options=options,
            must_call=must_call(kwargs.get("tool_choice"), options.client_tools),
            thread=thread_of(run_manager),
            patience=Patience(self.busy_timeout),
            anchor_key=self._signing_key,
        )

    def _begun(self, conversation_id: str, run_id: str | None) -> Anchor:
        """The anchor of an answer that has only begun."""
        anchor = Anchor(agent_id=self.agent_id, conversation_id=conversation_id, run_id=run_id)
        return anchor.signed(self._signing_key) if self._signing_key else anchor

    def _result(self, delivered: Delivered) -> ChatResult:
        message = message_from(delivered, self._begun, model_name=self._model_name)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _chunk(self, chunks: Chunks, event: TurnEvent | Delivered) -> ChatGenerationChunk | None:
        if isinstance(event, Delivered):
            return ChatGenerationChunk(message=chunks.last(event, model_name=self._model_name))
        message = chunks.from_event(event)
        return ChatGenerationChunk(message=message) if message is not None else None
