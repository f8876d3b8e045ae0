"""Processes that die, and connections that are lost: HTTP clients that stop in the middle of a turn.

A process that dies runs nothing afterwards, neither handlers of errors nor what remembers a lost turn; `Died` is an
exception that none of them catches.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast
from uuid import UUID

import httpx
from langchain_core.callbacks import BaseCallbackHandler


class Died(BaseException):
    """The process is gone."""


class Wire:
    """What a lossy client does: after `spared` event streams the next one is cut, and nobody is reached from then on.

    `broken` says that nobody is reached at all; `mend` makes it reach the server again, for good.
    """

    def __init__(self, *, spared: int = 0, error: type[BaseException] = Died, broken: bool = False) -> None:
        self._spared = spared
        self._error = error
        self._broken = broken
        self._mended = False
        self.sent = 0

    def mend(self) -> None:
        self._broken, self._mended = False, True

    def check(self, request: httpx.Request) -> None:
        """Before a request."""
        if self._broken:
            raise Died if self._error is Died else httpx.ConnectError("nobody there")
        self.sent += request.method == "POST" and request.url.path.endswith("/messages")

    def cuts(self, answer: httpx.Response) -> bool:
        """Whether an answer is to be cut."""
        if self._mended or not answer.headers.get("content-type", "").startswith("text/event-stream"):
            return False
        self._spared -= 1
        self._broken = self._spared < 0
        return self._broken

    def cut(self) -> BaseException:
        return self._error("cut")


def client(wire: Wire) -> httpx.Client:
    return httpx.Client(transport=_Transport(wire))


def async_client(wire: Wire) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=_AsyncTransport(wire))


def late_client(meanwhile: Callable[[], None], *, spared: int = 0) -> httpx.Client:
    """A client to which what it reads comes late once: something else happens between the answer and its arrival.

    Args:
        meanwhile: What happens.
        spared: How many requests come before.
    """
    return httpx.Client(transport=_Late(meanwhile, spared))


class _Late(httpx.BaseTransport):
    def __init__(self, meanwhile: Callable[[], None], spared: int) -> None:
        self._inner = httpx.HTTPTransport()
        self._spared = spared
        self._meanwhile: Callable[[], None] | None = meanwhile

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._spared -= 1
        if self._spared >= 0 or self._meanwhile is None:
            return self._inner.handle_request(request)
        happens, self._meanwhile = self._meanwhile, None
        if request.method != "GET":  # which may wait for what is to happen
            happens()
            return self._inner.handle_request(request)
        answer = self._inner.handle_request(request)
        answer.read()
        happens()
        return answer

    def close(self) -> None:
        self._inner.close()


class Mends(BaseCallbackHandler):
    """Mends the wire when a call has failed, so that whoever tries again gets through."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.failures: list[BaseException] = []

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self.failures.append(error)
        self._wire.mend()


class _Transport(httpx.BaseTransport):
    def __init__(self, wire: Wire) -> None:
        self._inner = httpx.HTTPTransport()
        self._wire = wire

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._wire.check(request)
        answer = self._inner.handle_request(request)
        if self._wire.cuts(answer):
            answer.stream = _CutStream(cast("httpx.SyncByteStream", answer.stream), self._wire)
        return answer

    def close(self) -> None:
        self._inner.close()


class _CutStream(httpx.SyncByteStream):
    def __init__(self, inner: httpx.SyncByteStream, wire: Wire) -> None:
        self._inner = inner
        self._wire = wire

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._inner:
            yield chunk
            raise self._wire.cut()

    def close(self) -> None:
        self._inner.close()


class _AsyncTransport(httpx.AsyncBaseTransport):
    def __init__(self, wire: Wire) -> None:
        self._inner = httpx.AsyncHTTPTransport()
        self._wire = wire

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._wire.check(request)
        answer = await self._inner.handle_async_request(request)
        if self._wire.cuts(answer):
            answer.stream = _AsyncCutStream(cast("httpx.AsyncByteStream", answer.stream), self._wire)
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


class _AsyncCutStream(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream, wire: Wire) -> None:
        self._inner = inner
        self._wire = wire

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            yield chunk
            raise self._wire.cut()

    async def aclose(self) -> None:
        await self._inner.aclose()
