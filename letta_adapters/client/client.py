"""`LettaClient` and `AsyncLettaClient`: a Letta server, without a framework.

What a client is made of is loaded with the first one.
"""

from __future__ import annotations

import os
from threading import TIMEOUT_MAX, RLock
from typing import TYPE_CHECKING, TypeGuard, TypeVar

import httpx
from pydantic import SecretStr
from typing_extensions import Self

if TYPE_CHECKING:
    from letta_adapters.client.calls import Endpoint
    from letta_adapters.client.turns import PreparedTurn
    from letta_adapters.locks import Hold
    from letta_adapters.steps import TurnPolicy
    from letta_adapters.task_driver import AsyncTurnStream
    from letta_adapters.thread_driver import TurnStream

__all__ = ["AsyncLettaClient", "LettaClient"]

T = TypeVar("T")

_LOADING = RLock()
"""Held while a client, and what it is made of, is made: a process forked in the midst of an import waits for ever."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_LOADING.acquire, after_in_parent=_LOADING.release, after_in_child=_LOADING.release)


class LettaClient:
    """A Letta server, for threads.

    Attributes:
        agents: Makes, gets and deletes agents; `agents.messages` talks in an agent's default conversation.
        conversations: Starts, lists, forks, changes and deletes conversations; `conversations.messages` talks in one.
        models: Lists the models that agents can use.
        runs: Gets, follows and waits for runs, which are what the server makes of turns.

    Args:
        base_url: The server; else `LETTA_BASE_URL`, else Letta Cloud.
        api_key: The bearer key; else `LETTA_API_KEY`. A self-hosted server may need none.
        timeout: Seconds without any byte after which a connection counts as lost.
        max_retries: Failures in a row after which a request is given up.
        busy_timeout: Seconds to wait for another turn of the same conversation.
        http_client: An `httpx.Client` of your own; it is never closed here.

    Raises:
        TypeError: The URL or the key is no text, or `http_client` is of the other kind.
        ValueError: The URL is not one that can be called, or a limit is none.

    Example:
        ```python
        with LettaClient(base_url="http://localhost:8283") as client:
            conversation = client.conversations.create(agent_id="agent-…")
            print(client.conversations.messages.create(conversation.id, input="Hello").result().text)
        ```
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | SecretStr | None = None,
        timeout: float = 90.0,
        max_retries: int = 5,
        busy_timeout: float = 60.0,
        http_client: httpx.Client | None = None,
    ) -> None:
        with _LOADING:
            from letta_adapters.client.resources import Agents, Conversations, Models, Runs
            from letta_adapters.client.senders import BlockingSender
            from letta_adapters.client.settings import Settings
            from letta_adapters.client.transport import HTTPTransport

            settings = Settings.resolve(base_url, api_key)
            policy = _policy(timeout, max_retries, busy_timeout)
            _check_http(http_client, httpx.Client)
            self._sender = BlockingSender(settings, policy, HTTPTransport(settings, http_client=http_client))
        self.agents = Agents(self._sender)
        self.conversations = Conversations(self._sender)
        self.models = Models(self._sender)
        self.runs = Runs(self._sender)

    @property
    def base_url(self) -> str:
        """The server's address."""
        return self._sender.settings.base_url

    @property
    def busy_timeout(self) -> float:
        """Seconds to wait for another turn of the same conversation."""
        return self._sender.policy.busy_timeout

    def send(self, endpoint: Endpoint[T]) -> T:
        """Call an endpoint, trying again where that does no harm."""
        return self._sender.send(endpoint)

    def hold(self, conversation_id: str, agent_id: str | None = None) -> Hold:
        """The right to send to a conversation, not yet taken: one turn at a time, in this process."""
        return self._sender.hold(conversation_id, agent_id)

    def open_turn(self, prepared: PreparedTurn, hold: Hold | None = None) -> TurnStream:
        """Make a turn ready to be streamed; `hold` is the right to send, where it was taken before."""
        return self._sender.open_turn(prepared, hold)

    def pause(self, seconds: float) -> None:
        """Wait before something is tried again."""
        self._sender.pause(seconds)

    def close(self) -> None:
        """Close the connections."""
        self._sender.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LettaClient(base_url={self.base_url!r})"


