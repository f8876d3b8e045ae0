"""The clients of engines that talk to the same server; they close when the last of those has closed."""

from __future__ import annotations

import threading
from typing import Any

from letta_adapters.client import AsyncLettaClient, LettaClient
from letta_adapters.client.settings import Settings

__all__ = ["Connections"]


class Connections:
    """A client for threads and one for tasks, made when they are needed.

    Args:
        client: One of the caller's, which is never closed here.
        async_client: One of the caller's, which is never closed here.
        settings: How to call the server; the fields are those of the clients.
    """

    def __init__(
        self, *, client: LettaClient | None = None, async_client: AsyncLettaClient | None = None, **settings: Any
    ) -> None:
        self._given = client
        self._given_async = async_client
        self._http_client = settings.pop("http_client", None)
        self._http_async_client = settings.pop("http_async_client", None)
        self._settings = settings
        self._mutex = threading.Lock()
        self._made: LettaClient | None = None
        self._made_async: AsyncLettaClient | None = None
        self._users = 0
        one = client or async_client
        self.base_url = (
            one.base_url
            if one is not None
            else Settings.resolve(settings.get("base_url"), settings.get("api_key")).base_url
        )

    @property
    def blocking(self) -> LettaClient:
        """The client for threads."""
        with self._mutex:
            if self._given is not None:
                return self._given
            if self._made is None:
                self._made = LettaClient(http_client=self._http_client, **self._settings)
            return self._made

    @property
    def asynchronous(self) -> AsyncLettaClient:
        """The client for tasks."""
        with self._mutex:
            if self._given_async is not None:
                return self._given_async
            if self._made_async is None:
                self._made_async = AsyncLettaClient(http_client=self._http_async_client, **self._settings)
            return self._made_async

    def use(self) -> None:
        """Keep the clients open."""
        with self._mutex:
            self._users += 1

    def leave(self) -> AsyncLettaClient | None:
        """Stop using them; the last one closes them, and is given the one that only an event loop can close."""
        with self._mutex:
            self._users -= 1
            if self._users > 0:
                return None
            made, self._made = self._made, None
        if made is not None:
            made.close()
        # It is kept: where nobody closes it now, its connections close with their event loops.
        return self._made_async
