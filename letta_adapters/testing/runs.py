"""A run: the record of one turn, and the channel of frames that connections read while, or after, it goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from letta_adapters.testing.frames import event, ping
from letta_adapters.testing.messages import new_id, now

__all__ = ["Channel", "Run", "Usage"]

Status = Literal["created", "running", "completed", "failed", "cancelled"]

_FAILURES = {
    "error",
    "invalid_tool_call",
    "no_tool_call",
    "invalid_llm_response",
    "llm_api_error",
    "max_tokens_exceeded",
    "context_window_overflow_in_system_prompt",
    "insufficient_credits",
}


@dataclass(frozen=True, kw_only=True)
class _Entry:
    text: str
    seq_id: int | None
    last: bool


class Channel:
    """The frames of a run in order; any number of readers, each from where it likes.

    A reader waits for what comes next, and ends only with the frame that is marked as the last: one that starts
    behind it waits for ever, as on the real server.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._entries: list[_Entry] = []
        self._changed = asyncio.Event()
        self._closed = False

    def append(self, text: str, *, seq_id: int | None, last: bool = False) -> None:
        """Add a frame."""
        self._entries.append(_Entry(text=text, seq_id=seq_id, last=last))
        self._wake()

    def close(self) -> None:
        """End every reader, because the server stops."""
        self._closed = True
        self._wake()

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self._entries)

    async def read(self, *, after: int = 0, run_id: str, ping_every: float | None) -> AsyncIterator[str]:
        """Give the frames behind a sequence id, with pings in times of silence."""
        position = after
        seen: int | None = None
        while not self._closed:
            while position < len(self._entries):
                entry = self._entries[position]
                position += 1
                seen = entry.seq_id or seen
                yield entry.text
                if entry.last:
                    return
            if not await self._wait(ping_every) and not self._closed:
                yield event(ping(run_id, seq_id=seen))

    async def _wait(self, seconds: float | None) -> bool:
        """Wait for a change; false when the time is over first."""
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


@dataclass(kw_only=True)
class Usage:
    """Tokens of all steps of a run."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    step_count: int = 0
    context_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None

    def add(
        self,
        *,
        prompt_tokens: int,
        completion_tokens: int,
        cached_tokens: int | None = None,
        reasoning_tokens: int | None = None,
    ) -> None:
        """Count one call of the model."""
        if cached_tokens is not None:
            self.cached_tokens = (self.cached_tokens or 0) + cached_tokens
        if reasoning_tokens is not None:
            self.reasoning_tokens = (self.reasoning_tokens or 0) + reasoning_tokens
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        self.step_count += 1
        self.context_tokens = prompt_tokens + completion_tokens


@dataclass(kw_only=True)
class Run:
    """The record of one turn.

    `live` carries its frames to the connection that asked for it. `kept` is what later connections can read: the
    same frames for a background run, and for ever nothing for a foreground run.
    """

    id: str = field(default_factory=lambda: new_id("run"))
    agent_id: str
    conversation_id: str | None
    background: bool
    metadata: dict[str, Any]
    request_config: dict[str, Any]
    status: Status = "created"
    stop_reason: str | None = None
    created_at: datetime = field(default_factory=now)
    completed_at: datetime | None = None
    callback_url: str | None = None
    usage: Usage = field(default_factory=Usage)
    step_ids: list[str] = field(default_factory=list[str])
    live: Channel = field(default_factory=Channel)
    kept: Channel = field(default_factory=Channel)

    def __post_init__(self) -> None:
        """A background run keeps what it sends."""
        if self.background:
            self.kept = self.live

    @property
    def active(self) -> bool:
        """Whether it can be cancelled or resumed."""
        return self.status in ("created", "running")

    def send(self, frame: dict[str, Any] | str, *, name: str | None = None, last: bool = False) -> None:
        """Put a frame on the channel; only background frames are numbered."""
        seq_id = len(self.live) + 1 if self.background else None
        if isinstance(frame, str):
            self.live.append(frame, seq_id=seq_id, last=last)
            return
        if "seq_id" in frame:
            frame = {**frame, "seq_id": seq_id}
        self.live.append(event(frame, name=name), seq_id=seq_id, last=last)

    def finish(
        self, stop_reason: str | None, *, status: Status | None = None, error: dict[str, Any] | None = None
    ) -> None:
        """Record the end; a run that was cancelled stays so."""
        if self.status == "cancelled":
            return
        self.stop_reason = stop_reason
        self.status = status or _status_of(stop_reason or "error")
        self.completed_at = now()
        if error is not None and self.status == "failed":
            self.metadata["error"] = error

    def as_json(self) -> dict[str, Any]:
        """Show the record."""
        return {
            "id": self.id,
            "status": self.status,
            "created_at": _date(self.created_at),
            "completed_at": _date(self.completed_at),
            "agent_id": self.agent_id,
            "conversation_id": self.conversation_id,
            "base_template_id": None,
            "background": self.background,
            "metadata": self.metadata,
            "request_config": self.request_config,
            "stop_reason": self.stop_reason,
            "callback_url": self.callback_url,
            "callback_sent_at": None,
            "callback_status_code": None,
            "callback_error": None,
            "ttft_ns": None,
            "total_duration_ns": None,
        }


def _status_of(stop_reason: str) -> Status:
    if stop_reason == "cancelled":
        return "cancelled"
    return "failed" if stop_reason in _FAILURES else "completed"


def _date(value: datetime | None) -> str | None:
    return value.isoformat().replace("+00:00", "Z") if value else None
