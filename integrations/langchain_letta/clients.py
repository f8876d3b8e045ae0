"""The clients of a model: made when they are needed, one for each server and way of calling it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import SecretStr
from typing_extensions import Self

from letta_adapters.client import AsyncLettaClient, LettaClient

__all__ = ["Clients", "Connection"]

C = TypeVar("C")

_KEPT = 16
"""Servers and keys of per-call overrides whose connections one model keeps."""


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How a server is called."""

    base_url: str | None
    api_key: SecretStr | None = field(repr=False)
    timeout: float
    max_retries: int
    busy_timeout: float
    http_client: Any = field(repr=False)
    http_async_client: Any = field(repr=False)


class Clients:
    """Clients by connection; a copy or a pickle of it starts empty, since connections cannot be copied."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._blocking: OrderedDict[Connection, LettaClient] = OrderedDict()
        self._async: OrderedDict[Connection, AsyncLettaClient] = OrderedDict()

    def blocking(self, connection: Connection) -> LettaClient:
        """The client for blocking calls."""
        return self._get(
            self._blocking,
            connection,
            lambda: LettaClient(
                base_url=connection.base_url,
                api_key=connection.api_key,
                timeout=connection.timeout,
                max_retries=connection.max_retries,
                busy_timeout=connection.busy_timeout,
                http_client=connection.http_client,
            ),
        )

    def asynchronous(self, connection: Connection) -> AsyncLettaClient:
        """The client for asynchronous calls."""
        return self._get(
            self._async,
            connection,
            lambda: AsyncLettaClient(
                base_url=connection.base_url,
                api_key=connection.api_key,
                timeout=connection.timeout,
                max_retries=connection.max_retries,
                busy_timeout=connection.busy_timeout,
                http_client=connection.http_async_client,
            ),
        )

    def _get(self, clients: OrderedDict[Connection, C], connection: Connection, make: Callable[[], C]) -> C:
        with self._mutex:
            client = clients.pop(connection, None) or make()
            clients[connection] = client
            if len(clients) > _KEPT:
                clients.popitem(last=False)  # its connections close when its last turn is over
            return client

    def __copy__(self) -> Self:
        return type(self)()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()
