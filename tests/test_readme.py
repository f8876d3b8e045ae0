"""The README's Python blocks run as they stand, each in a namespace of its own, against the double."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from letta_adapters import LettaClient
from letta_adapters.testing import Call, FakeLetta, Reply, reply_to

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^## (?P<title>.+?)$|^```python\n(?P<code>.*?)^```$", README, re.DOTALL | re.MULTILINE)
SHOWN = re.findall(r"^```text\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def blocks() -> Iterator[tuple[str, str]]:
    """Every Python block, under the heading that it stands below and its number there."""
    title, number = "", 0
    for heading, code in BLOCKS:
        if heading:
            title, number = heading, 0
        else:
            number += 1
            yield f"{title} {number}", code


def play_model(messages: Sequence[dict[str, Any]]) -> Reply:
    """Call the tool of a block where that is asked for, know what was said before, else say what was asked."""
    asked = [str(message["content"]) for message in messages if message["role"] == "user"]
    if messages[-1]["role"] == "tool":
        return Reply(text=f"It is {json.loads(messages[-1]['content'])['message']}.")
    if asked[-1] == "What is 19 + 23?":
        return Reply(calls=(Call(name="add", arguments='{"a": 19, "b": 23}'),))
    if asked[-1] == "Ann is 34.":
        return Reply(calls=(Call(name="Person", arguments='{"name": "Ann", "age": 34}'),))
    if asked[-1] in ("What is my name?", "Which parcel is mine?"):
        return Reply(text=f"You said before: {' '.join(asked[:-1])}")
    return reply_to(messages)


PRINTED = {
    "First steps, without a server and without a key 1": re.escape(SHOWN[0].strip()),
    "A server for the examples 1": r"\['openai/gpt-4\.1-mini'\]\nagent-[0-9a-f-]{36}",
    "A chat model 1": r"You said: Hello, I am Ann\.\nYou said: Tell me about Norway\.",
    "A chat model 2": r"You said before: Hello, I am Ann\.",
    "A conversation that the server holds 1": r"You said before: My parcel is A-17\.",
    "A tool loop 1": r"It is 42\.",
    "An answer in a form 1": r"name='Ann' age=34",
    "A chat engine for LlamaIndex 1": r"It is 42\.\nYou said: Tell me about Norway\.",
    "Without a framework 1": r"You said: Hello\n\['system_message', 'user_message', 'assistant_message'\]",
    "Without a framework 2": r"It is 42\. \[\('add', 42\)\]",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server and an agent in the environment, as the README says."""
    with FakeLetta(models=("openai/gpt-4.1-mini",), model=play_model) as fake:
        monkeypatch.delenv("LETTA_API_KEY", raising=False)
        monkeypatch.setenv("LETTA_BASE_URL", fake.base_url)
        with LettaClient() as client:
            monkeypatch.setenv("LETTA_AGENT_ID", client.agents.create(name="ann").id)
        yield


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(("name", "code"), list(blocks()), ids=[name for name, _ in blocks()])
def test_a_block_runs_and_prints_what_it_promises(name: str, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, f"README.md: {name}", "exec", dont_inherit=True), {"__name__": "__main__"})

    assert re.fullmatch(PRINTED[name], capsys.readouterr().out.strip())


def test_every_expectation_has_a_block() -> None:
    assert [name for name, _ in blocks()] == list(PRINTED)


def test_links_and_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    files = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]

    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE)) <= targets
    assert files
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_every_page_of_the_documentation_has_a_link() -> None:
    pages = {str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")}
    assert pages - set(re.findall(r"\]\(([^)]+)\)", README)) == set()
