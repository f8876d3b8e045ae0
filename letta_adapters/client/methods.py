"""How the methods of a client's resources are made: out of functions that have their signatures and docstrings."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from letta_adapters.client.asking import aask, ask
from letta_adapters.client.calls import Endpoint
from letta_adapters.client.listing import Listing
from letta_adapters.client.senders import AsyncSender, BlockingSender
from letta_adapters.client.turns import PreparedTurn
from letta_adapters.matching import Row
from letta_adapters.task_driver import AsyncTurnStream
from letta_adapters.thread_driver import TurnStream
from letta_adapters.wire import ToolCall, ToolCallDelta

__all__ = [
    "SETTLED",
    "AsyncResource",
    "Resource",
    "SettledCall",
    "async_call",
    "async_each",
    "async_rows",
    "async_turn",
    "call",
    "documented",
    "each",
    "rows",
    "settled",
    "turn",
]

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=Callable[..., Any])


SETTLED = "The application does not answer this call."


@dataclass(frozen=True, kw_only=True)
class SettledCall:
    """A call that was denied; `arguments` is JSON text."""

    tool_call_id: str
    name: str
    arguments: str


class _Named:
    """Gives the methods of a resource the names they have there."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, method in vars(cls).items():
            if inspect.isfunction(method) and not name.startswith("_"):
                method.__name__ = name
                method.__qualname__ = f"{cls.__qualname__}.{name}"


class Resource(_Named):
    """The methods of a resource, for threads."""

    def __init__(self, sender: BlockingSender) -> None:
        self.sender = sender


class AsyncResource(_Named):
    """The methods of a resource, for tasks."""

    def __init__(self, sender: AsyncSender) -> None:
        self.sender = sender


def documented(build: Callable[..., Any], *, streaming: bool | None = None) -> Callable[[M], M]:
    """Give a method the docstring and the parameters of the function that it is made of.

    Args:
        build: The function.
        streaming: What the method does unless it says otherwise, where it can stream or not.
    """

    def decorate(method: M) -> M:
        named = cast("Any", method)
        signature = inspect.signature(build)
        parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY), *signature.parameters.values()]
        named.__doc__ = build.__doc__
        if streaming is not None:
            choice = inspect.Parameter("streaming", inspect.Parameter.KEYWORD_ONLY, default=streaming)
            parameters.insert(2, choice)
            named.__doc__ = f"{build.__doc__}{_STREAMING}"
        named.__signature__ = signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
        return method

    return decorate


_STREAMING = """
    `streaming` chooses between the turn as a stream (`True`) and its whole answer as JSON (`False`), which is sent
    without a way to find out what became of it when the connection is lost.
    """


def call(build: Callable[P, Endpoint[T]]) -> Callable[Concatenate[Resource, P], T]:
    """Make the method that calls an endpoint."""

    def method(self: Resource, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.sender.send(build(*args, **kwargs))

    return documented(build)(method)


def async_call(build: Callable[P, Endpoint[T]]) -> Callable[Concatenate[AsyncResource, P], Awaitable[T]]:
    """Make the method that calls an endpoint."""

    async def method(self: AsyncResource, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.sender.send(build(*args, **kwargs))

    return documented(build)(method)


def turn(build: Callable[P, PreparedTurn]) -> Callable[Concatenate[Resource, P], TurnStream]:
    """Make the method that streams a turn."""

    def method(self: Resource, *args: P.args, **kwargs: P.kwargs) -> TurnStream:
        return self.sender.open_turn(build(*args, **kwargs))

    return documented(build)(method)


def async_turn(build: Callable[P, PreparedTurn]) -> Callable[Concatenate[AsyncResource, P], AsyncTurnStream]:
    """Make the method that streams a turn."""

    def method(self: AsyncResource, *args: P.args, **kwargs: P.kwargs) -> AsyncTurnStream:
        return self.sender.open_turn(build(*args, **kwargs))

    return documented(build)(method)


def each(
    build: Callable[P, Generator[Endpoint[Any] | T, Any, None]],
) -> Callable[Concatenate[Resource, P], Iterator[T]]:
    """Make the method that gives what a flow yields."""

    def method(self: Resource, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return ask(self.sender, build(*args, **kwargs))

    return documented(build)(method)


def async_each(
    build: Callable[P, Generator[Endpoint[Any] | T, Any, None]],
) -> Callable[Concatenate[AsyncResource, P], AsyncIterator[T]]:
    """Make the method that gives what a flow yields."""

    def method(self: AsyncResource, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return aask(self.sender, build(*args, **kwargs))

    return documented(build)(method)


def rows(build: Callable[P, Listing]) -> Callable[Concatenate[Resource, P], Iterator[Row]]:
    """Make the method that gives the rows of all pages, one by one; one page at a time is kept."""

    def method(self: Resource, *args: P.args, **kwargs: P.kwargs) -> Iterator[Row]:
        for page in ask(self.sender, build(*args, **kwargs)):
            yield from page.rows
            del page

    return documented(build)(method)


def async_rows(build: Callable[P, Listing]) -> Callable[Concatenate[AsyncResource, P], AsyncIterator[Row]]:
    """Make the method that gives the rows of all pages, one by one; one page at a time is kept."""

    async def method(self: AsyncResource, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Row]:
        async for page in aask(self.sender, build(*args, **kwargs)):
            for row in page.rows:
                yield row
            del page

    return documented(build)(method)


def settled(calls: Sequence[ToolCall | ToolCallDelta]) -> tuple[SettledCall, ...]:
    """Tell of the calls that were denied."""
    return tuple(
        SettledCall(tool_call_id=call.tool_call_id or "", name=call.name or "", arguments=call.arguments or "")
        for call in calls
    )