class AsyncLettaClient:
    """A Letta server, for tasks. The twin of `LettaClient`; one object may serve several event loops.

    Attributes:
        agents: Makes, gets and deletes agents; `agents.messages` talks in an agent's default conversation.
        conversations: Starts, lists, forks, changes and deletes conversations; `conversations.messages` talks in one.
        models: Lists the models that agents can use.
        runs: Gets, follows and waits for runs, which are what the server makes of turns.

    Args:
        base_url: The server; else `LETTA_BASE_URL`, else Letta Cloud.
        api_key: The bearer key; else `LETTA_API_KEY`. A self-hosted server may need none.
        timeout: Seconds without any byte after which a connection counts as lost.
        max_retries: Failures in a row after which a request is given up.
        busy_timeout: Seconds to wait for another turn of the same conversation.
        http_client: An `httpx.AsyncClient` of your own; it is never closed here.

    Raises:
        TypeError: The URL or the key is no text, or `http_client` is of the other kind.
        ValueError: The URL is not one that can be called, or a limit is none.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | SecretStr | None = None,
        timeout: float = 90.0,
        max_retries: int = 5,
        busy_timeout: float = 60.0,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        with _LOADING:
            from letta_adapters.client.async_resources import AsyncAgents, AsyncConversations, AsyncModels, AsyncRuns
            from letta_adapters.client.senders import AsyncSender
            from letta_adapters.client.settings import Settings
            from letta_adapters.client.transport import AsyncHTTPTransport

            settings = Settings.resolve(base_url, api_key)
            policy = _policy(timeout, max_retries, busy_timeout)
            _check_http(http_client, httpx.AsyncClient)
            self._sender = AsyncSender(settings, policy, AsyncHTTPTransport(settings, http_client=http_client))
        self.agents = AsyncAgents(self._sender)
        self.conversations = AsyncConversations(self._sender)
        self.models = AsyncModels(self._sender)
        self.runs = AsyncRuns(self._sender)

    @property
    def base_url(self) -> str:
        """The server's address."""
        return self._sender.settings.base_url

    @property
    def busy_timeout(self) -> float:
        """Seconds to wait for another turn of the same conversation."""
        return self._sender.policy.busy_timeout

    async def send(self, endpoint: Endpoint[T]) -> T:
        """Call an endpoint, trying again where that does no harm."""
        return await self._sender.send(endpoint)

    def hold(self, conversation_id: str, agent_id: str | None = None) -> Hold:
        """The right to send to a conversation, not yet taken: one turn at a time, in this process."""
        return self._sender.hold(conversation_id, agent_id)

    def open_turn(self, prepared: PreparedTurn, hold: Hold | None = None) -> AsyncTurnStream:
        """Make a turn ready to be streamed; `hold` is the right to send, where it was taken before."""
        return self._sender.open_turn(prepared, hold)

    async def pause(self, seconds: float) -> None:
        """Wait before something is tried again."""
        await self._sender.pause(seconds)

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        await self._sender.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncLettaClient(base_url={self.base_url!r})"


def _policy(timeout: object, max_retries: object, busy_timeout: object) -> TurnPolicy:
    """The limits that were given, checked: a socket tells of a wrong one late, and in other words."""
    from letta_adapters.steps import TurnPolicy

    if not _is_number(timeout) or timeout <= 0:
        raise ValueError(f"`timeout` is a number of seconds above 0, not {timeout!r}.")
    if not _is_number(busy_timeout) or busy_timeout < 0:
        raise ValueError(f"`busy_timeout` is a number of seconds, 0 or more, not {busy_timeout!r}.")
    if not isinstance(max_retries, int) or isinstance(max_retries, bool) or max_retries < 0:
        raise ValueError(f"`max_retries` is a whole number, 0 or more, not {max_retries!r}.")
    return TurnPolicy(idle_timeout=timeout, max_retries=max_retries, busy_timeout=busy_timeout)


def _check_http(client: object, kind: type[httpx.Client] | type[httpx.AsyncClient]) -> None:
    """Refuse the client of the twin, which would be found out with the first answer."""
    if client is not None and not isinstance(client, kind):
        raise TypeError(f"`http_client` is an `httpx.{kind.__name__}` here, not {type(client).__name__}.")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= TIMEOUT_MAX
