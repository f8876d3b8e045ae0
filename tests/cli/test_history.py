"""`letta-adapters history`."""

from __future__ import annotations

import json
import re
from uuid import uuid4

from letta_adapters import LettaClient
from tests.cli.conftest import CommandLine
from tests.contract.build import CLIENT_TOOLS, answers, denial, result, user
from tests.contract.wire import Wire

LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d|                )  (\w+) +(.*)")


def shown(text: str) -> list[tuple[str, str]]:
    """Who said what, the compiled prompt left out."""
    found = [LINE.fullmatch(line) for line in text.splitlines()]
    return [(line[2], line[3]) for line in found if line][1:]


def test_it_shows_everything_that_happened_oldest_first(cli: CommandLine, wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user("[[think hm hm]] [[say Good evening]]"))
    first = wire.post(conversation_id, user('[[call add {"a": 1}]]'), client_tools=CLIENT_TOOLS).call_id
    wire.post(conversation_id, answers(result(first, "3")), client_tools=CLIENT_TOOLS)
    second = wire.post(conversation_id, user('[[call add {"a": 2}]]'), client_tools=CLIENT_TOOLS).call_id
    wire.post(conversation_id, answers(denial(second, "no")), client_tools=CLIENT_TOOLS)

    ended = cli("history", conversation_id)

    assert (ended.code, ended.err) == (0, "")
    told = shown(ended.out)
    assert told[:7] == [
        ("user", "[[think hm hm]] [[say Good evening]]"),
        ("thought", "hm hm"),
        ("agent", "Good evening"),
        ("user", '[[call add {"a": 1}]]'),
        ("call", 'add {"a": 1}'),
        ("decision", f"{first}: success"),
        ("result", "3"),
    ]
    assert ("decision", f"{second}: denied, no") in told


def test_a_conversation_of_several_pages_is_shown_whole(
    cli: CommandLine, client: LettaClient, agent_id: str, conversation_id: str
) -> None:
    for number in range(60):
        client.conversations.messages.create(conversation_id, input=f"[[say {number}]]").result()

    assert [text for who, text in shown(cli("history", conversation_id).out) if who == "agent"] == [
        str(number) for number in range(60)
    ]


def test_the_default_conversation_needs_its_agent(cli: CommandLine, wire: Wire, agent_id: str) -> None:
    wire.post("default", user("[[say hello]]"), agent_id=agent_id)

    assert shown(cli("history", "default", "--agent", agent_id).out)[-1] == ("agent", "hello")
    assert cli("history", "default").result == (
        2,
        "",
        "ValueError: `conversation_id='default'` needs an `agent_id`: every agent has a default conversation.\n",
    )


def test_json_has_the_rows_of_the_server(cli: CommandLine, wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user("[[think hm]] [[say håndverk]]"))

    ended = cli("history", conversation_id, "--json")

    told = json.loads(ended.out)
    stored = wire.rows(conversation_id)
    assert [row.keys() for row in told] == [row.keys() for row in stored]
    assert [(row["id"], row["message_type"]) for row in told] == [(row["id"], row["message_type"]) for row in stored]
    assert told[-1]["content"] == "håndverk"


def test_codes_that_a_terminal_would_obey_are_only_shown(cli: CommandLine, wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user("\x1b[2J\x1b]0;title\x07[red]no markup[/red] \x9b31m"))

    ended = cli("history", conversation_id)

    assert "�[2J�]0;title�[red]no markup[/red] �31m" in ended.out
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", ended.out)


def test_later_lines_of_a_message_stand_below_the_first(cli: CommandLine, wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user("one\ntwo"))

    assert "user     one\n                           two\n" in cli("history", conversation_id).out


def test_a_conversation_that_is_not_there_is_told(cli: CommandLine) -> None:
    ended = cli("history", f"conv-{uuid4()}")

    assert (ended.code, ended.out) == (5, "")
    assert "NotFound" in ended.err
