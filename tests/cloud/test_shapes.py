"""Every shape is read as what it means, and is what the double answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from letta_adapters import errors
from letta_adapters.exchange import error_from_response
from letta_adapters.testing import FakeLetta, cloud
from letta_adapters.wire import Conversation, parse_event
from tests.cloud.shapes import Shape, shapes
from tests.contract.build import CLIENT_TOOLS, user
from tests.contract.wire import Wire

REFUSALS = {
    "key_missing": cloud.UNAUTHORIZED,
    "no_credits": cloud.NO_CREDITS,
    "usage_exceeded": cloud.over_quota("premium-usage-exceeded"),
    "quota_exceeded": cloud.over_quota(resets_in=5400.0),
    "agents_limit": cloud.over_quota("agents-limit-exceeded"),
    "shutting_down": cloud.shutting_down(),
    "edge_timeout": cloud.EDGE_TIMEOUT,
}


def said(shape: Shape) -> bytes:
    return json.dumps(shape["body"]).encode()


def without_words(body: dict[str, Any]) -> dict[str, Any]:
    """A body whose free texts are left out; a shape has those in angle brackets."""
    return {name: None if name in ("error", "details", "ownership") else value for name, value in body.items()}


@pytest.mark.parametrize("name", shapes())
def test_every_shape_names_its_page_and_what_it_says(name: str) -> None:
    shape = shapes()[name]
    assert shape["page"]
    assert shape["says"]


@pytest.mark.parametrize("name", shapes("error"))
def test_an_error_is_read_as_what_it_means(name: str) -> None:
    shape = shapes()[name]
    meant = shape["error"]
    error = error_from_response(shape["status"], said(shape), what="POST /v1/agents/")
    assert type(error) is getattr(errors, meant["type"])
    assert error.accepted is meant["accepted"]
    if isinstance(error, errors.QuotaExceeded):
        assert list(error.reasons) == meant.get("reasons", [])
        assert error.resets_in == meant.get("resets_in")


def test_what_is_told_is_the_most_telling() -> None:
    texts = {name: error_from_response(shape["status"], said(shape), what="x").detail for name, shape in ERRORS.items()}
    assert texts["key_missing"] == "<what to check>"
    assert texts["no_credits"] == "Rate limited (not-enough-credits)"
    assert texts["resource_limit"] == "You have reached your limit for agents"
    assert texts["shutting_down"] == "<that it passes>"


ERRORS = shapes("error")


@pytest.mark.parametrize("name", shapes("frame", "row"))
def test_a_frame_and_a_row_are_of_a_known_type(name: str) -> None:
    shape = shapes()[name]
    assert type(parse_event(said(shape))).__name__ == shape["parsed"]


@pytest.mark.parametrize("name", REFUSALS)
def test_the_double_refuses_in_the_same_shape(name: str) -> None:
    shape, refusal = shapes()[name], REFUSALS[name]
    assert refusal.status == shape["status"]
    assert without_words(refusal.body) == without_words(shape["body"])
    assert dict(refusal.headers) == shape.get("headers", {})


def test_the_double_shows_a_conversation_so(witness: Wire, agent_id: str) -> None:
    body = shapes()["conversation"]["body"]
    made = witness.http.post("/v1/conversations/", params={"agent_id": agent_id}, json={}).json()
    assert made.keys() == body.keys()
    assert made["in_context_message_ids"] is None
    assert Conversation.model_validate(body).in_context_message_ids == []


def test_the_doubles_cursors_point_so(witness: Wire, conversation_id: str) -> None:
    witness.post(conversation_id, user("one [[say two]]"))
    witness.post(conversation_id, user("three [[say four]]"))
    _, *ids = [row["id"] for row in witness.rows(conversation_id)]
    for asked in shapes()["cursors"]["body"]:
        cursor = {name: ids[asked[name] - 1] for name in ("after", "before") if name in asked}
        rows = witness.rows(conversation_id, order=asked["order"], **cursor)
        found = [ids.index(row["id"]) + 1 for row in rows if row["id"] in ids]
        assert found == asked["gives"], asked


def test_the_double_forks_so_and_hides_the_fork(witness: Wire, agent_id: str, conversation_id: str) -> None:
    asked = shapes()["fork"]["body"]
    witness.post(conversation_id, user("one [[say two]]"))
    witness.post(conversation_id, user("three [[say four]]"))
    _, *ids = [row["id"] for row in witness.rows(conversation_id)]
    query = {"message_id": ids[asked["query"]["message_id"] - 1], "hidden": "true"}
    fork = witness.http.post(f"/v1/conversations/{conversation_id}/fork", params=query).raise_for_status().json()
    assert [ids.index(row["id"]) + 1 for row in witness.stored(fork["id"])] == asked["shares"]
    listed = witness.get("/v1/conversations/", agent_id=agent_id)
    assert [one["id"] for one in listed] == [conversation_id]


def test_the_double_marks_a_turn_that_waits_behind_its_stop_reason(witness: Wire, conversation_id: str) -> None:
    turn = witness.post(conversation_id, user("[[call add {}]]"), client_tools=CLIENT_TOOLS)
    types = [frame["message_type"] for frame in turn.frames]
    assert types[-3:] == ["stop_reason", "response_state", "usage_statistics"]
    assert turn.of("response_state")[0].keys() == shapes()["response_state"]["body"].keys()
    assert witness.post(witness.new_conversation(turn_agent(witness)), user("hi")).of("response_state") == []


def turn_agent(witness: Wire) -> str:
    return str(witness.get("/v1/agents/")[0]["id"])


def test_the_double_lists_a_summary_as_one(witness: Wire, conversation_id: str) -> None:
    for number in range(4):
        witness.post(conversation_id, user(f"number {number} [[say answer {number}]]"))
    witness.http.post(f"/v1/conversations/{conversation_id}/compact", json={}).raise_for_status()
    (summary,) = [row for row in witness.rows(conversation_id) if row["message_type"] == "summary_message"]
    assert summary.keys() >= shapes()["summary"]["body"].keys()
    assert summary["summary"].startswith("Note: prior messages")


def test_without_background_streams_there_is_no_letta_cloud() -> None:
    with pytest.raises(ValueError, match="background"):
        FakeLetta(cloud=True, redis=False)


def test_a_server_of_ones_own_wants_no_key() -> None:
    with FakeLetta() as fake, Wire(fake.base_url) as wire:
        assert fake.api_key is None
        assert wire.get("/v1/agents/") == []
