"""Connections that are lost in the middle of an answer, where a test asks for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["Cuts", "Line"]

_HANG_UP = "letta_adapters.hang_up"


class Line(H11Protocol):
    """A connection that the application can hang up on: nothing that ASGI has a word for."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Tell the application how."""
        super().connection_made(transport)
        app = cast("ASGIApp", self.app)

        async def app_with_line(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, _HANG_UP: transport.abort}, receive, send)

        self.app = app_with_line


class Cuts:
    """Which of the streams that come are cut, and after how many events."""

    def __init__(self) -> None:
        """Cut none."""
        self._due: deque[int] = deque()

    def plan(self, *after: int) -> None:
        """Cut the next streams, each after so many events."""
        self._due.extend(after)

    def around(self, app: ASGIApp) -> ASGIApp:
        """Wrap an application that is served by `Line`."""

        async def app_with_cuts(scope: Scope, receive: Receive, send: Send) -> None:
            hang_up: Callable[[], None] = scope[_HANG_UP]
            left: int | None = None

            async def send_until_cut(message: Message) -> None:
                nonlocal left
                if message["type"] == "http.response.start" and _is_stream(message) and self._due:
                    left = self._due.popleft()
                elif left is not None and message.get("body"):
                    if left == 0:
                        hang_up()
                        return
                    left -= 1
                await send(message)

            await app(scope, receive, send_until_cut)

        return app_with_cuts


def _is_stream(start: Message) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in start["headers"])
