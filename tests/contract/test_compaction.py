"""What compaction leaves of a conversation."""

from __future__ import annotations

import json

import pytest

from tests.contract.build import user
from tests.contract.wire import Wire


def compacted(wire: Wire, conversation_id: str) -> None:
    for number in range(4):
        wire.post(conversation_id, user(f"number {number} [[say answer {number}]]"))
    answer = wire.http.post(f"/v1/conversations/{conversation_id}/compact", json={}).raise_for_status().json()
    assert set(answer) == {"summary", "num_messages_before", "num_messages_after"}
    assert answer["num_messages_before"] == 9
    assert answer["num_messages_after"] < 9


@pytest.mark.self_hosted("Letta Cloud has a type for summaries")
def test_the_summary_is_a_user_message_of_packed_json_and_all_others_stay_listed(
    wire: Wire, conversation_id: str
) -> None:
    compacted(wire, conversation_id)
    context = wire.conversation(conversation_id)["in_context_message_ids"]
    rows = wire.rows(conversation_id)
    (summary,) = [row for row in rows if row["id"] == context[1]]
    assert summary["message_type"] == "user_message"
    packed = json.loads(summary["content"])
    assert packed["type"] == "system_alert"
    assert packed["message"].startswith("Note: prior messages")
    texts = [row["content"] for row in rows if row["message_type"] == "assistant_message"]
    # Listed in no reliable order after a compaction: answers swap places, the summary stands anywhere near the top.
    assert sorted(texts) == [f"answer {number}" for number in range(4)]


def test_a_fresh_conversation_cannot_be_compacted(wire: Wire, conversation_id: str) -> None:
    answer = wire.http.post(f"/v1/conversations/{conversation_id}/compact", json={})
    assert answer.status_code == 400
