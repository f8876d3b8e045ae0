"""What an endpoint is: a request, and how its answer is read. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from letta_adapters.exchange import Query, Request

__all__ = [
    "Endpoint",
    "check_agent_id",
    "check_conversation_id",
    "check_id",
    "delete",
    "flag",
    "get",
    "given",
    "patch",
    "post",
]

T = TypeVar("T")

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Endpoint(Generic[T]):
    """A request and the reader of its answer.

    Args:
        request: What to send.
        read: Makes the result out of the body; raises `ValueError` when it cannot.
        repeatable: Whether sending twice does no more than sending once, so that a lost answer may be asked for again.
    """

    request: Request
    read: Callable[[bytes], T]
    repeatable: bool


def get(path: str, read: Callable[[bytes], T], query: Query | None = None) -> Endpoint[T]:
    """Read something."""
    return Endpoint(request=Request(method="GET", path=path, query=query or {}), read=read, repeatable=True)


def post(
    path: str,
    read: Callable[[bytes], T],
    *,
    query: Query | None = None,
    body: Mapping[str, Any] | None = None,
) -> Endpoint[T]:
    """Make something; what of the body is `None` is left out."""
    return Endpoint(
        request=Request(method="POST", path=path, query=query or {}, body=given(body or {})),
        read=read,
        repeatable=False,
    )


def patch(path: str, read: Callable[[bytes], T], *, body: Mapping[str, Any], repeatable: bool = True) -> Endpoint[T]:
    """Change something; what of the body is `None` is left out."""
    return Endpoint(request=Request(method="PATCH", path=path, body=given(body)), read=read, repeatable=repeatable)


def given(body: Mapping[str, Any]) -> bytes:
    """The JSON of a body without what is `None`."""
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


def delete(path: str) -> Endpoint[None]:
    """Delete something."""
    return Endpoint(request=Request(method="DELETE", path=path), read=lambda _: None, repeatable=True)


def flag(value: bool | None) -> str | None:
    """Yes or no as an address has it."""
    return None if value is None else str(value).lower()


def check_id(name: str, value: str, prefix: str) -> str:
    """Give an id back, or raise `ValueError` when it cannot be one of this kind."""
    if not _ID.fullmatch(value) or not value.startswith(prefix):
        raise ValueError(f"`{name}` must look like `{prefix}0a1b2c3d-…`, with a whole id, not {value!r}.")
    return value


def check_agent_id(agent_id: str) -> str:
    """Give the id back, or raise `ValueError` when it cannot be an agent's."""
    return check_id("agent_id", agent_id, "agent-")


def check_conversation_id(conversation_id: str, agent_id: str | None = None) -> str:
    """Give the id back, or raise `ValueError` when it cannot be a conversation's.

    `default` is every agent's default conversation, so it goes with an agent id only.
    """
    if conversation_id != "default":
        return check_id("conversation_id", conversation_id, "conv-")
    if agent_id is None:
        raise ValueError("`conversation_id='default'` needs an `agent_id`: every agent has a default conversation.")
    return conversation_id
