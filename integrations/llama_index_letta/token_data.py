"""What a turn tells beside its words: what it looked like token by token, and what the server summed up meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import LogProb

from letta_adapters.compacting import compactions_in
from letta_adapters.events import FinishedTurn
from letta_adapters.wire import Logprobs, TokenLogprob, TopLogprob

__all__ = ["ASIDE", "aside_of", "logprobs_of", "token_data_of"]

ASIDE = ("compactions", "logprobs", "turns")
"""Where an answer says it, in `additional_kwargs["letta"]`, where there is something to say."""


def aside_of(turns: Sequence[FinishedTurn]) -> dict[str, Any]:
    """What the rounds of an answer tell beside its words, as JSON."""
    compactions = [one for turn in turns for one in compactions_in(turn)]
    return {**({"compactions": compactions} if compactions else {}), **token_data_of(turns)}


def token_data_of(turns: Sequence[FinishedTurn]) -> dict[str, Any]:
    """The `logprobs` of the last call of the model, and as `turns` the tokens of all calls; each where it was told."""
    told = [one for turn in turns for one in turn.token_turns or ()]
    logprobs = turns[-1].logprobs if turns else None
    return {
        **({"logprobs": logprobs.model_dump(mode="json")} if logprobs is not None else {}),
        **({"turns": [one.model_dump(mode="json", exclude_none=True) for one in told]} if told else {}),
    }


def logprobs_of(turn: FinishedTurn) -> list[list[LogProb]] | None:
    """The tokens of an answer as `ChatResponse.logprobs` has them: for each place the chosen one, then the others."""
    if not isinstance(turn.logprobs, Logprobs) or turn.logprobs.content is None:
        return None
    return [[_logprob(one) for one in _with_others(token)] for token in turn.logprobs.content]


def _with_others(chosen: TokenLogprob) -> list[TopLogprob]:
    return [chosen, *(one for one in chosen.top_logprobs if one.token != chosen.token)]


def _logprob(one: TopLogprob) -> LogProb:
    return LogProb(token=one.token, logprob=one.logprob, bytes=one.bytes or [])
