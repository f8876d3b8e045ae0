"""Compaction: older messages give way to a summary that the model writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from letta_adapters.testing.errors import ApiError
from letta_adapters.testing.messages import StoredMessage, new_id, now, plain_text
from letta_adapters.testing.model import ModelPort
from letta_adapters.testing.state import Conversation, Store

__all__ = ["compact"]

_WINDOW = 0.3
"""How much of the context goes first; the server adds a tenth until the cut falls on an answer of the model."""

_PROMPT = "Summarize the transcript for yourself, so that the conversation can go on without it."


async def compact(
    store: Store, model: ModelPort, conversation: Conversation, *, mode: str | None = None
) -> dict[str, Any]:
    """Replace the older part of a conversation's context by a summary.

    Raises:
        ApiError: if the context would not get shorter.
    """
    context = store.context(conversation)
    cut = _cut(context) if mode in (None, "sliding_window") else None
    note = "prior messages from the beginning of the conversation have been hidden from view due to conversation memory"
    if cut is None:
        cut = len(context) - 1 if context[-1].is_approval_request else len(context)
        note = "prior messages have been hidden from view due to conversation memory"
    if cut < 2:
        raise _no_gain()
    text = await _summary(model, context[1:cut])
    summary = _summary_message(
        f"Note: {note} constraints.\nThe following is a summary of the previous messages:\n {text}"
    )
    left = [context[0], summary, *context[cut:]]
    if len(left) >= len(context):
        raise _no_gain()
    store.checkpoint(conversation, [summary], left)
    return {"summary": text, "num_messages_before": len(context), "num_messages_after": len(left)}


def _cut(context: Sequence[StoredMessage]) -> int | None:
    """Where the kept part begins, or none if it would be the last message only."""
    share = _WINDOW + 0.1
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


async def _summary(model: ModelPort, messages: Sequence[StoredMessage]) -> str:
    lines = "\n".join(_line(message) for message in messages)
    transcript = f"<start_transcript>\n{lines}\n<end_transcript>\n. Generate the summary."
    chat = [{"role": "system", "content": _PROMPT}, {"role": "user", "content": transcript}]
    question = model.ask(chat, [], run_id="", needs_approval=lambda _: False)
    answer = await question.whole()
    return "".join(part["text"] for part in answer.content if part["type"] == "text")


def _line(message: StoredMessage) -> str:
    role = "MessageRole.user" if message.role == "user" else message.role
    texts = [part["text"] for part in message.content if part["type"] == "text"]
    texts += [plain_text(result.response) for result in message.tool_returns]
    return f"[{role}] {' '.join(texts)}"


def _summary_message(text: str) -> StoredMessage:
    time = now().strftime("%Y-%m-%d %I:%M:%S %p %Z%z")
    packed = json.dumps({"type": "system_alert", "message": text, "time": time}, indent=2, ensure_ascii=False)
    return StoredMessage(
        id=new_id("message"), role="user", content=({"type": "text", "text": packed},), created_at=now()
    )


def _no_gain() -> ApiError:
    detail = (
        "Summarization failed to reduce the number of messages. You may not have enough messages to compact or need "
        "to use a different CompactionSettings (e.g. using `all` mode)."
    )
    return ApiError(400, {"detail": detail})
