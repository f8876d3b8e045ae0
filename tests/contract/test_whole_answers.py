"""Answers that do not stream: where a server heeds what is asked for token by token, and what it insists on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.build import user
from tests.contract.wire import Wire


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ({"include_pings": False}, "include_pings can only be set to false when streaming=true"),
        ({"stream_tokens": True}, "stream_tokens can only be true when streaming=true"),
        ({"background": True}, "background can only be true when streaming=true"),
    ],
)
def test_an_agents_endpoint_refuses_options_of_a_stream_that_is_none(
    wire: Wire, agent_id: str, option: dict[str, Any], reason: str
) -> None:
    body = {"messages": [user("hi")], "streaming": False, **option}
    answer = wire.http.post(f"/v1/agents/{agent_id}/messages", json=body)
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]


def test_a_whole_answer_has_a_place_for_token_data_and_a_stream_has_none(
    wire: Wire, agent_id: str, conversation_id: str
) -> None:
    asked = {"return_logprobs": True, "top_logprobs": 2, "return_token_ids": True}
    body = {"messages": [user("[[say hi]]")], "streaming": False, **asked}
    for path in (f"/v1/agents/{agent_id}/messages", f"/v1/conversations/{conversation_id}/messages"):
        answer = wire.http.post(path, json=body).raise_for_status().json()
        assert {"logprobs", "turns"} <= answer.keys()
    turn = wire.post(conversation_id, user("[[say hi]]"), **asked)
    assert not [frame for frame in turn.frames if {"logprobs", "turns"} & frame.keys()]
