"""What a history asks a server for, in which order. Generators without I/O; `asking.py` carries them out."""

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_core.messages import BaseMessage

from langchain_letta.stored_to_langchain import StoredToLangChain
from letta_adapters.anchoring import Target
from letta_adapters.client.endpoints import (
    Endpoint,
    check_agent_id,
    create_conversation,
    delete_conversation,
    retrieve_conversation,
    update_conversation,
)
from letta_adapters.client.listing import Page, pages_of
from letta_adapters.creation import Marks, marked_conversation
from letta_adapters.errors import NotFound
from letta_adapters.identity import conversation_marker
from letta_adapters.stored_turns import TurnGrouping
from letta_adapters.transcript import Anchor
from letta_adapters.wire import Conversation

__all__ = ["Asking", "Place", "find_place", "find_session", "leave", "outcome_of", "read"]

T = TypeVar("T")

Asking = Generator[Endpoint[Any], Any, T]
"""Yields what is to be asked for, is sent the answers, returns what it was after."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A conversation and its agent."""

    conversation_id: str
    agent_id: str

    def holds(self, anchor: Anchor | None) -> bool:
        """Whether an answer was given here."""
        here = Target(agent_id=self.agent_id, conversation_id=self.conversation_id)
        return anchor is not None and here.holds(anchor)


def outcome_of(asking: Asking[T]) -> Generator[Endpoint[Any] | T, Any, None]:
    """Yield, last of all, what an asking returns."""
    yield (yield from asking)


def find_place(conversation_id: str, agent_id: str | None) -> Asking[Place]:
    """Where a conversation is; its agent is asked for, if it is not known.

    Raises:
        NotFound: The conversation is not there.
    """
    if agent_id is None:
        conversation: Conversation = yield retrieve_conversation(conversation_id)
        agent_id = conversation.agent_id
    return Place(conversation_id=conversation_id, agent_id=agent_id)


def find_session(session_id: str, agent_id: str) -> Asking[Place]:
    """The conversation of a session; it is made, once, if there is none.

    Raises:
        NotFound: There is no such agent.
    """
    marks = Marks(said=f"session-{_mark(session_id, agent_id)}")
    into = yield from marked_conversation(agent_id, marks, lambda: _made(agent_id, marks.summary))
    return Place(conversation_id=into.conversation_id, agent_id=agent_id)


def leave(place: Place, session_id: str | None, *, delete: bool) -> Asking[Place]:
    """A new conversation in the place of another one, which stays unless it is to be deleted."""
    if session_id is None:
        made = yield from _made(place.agent_id, None)
        new = Place(conversation_id=made.id, agent_id=place.agent_id)
    else:
        # First what the session is found by is taken away: so after a crash, too, the next one to look begins anew.
        former = f"letta-adapters former-{_mark(session_id, place.agent_id)}"
        yield from _unless_gone(update_conversation(place.conversation_id, summary=former))
        new = yield from find_session(session_id, place.agent_id)
    if delete:
        yield from _unless_gone(delete_conversation(place.conversation_id))
    return new


def read(
    place: Place, *, page_size: int, include: Collection[str] | None, anchor_key: str | None
) -> Generator[Endpoint[Any] | list[BaseMessage], Any, None]:
    """Yield the messages of a conversation, some at a time, oldest first.

    Raises:
        NotFound: The conversation is not there.
        ProtocolError: The server does not go on behind what it gave, but begins again.
    """
    turns = TurnGrouping()
    translate = StoredToLangChain(
        conversation_id=place.conversation_id, agent_id=place.agent_id, include=include, anchor_key=anchor_key
    )
    pages = pages_of(place.conversation_id, place.agent_id, page_size=page_size)
    answer: Any = None
    while (step := _advance(pages, answer)) is not None:
        answer = None
        if isinstance(step, Page):
            yield [message for turn in turns.feed(step.rows) for message in translate.messages(turn)]
        else:
            answer = yield step
    yield [message for turn in turns.finish() for message in translate.messages(turn)]


def _advance(pages: Generator[Endpoint[Any] | Page, Any, None], answer: Any) -> Endpoint[Any] | Page | None:
    try:
        return pages.send(answer)
    except StopIteration:
        return None


def _made(agent_id: str, summary: str | None) -> Asking[Conversation]:
    return (yield create_conversation(agent_id=check_agent_id(agent_id), summary=summary))


def _mark(session_id: str, agent_id: str) -> str:
    return conversation_marker(agent_id, "session", session_id)


def _unless_gone(endpoint: Endpoint[Any]) -> Asking[None]:
    with suppress(NotFound):
        yield endpoint
