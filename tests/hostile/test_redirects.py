"""A redirect is an error that says where to: following it would carry the key to another host (F19)."""

from __future__ import annotations

import httpx
import pytest

from letta_adapters import LettaClient, errors
from tests.hostile.calls import ANY, Call, both
from tests.hostile.server import document, head, once, serve

AGENT = {"id": "agent-1", "name": "a"}
STATUSES = ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]


@ANY
@pytest.mark.parametrize("status", STATUSES)
def test_a_redirect_is_not_followed_and_its_host_is_named(status: str, call: Call) -> None:
    with serve(once(document(AGENT))) as other:
        away = f"{other.base_url}/v1/agents/agent-1?session=s3cret#part"
        with serve(once(head(status, location=away, content_length="0"))) as server:
            error = call(server.base_url, api_key="sk-0123456789")
        assert other.connections == 0
        assert len(server.heads) == 1
    assert type(error) is errors.ProtocolError
    assert error.accepted is False
    assert f"redirects to {other.base_url}," in str(error)
    assert "`base_url`" in str(error)
    assert "s3cret" not in str(error)


@pytest.mark.parametrize("way", [0, 1], ids=["threads", "tasks"])
def test_a_redirect_is_not_followed_by_a_client_of_the_callers_own_that_would(way: int) -> None:
    call = both(lambda client: client.agents.retrieve("agent-1"))[way]
    http = (httpx.Client, httpx.AsyncClient)[way](follow_redirects=True)
    with serve(once(document(AGENT))) as other, serve(once(head("302 Found", location=other.base_url))) as server:
        error = call(server.base_url, api_key="sk-0123456789", http_client=http)
        assert type(error) is errors.ProtocolError
        assert other.connections == 0


def test_a_redirect_of_the_same_host_is_an_error_too() -> None:
    with (
        serve(once(head("307 Temporary Redirect", location="/elsewhere", content_length="0"))) as server,
        LettaClient(base_url=server.base_url) as client,
        pytest.raises(errors.ProtocolError, match="redirects are not followed"),
    ):
        client.agents.retrieve("agent-1")
