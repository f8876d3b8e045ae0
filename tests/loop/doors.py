"""HTTP clients that go wrong at one kind of request."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

Broken = Callable[[dict[str, Any]], bool]


def is_answer(body: dict[str, Any]) -> bool:
    """Whether a request brings results, and wants an answer of the model."""
    return _brings_results(body) and body.get("max_steps") is None


def is_settlement(body: dict[str, Any]) -> bool:
    """Whether a request brings results or denials, and calls no model."""
    return _brings_results(body) and body.get("max_steps") == 1


def _brings_results(body: dict[str, Any]) -> bool:
    messages: list[dict[str, Any]] = body.get("messages") or []
    return bool(messages) and messages[0].get("type") == "approval"


@dataclass(frozen=True, kw_only=True)
class Refusing(httpx.BaseTransport):
    """Cannot connect for requests of a kind."""

    broken: Broken
    refused: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    inner: httpx.HTTPTransport = field(default_factory=httpx.HTTPTransport)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content or b"{}")
        if self.broken(body):
            self.refused.append(body)
            raise httpx.ConnectError("refused")
        return self.inner.handle_request(request)

    def close(self) -> None:
        self.inner.close()


@dataclass(frozen=True, kw_only=True)
class Hanging(httpx.BaseTransport):
    """Does not answer requests of a kind until it is let go on."""

    broken: Broken
    go_on: threading.Event
    inner: httpx.HTTPTransport = field(default_factory=httpx.HTTPTransport)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.broken(json.loads(request.content or b"{}")):
            self.go_on.wait()
        return self.inner.handle_request(request)

    def close(self) -> None:
        self.inner.close()
