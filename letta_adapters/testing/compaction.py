"""Compaction: older messages give way to a summary that the model writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ValidationError

from letta_adapters.testing.errors import ApiError, PromptOverflow, no_summary, unprocessable
from letta_adapters.testing.messages import StoredMessage, new_id, now, numbered_otid, plain_text
from letta_adapters.testing.model import ModelPort
from letta_adapters.testing.prompt import chat_messages
from letta_adapters.testing.rows import row, rows_of_all
from letta_adapters.testing.state import Agent, Conversation, Store

__all__ = [
    "Compacted",
    "CompactionSettings",
    "check_prompt",
    "compact",
    "compacted",
    "compaction_frames",
    "compaction_settings",
    "is_full",
]

_WINDOW = 0.3
"""How much of the context goes first; the server adds a tenth until the cut falls on an answer of the model."""

_FULL = 0.9
"""How much of its window a context may take before the server compacts it by itself."""

_CLIPPED = "... [summary truncated to fit]"

_ACKNOWLEDGED = "I will answer with the summary."

_PROMPT = "Summarize the transcript for yourself, so that the conversation can go on without it."


@dataclass(frozen=True, kw_only=True)
class Compacted:
    """What a compaction made: the text of the summary, the message that carries it, and what the model sees next."""

    text: str
    summary: StoredMessage
    context: list[StoredMessage]

    def of_run(self, run_id: str, *, step_id: str, otid: str) -> Compacted:
        """Give the same with a summary that belongs to a step of a run."""
        summary = replace(self.summary, run_id=run_id, step_id=step_id, otid=otid)
        return replace(self, summary=summary, context=[self.context[0], summary, *self.context[2:]])


class SummarizerModel(BaseModel):
    """Settings of the model that writes the summary; only the providers that the server knows."""

    provider_type: Literal[
        "openai",
        "sglang",
        "anthropic",
        "google_ai",
        "google_vertex",
        "azure",
        "xai",
        "zai",
        "groq",
        "deepseek",
        "together",
        "bedrock",
        "baseten",
        "openrouter",
        "chatgpt_oauth",
    ]


class CompactionSettings(BaseModel):
    """How a compaction is asked for."""

    mode: Literal["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"] = "sliding_window"
    model: str | None = None
    model_settings: SummarizerModel | None = None
    prompt: str | None = None
    prompt_acknowledgement: bool = False
    clip_chars: int | None = 50_000
    sliding_window_percentage: float = _WINDOW


def compaction_settings(body: dict[str, Any]) -> CompactionSettings:
    """Read the settings out of the body of a request.

    Raises:
        ApiError: the 422 that names what is wrong.
    """
    try:
        return CompactionSettings.model_validate(body.get("compaction_settings") or {})
    except ValidationError as error:
        found = error.errors(include_url=False)
        where = ("body", "compaction_settings")
        raise unprocessable([{**one, "loc": (*where, *one["loc"])} for one in found]) from error


async def compact(
    store: Store, model: ModelPort, conversation: Conversation, settings: CompactionSettings
) -> dict[str, Any]:
    """Replace the older part of a conversation's context by a summary, because somebody asks for it.

    Raises:
        ApiError: if the context would not get shorter.
        ModelError: if the model fails, or gives no summary.
    """
    before = store.context(conversation)
    made = await compacted(model, before, settings)
    if len(made.context) >= len(before):
        raise _no_gain()
    store.checkpoint(conversation, [made.summary], made.context)
    return {"summary": made.text, "num_messages_before": len(before), "num_messages_after": len(made.context)}


def is_full(agent: Agent, tokens: int) -> bool:
    """Whether a context of so many tokens is compacted after the step.

    The scripted model always tells the same few tokens, so this takes an agent with a window of at most 133.
    """
    return tokens > int(agent.context_window * _FULL)


def check_prompt(agent: Agent, prompt: StoredMessage) -> None:
    """Raise `PromptOverflow` where the system prompt alone, at four characters a token, is more than fits."""
    tokens = sum(len(part.get("text", "")) for part in prompt.content) // 4
    if tokens >= agent.context_window:
        raise PromptOverflow(tokens=tokens, window=agent.context_window)


async def compacted(
    model: ModelPort,
    context: Sequence[StoredMessage],
    settings: CompactionSettings,
    *,
    stats: dict[str, Any] | None = None,
) -> Compacted:
    """Summarize the older part of a context.

    Raises:
        ApiError: if nothing can be taken out.
        ModelError: if the model fails, or gives no summary.
    """
    cut = _cut(context, settings.sliding_window_percentage) if settings.mode.endswith("sliding_window") else None
    note = "prior messages from the beginning of the conversation have been hidden from view due to conversation memory"
    if cut is None:
        cut = _end(context)
        note = "prior messages have been hidden from view due to conversation memory"
    if cut < 2:
        raise _no_gain()
    if settings.mode.startswith("self_compact"):
        text = await _own_summary(model, context[:cut], settings)
    else:
        text = await _summary(model, context[1:cut], settings)
    if settings.clip_chars is not None and len(text) > settings.clip_chars:
        text = text[: settings.clip_chars] + _CLIPPED
    kept = context[cut:]
    if stats is not None:
        stats = {**stats, "messages_count_before": len(context), "messages_count_after": len(kept) + 2}
    full_text = f"Note: {note} constraints.\nThe following is a summary of the previous messages:\n {text}"
    summary = _summary_message(full_text, stats)
    return Compacted(text=text, summary=summary, context=[context[0], summary, *kept])


def compaction_frames(made: Compacted, stats: dict[str, Any], *, told: bool, cloud: bool) -> list[dict[str, Any]]:
    """Tell of a compaction, where it is to be told, by the types that there are for it: an event, then the summary.

    Where it is not, a self-hosted server shows the message that carries the summary, and Letta Cloud nothing.
    """
    if not told:
        return [] if cloud else rows_of_all([replace(made.summary, step_id=None)])
    data = {
        "trigger": stats["trigger"],
        "context_token_estimate": stats["context_tokens_before"],
        "context_window": stats["context_window"],
    }
    event = row(made.summary, "event_message", None, event_type="compaction", event_data=data)
    packed = json.loads(made.summary.content[0]["text"])
    fields = {"summary": made.text, "compaction_stats": packed["compaction_stats"]}
    summary = row(made.summary, "summary_message", numbered_otid(made.summary.id, 0), **fields)
    return [{**event, "id": str(uuid4())}, summary]


def _end(context: Sequence[StoredMessage]) -> int:
    """Where a call begins that waits, with the server's own calls of its step; else the end."""
    if not context[-1].is_approval_request:
        return len(context)
    last, before = context[-1], context[-2]
    return len(context) - (2 if before.role == "assistant" and before.step_id == last.step_id else 1)


