"""What is asked of a hostile server: an endpoint and a turn, blocking and asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from letta_adapters import AsyncLettaClient, LettaClient
from letta_adapters.errors import LettaError

Call = Callable[..., Any]
"""Takes a base URL and the client's options; gives the result or the `LettaError`."""

CONVERSATION = "conv-1"


_DEFAULTS: dict[str, Any] = {"max_retries": 1, "timeout": 20.0}

slept: list[float] = []
"""What the latest call waited between its attempts; nobody really sleeps."""


async def _do_not_sleep(seconds: float) -> None:
    slept.append(seconds)


def _blocking(ask: Callable[[Any], Any]) -> Call:
    def call(base_url: str, **options: Any) -> Any:
        slept.clear()
        with LettaClient(base_url=base_url, **_DEFAULTS | options) as client:
            client._sender._sleep = slept.append  # pyright: ignore[reportPrivateUsage]
            try:
                return ask(client)
            except LettaError as error:
                return error

    return call


def _tasks(ask: Callable[[Any], Any]) -> Call:
    def call(base_url: str, **options: Any) -> Any:
        async def main() -> Any:
            async with AsyncLettaClient(base_url=base_url, **_DEFAULTS | options) as client:
                client._sender._sleep = _do_not_sleep  # pyright: ignore[reportPrivateUsage]
                try:
                    return await ask(client)
                except LettaError as error:
                    return error

        slept.clear()
        return asyncio.run(main())

    return call


def _read(client: Any) -> Any:
    return client.agents.retrieve("agent-1")


def _create(client: Any) -> Any:
    return client.agents.create(name="a")


def _turn(client: Any) -> Any:
    return client.conversations.messages.create(CONVERSATION, input="Hi").result()


def _foreground(client: Any) -> Any:
    return client.conversations.messages.create(CONVERSATION, input="Hi", background=False).result()


def both(ask: Callable[[Any], Any]) -> list[Call]:
    """A call for threads and the same for tasks."""
    return [_blocking(ask), _tasks(ask)]


WAYS = ["threads", "tasks"]
READS = pytest.mark.parametrize("read", both(_read), ids=WAYS)
CREATES = pytest.mark.parametrize("create", both(_create), ids=WAYS)
TURNS = pytest.mark.parametrize("turn", both(_turn), ids=WAYS)
FOREGROUND = pytest.mark.parametrize("turn", both(_foreground), ids=WAYS)
ANY = pytest.mark.parametrize(
    "call", [*both(_read), *both(_turn)], ids=[f"{what}-{way}" for what in ("read", "turn") for way in WAYS]
)


def said(error: BaseException | None) -> str:
    """Everything that an error and what caused it say."""
    words: list[str] = []
    while error is not None:
        words.append(f"{error!r} {error} {vars(error)}")
        error = error.__cause__ or error.__context__
    return "\n".join(words)
