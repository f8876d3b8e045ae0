"""A conversation that is found by what its summary says, and an agent that names its tools."""

from __future__ import annotations

from uuid import uuid4

from tests.contract.wire import Wire

SOURCE = 'def {name}(a: int) -> int:\n    """Double a number.\n\n    Args:\n        a: It.\n    """\n    return 2 * a\n'


def found(wire: Wire, agent_id: str, text: str) -> list[str]:
    conversations = wire.get("/v1/conversations/", agent_id=agent_id, summary_search=text)
    return [conversation["id"] for conversation in conversations]


def test_a_conversation_is_found_by_a_part_of_its_summary(wire: Wire, agent_id: str) -> None:
    marker = str(uuid4())
    wire.new_conversation(agent_id, summary="another one")
    made = wire.new_conversation(agent_id, summary=f"before {marker} behind")
    assert found(wire, agent_id, marker) == [made]


def test_an_unknown_marker_finds_no_conversation(wire: Wire, agent_id: str) -> None:
    wire.new_conversation(agent_id, summary="one")
    wire.new_conversation(agent_id)
    assert found(wire, agent_id, str(uuid4())) == []


def test_the_summary_of_a_conversation_need_not_be_unique(wire: Wire, agent_id: str) -> None:
    marker = str(uuid4())
    made = [wire.new_conversation(agent_id, summary=marker) for _ in range(2)]
    assert sorted(found(wire, agent_id, marker)) == sorted(made)


def test_a_deleted_conversation_is_not_found(wire: Wire, agent_id: str) -> None:
    marker = str(uuid4())
    made = wire.new_conversation(agent_id, summary=marker)
    wire.http.delete(f"/v1/conversations/{made}").raise_for_status()
    assert found(wire, agent_id, marker) == []


def test_an_agent_lists_its_tools_by_name(wire: Wire, agent_id: str) -> None:
    assert wire.get(f"/v1/agents/{agent_id}")["tools"] == []
    name = f"double_{uuid4().hex}"
    made = wire.http.post("/v1/tools/", json={"source_code": SOURCE.format(name=name)}).raise_for_status().json()
    wire.http.patch(f"/v1/agents/{agent_id}/tools/attach/{made['id']}").raise_for_status()
    (tool,) = wire.get(f"/v1/agents/{agent_id}")["tools"]
    assert (tool["name"], tool["id"]) == (name, made["id"])
    wire.http.delete(f"/v1/tools/{made['id']}")
