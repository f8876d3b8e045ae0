"""Two carriers that ask a server what a flow wants to know: one for threads, one for tasks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any, TypeVar, cast

from letta_adapters.client import AsyncLettaClient, LettaClient
from letta_adapters.client.endpoints import Endpoint
from letta_adapters.errors import LettaError

__all__ = ["aask", "ask"]

T = TypeVar("T")


def ask(client: LettaClient, flow: Generator[Endpoint[Any] | T, Any, None]) -> Generator[T, None, None]:
    """Call what a flow yields and send it the answers; give on whatever else it yields."""
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
            else:
                yield step
    except _End:
        return
    finally:
        flow.close()


async def aask(client: AsyncLettaClient, flow: Generator[Endpoint[Any] | T, Any, None]) -> AsyncGenerator[T, None]:
    """Call what a flow yields and send it the answers; give on whatever else it yields."""
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
            else:
                yield step
    except _End:
        return
    finally:
        flow.close()


class _End(Exception):
    """A flow is over. Internal."""


def _advance(flow: Generator[Endpoint[Any] | T, Any, None], answer: Any) -> Endpoint[Any] | T:
    """Hand an answer over, or raise an error where it was asked for."""
    try:
        return flow.throw(answer) if isinstance(answer, LettaError) else flow.send(answer)
    except StopIteration:
        raise _End from None
