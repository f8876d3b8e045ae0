"""The bar that tells how far the reading of a conversation is."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from letta_adapters import LettaClient
from letta_adapters.cli.reporting import Output
from letta_adapters.cli.rows import pages_shown
from tests.cli.conftest import CommandLine
from tests.contract.build import user
from tests.contract.wire import Wire


def drawn(client: LettaClient, conversation_id: str, agent_id: str | None = None, *, bar: bool = True) -> list[str]:
    """How far the bar said it was, each time that it was drawn."""
    screen = io.StringIO()
    output = Output(err=Console(file=screen, force_terminal=True, width=60, color_system=None))
    with pages_shown(client, output, conversation_id, agent_id, bar=bar) as pages:
        rows = [row for page in pages for row in page.rows]
    assert rows
    return re.findall(r"messages .*?(\d+/\S+)", screen.getvalue())


def test_it_is_full_in_the_end(client: LettaClient, wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user("[[think hm]] [[say hello]]"))

    steps = drawn(client, conversation_id)
    assert (steps[0], steps[-1]) == ("0/3", "3/3")


def test_its_end_moves_on_where_there_is_more_than_the_model_sees(
    client: LettaClient, wire: Wire, conversation_id: str
) -> None:
    for number in range(6):
        wire.post(conversation_id, user(f"[[say {number}]]"))
    wire.http.post(f"/v1/conversations/{conversation_id}/compact", json={}).raise_for_status()

    seen = len(wire.conversation(conversation_id)["in_context_message_ids"])
    read = len({row["id"] for row in wire.rows(conversation_id)})

    steps = drawn(client, conversation_id)
    assert (steps[0], steps[-1]) == (f"0/{seen}", f"{read}/{read}")
    assert read > seen


def test_the_default_conversation_has_no_end_that_anybody_knows(client: LettaClient, wire: Wire, agent_id: str) -> None:
    wire.post("default", user("[[say hello]]"), agent_id=agent_id)

    assert drawn(client, "default", agent_id)[-1] == "3/?"


def test_there_is_none_where_nobody_wants_it(client: LettaClient, wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user("[[say hello]]"))

    assert drawn(client, conversation_id, bar=False) == []


@pytest.mark.parametrize("command", [("history",), ("export", "--jsonl"), ("export", "--jsonl", "--to", "talk.jsonl")])
def test_nothing_is_drawn_where_stderr_is_no_terminal(
    cli: CommandLine, conversation_id: str, command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli(*command, conversation_id).err == ""
