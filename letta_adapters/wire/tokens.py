"""What a model's answer looked like token by token, where it was asked for."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from letta_adapters.wire.base import WireModel

__all__ = ["Logprobs", "TokenLogprob", "TokenTurn", "TopLogprob"]


class TopLogprob(WireModel):
    """One of the tokens that were likely at a place; `bytes` are its UTF-8 bytes."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogprob(TopLogprob):
    """A token that was chosen, and what else was likely there."""

    top_logprobs: list[TopLogprob] = Field(default_factory=list[TopLogprob])


class Logprobs(WireModel):
    """The tokens of the last call of the model: those of its answer, or of its refusal."""

    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class TokenTurn(WireModel):
    """One generation of the model, or one tool result between two of them.

    `output_ids` are the tokens of a generation and `output_token_logprobs` a list `[logprob, token id, top logprobs
    or null]` for each; a tool's turn has its name and its text instead.
    """

    role: Literal["assistant", "tool"]
    content: str | None = None
    output_ids: list[int] | None = None
    output_token_logprobs: list[list[Any]] | None = None
    tool_name: str | None = None
