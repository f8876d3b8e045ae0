"""A conversation on a server that has a message of every type that a server can be brought to store."""

from __future__ import annotations

from typing import get_args

from letta_adapters import LettaClient
from letta_adapters.matching import Row
from letta_adapters.wire import (
    ApprovalCreate,
    ApprovalReturn,
    ClientTool,
    CompactionSettings,
    ImageContent,
    LettaImage,
    MessageCreate,
    MessageType,
    OmittedReasoningContent,
    ReasoningContent,
    RedactedReasoningContent,
    TextContent,
    ToolReturn,
)

__all__ = ["STORED_TYPES", "varied_rows"]

STORED_TYPES = set(get_args(MessageType)) - {"summary_message", "event_message"}
"""The types that a self-hosted server stores: summaries are packed in a `user_message`, events are only streamed."""

_ADD = ClientTool(name="add", parameters={"type": "object", "properties": {}})
_SEED = (
    ReasoningContent(is_native=True, reasoning="hm", signature="sig"),
    RedactedReasoningContent(data="abc"),
    OmittedReasoningContent(),
    TextContent(text="Hello, Ann."),
)


def varied_rows(client: LettaClient, conversation_id: str) -> list[Row]:
    """Play it, and give its rows, oldest first."""
    messages = client.conversations.messages
    picture = ImageContent(source=LettaImage(file_id="file-1", media_type="image/png", data="iVBORw0KGgo="))
    seed = [
        MessageCreate(role="system", content="Be kind."),
        MessageCreate(role="user", content="I am Ann.", name="Ann", sender_id="identity-1"),
        MessageCreate(role="assistant", content=list(_SEED)),
        MessageCreate(role="user", content=[TextContent(text="[[say seen]]"), picture]),
    ]
    messages.create(conversation_id, messages=seed).result()
    messages.create(conversation_id, input="[[call nothing]] [[next]] [[say so]]").result()
    result = ToolReturn(tool_call_id="", tool_return="3", status="error", stdout=["out"], stderr=["err"])
    for answer in (result, ApprovalReturn(tool_call_id="", approve=False, reason="no")):
        asked = messages.create(conversation_id, input='[[call add {"a": 1}]]', client_tools=[_ADD]).result()
        given = answer.model_copy(update={"tool_call_id": asked.pending[0].tool_call_id})
        messages.create(conversation_id, messages=[ApprovalCreate(approvals=[given])], client_tools=[_ADD]).result()
    messages.compact(conversation_id, compaction_settings=CompactionSettings(mode="all"))
    messages.create(conversation_id, input="[[say bye]]").result()
    return list(messages.iterate(conversation_id))
