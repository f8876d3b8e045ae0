"""What this process remembers: requests that went wrong, so that asking again does the right thing, and agents."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["LostTurn", "TurnMemory"]

V = TypeVar("V")

Request = tuple[str, ...]
"""What makes a request itself: its otids, made for the purpose of comparing."""


@dataclass(frozen=True, kw_only=True)
class LostTurn:
    """A turn that the server may have taken, and whose end was not seen.

    Args:
        conversation_id: Where it was sent.
        nonce: What stood for the ids of its messages.
        at_anchor: Whether that conversation was forked by the server at the anchor.
        repeatable: Whether its otids could be made of its messages alone.
    """

    conversation_id: str
    nonce: str
    at_anchor: bool = False
    repeatable: bool = True


_LOST_FOR = 900.0
"""Seconds for which a lost turn is remembered: a retry comes within minutes, other people's same words later."""


class _Bounded(OrderedDict[Request, V], Generic[V]):
    """A dictionary that forgets the oldest."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def __setitem__(self, key: Request, value: V) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        while len(self) > self._limit:
            self.popitem(last=False)


class TurnMemory:
    """Failures and losses of this process's requests.

    The server replays a failed run to whoever sends the same otids, so a retry must count up to be a new request. A
    turn that was lost is there under otids that a retry must use again.

    Args:
        limit: How many requests are remembered; the oldest are forgotten first.
        clock: Tells seconds.
    """

    def __init__(self, *, limit: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: _Bounded[int] = _Bounded(limit)
        self._lost: _Bounded[tuple[float, LostTurn]] = _Bounded(limit)
        self._agents: _Bounded[str] = _Bounded(limit)
        self._fork_at_the_end_only: set[str] = set()
        self._said: set[str] = set()
        self._heads: _Bounded[str] = _Bounded(limit)
        self._given: _Bounded[None] = _Bounded(limit)
        self._mutex = threading.Lock()

    def attempt(self, request: Request) -> int:
        """Which attempt of a request the next one is; 1 for the first."""
        with self._mutex:
            return self._failures.get(request, 0) + 1

    def failed(self, request: Request, attempt: int) -> None:
        """Remember that an attempt failed and left nothing."""
        with self._mutex:
            self._failures[request] = max(attempt, self._failures.get(request, 0))

    def agent_of(self, conversation: Request) -> str | None:
        """The agent of a conversation, if it was asked for before."""
        with self._mutex:
            return self._agents.get(conversation)

    def keep_agent(self, conversation: Request, agent_id: str) -> None:
        """Remember the agent of a conversation; it never changes."""
        with self._mutex:
            self._agents[conversation] = agent_id

    def may_fork_at_messages(self, server: str) -> bool:
        """Whether a server may be able to fork a conversation at a message: until it was seen not to."""
        return server not in self._fork_at_the_end_only

    def keep_that_it_forks_at_the_end_only(self, server: str) -> None:
        """Remember that a server forks a conversation at its end, whatever it is asked for."""
        self._fork_at_the_end_only.add(server)

    def is_new(self, warning: str) -> bool:
        """Whether a warning was not given before."""
        with self._mutex:
            known = warning in self._said
            self._said.add(warning)
            return not known

    def keep_head(self, conversation: Request, message_id: str) -> None:
        """Remember the last message of a conversation that this process saw."""
        with self._mutex:
            self._heads[conversation] = message_id

    def is_head(self, conversation: Request, message_id: str | None) -> bool:
        """Whether a message is the last one of a conversation, as far as this process saw."""
        return message_id is not None and self._heads.get(conversation) == message_id

    def keep_answer(self, answer: Request) -> None:
        """Remember that an answer was given."""
        with self._mutex:
            self._given[answer] = None

    def was_given(self, answer: Request) -> bool:
        """Whether an answer was given by this process."""
        return answer in self._given

    def lost(self, request: Request, turn: LostTurn) -> None:
        """Remember a turn whose end was not seen."""
        with self._mutex:
            self._lost[request] = (self._clock(), turn)

    def take_lost(self, request: Request) -> LostTurn | None:
        """The turn that was lost with this request, for the one that asks first."""
        with self._mutex:
            since, turn = self._lost.pop(request, (0.0, None))
            return turn if turn is not None and self._clock() - since <= _LOST_FOR else None
