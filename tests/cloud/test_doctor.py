"""`letta-adapters doctor` on a server that is as Letta Cloud."""

from __future__ import annotations

import pytest

from letta_adapters.testing import FakeLetta
from tests.cli.conftest import CommandLine, Ended
from tests.contract.build import CLIENT_TOOLS, user
from tests.contract.wire import Wire


def examined(fake: FakeLetta, *arguments: str, key: str | None = None) -> tuple[Ended, dict[str, str]]:
    variables = {"LETTA_BASE_URL": fake.base_url, **({"LETTA_API_KEY": key} if key else {})}
    ended = CommandLine(variables=variables)("doctor", *arguments)
    found = [line.split(maxsplit=2) for line in ended.out.splitlines()]
    return ended, {name: f"{status} {rest}" for status, name, rest in found}


def test_with_a_key_everything_is_looked_at(cloud: FakeLetta, agent_id: str, conversation_id: str) -> None:
    del conversation_id
    ended, found = examined(cloud, agent_id, key=cloud.api_key)
    assert ended.code == 0
    assert {name: words.split()[0] for name, words in found.items()} == {
        "url": "ok",
        "server": "warn",  # it is not api.letta.com, and no version that was tested
        "clock": "ok",
        "key": "ok",
        "background": "ok",
        "agent": "ok",
        "pending": "ok",
    }
    assert found["key"] == "ok LETTA_API_KEY is set, and the server takes it."


@pytest.mark.parametrize("key", [None, "sk-let-0123456789abcdef"])
def test_without_the_right_key_it_says_so_in_the_servers_words_and_shows_no_key(
    cloud: FakeLetta, key: str | None
) -> None:
    ended, found = examined(cloud, key=key)
    assert ended.code == 4
    assert found["key"].startswith("fail GET /v1/models/ was answered with HTTP 401.")
    assert "The API key is missing, or it is none of this server's." in found["key"]
    assert "0123456789abcdef" not in ended.out + ended.err
    assert "background" not in found


def test_calls_that_wait_are_found_among_the_newest_rows(
    cloud: FakeLetta, witness: Wire, agent_id: str, conversation_id: str
) -> None:
    witness.post(conversation_id, user("[[call add {}]]"), client_tools=CLIENT_TOOLS)
    witness.post("default", user("[[call add {}]]"), client_tools=CLIENT_TOOLS, agent_id=agent_id)
    ended, found = examined(cloud, agent_id, key=cloud.api_key)
    assert ended.code == 0
    assert found["pending"].startswith(f"warn Calls wait: add in default; add in {conversation_id}.")
