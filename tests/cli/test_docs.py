"""The commands of `docs/cli.md` print what stands below them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from letta_adapters import LettaClient
from letta_adapters.cli.app import app
from letta_adapters.cli.reporting import ExitCode
from letta_adapters.testing import FakeLetta
from tests.cli.conftest import CommandLine
from tests.pages import page_of

PAGE = page_of("cli.md")
SHOWN = [block for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE) if "$ " in block]


@dataclass(frozen=True, kw_only=True)
class Typed:
    """A command of the page, and what is printed below it."""

    line: str
    printed: str

    @property
    def name(self) -> str:
        return re.findall(r"letta-adapters (\w+)", self.line)[0]


def commands() -> Iterator[Typed]:
    for block in SHOWN:
        for line, printed in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            yield Typed(line=line, printed=printed)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each command of the page prints, run one after the other as if they were typed in."""
    printed: list[str] = []
    with FakeLetta() as fake, LettaClient(base_url=fake.base_url) as client, pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        agent_id = client.agents.create(name="ann", system="You are a helpful agent with memory.").id
        talk = client.conversations.create(agent_id=agent_id).id
        client.conversations.messages.create(talk, input="Hello!").result()
        command = CommandLine(variables={"LETTA_BASE_URL": fake.base_url})
        for typed in commands():
            said, _, line = typed.line.rpartition(" | ")
            arguments = shlex.split(line.replace("$AGENT", agent_id).replace("$CONV", talk))[1:]
            ended = command(*arguments, said="".join(shlex.split(said)[1:]) + "\n" if said else "")
            assert (ended.code, ended.err) == (0, ""), typed.line
            printed.append(ended.out.replace(fake.base_url, "http://localhost:8283"))
    return printed


@pytest.mark.parametrize("number", range(len(list(commands()))), ids=[typed.line for typed in commands()])
def test_a_command_prints_what_stands_below_it(number: int, outputs: list[str]) -> None:
    typed = list(commands())[number]
    output = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "2026-01-01 12:00", outputs[number])
    if typed.name == "history":
        output = re.sub(r"(?m)^ {27}.*\n", "", output)  # the rest of the prompt
    if typed.name == "demo":
        output = output[: len(typed.printed)]
    assert output == typed.printed


def test_files_are_written_where_the_page_says(outputs: list[str]) -> None:
    assert [text for text in outputs if "talk." in text] == ["6 rows in talk.jsonl\n", "6 rows in talk.md\n"]


def test_every_command_has_a_place_on_the_page() -> None:
    names = {(command.name or getattr(command.callback, "__name__", "")) for command in app.registered_commands}
    assert names == {typed.name for typed in commands()}
    assert names == set(re.findall(r"^### `(\w+)`", PAGE, re.MULTILINE))


def test_every_exit_code_is_explained() -> None:
    explained = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert explained == {int(code) for code in ExitCode}
