"""`letta-adapters settle`."""

from __future__ import annotations

import json
from uuid import uuid4

from tests.cli.conftest import CommandLine
from tests.contract.build import CLIENT_TOOLS, user
from tests.contract.wire import Wire

CALL = '[[call add {"a": 1}]]'


def test_what_waits_is_denied_and_the_agent_told_why(cli: CommandLine, wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS)

    assert cli("settle", conversation_id, "--reason", "Gone home.").result == (0, 'denied add {"a": 1}\n', "")
    assert "Gone home." in json.dumps(wire.stored(conversation_id)[-1])
    assert wire.post(conversation_id, user("[[say free]]")).text == "free"


def test_a_free_conversation_is_left_as_it_is(cli: CommandLine, wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user("[[say hello]]"))
    before = wire.stored(conversation_id)

    assert cli("settle", conversation_id).result == (0, "No call was waiting.\n", "")
    assert wire.stored(conversation_id) == before


def test_the_default_conversation_is_settled_with_its_agent(cli: CommandLine, wire: Wire, agent_id: str) -> None:
    wire.post("default", user(CALL), agent_id=agent_id, client_tools=CLIENT_TOOLS)

    assert cli("settle", "default", "--agent", agent_id).result == (0, 'denied add {"a": 1}\n', "")


def test_what_was_denied_is_told_as_json(cli: CommandLine, wire: Wire, conversation_id: str) -> None:
    call_id = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS).call_id

    denied = [{"tool_call_id": call_id, "name": "add", "arguments": '{"a": 1}'}]
    ended = cli("settle", conversation_id, "--json")
    assert (ended.code, json.loads(ended.out)) == (0, {"conversation_id": conversation_id, "denied": denied})


def test_a_conversation_that_is_not_there_is_an_error_of_its_own_kind(cli: CommandLine) -> None:
    ended = cli("settle", f"conv-{uuid4()}")

    assert (ended.code, ended.out) == (5, "")
    assert ended.err.startswith("NotFound: GET /v1/conversations/conv-")


def test_an_error_is_told_as_json_too(cli: CommandLine) -> None:
    missing = f"conv-{uuid4()}"
    ended = cli("settle", missing, "--json")

    assert (ended.code, ended.out) == (5, "")
    error = json.loads(ended.err)["error"]
    assert error["type"] == "NotFound"
    assert error["message"] == f"GET /v1/conversations/{missing} was answered with HTTP 404."
    assert error["hint"] == "Check the id, and that `base_url` is the Letta server it belongs to."


def test_default_without_its_agent_is_a_mistake_of_the_caller(cli: CommandLine) -> None:
    ended = cli("settle", "default")

    assert ended.code == 2
    assert ended.err.startswith("ValueError: `conversation_id='default'` needs an `agent_id`")
