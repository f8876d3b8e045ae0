"""`LettaChatEngine`: a Letta conversation as a LlamaIndex chat engine."""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager
from llama_index.core.settings import Settings
from pydantic import SecretStr
from typing_extensions import Never, Self, Unpack, override

from letta_adapters.client import AsyncLettaClient, LettaClient
from letta_adapters.client.places import check_place
from letta_adapters.near_names import check_names
from letta_adapters.wire import MessageType
from llama_index_letta.answers import LettaChatResponse
from llama_index_letta.compaction import CompactableChat
from llama_index_letta.connecting import Connections
from llama_index_letta.engine_tool import LettaEngineTool
from llama_index_letta.history import checked_page_size
from llama_index_letta.messages import Message, user_input
from llama_index_letta.options import EngineOptions, GivenOptions, HistoryGuard
from llama_index_letta.place import Place
from llama_index_letta.streaming import LettaStreamingResponse
from llama_index_letta.tools import AnyTool, as_llama_tools
from llama_index_letta.tracing import opens_its_own_span
from llama_index_letta.turns import Call, Turns, astop, stop

__all__ = ["LettaChatEngine"]


class LettaChatEngine(CompactableChat):
    """A Letta agent as a LlamaIndex chat engine.

    The server keeps the conversation and the agent remembers it: a turn sends its message and nothing else, and the
    same conversation goes on in another process that knows its id. Make one with `from_defaults`.

    Tools run here: each call once, arguments validated against the tool's schema and coerced, in parallel with a limit.
    However a turn ends, no call of theirs is left pending.

    One turn at a time in a conversation: others of the same process wait for it, `busy_timeout` seconds at most. An
    engine serves any number of threads and tasks; for conversations of their own give each an engine
    (`for_conversation`), which is cheap.

    Raises:
        LettaError: While a turn runs; the tree is in `letta_adapters.errors`.

    Example:
        ```python
        from llama_index_letta import LettaChatEngine

        with LettaChatEngine.from_defaults(agent_id="agent-…", base_url="http://localhost:8283") as engine:
            print(engine.chat("Hello, I am Ann."))
            for delta in engine.stream_chat("What is my name?").response_gen:
                print(delta, end="")
        ```
    """

    def __init__(self, turns: Turns | None = None, **_: Never) -> None:
        if not isinstance(turns, Turns):
            raise TypeError("A LettaChatEngine is made by `LettaChatEngine.from_defaults(agent_id=…)`.")
        self._turns = turns
        self._closed = False
        self._history_guard = HistoryGuard(turns.options.history_policy)
        turns.connections.use()

    @classmethod
    def from_defaults(
        cls,
        *,
        agent_id: str | None = None,
        conversation_id: str | None = None,
        base_url: str | None = None,
        api_key: str | SecretStr | None = None,
        tools: Sequence[AnyTool] | None = None,
        timeout: float = 90.0,
        max_retries: int = 5,
        busy_timeout: float = 60.0,
        callback_manager: CallbackManager | None = None,
        client: LettaClient | None = None,
        async_client: AsyncLettaClient | None = None,
        letta_client: Any = None,
        http_client: Any = None,
        http_async_client: Any = None,
        **options: Unpack[GivenOptions],
    ) -> Self:
        """Make an engine for a conversation, or for a new one of an agent.

        Args:
            agent_id: The agent; else `LETTA_AGENT_ID`. A conversation is made for the first message.
            conversation_id: The conversation to go on with, or `default` with `agent_id`. Whose it is is asked once,
                unless `agent_id` says so.
            base_url: The server; else `LETTA_BASE_URL`, else Letta Cloud.
            api_key: The bearer key; else `LETTA_API_KEY`. A self-hosted server may need none.
            tools: What the agent may call: LlamaIndex tools and functions.
            timeout: Seconds without any byte after which a connection counts as lost.
            max_retries: Failures in a row after which a turn is given up. Trying again never sends a turn twice.
            busy_timeout: Seconds to wait for another turn of the conversation.
            callback_manager: Gets the older events; else that of `Settings`.
            client: A `LettaClient` to use for blocking calls; it is not closed here.
            async_client: An `AsyncLettaClient` to use for async calls; it is not closed here.
            letta_client: A `letta_client.Letta`, whose URL and key are taken.
            http_client: An `httpx.Client` of your own.
            http_async_client: An `httpx.AsyncClient` of your own.
            options: Any of these:

                - `background`: stream in the background: `None` tries and falls back, `False` never does.
                - `on_pending_approval`: what becomes of calls that were left open before: if all are to tools that are
                  given here they are denied (`deny`); with `error`, or with any other call, `PendingApprovalError`.
                - `on_abandon`: what becomes of a turn whose reader leaves: it goes on in the background to its end
                  (`finish`), or is cancelled at the server (`cancel`).
                - `on_approval`: called with each pending call that is none of the tools, thus a tool of the server
                  that needs a person's approval; gives `True`, `False` or `Deny(reason=…)`, and may be async.
                - `ask_for`: `all` asks `on_approval` for the calls of the tools too; default `others`.
                - `history_policy`: what becomes of a `chat_history` that is passed: `ignore` (it warns once) or
                  `error`. The server has the history, so it is never sent.
                - `max_tool_rounds`: how often tools may be run in a turn, 20; one more raises `ToolLoopLimit`.
                - `max_parallel`: how many tools run at a time, 4.
                - `tool_timeout`: seconds for each call, 300; `None` for no limit.
                - `max_steps`, `override_model`, `override_system`, `include_return_message_types`, `client_skills`,
                  `return_logprobs`, `top_logprobs`, `return_token_ids`: as `ChatLetta` has them.

        Raises:
            TypeError: An option or a tool is none.
            ValueError: Neither an agent nor a conversation is given, an id is malformed, an option is not allowed; a
                tool's name is refused, two have the same one, or one needs the `Context` of a workflow.
        """
        if conversation_id in (None, "default"):  # another one may be of another agent than the environment's
            agent_id = agent_id or os.environ.get("LETTA_AGENT_ID") or None
        check_place(agent_id, conversation_id)
        known = {*GivenOptions.__annotations__, *inspect.signature(cls.from_defaults).parameters}
        check_names("A LettaChatEngine has no option", options, known)
        if letta_client is not None:
            base_url, api_key = base_url or str(letta_client.base_url), api_key or letta_client.api_key
        place = Place(agent_id=agent_id, conversation_id=conversation_id, busy_timeout=busy_timeout)
        connections = Connections(
            client=client,
            async_client=async_client,
            base_url=base_url,
            api_key=SecretStr(api_key) if isinstance(api_key, str) else api_key,
            timeout=timeout,
            max_retries=max_retries,
            busy_timeout=busy_timeout,
            http_client=http_client,
            http_async_client=http_async_client,
        )
        return cls(
            Turns(
                connections=connections,
                place=place,
                tools=as_llama_tools(tools or ()),
                options=EngineOptions(busy_timeout=busy_timeout, **options),
                callbacks=callback_manager or Settings.callback_manager,
            )
        )

    def for_conversation(self, conversation_id: str | None, *, agent_id: str | None = None) -> Self:
        """Make an engine for another conversation, with the same connections, tools and options.

        Args:
            conversation_id: The conversation, or `default`; `None` for a new one of the agent.
            agent_id: The agent, where it is another one, or to save asking whose the conversation is.

        Raises:
            ValueError: An id is malformed; `default` is asked for, and the agent is not known yet.
        """
        turns = self._turns
        place = turns.place.elsewhere(conversation_id, agent_id)
        self._check_open()
        return type(self)(
            Turns(
                connections=turns.connections,
                place=place,
                tools=turns.tools,
                options=turns.options,
                callbacks=turns.callbacks,
            )
        )

    # Talking.

    @opens_its_own_span
    @override
    def chat(self, message: Message, chat_history: list[ChatMessage] | None = None) -> LettaChatResponse:
        """Send a message, run the tools that the agent calls, and give the answer.

        Args:
            message: What the user says: a text, a message, or blocks of text and images.
            chat_history: Nothing that is sent: see `history_policy`.

        Raises:
            ValueError: There is nothing to send, or a block is of a kind that Letta does not take.
            LettaError: The turn failed.
        """
        reception, loop = self._turns.start(self._call(self.chat, message, chat_history))
        try:
            reception.wait_for_end()
        except BaseException:
            stop(loop)
            raise
        return reception.result()

    @opens_its_own_span
    @override
    async def achat(self, message: Message, chat_history: list[ChatMessage] | None = None) -> LettaChatResponse:
        """Send a message, run the tools that the agent calls, and give the answer. The twin of `chat`.

        When its task is cancelled no tool is run any more, and calls that wait are denied.
        """
        reception, loop = await self._turns.astart(self._call(self.achat, message, chat_history))
        try:
            await reception.wait_for_end()
        except BaseException:
            await astop(loop)
            raise
        return reception.result()

    @opens_its_own_span
    @override
    def stream_chat(self, message: Message, chat_history: list[ChatMessage] | None = None) -> LettaStreamingResponse:
        """Send a message, and give the answer while it is given; returns once the server has taken the message.

        Args:
            message: What the user says: a text, a message, or blocks of text and images.
            chat_history: Nothing that is sent: see `history_policy`.

        Raises:
            ValueError: There is nothing to send, or a block is of a kind that Letta does not take.
            LettaError: The server could not be reached, or refused the message. What fails later is raised by reading.
        """
        reception, loop = self._turns.start(self._call(self.stream_chat, message, chat_history))
        try:
            reception.wait_for_begin()
        except BaseException:
            stop(loop)
            raise
        if not reception.began:
            reception.raise_failure()
        return LettaStreamingResponse(reception, loop, cancels=self._cancels)

    @opens_its_own_span
    @override
    async def astream_chat(
        self, message: Message, chat_history: list[ChatMessage] | None = None
    ) -> LettaStreamingResponse:
        """Send a message, and give the answer while it is given. The twin of `stream_chat`."""
        reception, loop = await self._turns.astart(self._call(self.astream_chat, message, chat_history))
        try:
            await reception.wait_for_begin()
        except BaseException:
            await astop(loop)
            raise
        if not reception.began:
            reception.raise_failure()
        return LettaStreamingResponse(reception, loop, cancels=self._cancels)

    # The conversation.

    @property
    def conversation_id(self) -> str | None:
        """The conversation; `None` before the first message of an engine that makes one."""
        return self._turns.place.conversation_id

    @property
    def agent_id(self) -> str | None:
        """The agent; `None` before the first turn of an engine that was given a conversation alone."""
        return self._turns.place.agent_id

    @property
    def callback_manager(self) -> CallbackManager:
        """What gets the older events."""
        return self._turns.callbacks

    @property
    @override
    def chat_history(self) -> list[ChatMessage]:
        """All messages but instructions, oldest first; read from the server each time. None before the first message.

        Each has what it was made of in `additional_kwargs["letta"]`.
        """
        return list(self.iter_history())

    async def aget_history(self) -> list[ChatMessage]:
        """All messages but instructions, oldest first; read from the server each time."""
        return [message async for message in self.aiter_history()]

    def iter_history(
        self, *, include: Collection[MessageType | str] | None = None, page_size: int = 100
    ) -> Iterator[ChatMessage]:
        """Give the messages one by one, oldest first; they are read page by page, and none is kept.

        Args:
            include: Types of stored messages to give, as the server names them; `None` for all but `system_message`.
            page_size: Messages on a page, at least 3.

        Raises:
            NotFound: The conversation is not there any more.
        """
        return self._turns.history(include=include, page_size=checked_page_size(page_size))

    def aiter_history(
        self, *, include: Collection[MessageType | str] | None = None, page_size: int = 100
    ) -> AsyncIterator[ChatMessage]:
        """Give the messages one by one, oldest first; the twin of `iter_history`."""
        return self._turns.ahistory(include=include, page_size=checked_page_size(page_size))

    @override
    def reset(self, *, delete: bool = False) -> None:
        """Go to a new conversation of the same agent, whose id is in `conversation_id` from then on.

        The old one stays as it is; so does the agent, with what it remembers. An engine that has not begun one yet
        has nothing to leave.

        Args:
            delete: Whether the old conversation is deleted, for good, once its turns are over.

        Raises:
            ValueError: The agent's default conversation is to be deleted, which is part of the agent.
        """
        self._check_open()
        self._turns.renew(delete=delete)

    async def areset(self, *, delete: bool = False) -> None:
        """Go to a new conversation of the same agent; the twin of `reset`."""
        self._check_open()
        await self._turns.arenew(delete=delete)

    def as_tool(
        self, name: str = "letta_agent", description: str | None = None, *, return_direct: bool = False
    ) -> LettaEngineTool:
        """Make a tool for other agents: what they pass is sent as a message of this conversation.

        Args:
            name: What they call it.
            description: What they are told that it is good for.
            return_direct: Whether the answer is theirs, too.
        """
        return LettaEngineTool(self, name=name, description=description, return_direct=return_direct)

    # The end.

    def close(self) -> None:
        """Stop using the engine. Turns under way go on in the background, or are cancelled, as `on_abandon` says.

        It returns at once. Connections close when nothing needs them any more: neither such a turn nor another engine
        that shares them.
        """
        self._leave()

    async def aclose(self) -> None:
        """Stop using the engine; the twin of `close`."""
        if (client := self._leave()) is not None:
            await client.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(agent_id={self.agent_id!r}, conversation_id={self.conversation_id!r})"

    @property
    def _cancels(self) -> bool:
        return self._turns.options.on_abandon == "cancel"

    def _leave(self) -> AsyncLettaClient | None:
        """Leave the turns and the connections; gives the client that only an event loop can close."""
        if self._closed:
            return None
        self._closed = True
        if self._cancels:
            self._turns.cancel()
        return self._turns.connections.leave()

    def _call(self, method: Callable[..., Any], message: Message, chat_history: list[ChatMessage] | None) -> Call:
        self._check_open()
        content = user_input(message)
        self._history_guard.check(chat_history)
        arguments = inspect.signature(method).bind(message, chat_history)
        return Call(engine=self, method=method.__name__, arguments=arguments, content=content)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("The engine is closed.")
