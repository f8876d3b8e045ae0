"""Transports that play a script: one for threads, one for tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field

from letta_adapters.exchange import Broken, Request
from tests.core.play import Answer, Reply


@dataclass(kw_only=True)
class Log:
    """What a transport was asked for, in order."""

    requests: list[Request] = field(default_factory=list[Request])
    steps: list[str] = field(default_factory=list[str])
    opened: int = 0
    closed: int = 0


class _Body:
    def __init__(self, answer: Answer, log: Log) -> None:
        self._answer = answer
        self._log = log
        self._chunks: Iterator[bytes] = iter(answer.chunks)
        self._open = True

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._answer.headers

    def next(self) -> bytes | None:
        assert self._open, "read after close"
        chunk = next(self._chunks, None)
        if chunk is None and self._answer.end is not None:
            raise self._answer.end
        return chunk

    def shut(self) -> None:
        if self._open:
            self._open = False
            self._log.closed += 1
            self._log.steps.append("close")


class _Script:
    def __init__(self, serve: Callable[[Request], Reply]) -> None:
        self._serve = serve
        self.log = Log()

    def answer(self, request: Request) -> _Body:
        self.log.requests.append(request)
        reply = self._serve(request)
        if isinstance(reply, Broken):
            raise reply
        self.log.opened += 1
        self.log.steps.append("open")
        return _Body(reply, self.log)


class ScriptedResponse:
    """An answer, for threads."""

    def __init__(self, body: _Body) -> None:
        self._body = body
        self.status = body.status
        self.headers = body.headers

    def read(self, timeout: float) -> bytes | None:
        return self._body.next()

    def close(self) -> None:
        self._body.shut()


class ScriptedTransport(_Script):
    """Plays a script, for threads."""

    is_closed = False

    def open(self, request: Request, *, idle_timeout: float) -> ScriptedResponse:
        if self.is_closed:
            raise RuntimeError("Cannot send a request, as the client has been closed.")
        return ScriptedResponse(self.answer(request))

    def close(self) -> None:
        self.is_closed = True

    @contextmanager
    def beside(self) -> Generator[ScriptedTransport]:
        other = copy(self)  # with the same script and log
        other.is_closed = False
        yield other


class AsyncScriptedResponse:
    """An answer, for tasks; with `hang`, the body's end never comes."""

    def __init__(self, body: _Body, hang: asyncio.Event | None) -> None:
        self._body = body
        self._hang = hang
        self.status = body.status
        self.headers = body.headers

    async def read(self, timeout: float) -> bytes | None:
        await asyncio.sleep(0)
        chunk = self._body.next()
        if chunk is None and self._hang is not None:
            self._hang.set()
            await asyncio.get_running_loop().create_future()
        return chunk

    async def close(self) -> None:
        await asyncio.sleep(0)
        self._body.shut()


class AsyncScriptedTransport(_Script):
    """Plays a script, for tasks."""

    def __init__(self, serve: Callable[[Request], Reply], *, hang: asyncio.Event | None = None) -> None:
        super().__init__(serve)
        self._hang = hang

    async def open(self, request: Request, *, idle_timeout: float) -> AsyncScriptedResponse:
        await asyncio.sleep(0)
        return AsyncScriptedResponse(self.answer(request), self._hang)
