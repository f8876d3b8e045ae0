"""`letta-adapters chat`, with its lines from a pipe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest

from letta_adapters import LettaClient
from tests.cli.conftest import CommandLine
from tests.conftest import Backend, fresh_agent
from tests.contract.build import CLIENT_TOOLS, user
from tests.contract.guarded import guarded_tool
from tests.contract.wire import Wire


@pytest.fixture
def guarded(wire: Wire, agent_id: str) -> Iterator[str]:
    """The name of a tool that the server runs once a person agrees."""
    with guarded_tool(wire, agent_id) as name:
        yield name


def test_what_the_agent_thinks_and_says_is_shown(
    cli: CommandLine, client: LettaClient, wire: Wire, agent_id: str
) -> None:
    ended = cli("chat", agent_id, said="[[think let me see]] [[say Good day]]\n\nand again\n")

    assert (ended.code, ended.out) == (0, "thought  let me see\nagent    Good day\nagent    You said: and again\n")
    (made,) = client.conversations.list(agent_id=agent_id)
    assert ended.err == f"This is {made.id}.\n"
    assert [kind for kind, _ in wire.story(made.id)].count("user_message") == 2


def test_who_says_nothing_leaves_nothing_behind(cli: CommandLine, client: LettaClient, agent_id: str) -> None:
    assert cli("chat", agent_id, said="\n  \n").result == (0, "", "")
    assert client.conversations.list(agent_id=agent_id) == []


@pytest.mark.parametrize("name", ["conversation", "default"])
def test_a_conversation_is_gone_on_with(
    cli: CommandLine, wire: Wire, agent_id: str, conversation_id: str, name: str
) -> None:
    talk = conversation_id if name == "conversation" else "default"
    wire.post(talk, user("I am Ann. [[say Hello]]"), agent_id=agent_id if talk == "default" else None)

    ended = cli("chat", agent_id, "--conversation", talk, said="[[recall]]\n")

    assert (ended.code, ended.err) == (0, "")
    assert "user: I am Ann." in ended.out


@pytest.mark.parametrize(
    ("decision", "shown"),
    [
        ("y\n", ["result   HEY", "agent    The tools answered: HEY"]),
        ("approve\n", ["result   HEY", "agent    The tools answered: HEY"]),
        (
            "deny\nToo loud.\n[[say Bye]]\n",
            ["agent    The tools answered: Error: request to call tool denied. User reason: Too loud.", "agent    Bye"],
        ),
        ("n\nToo loud.\n", ["agent    The tools answered: Error: request to call tool denied. User reason: Too loud."]),
    ],
)
def test_a_call_that_waits_for_a_person_is_asked_about(
    cli: CommandLine, agent_id: str, guarded: str, decision: str, shown: list[str]
) -> None:
    ended = cli("chat", agent_id, said=f'[[call {guarded} {{"text": "hey"}}]]\n{decision}')

    assert ended.code == 0
    call, *rest = ended.out.splitlines()
    assert call == f'call     {guarded} {{"text": "hey"}}'
    assert [line for line in rest if line in shown] == shown


def test_a_call_that_waited_before_is_asked_about_first(
    cli: CommandLine, wire: Wire, agent_id: str, conversation_id: str, guarded: str
) -> None:
    wire.post(conversation_id, user(f'[[call {guarded} {{"text": "hey"}}]]'))

    ended = cli("chat", agent_id, "--conversation", conversation_id, said="y\n[[say on we go]]\n")

    assert ended.code == 0
    assert ended.err == f'A call waits: {guarded} {{"text": "hey"}}\n'
    assert ended.out.splitlines()[-1] == "agent    on we go"


def test_a_call_that_nobody_decides_on_goes_on_waiting(
    cli: CommandLine, wire: Wire, agent_id: str, conversation_id: str, guarded: str
) -> None:
    talk = ("chat", agent_id, "--conversation", conversation_id)
    ended = cli(*talk, said=f'[[call {guarded} {{"text": "hey"}}]]\n')

    assert ended.code == 1
    assert ended.err.startswith("PendingApprovalError: Nobody decided on the agent's call, so the conversation waits.")
    assert wire.stored(conversation_id)[-1]["message_type"] == "approval_request_message"


def test_a_call_of_another_program_can_only_be_denied(
    cli: CommandLine, wire: Wire, agent_id: str, conversation_id: str
) -> None:
    wire.post(conversation_id, user('[[call add {"a": 1}]]'), client_tools=CLIENT_TOOLS)
    talk = ("chat", agent_id, "--conversation", conversation_id)

    left = cli(*talk, said="n\n")
    denied = cli(*talk, said="deny\n[[say on we go]]\n")

    assert (left.code, denied.code) == (1, 0)
    assert "PendingApprovalError: Nobody decided on add" in left.err
    assert denied.out.splitlines()[-1] == "agent    on we go"


def test_every_event_is_a_line_of_json(cli: CommandLine, agent_id: str) -> None:
    ended = cli("chat", agent_id, "--json", said="[[think hm]] [[say Good day]]\n")

    assert (ended.code, ended.err) == (0, "")
    events = [json.loads(line) for line in ended.out.splitlines()]
    kinds = list(dict.fromkeys(event["event"] for event in events))
    assert kinds == ["turn_started", "answer_started", "reasoning_delta", "text_delta", "finished_turn"]
    assert "".join(event["text"] for event in events if event["event"] == "text_delta") == "Good day"
    assert events[-1]["conversation_id"] == events[0]["conversation_id"]
    assert events[-1]["stop_reason"] == "end_turn"


def test_a_turn_that_fails_ends_it(cli: CommandLine, agent_id: str) -> None:
    ended = cli("chat", agent_id, said="[[fail 500]]\nhello\n")

    assert ended.code == 1
    assert "You said: hello" not in ended.out
    assert "TurnFailed" in ended.err


def test_an_agent_or_a_conversation_that_is_not_there_is_told(cli: CommandLine, agent_id: str) -> None:
    assert cli("chat", f"agent-{uuid4()}", said="hello\n").code == 5
    assert cli("chat", agent_id, "--conversation", f"conv-{uuid4()}", said="hello\n").code == 5


def test_a_conversation_of_another_agent_is_not_gone_on_with(
    cli: CommandLine, wire: Wire, backend: Backend, agent_id: str
) -> None:
    with fresh_agent(backend) as other:
        theirs = wire.new_conversation(other)
        ended = cli("chat", agent_id, "--conversation", theirs, said="hello\n")

    message = f"ValueError: {theirs} is a conversation of {other}, not of {agent_id}.\n"
    assert ended.result == (2, "", message)


def test_an_agent_has_to_be_named(cli: CommandLine) -> None:
    ended = cli("chat")

    assert ended.code == 2
    assert "AGENT" in ended.err
