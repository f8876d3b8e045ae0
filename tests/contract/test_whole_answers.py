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
