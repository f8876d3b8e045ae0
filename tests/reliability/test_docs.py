"""The Python blocks of `docs/reliability.md` run as they stand, each in a namespace of its own, against the double."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from letta_adapters import LettaClient, sse
from letta_adapters.client import intake
from letta_adapters.retry import MAX_RETRY_AFTER
from letta_adapters.steps import TurnPolicy
from letta_adapters.testing import FakeLetta
from letta_adapters.wire import ClientTool
from tests.test_readme import ROOT, play_model

PAGE = (ROOT / "docs" / "reliability.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
PRINTED = ["True 3", "You said: Hello", 'denied add {"a": 19, "b": 23}', "It is 42."]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A server and an agent in the environment, with a conversation that waits for the answer to a call."""
    with FakeLetta(model=play_model) as fake:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("LETTA_API_KEY", raising=False)
        monkeypatch.setenv("LETTA_BASE_URL", fake.base_url)
        with LettaClient() as client:
            monkeypatch.setenv("LETTA_AGENT_ID", client.agents.create(name="ann").id)
            conversation = client.conversations.create(agent_id=os.environ["LETTA_AGENT_ID"])
            client.conversations.messages.create(
                conversation.id, input="What is 19 + 23?", client_tools=[ClientTool(name="add")]
            ).result()
        yield


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(("code", "printed"), list(zip(BLOCKS, PRINTED, strict=True)), ids=range(len(PRINTED)))
def test_a_block_runs_and_prints_what_it_promises(code: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "docs/reliability.md", "exec", dont_inherit=True), {"__name__": "__main__"})

    assert capsys.readouterr().out.strip() == printed


@pytest.mark.parametrize(
    "words",
    [
        f"`max_retries`, {TurnPolicy().max_retries};",
        f"`timeout`, {TurnPolicy().idle_timeout:g} s;",
        f"`busy_timeout` ({TurnPolicy().busy_timeout:g} s)",
        f"| `Retry-After`, in seconds or as a date | {MAX_RETRY_AFTER:g} s |",
        f"`letta_adapters.sse.MAX_EVENT_BYTES`, {sse.MAX_EVENT_BYTES // 2**20} MiB",
        f"`letta_adapters.client.intake`, {intake.MAX_ANSWER_BYTES // 2**20} MiB",
    ],
)
def test_a_limit_is_the_one_of_the_code(words: str) -> None:
    assert words in PAGE
