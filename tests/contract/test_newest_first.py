"""Lists newest first: what each kind of them gives, and the client's reading, which is the other way backwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from letta_adapters import LettaClient
from letta_adapters.client.listing import id_of
from letta_adapters.wire import CompactionSettings
from tests.conftest import Backend
from tests.contract.wire import Json, Wire

TURN = "[[think hm]] [[say one]] [[call nothing]] [[next]] [[say two]]"
OF_TURN = ["user_message", "reasoning_message", "assistant_message", "tool_call_message", "tool_return_message"]


@pytest.fixture
def client(backend: Backend) -> Iterator[LettaClient]:
    with LettaClient(base_url=backend.base_url, api_key=backend.api_key) as made:
        yield made


def played(client: LettaClient, conversation_id: str, agent_id: str, count: int) -> None:
    for _ in range(count):
        client.conversations.messages.create(conversation_id, agent_id=agent_id, input=TURN).result()


def kinds(rows: list[Json]) -> list[str]:
    return [row["message_type"] for row in rows]


def test_a_conversations_list_has_its_messages_backwards_but_not_the_rows_of_one(
    client: LettaClient, wire: Wire, agent_id: str, conversation_id: str
) -> None:
    played(client, conversation_id, agent_id, 1)
    newest = wire.get(f"/v1/conversations/{conversation_id}/messages", order="desc")
    user, *answer, result = OF_TURN
    assert kinds(newest) == ["assistant_message", result, *answer, user, "system_message"]


@pytest.mark.self_hosted("lists of Letta Cloud are in the order that is asked for")
@pytest.mark.parametrize("of_default", [True, False], ids=["default conversation", "agent"])
def test_other_lists_have_the_newest_messages_oldest_first(
    client: LettaClient, wire: Wire, agent_id: str, of_default: bool
) -> None:
    played(client, "default", agent_id, 2)
    path = "/v1/conversations/default/messages" if of_default else f"/v1/agents/{agent_id}/messages"
    query = {"agent_id": agent_id} if of_default else {}
    newest = wire.get(path, order="desc", limit=4, **query)
    assert kinds(newest) == [*OF_TURN, "assistant_message"]
    older = wire.get(path, order="desc", limit=4, before=newest[0]["id"], **query)
    assert kinds(older) == [*OF_TURN, "assistant_message"]
    assert wire.get(path, order="desc", limit=4, after=older[-1]["id"], **query) == newest


@pytest.mark.self_hosted("no page says that a message's rows turn round")
def test_a_runs_list_has_every_row_backwards(
    client: LettaClient, wire: Wire, agent_id: str, conversation_id: str
) -> None:
    played(client, conversation_id, agent_id, 1)
    (run,) = wire.runs(conversation_id)
    path = f"/v1/runs/{run['id']}/messages"
    assert wire.get(path, order="desc") == wire.get(path, order="asc")[::-1]


def keys(rows: Iterable[Any]) -> list[tuple[str | None, str]]:
    return [(id_of(row), row.message_type) for row in rows]


@pytest.mark.not_recorded("the time of day")
@pytest.mark.parametrize("size", [3, 5])
def test_every_list_is_read_newest_first_as_it_is_read_the_other_way(
    client: LettaClient, agent_id: str, conversation_id: str, size: int
) -> None:
    played(client, conversation_id, agent_id, 3)
    played(client, "default", agent_id, 3)
    for of in (conversation_id, "default"):
        listed = client.conversations.messages.iterate
        onwards = keys(listed(of, agent_id, page_size=size))
        assert len(onwards) == 1 + 3 * 6
        assert keys(listed(of, agent_id, page_size=size, order="desc")) == onwards[::-1]
    onwards = keys(client.agents.messages.iterate(agent_id, page_size=size))
    assert keys(client.agents.messages.iterate(agent_id, page_size=size, order="desc")) == onwards[::-1]


@pytest.mark.not_recorded("order by chance")
def test_so_is_a_conversation_that_was_compacted_and_a_list_of_conversations(
    client: LettaClient, agent_id: str, conversation_id: str
) -> None:
    played(client, conversation_id, agent_id, 2)
    client.conversations.messages.compact(conversation_id, compaction_settings=CompactionSettings(mode="all"))
    played(client, conversation_id, agent_id, 2)
    onwards = keys(client.conversations.messages.iterate(conversation_id, page_size=3))
    assert len(onwards) == 1 + 4 * 6 + 1
    assert keys(client.conversations.messages.iterate(conversation_id, page_size=3, order="desc")) == onwards[::-1]
    others = [client.conversations.create(agent_id=agent_id).id for _ in range(2)]
    found = client.conversations.iterate(agent_id=agent_id, page_size=1, order="desc")
    assert [one.id for one in found] == [*others[::-1], conversation_id]
