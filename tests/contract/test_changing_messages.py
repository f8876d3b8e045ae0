"""Messages that are stored cannot be changed any more: a server reads the change, and refuses it."""

from __future__ import annotations

import pytest

from letta_adapters.wire import (
    ImageContent,
    LettaImage,
    MessageUpdate,
    TextContent,
    UpdateAssistantMessage,
    UpdateReasoningMessage,
    UpdateSystemMessage,
    UpdateUserMessage,
)
from tests.contract.build import user
from tests.contract.wire import Wire

LOOK = [TextContent(text="look"), ImageContent(source=LettaImage(file_id="file-1"))]


@pytest.mark.parametrize(
    "change",
    [
        UpdateSystemMessage(content="Be brief."),
        UpdateUserMessage(content="What I meant"),
        UpdateUserMessage(content=LOOK),
        UpdateReasoningMessage(reasoning="Hm."),
        UpdateAssistantMessage(content="Hello."),
        UpdateAssistantMessage(content=[TextContent(text="Hello.")]),
    ],
    ids=lambda change: f"{change.message_type} of {type(getattr(change, 'content', '')).__name__}",
)
def test_a_change_of_a_stored_message_is_understood_and_refused(
    wire: Wire, agent_id: str, conversation_id: str, change: MessageUpdate
) -> None:
    wire.post(conversation_id, user("[[think hm]] [[say hi]]"))
    rows = wire.rows(conversation_id)
    path = f"/v1/agents/{agent_id}/messages/{rows[-1]['id']}"
    answer = wire.http.patch(path, json=change.model_dump(mode="json"))
    assert (answer.status_code, answer.json()["detail"][:42]) == (405, "Message editing is no longer supported. Me")
    assert wire.rows(conversation_id) == rows


def test_a_change_that_says_nothing_is_not_understood(wire: Wire, agent_id: str, conversation_id: str) -> None:
    wire.post(conversation_id, user("[[say hi]]"))
    path = f"/v1/agents/{agent_id}/messages/{wire.rows(conversation_id)[-1]['id']}"
    assert wire.http.patch(path, json={"message_type": "assistant_message"}).status_code == 422
