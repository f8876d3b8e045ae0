"""Connections that are cut: HTTP clients that lose every event stream after its first bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import cast

import httpx


def cutting_client() -> httpx.Client:
    return httpx.Client(transport=_Cutting(httpx.HTTPTransport()))


def cutting_async_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=_AsyncCutting(httpx.AsyncHTTPTransport()))


def _is_stream(answer: httpx.Response) -> bool:
    return answer.headers.get("content-type", "").startswith("text/event-stream")


class _Cutting(httpx.BaseTransport):
    def __init__(self, inner: httpx.HTTPTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._inner.handle_request(request)
        if _is_stream(answer):
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
    def __init__(self, inner: httpx.AsyncHTTPTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        if _is_stream(answer):
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
