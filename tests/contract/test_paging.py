"""Paging the lists of agents, tools, runs, and the messages and steps of a run: what `after` and `before` mean."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.conftest import Backend
from tests.contract.build import user
from tests.contract.wire import Json, Wire

BOUND = 10

SOURCE = '''
def NAME(text: str) -> str:
    """Give it back.

    Args:
        text (str): What to give back.
    """
    return text
'''


def walk(wire: Wire, path: str, cursor: str, **query: object) -> list[str]:
    """Page with limit 1 until an empty page: the ids in the order in which they came, a message's rows as one."""
    seen: list[str] = []
    position: dict[str, str] = {}
    for _ in range(BOUND):
        page: list[Json] = wire.get(path, limit=1, **query, **position)
        if not page:
            return seen
        (item,) = {row["id"] for row in page}
        seen.append(item)
        position = {cursor: item}
    pytest.fail(f"no end after {BOUND} pages: {seen}")


@pytest.fixture
def agent_ids(backend: Backend, wire: Wire) -> Iterator[tuple[str, list[str]]]:
    """Three agents, oldest first, and the tag that they share."""
    tag = f"tag-{uuid4().hex}"
    body = {"model": backend.handle, "agent_type": "letta_v1_agent", "include_base_tools": False, "tags": [tag]}
    ids = [str(wire.http.post("/v1/agents/", json=body).raise_for_status().json()["id"]) for _ in range(3)]
    yield tag, ids
    for agent in ids:
        wire.http.delete(f"/v1/agents/{agent}")


@pytest.fixture
def tools(wire: Wire) -> dict[str, str]:
    """Three tools of the server, oldest first: ids by name."""
    names = [f"tool_{uuid4().hex}" for _ in range(3)]
    bodies = [{"source_code": SOURCE.replace("NAME", name)} for name in names]
    made = [wire.http.post("/v1/tools/", json=body).raise_for_status().json() for body in bodies]
    return {tool["name"]: tool["id"] for tool in made}


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_agents_page_along_the_order(wire: Wire, agent_ids: tuple[str, list[str]], order: str) -> None:
    tag, ids = agent_ids
    expected = ids if order == "asc" else ids[::-1]
    assert walk(wire, "/v1/agents/", "after", tags=[tag], order=order) == expected
    before = wire.get("/v1/agents/", tags=[tag], order=order, before=expected[2])
    assert [agent["id"] for agent in before] == expected[:2]
    assert walk(wire, "/v1/agents/", "after", tags=[tag]) == ids[::-1]
    assert len(wire.get("/v1/agents/", tags=[tag], after=f"agent-{uuid4()}")) == 3


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_tools_page_along_the_order(wire: Wire, tools: dict[str, str], order: str) -> None:
    names, ids = list(tools), list(tools.values())
    expected = ids if order == "asc" else ids[::-1]
    assert walk(wire, "/v1/tools/", "after", names=names, order=order) == expected
    before = wire.get("/v1/tools/", names=names, order=order, before=expected[2])
    assert [tool["id"] for tool in before] == expected[:2]
    assert walk(wire, "/v1/tools/", "after", names=names) == ids[::-1]
    assert len(wire.get("/v1/tools/", names=names, after=f"tool-{uuid4()}")) == 3


@pytest.mark.self_hosted("Letta Cloud's cursors point where the order points")
def test_runs_page_against_the_order(wire: Wire, conversation_id: str) -> None:
    ids = [wire.post(conversation_id, user("[[say ok]]")).run_id for _ in range(3)]
    for order, expected in (("asc", ids), ("desc", ids[::-1])):
        query = {"conversation_id": conversation_id, "order": order}
        assert walk(wire, "/v1/runs/", "after", **query) == expected[:1]
        assert walk(wire, "/v1/runs/", "before", **query) == expected
        after = wire.get("/v1/runs/", **query, after=expected[2])
        assert [run["id"] for run in after] == expected[:2]
    assert walk(wire, "/v1/runs/", "before", conversation_id=conversation_id) == ids[::-1]
    assert len(wire.get("/v1/runs/", conversation_id=conversation_id, after=f"run-{uuid4()}")) == 3


@pytest.mark.self_hosted("Letta Cloud's cursors point where the order points")
def test_a_runs_messages_page_by_age_in_either_order(
    wire: Wire, conversation_id: str, agent_id: str, tools: dict[str, str]
) -> None:
    name, tool_id = next(iter(tools.items()))
    wire.http.patch(f"/v1/agents/{agent_id}/tools/attach/{tool_id}").raise_for_status()
    run = wire.post(conversation_id, user(f'[[think hm]] [[call {name} {{"text": "hi"}}]]')).run_id
    path = f"/v1/runs/{run}/messages"
    ids = list(dict.fromkeys(row["id"] for row in wire.get(path)))
    assert len(ids) == 4
    assert walk(wire, path, "after") == ids
    assert walk(wire, path, "before", order="desc") == ids[::-1]
    assert walk(wire, path, "after", order="desc") == ids[-1:]
    assert walk(wire, path, "before", order="asc") == ids[:1]
    assert wire.http.get(path, params={"after": f"message-{uuid4()}"}).status_code == 404
    steps = [step["id"] for step in wire.get(f"/v1/runs/{run}/steps", order="asc")]
    assert walk(wire, f"/v1/runs/{run}/steps", "after", order="asc") == steps
    assert walk(wire, f"/v1/runs/{run}/steps", "after") == steps[::-1]
    assert wire.http.get(f"/v1/runs/{run}/steps", params={"after": f"step-{uuid4()}"}).status_code == 404


def test_conversations_page_along_the_order_and_an_unknown_cursor_is_not_found(wire: Wire, agent_id: str) -> None:
    ids = [wire.new_conversation(agent_id) for _ in range(3)]
    assert walk(wire, "/v1/conversations/", "after", agent_id=agent_id, order="asc") == ids
    assert walk(wire, "/v1/conversations/", "after", agent_id=agent_id) == ids[::-1]
    assert wire.http.get("/v1/conversations/", params={"after": f"conv-{uuid4()}"}).status_code == 404
