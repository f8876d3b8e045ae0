"""A double that forks at a message, as Letta Cloud promises it; Letta 0.16.8 always forks the whole context."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from letta_adapters.testing import FakeLetta
from tests.contract.build import CLIENT_TOOLS, answers, new_otid, result, user
from tests.contract.wire import Json, Wire

CALL = "[[call add {}]]"


@pytest.fixture
def cloud() -> Iterator[Wire]:
    with FakeLetta(cloud=True) as fake, Wire(fake.base_url, api_key=fake.api_key) as wire:
        yield wire


@pytest.fixture
def agent_id(cloud: Wire) -> str:
    return str(cloud.http.post("/v1/agents/", json={"name": "one"}).raise_for_status().json()["id"])


@pytest.fixture
def source_id(cloud: Wire, agent_id: str) -> str:
    source = cloud.new_conversation(agent_id)
    for word in ("one", "two", "three"):
        cloud.post(source, user(f"{word} [[say {word}]]"))
    return source


def fork_of(wire: Wire, conversation_id: str, **query: str) -> str:
    answer = wire.http.post(f"/v1/conversations/{conversation_id}/fork", params=query)
    return str(answer.raise_for_status().json()["id"])


def answered(wire: Wire, conversation_id: str, text: str) -> Json:
    return next(row for row in wire.rows(conversation_id) if row.get("content") == text)


def test_a_fork_has_the_messages_up_to_and_including_the_one_that_is_named(cloud: Wire, source_id: str) -> None:
    before = cloud.rows(source_id)
    fork = fork_of(cloud, source_id, message_id=answered(cloud, source_id, "two")["id"])
    assert cloud.stored(fork) == before[1:5]
    assert cloud.rows(source_id) == before
    seen = cloud.post(fork, user("[[recall]] again")).text.splitlines()
    assert seen == ["user: one", "assistant: one", "user: two", "assistant: two", "user: again"]


def test_without_a_message_a_fork_has_all_of_them(cloud: Wire, source_id: str) -> None:
    assert cloud.stored(fork_of(cloud, source_id)) == cloud.stored(source_id)


def test_at_the_compiled_prompt_a_fork_has_no_message(cloud: Wire, source_id: str) -> None:
    fork = fork_of(cloud, source_id, message_id=cloud.rows(source_id)[0]["id"])
    assert cloud.stored(fork) == []


def test_at_a_call_a_fork_waits_for_its_result_again(cloud: Wire, agent_id: str) -> None:
    source = cloud.new_conversation(agent_id)
    call = cloud.post(source, user(CALL), client_tools=CLIENT_TOOLS).call_id
    request = cloud.rows(source)[-1]["id"]
    cloud.post(source, answers(result(call, "3")))
    fork = fork_of(cloud, source, message_id=request)
    assert cloud.post(fork, answers(result(call, "4"))).text == "The tools answered: 4"


def test_the_default_conversation_is_forked_at_a_message_too(cloud: Wire, agent_id: str) -> None:
    for word in ("one", "two"):
        cloud.post("default", user(f"{word} [[say {word}]]"), agent_id=agent_id)
    answer = cloud.rows("default", agent_id=agent_id)[2]["id"]
    fork = fork_of(cloud, "default", agent_id=agent_id, message_id=answer)
    assert [row["content"] for row in cloud.stored(fork)] == ["one [[say one]]", "one"]


def test_a_message_that_is_not_in_context_is_not_found(cloud: Wire, source_id: str) -> None:
    message_id = f"message-{new_otid()}"
    answer = cloud.http.post(f"/v1/conversations/{source_id}/fork", params={"message_id": message_id})
    assert answer.status_code == 404
    assert message_id in answer.json()["detail"]
