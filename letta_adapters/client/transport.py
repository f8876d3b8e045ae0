"""The only module that imports httpx: requests go out here and answers come in."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import ssl
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING

import httpx

from letta_adapters.client.intake import Intake
from letta_adapters.client.settings import Settings
from letta_adapters.daemons import start_daemon
from letta_adapters.exchange import Broken, BrokenKind, Request
from letta_adapters.version import __version__

if TYPE_CHECKING:
    from letta_adapters.client.loop_clients import LoopClients

__all__ = ["AsyncHTTPTransport", "HTTPTransport"]

_CONNECT_TIMEOUT = 5.0
_HEADERS = {
    "user-agent": f"letta-adapters/{__version__}",
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    # A compressed stream would be held back until the compressor has a block.
    "accept-encoding": "identity",
}


_STREAMS = ("/messages", "/stream")
"""How the paths end whose POST is answered with a stream."""


def _intake(request: Request, answer: httpx.Response) -> Intake:
    stream = request.method == "POST" and request.path.endswith(_STREAMS)
    return Intake(answer.status_code, answer.headers, stream=stream)


def _certificates() -> ssl.SSLContext:
    """Whom to trust, read once: it takes longer than all the rest of a client (25 ms of 26, measured)."""
    return _read_certificates(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.cache
def _read_certificates(file: str | None, directory: str | None) -> ssl.SSLContext:
    return httpx.create_ssl_context()  # looks for these two itself


def _timeout(idle: float) -> httpx.Timeout:
    return httpx.Timeout(idle, connect=min(_CONNECT_TIMEOUT, idle))


def _params(request: Request) -> dict[str, str | int | list[str]]:
    return {
        name: value if isinstance(value, (str, int)) else list(value)
        for name, value in request.query.items()
        if value is not None
    }


def _prepared(
    client: httpx.Client | httpx.AsyncClient, settings: Settings, request: Request, idle_timeout: float
) -> httpx.Request:
    return client.build_request(
        request.method,
        settings.base_url + request.path,
        params=_params(request),
        content=request.body,
        headers={**_HEADERS, **settings.headers},
        timeout=_timeout(idle_timeout),
    )


def _limits() -> httpx.Limits:
    # Turns are long and many; a pool that is full would make one wait for another.
    return httpx.Limits(max_connections=None, max_keepalive_connections=20)


# A host name that cannot be encoded is a UnicodeError, found only when it is looked up.
_FAILURES = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, ssl.SSLError, OSError, UnicodeError)
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
    UnicodeError,
)


def _broken(error: Exception, url: str) -> Broken:
    """Httpx's error as ours."""
    if isinstance(error, _NOT_SENT):
        return Broken(BrokenKind.CONNECT, _reason(error), url=url)
    kind = BrokenKind.TIMEOUT if isinstance(error, httpx.TimeoutException) else BrokenKind.LOST
    return Broken(kind, _reason(error), url=url)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


_LIVE: weakref.WeakSet[HTTPTransport | AsyncHTTPTransport] = weakref.WeakSet()
_INHERITED: list[object] = []
"""Clients of the process that this one was forked from: never used, and never closed by whoever collects them."""


def _forked() -> None:
    """Begin anew in a child process: two processes on one connection would read each other's answers."""
    for transport in list(_LIVE):
        transport.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class HTTPTransport:
    """Blocking requests over an `httpx.Client`, for any number of threads.

    After a fork the child process opens connections of its own. A stream belongs to the process that opened it.

    Args:
        settings: The server.
        http_client: A client of the caller's own; it is used as it is and never closed here. It is not replaced
            after a fork either.
    """

    def __init__(self, settings: Settings, *, http_client: httpx.Client | None = None) -> None:
        self._settings = settings
        self._closing: weakref.finalize[[], HTTPTransport] | None = None
        self._client = http_client or self._new_client()
        _LIVE.add(self)

    def open(self, request: Request, *, idle_timeout: float) -> HTTPResponse:
        """Send a request and give the answer once its headers are here."""
        self._settings.check_key()
        try:
            prepared = _prepared(self._client, self._settings, request, idle_timeout)
            answer = self._client.send(prepared, stream=True, follow_redirects=False)
        except _FAILURES as error:
            raise _broken(error, self._settings.base_url) from error
        return HTTPResponse(answer, _intake(request, answer), url=self._settings.base_url, idle_timeout=idle_timeout)

    @contextlib.contextmanager
    def beside(self) -> Generator[HTTPTransport]:
        """One to the same server that goes on when this one is closed; a client of the caller's own has no other."""
        if self._closing is None:
            yield self
            return
        other = HTTPTransport(self._settings)
        try:
            yield other
        finally:
            other.close()

    def close(self) -> None:
        """Close the connections, unless the client is the caller's."""
        if self._closing is not None:
            self._closing()

    def forked(self) -> None:
        """Leave the connections to the parent process, unless the client is the caller's."""
        if self._closing is not None and self._closing.detach():
            _INHERITED.append(self._client)
            self._client = self._new_client()

    def _new_client(self) -> httpx.Client:
        client = httpx.Client(limits=_limits(), verify=_certificates())
        # Models are rarely closed by hand; their connections go with them.
        self._closing = weakref.finalize(self, client.close)
        return client


