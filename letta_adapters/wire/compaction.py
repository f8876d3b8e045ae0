"""Compaction of a conversation's context: how it is asked for, and what the server tells about one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from letta_adapters.wire.base import Handle, InputModel, WireModel
from letta_adapters.wire.messages import CompactionStats
from letta_adapters.wire.model_settings import ModelSettings

__all__ = ["CompactionRequest", "CompactionResponse", "CompactionSettings", "CompactionStats"]


class CompactionSettings(InputModel):
    """How a context is compacted; what is not set is the agent's setting, or the server's.

    The `self_compact` modes let the agent's own model write the summary; for the other two `model` names the one that
    does, with `model_settings` of its provider. `sliding_window_percentage` is a share of the context, 0 to 1;
    `clip_chars` the length of the summary at most.
    """

    mode: Literal["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"] | None = None
    model: Handle | None = None
    model_settings: ModelSettings | None = None
    prompt: str | None = None
    prompt_acknowledgement: bool | None = None
    clip_chars: Annotated[int | None, Field(ge=1)] = None
    sliding_window_percentage: Annotated[float | None, Field(ge=0, le=1)] = None


class CompactionRequest(InputModel):
    """The body of a request to compact; `agent_id` goes with the conversation `default`."""

    compaction_settings: CompactionSettings | None = None
    agent_id: str | None = None


class CompactionResponse(WireModel):
    """The summary, and how many messages the context had before and has now."""

    summary: str | None = None
    num_messages_before: int
    num_messages_after: int
