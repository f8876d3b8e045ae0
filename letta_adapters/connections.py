"""What a turn needs of the network: something that sends a request and hands out the answer bit by bit."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from letta_adapters.exchange import Request

__all__ = ["AsyncResponse", "AsyncTransport", "Response", "Transport"]


class Response(Protocol):
    """An answer whose body is read bit by bit. Methods raise `Broken` when the connection fails."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, names in lower case."""
        ...

    def read(self, timeout: float) -> bytes | None:
        """The next bytes, or `None` at the end."""
        ...

    def close(self) -> None:
        """Give the connection back, or cut it where the body was not read to its end."""
        ...


class AsyncResponse(Protocol):
    """The asynchronous twin of `Response`."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, names in lower case."""
        ...

    async def read(self, timeout: float) -> bytes | None:
        """The next bytes, or `None` at the end."""
        ...

    async def close(self) -> None:
        """Give the connection back, or cut it where the body was not read to its end."""
        ...


class Transport(Protocol):
    """Sends requests; raises `Broken` when the connection fails."""

    def open(self, request: Request, *, idle_timeout: float) -> Response:
        """Send a request and give the answer once its headers are here."""
        ...

    def beside(self) -> AbstractContextManager[Transport]:
        """One to the same server that goes on when this one is closed."""
        ...


class AsyncTransport(Protocol):
    """The asynchronous twin of `Transport`."""

    async def open(self, request: Request, *, idle_timeout: float) -> AsyncResponse:
        """Send a request and give the answer once its headers are here."""
        ...
