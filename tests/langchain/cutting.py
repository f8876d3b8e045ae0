"""Connections that are cut: HTTP clients that lose event streams after their first bytes, or messages on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import cast

import httpx


def cutting_client() -> httpx.Client:
    """A client that loses every event stream after its first bytes."""
    return httpx.Client(transport=_Cutting(httpx.HTTPTransport()))


def cutting_async_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=_AsyncCutting(httpx.AsyncHTTPTransport()))


def dying_client() -> httpx.Client:
    """A client that loses its first event stream, and reaches nobody from then on."""
    return httpx.Client(transport=_Cutting(httpx.HTTPTransport(), dies=True))


def dying_async_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=_AsyncCutting(httpx.AsyncHTTPTransport(), dies=True))


def swallowing_client() -> httpx.Client:
    """A client whose messages are lost on their way to the server."""
    return httpx.Client(transport=_Swallowing(httpx.HTTPTransport()))


def swallowing_async_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=_AsyncSwallowing(httpx.AsyncHTTPTransport()))


def _is_stream(answer: httpx.Response) -> bool:
    return answer.headers.get("content-type", "").startswith("text/event-stream")


def _check_not_swallowed(request: httpx.Request) -> None:
    if request.method == "POST" and request.url.path.endswith("/messages"):
        raise httpx.ReadError("lost on its way")


class _Cutting(httpx.BaseTransport):
    def __init__(self, inner: httpx.HTTPTransport, *, dies: bool = False) -> None:
        self._inner = inner
        self._dies = dies
        self._dead = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._dead:
            raise httpx.ConnectError("dead")
        answer = self._inner.handle_request(request)
        if _is_stream(answer):
            self._dead = self._dies
            answer.stream = _CutStream(cast("httpx.SyncByteStream", answer.stream))
        return answer

    def close(self) -> None:
        self._inner.close()


class _CutStream(httpx.SyncByteStream):
    def __init__(self, inner: httpx.SyncByteStream) -> None:
        self._inner = inner

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._inner:
            yield chunk
            raise httpx.ReadError("cut")

    def close(self) -> None:
        self._inner.close()


class _AsyncCutting(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncHTTPTransport, *, dies: bool = False) -> None:
        self._inner = inner
        self._dies = dies
        self._dead = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._dead:
            raise httpx.ConnectError("dead")
        answer = await self._inner.handle_async_request(request)
        if _is_stream(answer):
            self._dead = self._dies
            answer.stream = _AsyncCutStream(cast("httpx.AsyncByteStream", answer.stream))
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


class _AsyncCutStream(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            yield chunk
            raise httpx.ReadError("cut")

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Swallowing(httpx.BaseTransport):
    def __init__(self, inner: httpx.HTTPTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        _check_not_swallowed(request)
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


class _AsyncSwallowing(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncHTTPTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        _check_not_swallowed(request)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()
