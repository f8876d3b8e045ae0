"""`LettaChatMessageHistory`: what a Letta conversation holds, as a LangChain chat history."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Generator, Iterator, Sequence
from contextlib import aclosing, closing
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.utils import from_env, secret_from_env
from pydantic import SecretStr
from typing_extensions import Self, override

from langchain_letta.clients import Clients, Connection
from langchain_letta.history_flows import Asking, Place, find_place, find_session, leave, outcome_of, read
from langchain_letta.known_messages import not_held
from letta_adapters.client import AsyncLettaClient, LettaClient
from letta_adapters.client.asking import aask, ask
from letta_adapters.client.endpoints import Endpoint, check_agent_id, check_conversation_id
from letta_adapters.client.listing import LEAST_PAGE
from letta_adapters.client.settings import Settings
from letta_adapters.compacting import acompact, compact
from letta_adapters.wire import MessageType

if TYPE_CHECKING:
    from letta_adapters.wire import CompactionResponse, CompactionSettings

__all__ = ["LettaChatMessageHistory", "OnNewMessages"]

OnNewMessages = Literal["error", "ignore"]

_LOG = logging.getLogger("langchain_letta")
_CLIENTS = Clients()
"""Of all histories that bring no `httpx` client: LangChain makes a new history for every call."""

_BUSY_TIMEOUT = 60.0
"""Seconds that a compaction waits for a turn of this process that is being sent."""

T = TypeVar("T")


class LettaChatMessageHistory(BaseChatMessageHistory):
    """A Letta conversation as a chat history.

    The server keeps the messages, and writes them itself when `ChatLetta` sends a turn. So this history reads; of what
    a framework hands over after a turn it knows what the conversation holds, and adds none of it again.

    LangChain has deprecated chat histories in favour of LangGraph; for new programs `ChatLetta` alone is enough.

    * One turn is one `AIMessage`, as `ChatLetta` returned it, with the anchor that lets `ChatLetta` go on behind it.
      Ids, otids, dates and types are in `response_metadata["letta_stored"]`. Why a turn ended and what it cost is not
      listed with the messages: `usage_metadata` is missing, and `finish_reason` unless calls are pending.
    * System messages are left out unless `include` names them: they are the agent's prompt, or the program's, which
      sends its own with every call.
    * After a compaction all that was said is still shown, in order of time, and the summary where it was made. Only
      for a fork that was compacted itself a self-hosted server has no such list: order and completeness are lost.

    Args:
        conversation_id: The conversation, or `"default"` with `agent_id`.
        session_id: Instead of it: a name of yours. The agent's conversation of that name is found by a mark in its
            summary, or made; of two processes that make it at once both get the same one.
        agent_id: The agent, needed for a session and for `"default"`; else `LETTA_AGENT_ID`. For another conversation
            it saves the request that asks for its agent.
        base_url: The server; else `LETTA_BASE_URL`, else Letta Cloud.
        api_key: The bearer key; else `LETTA_API_KEY`. A self-hosted server may need none.
        letta_client: A `letta_client.Letta`, for its address and its key.
        include: Types of the messages to give, as the server names them; `None` for all but `system_message`.
        on_new_messages: What becomes of messages that the conversation does not hold: it takes none without running its
            agent, so they can only be sent, with `ChatLetta`. `error`: `ValueError`, which `RunnableWithMessageHistory`
            turns into a warning in the log; `ignore`: they are left out. Nothing is kept aside to be sent later: a
            history is made anew for every call, and what it kept would be lost.
        page_size: Messages that are read at once.
        timeout: Seconds without any byte after which a connection counts as lost.
        max_retries: Failures in a row after which a request is given up.
        anchor_key: Signs the anchors, for a `ChatLetta` with the same key; else `LETTA_ANCHOR_KEY`.
        http_client: An `httpx.Client` of your own.
        http_async_client: An `httpx.AsyncClient` of your own.

    Raises:
        ValueError: At construction, when it does not say which conversation, or an id is malformed.
        LettaError: On every access; the tree is in `letta_adapters.errors`. `NotFound` where the conversation is gone.

    Example:
        ```python
        from langchain_letta import LettaChatMessageHistory

        history = LettaChatMessageHistory(conversation_id="conv-…", base_url="http://localhost:8283")
        for message in history.iter_messages():
            print(message.type, message.text)
        ```
    """

    def __init__(
        self,
        *,
        conversation_id: str | None = None,
        session_id: str | None = None,
        agent_id: str | None = None,
        base_url: str | None = None,
        api_key: str | SecretStr | None = None,
        letta_client: Any = None,
        include: Collection[MessageType | str] | None = None,
        on_new_messages: OnNewMessages = "error",
        page_size: int = 100,
        timeout: float = 90.0,
        max_retries: int = 5,
        anchor_key: str | SecretStr | None = None,
        http_client: Any = None,
        http_async_client: Any = None,
    ) -> None:
        super().__init__()
        # A conversation knows its agent itself: the one in the environment may be another.
        needs_agent = session_id is not None or conversation_id == "default"
        self._agent_id = agent_id or (from_env("LETTA_AGENT_ID", default=None)() if needs_agent else None)
        self._conversation_id = conversation_id
        self._session_id = session_id
        self._check_target()
        if page_size < LEAST_PAGE:
            raise ValueError(f"`page_size` must be at least {LEAST_PAGE}, not {page_size}.")
        if on_new_messages not in ("error", "ignore"):
            raise ValueError(f"`on_new_messages` is 'error' or 'ignore', not {on_new_messages!r}.")
        if letta_client is not None:
            base_url = base_url or str(letta_client.base_url)
            api_key = api_key or letta_client.api_key
        settings = Settings.resolve(base_url, api_key)
        self._connection = Connection(
            base_url=settings.base_url,
            api_key=settings.api_key,
            timeout=timeout,
            max_retries=max_retries,
            busy_timeout=0.0,
            http_client=http_client,
            http_async_client=http_async_client,
        )
        self._clients = _CLIENTS if http_client is None and http_async_client is None else Clients()
        self._include = frozenset(include) if include is not None else None
        self._on_new_messages = on_new_messages
        self._page_size = page_size
        self._anchor_key = _checked_key(anchor_key)
        self._place: Place | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A pickle is written to disks and caches. Whoever reads it has the keys in the environment.
        return vars(self) | {"_connection": replace(self._connection, api_key=None), "_anchor_key": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        settings = Settings.resolve(self._connection.base_url)
        self._connection = replace(self._connection, api_key=settings.api_key)
        self._anchor_key = _checked_key(None)

    def __copy__(self) -> Self:
        again = object.__new__(type(self))
        vars(again).update(vars(self))
        return again

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        return copy(self)  # connections cannot be copied

    @property
    def conversation_id(self) -> str | None:
        """The conversation; `None` for a session whose conversation was not looked for yet: see `open`."""
        return self._place.conversation_id if self._place else self._conversation_id

    def open(self) -> Place:
        """Find the conversation, or make that of a new session; gives its id and its agent's.

        Raises:
            NotFound: There is no such conversation, or no such agent.
        """
        if self._place is None:
            self._place = self._run(self._finding())
        return self._place

    async def aopen(self) -> Place:
        """Find the conversation, or make that of a new session; gives its id and its agent's.

        Raises:
            NotFound: There is no such conversation, or no such agent.
        """
        if self._place is None:
            self._place = await self._arun(self._finding())
        return self._place

    # Reading.

    @property
    def messages(self) -> list[BaseMessage]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """All messages, oldest first; read from the server each time."""
        return list(self.iter_messages())

    @override
    async def aget_messages(self) -> list[BaseMessage]:
        """All messages, oldest first; read from the server each time."""
        return [message async for message in self.aiter_messages()]

    def iter_messages(self) -> Iterator[BaseMessage]:
        """Give the messages one by one, oldest first; they are read page by page, and none is kept."""
        with closing(ask(self._client, self._reading(self.open()))) as batches:
            for batch in batches:
                yield from batch
                del batch  # it is not kept while the next page is read

    async def aiter_messages(self) -> AsyncIterator[BaseMessage]:
        """Give the messages one by one, oldest first; they are read page by page, and none is kept."""
        async with aclosing(aask(self._async_client, self._reading(await self.aopen()))) as batches:
            async for batch in batches:
                for message in batch:
                    yield message
                del batch

    # Writing.

    @override
    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Take what the conversation holds already; what is new is dealt with as `on_new_messages` says.

        Raises:
            ValueError: The conversation does not hold some of them, and `on_new_messages` is `error`.
        """
        self._refuse(messages, self._run(not_held(self.open(), messages)))

    @override
    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Take what the conversation holds already; what is new is dealt with as `on_new_messages` says.

        Raises:
            ValueError: The conversation does not hold some of them, and `on_new_messages` is `error`.
        """
        self._refuse(messages, await self._arun(not_held(await self.aopen(), messages)))

    @override
    def clear(self, *, delete: bool = False) -> None:
        """Start a new conversation, whose id is in `conversation_id` from then on. The old one stays, out of the way.

        Args:
            delete: Whether the old conversation is deleted, for good. The agent itself is never touched.

        Raises:
            ValueError: The agent's default conversation is to be deleted, which is part of the agent.
        """
        self._check_may_go(delete=delete)
        self._place = self._run(leave(self.open(), self._session_id, delete=delete))

    @override
    async def aclear(self, *, delete: bool = False) -> None:
        """Start a new conversation, whose id is in `conversation_id` from then on. The old one stays, out of the way.

        Args:
            delete: Whether the old conversation is deleted, for good. The agent itself is never touched.

        Raises:
            ValueError: The agent's default conversation is to be deleted, which is part of the agent.
        """
        self._check_may_go(delete=delete)
        self._place = await self._arun(leave(await self.aopen(), self._session_id, delete=delete))

    def compact(self, compaction_settings: CompactionSettings | None = None) -> CompactionResponse:
        """Replace the older messages in the conversation's context by a summary; `messages` shows them still.

        Args:
            compaction_settings: How; what is not set is the agent's setting, or the server's.

        Raises:
            ConversationBusy: A turn of this process is under way in the conversation.
            InvalidRequest: There is too little to summarize.
        """
        place = self.open()
        return compact(
            self._client, place.conversation_id, place.agent_id, compaction_settings, busy_timeout=_BUSY_TIMEOUT
        )

    async def acompact(self, compaction_settings: CompactionSettings | None = None) -> CompactionResponse:
        """Replace the older messages in the conversation's context by a summary; the twin of `compact`."""
        place = await self.aopen()
        return await acompact(
            self._async_client, place.conversation_id, place.agent_id, compaction_settings, busy_timeout=_BUSY_TIMEOUT
        )

    def __repr__(self) -> str:
        where = self.conversation_id or f"session {self._session_id!r}"
        return f"LettaChatMessageHistory({where}, base_url={self._connection.base_url!r})"

    def _check_target(self) -> None:
        if (self._conversation_id is None) == (self._session_id is None):
            raise ValueError("Pass either `conversation_id`, or `session_id` for a conversation with a name of yours.")
        if self._session_id is not None and self._agent_id is None:
            raise ValueError("`session_id` needs an `agent_id` (or LETTA_AGENT_ID): a session is one of an agent.")
        if self._agent_id is not None:
            check_agent_id(self._agent_id)
        if self._conversation_id is not None:
            check_conversation_id(self._conversation_id, self._agent_id)

    def _check_may_go(self, *, delete: bool) -> None:
        if delete and self.conversation_id == "default":
            raise ValueError(
                "The default conversation is part of the agent, so it is not deleted; `clear()` leaves it."
            )

    def _refuse(self, messages: Sequence[BaseMessage], new: Sequence[BaseMessage]) -> None:
        if not new:
            return
        named = ", ".join(
            f"{position} ({message.type})"
            for position, message in enumerate(messages)
            if any(message is one for one in new)
        )
        what = f"Conversation {self.conversation_id} does not hold the messages at {named} of {len(messages)}."
        if self._on_new_messages == "ignore":
            _LOG.info("%s They are left out.", what)
            return
        if any(isinstance(message, AIMessage) for message in new):
            hint = (
                "An answer is held if `ChatLetta` gave it here: pin the model to this conversation (`pin_to_history`)."
            )
        else:
            hint = "A conversation takes messages only by running its agent: send them with `ChatLetta`."
        raise ValueError(f"{what} {hint}")

    def _reading(self, place: Place) -> Generator[Endpoint[Any] | list[BaseMessage], Any, None]:
        key = self._anchor_key.get_secret_value() if self._anchor_key is not None else None
        return read(place, page_size=self._page_size, include=self._include, anchor_key=key)

    def _finding(self) -> Asking[Place]:
        if self._session_id is not None:
            return find_session(self._session_id, self._agent_id or "")
        return find_place(self._conversation_id or "", self._agent_id)

    @property
    def _client(self) -> LettaClient:
        return self._clients.blocking(self._connection)

    @property
    def _async_client(self) -> AsyncLettaClient:
        return self._clients.asynchronous(self._connection)

    def _run(self, asking: Asking[T]) -> T:
        with closing(ask(self._client, outcome_of(asking))) as outcome:
            return next(outcome)

    async def _arun(self, asking: Asking[T]) -> T:
        async with aclosing(aask(self._async_client, outcome_of(asking))) as outcome:
            return await anext(outcome)


def _checked_key(key: str | SecretStr | None) -> SecretStr | None:
    key = secret_from_env("LETTA_ANCHOR_KEY", default=None)() if key is None else key
    secret = SecretStr(key) if isinstance(key, str) else key
    if secret is not None and not secret.get_secret_value():
        raise ValueError("`anchor_key` is empty: it would sign nothing. Leave it out, or pass a secret.")
    return secret
