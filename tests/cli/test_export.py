"""`letta-adapters export`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from letta_adapters import LettaClient
from letta_adapters.cli.rows import raw_of
from tests.cli.conftest import CommandLine
from tests.contract.build import CLIENT_TOOLS, answers, result, user
from tests.contract.wire import Wire
from tests.hostile.server import Peer, document, serve


@pytest.fixture
def talk(wire: Wire, conversation_id: str) -> str:
    wire.post(conversation_id, user("Hallo Øystein [[think hm]] [[say *Hei* igjen]]"))
    call_id = wire.post(conversation_id, user('[[call add {"a": 1}]]'), client_tools=CLIENT_TOOLS).call_id
    wire.post(conversation_id, answers(result(call_id, "```\n3\n```")), client_tools=CLIENT_TOOLS)
    return conversation_id


def test_jsonl_has_every_row_on_a_line_of_its_own(cli: CommandLine, client: LettaClient, talk: str) -> None:
    ended = cli("export", talk, "--jsonl")

    assert (ended.code, ended.err) == (0, "")
    stored = client.conversations.messages.list(talk, order="asc")
    assert [json.loads(line) for line in ended.out.splitlines()] == [raw_of(row) for row in stored]
    assert "Øystein" in ended.out


def test_markdown_can_be_read(cli: CommandLine, talk: str) -> None:
    ended = cli("export", talk, "--markdown")

    sections = [part.split("\n\n", 1) for part in ended.out.removeprefix("## ").split("\n\n## ")]
    told = [(heading.partition(" · ")[0], text.strip()) for heading, text in sections][1:]
    assert told == [
        ("User", "Hallo Øystein [[think hm]] [[say *Hei* igjen]]"),
        ("Thought", "hm"),
        ("Agent", "*Hei* igjen"),
        ("User", '[[call add {"a": 1}]]'),
        ("Tool call", '```\nadd {"a": 1}\n```'),
        ("Decision", told[5][1]),
        ("Tool result", "````\n```\n3\n```\n````"),
        ("Agent", "The tools answered: ```\n3\n```"),
    ]
    assert told[5][1].endswith(": success\n```")


def test_a_file_gets_what_stdout_would(cli: CommandLine, talk: str, tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    ended = cli("export", talk, "--jsonl", "--to", str(file))

    rows = file.read_text(encoding="utf-8")
    assert ended.result == (0, f"{rows.count(chr(10))} rows in {file}\n", "")
    assert rows == cli("export", talk, "--jsonl").out
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_is_told_as_json(cli: CommandLine, talk: str, tmp_path: Path) -> None:
    file = tmp_path / "talk.md"
    ended = cli("export", talk, "--markdown", "--to", str(file), "--json")

    assert json.loads(ended.out) == {"conversation_id": talk, "file": str(file), "rows": 9}


def test_a_file_that_is_there_is_not_written_over(cli: CommandLine, talk: str, tmp_path: Path) -> None:
    file = tmp_path / "talk.md"
    file.write_text("mine")
    ended = cli("export", talk, "--markdown", "--to", str(file))

    assert (ended.code, file.read_text()) == (1, "mine")
    assert "is there already" in ended.err


def test_a_file_that_could_not_be_finished_is_not_there(tmp_path: Path) -> None:
    row = {"message_type": "user_message", "id": "message-1", "content": "hi", "date": "2026-01-01T00:00:00Z"}

    def break_off(peer: Peer) -> None:
        page = peer.path.partition("?")[0].endswith("/messages")
        if "after=" in peer.path:
            peer.send(document({"detail": "no more"}, "403 Forbidden"))
        else:
            peer.send(document([row] if page else {"id": "conv-1", "agent_id": "agent-1"}))

    with serve(break_off) as server:
        command = CommandLine(variables={"LETTA_BASE_URL": server.base_url})
        ended = command("export", "conv-1", "--markdown", "--to", str(tmp_path / "talk.md"))
    assert (ended.code, list(tmp_path.iterdir())) == (4, [])
    assert "no more" in ended.err


@pytest.mark.parametrize("flags", [(), ("--jsonl", "--markdown")])
def test_the_format_is_said_once(cli: CommandLine, conversation_id: str, flags: tuple[str, ...]) -> None:
    assert cli("export", conversation_id, *flags).result == (2, "", "ValueError: Say either --jsonl or --markdown.\n")


def test_json_about_the_file_and_the_rows_do_not_share_stdout(cli: CommandLine, conversation_id: str) -> None:
    ended = cli("export", conversation_id, "--jsonl", "--json")

    assert (ended.code, ended.out) == (2, "")
    assert "--to FILE" in json.loads(ended.err)["error"]["message"]
