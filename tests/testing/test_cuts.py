"""Connections that a test has the double lose."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest

from langchain_letta import ChatLetta
from letta_adapters import LettaClient
from letta_adapters.testing import FakeLetta
from tests.testing.support import frames_of, new_conversation, text_of, turn_body

TEXT = "[[say one two three four]]"


def streamed(http: httpx.Client, conversation: str, text: str) -> list[str]:
    """The chunks of a stream until its connection is lost, which it must be."""
    chunks: list[str] = []
    body = {**turn_body(text), "streaming": True, "background": True}
    with (
        pytest.raises(httpx.RemoteProtocolError),
        http.stream("POST", f"/v1/conversations/{conversation}/messages", json=body) as answer,
    ):
        assert answer.status_code == 200
        chunks.extend(answer.iter_text())
    return chunks


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_stream_is_lost_after_as_many_events_as_were_asked_for(after: int) -> None:
    with FakeLetta() as fake, httpx.Client(base_url=fake.base_url) as http:
        conversation = new_conversation(http)
        fake.cut_streams(after)
        frames = frames_of("".join(streamed(http, conversation, TEXT)))
    assert len(frames) == after


def test_the_turn_goes_on_at_the_server_and_other_answers_are_left_alone() -> None:
    with FakeLetta() as fake, httpx.Client(base_url=fake.base_url) as http:
        conversation = new_conversation(http)
        fake.cut_streams(1)
        streamed(http, conversation, TEXT)
        run_id = http.get("/v1/runs/", params={"conversation_id": conversation}).json()[0]["id"]
        rest = http.post(f"/v1/runs/{run_id}/stream", json={}).raise_for_status().text
    assert text_of(frames_of(rest)) == "one two three four"


def test_a_stream_with_fewer_events_ends_as_it_would() -> None:
    with FakeLetta() as fake, LettaClient(base_url=fake.base_url) as client:
        conversation = client.conversations.create(agent_id=client.agents.create(name="ann").id)
        fake.cut_streams(1000)
        assert client.conversations.messages.create(conversation.id, input=TEXT).result().text == "one two three four"
        assert [request.path for request in fake.requests if request.path.endswith("/stream")] == []


@pytest.mark.parametrize("redis", [True, False], ids=["redis", "no-redis"])
async def test_a_model_gives_whole_answers_through_cuts_and_stores_each_once(redis: bool) -> None:
    with FakeLetta(redis=redis) as fake, LettaClient(base_url=fake.base_url) as client:
        model = ChatLetta(agent_id=client.agents.create(name="ann").id, base_url=fake.base_url)
        fake.cut_streams(2)
        blocking = await asyncio.to_thread(model.invoke, TEXT)
        fake.cut_streams(3)
        awaited = await model.ainvoke(TEXT)
        for answer in (blocking, awaited):
            assert answer.text == "one two three four"
            rows = client.conversations.messages.list(answer.response_metadata["letta"]["conversation_id"])
            assert [row.message_type for row in rows][:-1] == ["assistant_message", "user_message"]


def test_nothing_is_logged_about_a_connection_that_was_meant_to_be_lost(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), FakeLetta() as fake, httpx.Client(base_url=fake.base_url) as http:
        fake.cut_streams(1)
        streamed(http, new_conversation(http), TEXT)
    assert caplog.records == []
