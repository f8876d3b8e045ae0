"""What a message says of the turn that it is: its id, its anchor, its run, its tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata

from langchain_letta.blocks import Bound, is_ours
from langchain_letta.messages import ANCHOR_KEY
from letta_adapters.compacting import compactions_in
from letta_adapters.delivery_steps import Delivered
from letta_adapters.events import FinishedTurn
from letta_adapters.transcript import Anchor
from letta_adapters.wire import UsageStatistics

__all__ = ["PROVIDER", "Begun", "message_id_of", "metadata_of", "run_metadata", "usage_of"]

PROVIDER = "letta"
"""`model_provider` of every answer, and `ls_provider` of every trace."""

Begun = Callable[[str, str | None], Anchor]
"""Makes the anchor of an answer that has only begun, out of its conversation and its run."""

_FINISH_REASONS = {"end_turn": "stop", "max_tokens_exceeded": "length"}


def message_id_of(turn: FinishedTurn) -> str | None:
    """The id of the message: the server's, of the first thing that it streamed."""
    return turn.answer_id or turn.run_id


def run_metadata(anchor: Anchor, otids: Sequence[str]) -> dict[str, Any]:
    """Which run gives an answer: what the first chunk says."""
    return {
        **anchor.model_dump(
            mode="json", include={"agent_id", "conversation_id", "run_id", "signature"}, exclude_none=True
        ),
        "otids": list(otids),
    }


def metadata_of(delivered: Delivered, *, model_name: str, bound: Bound = None) -> dict[str, Any]:
    """The response metadata of a finished turn, but for its run."""
    turn = delivered.turn
    letta = delivered.anchor.to_metadata()
    if turn.usage is not None:
        letta["step_count"] = turn.usage.step_count
        letta["context_tokens"] = turn.usage.context_tokens
    if compactions := compactions_in(turn):
        letta["compactions"] = compactions
    if turn.token_turns is not None:
        letta["turns"] = [one.model_dump(mode="json", exclude_none=True) for one in turn.token_turns]
    logprobs = {"logprobs": turn.logprobs.model_dump(mode="json")} if turn.logprobs is not None else {}
    return {
        "model_provider": PROVIDER,
        "model_name": model_name,
        "finish_reason": _finish_reason(turn, bound),
        **logprobs,
        ANCHOR_KEY: letta,
    }


def _finish_reason(turn: FinishedTurn, bound: Bound) -> str:
    """Why it ended, in OpenAI's words where they have one; a person that is waited for is no tool call."""
    waits_for_a_person = bool(turn.pending) and not any(is_ours(call, bound) for call in turn.pending)
    if turn.stop_reason == "requires_approval" and not waits_for_a_person:
        return "tool_calls"
    return _FINISH_REASONS.get(turn.stop_reason, turn.stop_reason)


def usage_of(usage: UsageStatistics | None) -> UsageMetadata | None:
    """Tokens of the whole turn: Letta sums them over the steps that it ran."""
    if usage is None:
        return None
    metadata = UsageMetadata(
        input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens, total_tokens=usage.total_tokens
    )
    cache = _known({"cache_read": usage.cached_input_tokens, "cache_creation": usage.cache_write_tokens})
    if cache:
        metadata["input_token_details"] = cast("InputTokenDetails", cache)
    reasoning = _known({"reasoning": usage.reasoning_tokens})
    if reasoning:
        metadata["output_token_details"] = cast("OutputTokenDetails", reasoning)
    return metadata


def _known(details: dict[str, int | None]) -> dict[str, int]:
    return {name: value for name, value in details.items() if value is not None}
