"""What a model tells of its tokens, where it is asked to: made up, but the same on every server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from letta_adapters.testing.messages import StoredMessage
from letta_adapters.testing.model import Answer
from letta_adapters.testing.script import tokens
from letta_adapters.testing.turn_request import TurnRequest

__all__ = ["SGLANG", "TokenData", "logprobs_of", "spoken", "token_ids_of"]

SGLANG = "sglang/scripted"
"""The handle of the scripted model that tells the ids of its tokens, as the server knows only SGLang's models to."""


class _Call(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def arguments(self) -> str: ...


class TokenData:
    """What the answer of a request that does not stream says of the tokens of its turn.

    Args:
        request: What is asked for; nothing where the endpoint does not heed it.
        handle: The model.
        streams_tokens: Whether the model does; then it tells nothing of them.
    """

    def __init__(self, request: TurnRequest, *, handle: str, streams_tokens: bool) -> None:
        """Start without any."""
        asked_for_others = request.return_logprobs and not request.return_token_ids
        self.has_ids = handle.startswith("sglang/") and not streams_tokens and not asked_for_others
        self.logprobs: dict[str, Any] | None = None
        self.turns: list[dict[str, Any]] = []
        self._top = request.top_logprobs
        self._wants_logprobs = request.return_logprobs and not streams_tokens

    def heard(self, answer: Answer) -> Answer:
        """Keep what is told of an answer's tokens; gives the answer, without its thoughts where it came as ids."""
        text = "".join(part["text"] for part in answer.content if part["type"] == "text")
        if not self.has_ids:
            self.logprobs = logprobs_of(text, self._top) if self._wants_logprobs else None
            return answer
        told = token_ids_of(spoken(text, answer.calls))
        self.logprobs = {"content": [_of_id(one) for one in told], "refusal": None}
        self.turns.append(_turn("assistant", text or None, ids=[one[1] for one in told], logprobs=told))
        return replace(
            answer,
            content=({"type": "text", "text": text},) if text else (),
            completion_tokens=len(told),
            cached_tokens=None,
            reasoning_tokens=None,
        )

    def ran(self, messages: Sequence[StoredMessage]) -> None:
        """Keep what tools gave."""
        for message in messages:
            if self.has_ids and message.role == "tool":
                told = "\n".join(str(one.response) for one in message.tool_returns)
                self.turns.append(_turn("tool", told, name=message.name))


def _turn(
    role: str,
    content: str | None,
    *,
    ids: list[int] | None = None,
    logprobs: list[list[Any]] | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    return {
        "role": role,
        "output_ids": ids,
        "output_token_logprobs": logprobs,
        "content": content,
        "tool_name": name,
    }


def logprobs_of(text: str, top: int | None) -> dict[str, Any]:
    """Give the log probabilities of a text as OpenAI's chat completions have them.

    Args:
        text: What the model says.
        top: How many tokens are told for each place, the chosen one first; `None` for none.
    """
    places = [_place(token, number, top or 0) for number, token in enumerate(tokens(text), start=1)]
    return {"content": places or None, "refusal": None}


def _place(token: str, number: int, top: int) -> dict[str, Any]:
    others = [_token(f"{token}~{rank}", number + rank) for rank in range(1, top)]
    chosen = _token(token, number)
    return {**chosen, "top_logprobs": [chosen, *others][:top]}


def _token(text: str, unlikely: int) -> dict[str, Any]:
    return {"token": text, "logprob": -unlikely / 4, "bytes": list(text.encode())}


def _of_id(told: list[Any]) -> dict[str, Any]:
    """A token that is known by its id alone."""
    return {"token": str(told[1]), "logprob": told[0], "bytes": None, "top_logprobs": []}


def token_ids_of(text: str) -> list[list[Any]]:
    """Give the tokens of a text as SGLang has them: `[logprob, token id, None]` for each."""
    return [[-number / 4, sum(map(ord, token)), None] for number, token in enumerate(tokens(text), start=1)]


def spoken(text: str, calls: Iterable[_Call]) -> str:
    """What a model says in one piece, calls among it, as models that SGLang serves write them."""
    written = (f'{{"name": "{call.name}", "arguments": {call.arguments or "{}"}}}' for call in calls)
    return text + "".join(f"<tool_call>{call}</tool_call>" for call in written)