def _cut(context: Sequence[StoredMessage], window: float) -> int | None:
    """Where the kept part begins, or none if it would be the last message only."""
    share = window + 0.1
    while share < 1.0:
        reach = min(round(share * len(context)), len(context) - 1)
        cut = next((i for i in range(reach, 0, -1) if _may_begin(context[i])), None)
        if cut is not None:
            last = len(context) - (2 if context[-1].role == "approval" else 1)
            return cut if cut < last else None
        share += 0.1
    return None


def _may_begin(message: StoredMessage) -> bool:
    return message.role == "assistant" or message.is_approval_request


async def _own_summary(model: ModelPort, messages: Sequence[StoredMessage], settings: CompactionSettings) -> str:
    """Let the agent's own model summarize what it sees, because a message of the user asks it to."""
    chat = chat_messages(messages, override_system=None, cap=50_000)
    return await _asked(model, [*chat, {"role": "user", "content": settings.prompt or _PROMPT}])


async def _summary(model: ModelPort, messages: Sequence[StoredMessage], settings: CompactionSettings) -> str:
    lines = "\n".join(_line(message) for message in messages)
    transcript = f"<start_transcript>\n{lines}\n<end_transcript>\n. Generate the summary."
    chat = [{"role": "system", "content": settings.prompt or _PROMPT}, {"role": "user", "content": transcript}]
    if settings.prompt_acknowledgement:
        chat.insert(1, {"role": "assistant", "content": _ACKNOWLEDGED})
    return await _asked(model, chat)


async def _asked(model: ModelPort, chat: Sequence[dict[str, Any]]) -> str:
    question = model.ask(chat, [], run_id="", needs_approval=lambda _: False)
    answer = await question.whole()
    text = "".join(part["text"] for part in answer.content if part["type"] == "text")
    if not text:
        raise no_summary()
    return text


def _line(message: StoredMessage) -> str:
    role = "MessageRole.user" if message.role == "user" else message.role
    texts = [part["text"] for part in message.content if part["type"] == "text"]
    texts += [plain_text(result.response) for result in message.tool_returns]
    return f"[{role}] {' '.join(texts)}"


def _summary_message(text: str, stats: dict[str, Any] | None) -> StoredMessage:
    time = now().strftime("%Y-%m-%d %I:%M:%S %p %Z%z")
    alert: dict[str, Any] = {"type": "system_alert", "message": text, "time": time}
    if stats is not None:
        alert["compaction_stats"] = stats
    packed = json.dumps(alert, indent=2, ensure_ascii=False)
    content = ({"type": "text", "text": packed},)
    return StoredMessage(id=new_id("message"), role="user", content=content, created_at=now())


def _no_gain() -> ApiError:
    detail = (
        "Summarization failed to reduce the number of messages. You may not have enough messages to compact or need "
        "to use a different CompactionSettings (e.g. using `all` mode)."
    )
    return ApiError(400, {"detail": detail})
