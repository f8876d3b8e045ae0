"""The official SDK pages the double's lists by itself, and comes to an end."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import httpx
from letta_client import Letta

from letta_adapters.testing import FakeLetta
from tests.testing.support import new_conversation, send

BOUND = 50
SOURCES = [f'def {name}(text: str) -> str:\n    """Give it back."""\n    return text\n' for name in ("one", "two")]


def ended(items: Iterable[object]) -> list[str]:
    seen = [str(getattr(item, "id", "")) for item in islice(items, BOUND)]
    assert len(seen) < BOUND, "the list does not end"
    return seen


def test_the_sdk_iterates_every_list_to_its_end() -> None:
    with FakeLetta() as fake, httpx.Client(base_url=fake.base_url) as http:
        conversation = [new_conversation(http) for _ in range(3)][-1]
        runs = [send(http, conversation, "[[say ok]]")[0]["run_id"] for _ in range(3)]
        made = [http.post("/v1/tools/", json={"source_code": source}).json()["id"] for source in SOURCES]
        client = Letta(base_url=fake.base_url, api_key="none")
        agents = ended(client.agents.list())
        assert len(agents) == len(set(agents)) == 3
        assert ended(client.tools.list()) == made[::-1]
        assert len(ended(client.runs.messages.list(runs[0]))) == 2
        assert len(ended(client.runs.steps.list(runs[0]))) == 1
        # The server's cursors of runs point the wrong way: pages of newer runs follow, each one shorter.
        listed = ended(client.runs.list(conversation_id=conversation))
        assert listed == [*runs[::-1], *runs[:0:-1], runs[2]]
