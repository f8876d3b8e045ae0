"""Two carriers that ask a server what a flow wants to know: one for threads, one for tasks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any, Protocol, TypeVar, cast

from letta_adapters.client.calls import Endpoint
from letta_adapters.errors import LettaError
from letta_adapters.reading import Pause

__all__ = ["aask", "ask"]

T = TypeVar("T")
R = TypeVar("R")


class _Sends(Protocol):
    def send(self, endpoint: Endpoint[R]) -> R: ...
    def pause(self, seconds: float) -> None: ...


class _SendsAsync(Protocol):
    async def send(self, endpoint: Endpoint[R]) -> R: ...
    async def pause(self, seconds: float) -> None: ...


def ask(client: _Sends, flow: Generator[Endpoint[Any] | Pause | T, Any, None]) -> Generator[T, None, None]:
    """Call what a flow yields and send it the answers, pause where it says so; give on whatever else it yields."""
    answer: Any = None
    try:
        while True:
            step = _advance(flow, answer)
            answer = None
            if isinstance(step, Endpoint):
                try:
                    answer = client.send(cast("Endpoint[Any]", step))
                except LettaError as error:
                    answer = error
            elif isinstance(step, Pause):
                client.pause(step.seconds)
            else:
                yield step
    except _End:
        return
    finally:
        flow.close()


async def aask(client: _SendsAsync, flow: Generator[Endpoint[Any] | Pause | T, Any, None]) -> AsyncGenerator[T, None]:
    """Call what a flow yields and send it the answers, pause where it says so; give on whatever else it yields."""
    answer: Any = None
    try:
        while True:
            step = _advance(flow, answer)
            answer = None
            if isinstance(step, Endpoint):
                try:
                    answer = await client.send(cast("Endpoint[Any]", step))
                except LettaError as error:
                    answer = error
            elif isinstance(step, Pause):
                await client.pause(step.seconds)
            else:
                yield step
    except _End:
        return
    finally:
        flow.close()


class _End(Exception):
    """A flow is over. Internal."""


def _advance(flow: Generator[Endpoint[Any] | Pause | T, Any, None], answer: Any) -> Endpoint[Any] | Pause | T:
    """Hand an answer over, or raise an error where it was asked for."""
    try:
        return flow.throw(answer) if isinstance(answer, LettaError) else flow.send(answer)
    except StopIteration:
        raise _End from None