class HTTPResponse:
    """An answer of `HTTPTransport`."""

    def __init__(self, answer: httpx.Response, intake: Intake, *, url: str, idle_timeout: float) -> None:
        self._answer = answer
        self._intake = intake
        self._url = url
        self._idle_timeout = idle_timeout
        self._chunks: Iterator[bytes] | None = None

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._answer.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, names in any case."""
        return self._answer.headers

    def read(self, timeout: float) -> bytes | None:
        """The next bytes, or `None` at the end.

        Raises:
            ProtocolError: The answer is compressed, or too large.
        """
        if self._intake.over:
            return None
        if self._chunks is None:
            self._intake.check()
            # What is not encoded needs no decoding; an answer that was read before, by a recorder, is there decoded.
            read = self._answer.iter_bytes if self._answer.is_stream_consumed else self._answer.iter_raw
            self._chunks = read(self._intake.piece)
        try:  # no context manager: one for every piece would cost as much as decoding it
            if timeout >= self._idle_timeout:
                return self._intake.take(next(self._chunks, None))
            with self._cut_after(timeout):
                return self._intake.take(next(self._chunks, None))
        except _FAILURES as error:
            raise _broken(error, self._url) from error

    def close(self) -> None:
        """Give the connection back, or cut it where the body was not read to its end."""
        with contextlib.suppress(httpx.HTTPError, OSError):
            self._answer.close()

    @contextlib.contextmanager
    def _cut_after(self, seconds: float) -> Generator[None, None, None]:
        """End a read sooner than the timeout that httpx took at the start of the answer and cannot change."""
        stream = self._answer.extensions.get("network_stream")
        connection = stream.get_extra_info("socket") if stream is not None else None
        timer = threading.Timer(seconds, _shut, [connection])
        if not isinstance(connection, socket.socket) or not start_daemon(timer):
            yield
            return
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # wakes the reader; an SSL socket's own would not


class AsyncHTTPTransport:
    """Requests of tasks over an `httpx.AsyncClient`, one for each event loop.

    Connections belong to the loop that opened them, and a program may run several loops one after the other
    (`asyncio.run` twice), so each gets a client of its own.

    Args:
        settings: The server.
        http_client: A client of the caller's own; it is used as it is and never closed here. Its connections belong
            to the first event loop that uses it.
    """

    def __init__(self, settings: Settings, *, http_client: httpx.AsyncClient | None = None) -> None:
        self._settings = settings
        self._given = http_client
        self._clients = _loop_clients()
        self._closing = _closing_with(self, self._clients)
        _LIVE.add(self)

    async def open(self, request: Request, *, idle_timeout: float) -> AsyncHTTPResponse:
        """Send a request and give the answer once its headers are here."""
        self._settings.check_key()
        client = self._given or await self._clients.get()
        try:
            prepared = _prepared(client, self._settings, request, idle_timeout)
            answer = await client.send(prepared, stream=True, follow_redirects=False)
        except _FAILURES as error:
            raise _broken(error, self._settings.base_url) from error
        except RuntimeError as error:
            if self._given is None or "loop" not in str(error):
                raise
            # A connection of a loop before this one; what was written to it may have gone out.
            reason = f"{error} (an `httpx.AsyncClient` belongs to one event loop)"
            raise Broken(BrokenKind.LOST, reason, url=self._settings.base_url) from error
        return AsyncHTTPResponse(
            answer, _intake(request, answer), url=self._settings.base_url, idle_timeout=idle_timeout
        )

    async def close(self) -> None:
        """Close the connections of this event loop, unless the client is the caller's."""
        await self._clients.close()

    def forked(self) -> None:
        """Leave the connections to the parent process; its locks may be held by threads that do not exist here."""
        self._closing.detach()
        _INHERITED.append(self._clients)
        self._clients = _loop_clients()
        self._closing = _closing_with(self, self._clients)


def _closing_with(
    transport: AsyncHTTPTransport, clients: LoopClients[httpx.AsyncClient]
) -> weakref.finalize[[], AsyncHTTPTransport]:
    """Models are rarely closed by hand; their connections go with them."""
    closing = weakref.finalize(transport, clients.close_all)
    closing.atexit = False
    return closing


def _loop_clients() -> LoopClients[httpx.AsyncClient]:
    from letta_adapters.client.loop_clients import LoopClients  # with `asyncio`, which threads do without

    return LoopClients(lambda: httpx.AsyncClient(limits=_limits(), verify=_certificates()))


class AsyncHTTPResponse:
    """An answer of `AsyncHTTPTransport`."""

    def __init__(self, answer: httpx.Response, intake: Intake, *, url: str, idle_timeout: float) -> None:
        self._answer = answer
        self._intake = intake
        self._url = url
        self._idle_timeout = idle_timeout
        self._chunks: AsyncIterator[bytes] | None = None

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._answer.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, names in any case."""
        return self._answer.headers

    async def read(self, timeout: float) -> bytes | None:
        """The next bytes, or `None` at the end.

        Raises:
            ProtocolError: The answer is compressed, or too large.
        """
        if self._intake.over:
            return None
        if self._chunks is None:
            self._intake.check()
            read = self._answer.aiter_bytes if self._answer.is_stream_consumed else self._answer.aiter_raw
            self._chunks = read(self._intake.piece)
        try:
            if timeout >= self._idle_timeout:
                return self._intake.take(await anext(self._chunks, None))
            return self._intake.take(await self._within(timeout, anext(self._chunks, None)))
        except _FAILURES as error:
            raise _broken(error, self._url) from error

    async def close(self) -> None:
        """Give the connection back, or cut it where the body was not read to its end."""
        with contextlib.suppress(httpx.HTTPError, OSError):
            await self._answer.aclose()

    async def _within(self, seconds: float, reading: Awaitable[bytes | None]) -> bytes | None:
        import asyncio

        try:
            return await asyncio.wait_for(reading, seconds)
        except asyncio.TimeoutError:
            raise Broken(BrokenKind.TIMEOUT, f"no byte for {seconds:g} seconds", url=self._url) from None
