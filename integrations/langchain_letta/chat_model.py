"""`ChatLetta`: a Letta conversation as a LangChain chat model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from functools import partial
from typing import Any, get_args

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, BaseRunManager, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_protocol.protocol import MessagesData
from pydantic import BaseModel
from typing_extensions import override

from langchain_letta.blocks import Bound
from langchain_letta.compaction import CompactableModel
from langchain_letta.errors import both_trees
from langchain_letta.events import Chunks, message_from
from langchain_letta.messages import from_langchain
from langchain_letta.outputs import Method, Schema, parser_of_call, parser_of_text, structured, why_not
from langchain_letta.protocol_events import ProtocolEvents, error_event
from langchain_letta.structured import ANSWER_SCHEMA, ANSWER_TOOL, StructuredAnswer, atold_whole, told_whole
from langchain_letta.threads import thread_of
from langchain_letta.tools import bound_names, must_call, openai_tools_from_langchain
from letta_adapters.carriers import adeliver, deliver
from letta_adapters.delivery import delivery
from letta_adapters.delivery_steps import Delivered, Flow, TurnOptions
from letta_adapters.events import TurnEvent
from letta_adapters.locks import Patience
from letta_adapters.transcript import Anchor, Entry

__all__ = ["ChatLetta"]

_KNOWN_KWARGS = frozenset(
    {"tools", "tool_choice", "ls_structured_output_format", "stream", "model", ANSWER_TOOL, ANSWER_SCHEMA}
)
"""The arguments of a call that are no fields, and what LangChain passes on for its own traces."""


class ChatLetta(CompactableModel):
    """A Letta agent as a LangChain chat model.

    LangChain passes the whole transcript on every call; Letta remembers it. `ChatLetta` sends what is new, once.

    Two modes:

    * **followed** (no `conversation_id`): the transcript is the truth. A transcript without an answer of this agent
      starts a conversation and seeds it; from then on every answer carries an anchor in its `response_metadata`, and
      the next call goes on there. One model serves any number of threads.
    * **pinned** (`conversation_id="conv-…"`, or `"default"` with `agent_id`): the server's conversation is the truth,
      and what follows the last answer in the transcript is sent.

    Every field can be given with a call, LangChain's own `cache`, `rate_limiter`, `disable_streaming`, `streaming` and
    `output_version` too (but for `stream_events(version="v3")`, which reads these off the model), and LangChain's
    `model` stands for `override_model`. `stop`, `temperature`, `max_tokens` and arguments that are not known are
    ignored, which is logged once: they are settings of the agent.
    Letta has no `tool_choice`: a framework that forces a call and asks again gets the agent asked once for it by name,
    then a `NothingToSend`.

    A compaction that the server makes while a turn runs is seen: a `non_standard` block has the summary where it came,
    in a stream as well, and `response_metadata["letta"]["compactions"]` lists `message_id`, `summary` and `stats`.

    Raises:
        ValueError: At construction, when neither an agent nor a conversation is given or an id is malformed; on a
            call, when there is nothing to send or a content part is not one that Letta takes.
        LettaError: On a call; the tree is in `letta_adapters.errors`. Each is one of LangChain's `ModelError` as well,
            and says by `is_retryable` whether asking again is safe (`langchain_letta.errors`).

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
        with model._events(messages, stop, run_manager, kwargs) as events:
            for event in events:
                if isinstance(event, Delivered):
                    return model._result(event, bound_names(kwargs.get("tools")))
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
        async with model._aevents(messages, stop, run_manager, kwargs) as events:
            async for event in events:
                if isinstance(event, Delivered):
                    return model._result(event, bound_names(kwargs.get("tools")))
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
        chunks = model._chunks(kwargs)
        with model._events(messages, stop, run_manager, kwargs) as events:
            for event in events:
                if (chunk := chunks.from_event(event)) is not None:
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
        chunks = model._chunks(kwargs)
        async with model._aevents(messages, stop, run_manager, kwargs) as events:
            async for event in events:
                if (chunk := chunks.from_event(event)) is not None:
                    yield chunk

    def _stream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[MessagesData]:
        """Tell the turn as events of LangChain's protocol, under the server's message id."""
        model = self._with(kwargs)
        told = model._protocol_events(kwargs)
        try:
            with model._events(messages, stop, run_manager, kwargs) as events:
                for event in events:
                    yield from told.from_event(event)
        except Exception as error:
            # Told to those who watch, not yielded: LangChain would take it for the error itself and lose its type.
            if run_manager is not None and told.started:
                run_manager.on_stream_event(error_event(error))
            raise

    async def _astream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[MessagesData]:
        """Tell the turn as events of LangChain's protocol, under the server's message id."""
        model = self._with(kwargs)
        told = model._protocol_events(kwargs)
        try:
            async with model._aevents(messages, stop, run_manager, kwargs) as events:
                async for event in events:
                    for one in told.from_event(event):
                        yield one
        except Exception as error:
            if run_manager is not None and told.started:
                await run_manager.on_stream_event(error_event(error))
            raise

    @override
    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools to the agent; LangChain runs them.

        Args:
            tools: Tools, functions, pydantic classes, OpenAI's dicts.
            tool_choice: Letta has no way to force a call. A framework that names one here and asks again after an
                answer in words gets the agent asked for it by name, once.
            strict: Whether the schemas forbid arguments that they do not name; the agent is told so, not held to it.
            kwargs: Passed on with every call.

        Raises:
            TypeError: `tools` is no list.
            ValueError: A name is refused by the API, two tools have the same one, or a `response_format` is asked for.
        """
        _check_no_response_format(kwargs)
        if not tools:
            return self.bind(**kwargs)
        return self.bind(tools=openai_tools_from_langchain(tools, strict=strict), tool_choice=tool_choice, **kwargs)

    @override
    def with_structured_output(
        self,
        schema: Schema | None = None,
        *,
        method: Method = "function_calling",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Have the agent answer in a form.

        The agent is offered a tool with the schema and calls it; where it answers in words, it is asked for the call
        by name, once. The call is settled at once, so that the conversation takes the next message; the agent is told
        whether its answer was of the form. A stream gives the answer whole.

        Args:
            schema: A pydantic class, a `TypedDict` or a JSON schema with a `title`.
            method: `function_calling` is that tool, and so is `json_schema`, which is said once: with a request Letta
                takes no format for a provider to enforce. `json_mode` offers no tool and reads the answer's text as
                JSON: the question has to ask for it.
            include_raw: Give `{"raw", "parsed", "parsing_error"}` instead of the parsed answer alone.
            strict: Whether the schema forbids fields that it does not name; the agent is told so, not held to it.
            kwargs: None are taken.

        Raises:
            ValueError: The method is none of these, there is no schema, or an argument is not known.
            OutputParserException: On a call, when the agent did not answer in that form.

        Example:
            ```python
            from pydantic import BaseModel
            from langchain_letta import ChatLetta

            class Person(BaseModel):
                name: str
                age: int

            model = ChatLetta(agent_id="agent-…", base_url="http://localhost:8283")
            print(model.with_structured_output(Person).invoke("Ann is 34."))
            ```
        """
        if kwargs:
            raise ValueError(f"`with_structured_output` does not take {', '.join(map(repr, kwargs))}.")
        if method not in get_args(Method):
            raise ValueError(f"`method` is one of {', '.join(map(repr, get_args(Method)))}, not {method!r}.")
        told = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
        if method == "json_mode":
            return structured(
                self.bind(ls_structured_output_format=told), parser_of_text(schema), include_raw=include_raw
            )
        if schema is None:
            raise ValueError(f"`method={method!r}` needs a schema.")
        if method == "json_schema":
            self._say_once("A Letta agent takes no schema for its words: `json_schema` is answered by a tool call.")
        (tool,) = openai_tools_from_langchain([schema], strict=strict)
        name = str(tool["function"]["name"])
        answer = {ANSWER_TOOL: name, ANSWER_SCHEMA: schema}
        model = self.bind(tools=[tool], tool_choice=name, ls_structured_output_format=told, **answer)
        return structured(model, parser_of_call(schema, name), include_raw=include_raw)

    @contextmanager
    def _events(
        self, messages: Sequence[BaseMessage], stop: Any, run_manager: BaseRunManager | None, kwargs: dict[str, Any]
    ) -> Generator[Iterator[TurnEvent | Delivered]]:
        """Carry out a call; what a reader of a structured answer sees begins when it is known which turn gives it.

        No generator of its own around the events: each costs something for each token.
        """
        with both_trees(), closing(deliver(self.client, self._flow(messages, stop, run_manager, kwargs))) as events:
            yield told_whole(events) if kwargs.get(ANSWER_TOOL) else events

    @asynccontextmanager
    async def _aevents(
        self, messages: Sequence[BaseMessage], stop: Any, run_manager: BaseRunManager | None, kwargs: dict[str, Any]
    ) -> AsyncGenerator[AsyncIterator[TurnEvent | Delivered]]:
        with both_trees():
            flow = self._flow(messages, stop, run_manager, kwargs)
            async with aclosing(adeliver(self.async_client, flow)) as events:
                yield atold_whole(events) if kwargs.get(ANSWER_TOOL) else events

    def _flow(
        self, messages: Sequence[BaseMessage], stop: Any, run_manager: BaseRunManager | None, kwargs: dict[str, Any]
    ) -> Flow:
        _check_no_response_format(kwargs)
        self._tell_what_is_ignored(stop, kwargs)
        thread, patience = thread_of(run_manager), Patience(self.busy_timeout)
        options = self._options(kwargs.get("tools") or ())

        def ask(transcript: Sequence[Entry], options: TurnOptions, must_call: Sequence[str]) -> Flow:
            return delivery(
                transcript,
                self._target(),
                server=self._server,
                policies=self._policies(),
                options=options,
                must_call=must_call,
                thread=thread,
                patience=patience,
                anchor_key=self._signing_key,
            )

        transcript = from_langchain(messages)
        if tool := kwargs.get(ANSWER_TOOL):
            form = partial(why_not, kwargs[ANSWER_SCHEMA])
            answer = StructuredAnswer(ask=ask, options=options, tool=tool, why_not=form, signing_key=self._signing_key)
            return answer.flow(transcript)
        return ask(transcript, options, must_call(kwargs.get("tool_choice"), options.client_tools))

    def _tell_what_is_ignored(self, stop: Any, kwargs: dict[str, Any]) -> None:
        given = {"stop": stop or self.stop, "temperature": self.temperature, "max_tokens": self.max_tokens}
        for name in (name for name, value in given.items() if value not in (None, [])):
            self._say_once(f"ChatLetta ignores {name!r}: how the agent's model answers is a setting of the agent.")
        for name in sorted(kwargs.keys() - type(self).model_fields.keys() - _KNOWN_KWARGS):
            self._say_once(f"ChatLetta ignores the argument {name!r}.")

    def _begun(self, conversation_id: str, run_id: str | None) -> Anchor:
        """The anchor of an answer that has only begun."""
        anchor = Anchor(agent_id=self.agent_id, conversation_id=conversation_id, run_id=run_id)
        return anchor.signed(self._signing_key) if self._signing_key else anchor

    def _result(self, delivered: Delivered, bound: Bound) -> ChatResult:
        message = message_from(delivered, self._begun, model_name=self._reported_name, bound=bound)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _chunks(self, kwargs: dict[str, Any]) -> Chunks:
        return Chunks(
            self._begun,
            bound=bound_names(kwargs.get("tools")),
            model_name=self._reported_name,
            output_version=self.output_version,
        )

    def _protocol_events(self, kwargs: dict[str, Any]) -> ProtocolEvents:
        return ProtocolEvents(self._begun, model_name=self._reported_name, bound=bound_names(kwargs.get("tools")))


def _check_no_response_format(kwargs: dict[str, Any]) -> None:
    """Refuse what would be dropped in silence: LangChain would look for JSON in words that nobody asked it of."""
    if kwargs.get("response_format") is not None:
        raise ValueError(
            "A Letta agent takes no `response_format` with a request. Use `with_structured_output`, or with "
            "`create_agent` the schema itself or `ToolStrategy(schema)` instead of `ProviderStrategy(schema)`."
        )
