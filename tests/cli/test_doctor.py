"""`letta-adapters doctor`: what it finds, and what it says to do."""

from __future__ import annotations

import json

import pytest

from letta_adapters import LettaClient
from letta_adapters.testing import FakeLetta
from tests.cli.conftest import CommandLine
from tests.conftest import NOWHERE, Backend
from tests.contract.build import CLIENT_TOOLS, user
from tests.contract.wire import Wire
from tests.hostile.server import Answer, Peer, document, head, serve, whole

HEALTHY = {"version": "0.16.8", "status": "ok"}
NOT_FOUND = document({"detail": "Run not found"}, "404 Not Found")


def lines(text: str) -> dict[str, str]:
    """What each line says, by the name of its check; the status comes first."""
    found = [line.split(maxsplit=2) for line in text.splitlines()]
    return {name: f"{status} {rest}" for status, name, rest in found}


def answering(health: bytes, *, models: bytes = b"", resume: bytes = NOT_FOUND) -> Answer:
    """A server that says this of itself."""

    def answer(peer: Peer) -> None:
        if peer.path == "/v1/health/":
            peer.send(health)
        elif peer.path == "/v1/models/":
            peer.send(models or document([]))
        else:
            peer.send(resume)

    return answer


def examined(answer: Answer, **variables: str) -> tuple[int, dict[str, str]]:
    with serve(answer) as server:
        ended = CommandLine(variables={"LETTA_BASE_URL": server.base_url, **variables})("doctor")
    return ended.code, lines(ended.out)


def test_where_all_is_well_every_line_says_so(cli: CommandLine, agent_id: str) -> None:
    ended = cli("doctor", agent_id)

    assert (ended.code, ended.err) == (0, "")
    found = lines(ended.out)
    assert list(found) == ["url", "server", "clock", "key", "background", "agent", "pending"]
    assert {name: words.split()[0] for name, words in found.items()} == dict.fromkeys(found, "ok")
    assert found["server"] == "ok Letta 0.16.8, which this package is tested with."


def test_without_redis_it_says_what_is_missing(no_redis_backend: Backend) -> None:
    ended = CommandLine(variables={"LETTA_BASE_URL": no_redis_backend.base_url})("doctor")

    assert ended.code == 0
    assert lines(ended.out)["background"] == (
        "warn No background streams: a turn that is cut off is read back, where it left a trace. "
        "Give the server a Redis (LETTA_REDIS_HOST)."
    )


def test_calls_that_wait_are_named_with_the_command_that_denies_them(
    cli: CommandLine, wire: Wire, agent_id: str, conversation_id: str
) -> None:
    wire.post(conversation_id, user('[[call add {"a": 1}]]'), client_tools=CLIENT_TOOLS)

    found = lines(cli("doctor", agent_id).out)["pending"]

    assert found.startswith(f"warn Calls wait: add in {conversation_id}.")
    assert found.endswith(f"`letta-adapters settle {conversation_id}`.")


def test_a_call_in_the_default_conversation_is_found_too(cli: CommandLine, wire: Wire, agent_id: str) -> None:
    wire.post("default", user('[[call add {"a": 1}]]'), agent_id=agent_id, client_tools=CLIENT_TOOLS)

    assert lines(cli("doctor", agent_id).out)["pending"].endswith(
        f"`letta-adapters settle default --agent {agent_id}`."
    )


def test_an_agent_that_takes_no_client_tools_is_told(cli: CommandLine, client: LettaClient, backend: Backend) -> None:
    agent = client.agents.create(name="old", model=backend.handle, agent_type="memgpt_v2_agent")
    try:
        found = lines(cli("doctor", agent.id).out)["agent"]
    finally:
        client.agents.delete(agent.id)

    assert found.startswith("warn 'old' is a memgpt_v2_agent, which is not offered the tools of your program.")


def test_an_agent_that_is_not_there_is_a_failure(cli: CommandLine) -> None:
    ended = cli("doctor", "agent-00000000-0000-4000-8000-000000000000")

    assert (ended.code, lines(ended.out)["agent"].split()[0]) == (5, "fail")


def test_what_the_server_says_is_a_sentence_of_its_own() -> None:
    missing = document({"detail": "Agent not found"}, "404 Not Found")
    with serve(answering(document(HEALTHY), resume=missing)) as server:
        ended = CommandLine(variables={"LETTA_BASE_URL": server.base_url})("doctor", "agent-1")

    assert "The server says: Agent not found. Check the id, and that" in lines(ended.out)["agent"]


def test_an_id_that_the_server_takes_for_none_is_to_be_corrected() -> None:
    malformed = document({"detail": "Invalid id format"}, "422 Unprocessable Entity")
    with serve(answering(document(HEALTHY), resume=malformed)) as server:
        ended = CommandLine(variables={"LETTA_BASE_URL": server.base_url})("doctor", "agent-1")

    assert lines(ended.out)["agent"].endswith("The server says: Invalid id format. Correct the id.")


@pytest.mark.parametrize(
    ("models", "told"),
    [
        (document({}, "418 I'm a teapot"), "HTTP 418. Check that LETTA_BASE_URL is a Letta server and not something"),
        (document({}, "501 Not Implemented"), "HTTP 501. Look at the server's own log."),
        (head("302 Found", location="/login", content_length="0"), "Check that `base_url` (or LETTA_BASE_URL) is"),
    ],
    ids=["4xx", "5xx", "redirect"],
)
def test_another_program_is_told_from_a_server_that_fails(models: bytes, told: str) -> None:
    _, found = examined(answering(document(HEALTHY), models=models))
    assert told in found["key"]


def test_an_id_that_no_agent_has_is_a_failure(cli: CommandLine) -> None:
    ended = cli("doctor", "ann")

    assert ended.code == 2
    assert (
        lines(ended.out)["agent"]
        == "fail `agent_id` must look like `agent-0a1b2c3d-…`, with a whole id, not 'ann'. Correct the id."
    )


def test_nothing_is_changed_and_nothing_sent_to_an_agent() -> None:
    with FakeLetta() as fake, LettaClient(base_url=fake.base_url) as client:
        agent_id = client.agents.create(name="ann").id
        before = len(fake.requests)
        CommandLine(variables={"LETTA_BASE_URL": fake.base_url})("doctor", agent_id)
        asked = [(request.method, request.path.rpartition("/")[2]) for request in fake.requests[before:]]

    assert {method for method, what in asked if what != "stream"} == {"GET"}
    assert [what for method, what in asked if method == "POST"] == ["stream"]


def test_everything_is_told_as_json(cli: CommandLine) -> None:
    told = json.loads(cli("doctor", "--json").out)

    assert told["ok"] is True
    assert told["checks"][-1] == {
        "name": "agent",
        "status": "skipped",
        "found": "No agent was named.",
        "remedy": "Name one: `letta-adapters doctor AGENT`, or LETTA_AGENT_ID.",
    }


def test_an_address_that_cannot_be_called_ends_it() -> None:
    ended = CommandLine(variables={"LETTA_BASE_URL": "localhost:8283"})("doctor")

    assert ended.code == 2
    assert ended.out == (
        "fail    url         `base_url` must begin with http:// or https:// and name a host, not 'localhost:8283'. "
        "Correct `--base-url` (or LETTA_BASE_URL).\n"
    )


def test_a_key_that_no_header_can_carry_ends_it() -> None:
    ended = CommandLine(variables={"LETTA_BASE_URL": NOWHERE, "LETTA_API_KEY": "sk-ключ"})("doctor")

    assert ended.code == 2
    assert lines(ended.out)["url"] == f"ok {NOWHERE}"
    assert lines(ended.out)["key"].endswith("that no HTTP header can carry. Correct LETTA_API_KEY.")
    assert "sk-" not in ended.out


def test_letta_cloud_without_a_key_is_not_asked() -> None:
    ended = CommandLine()("doctor")

    assert ended.code == 4
    assert lines(ended.out)["url"].startswith("ok https://api.letta.com, Letta Cloud;")
    assert lines(ended.out)["key"].startswith("fail There is no key for Letta Cloud, so nothing was sent.")


def test_a_server_that_is_not_there_is_told() -> None:
    ended = CommandLine(variables={"LETTA_BASE_URL": NOWHERE})("doctor")

    assert ended.code == 3
    assert lines(ended.out)["server"].startswith("fail Could not reach the Letta server at")


def test_a_key_that_is_refused_is_told_and_not_shown() -> None:
    key = "sk-let-0123456789abcdef"
    refusal = document({"detail": f"Bad key {key}"}, "401 Unauthorized")
    with serve(answering(document(HEALTHY), models=refusal)) as server:
        ended = CommandLine(variables={"LETTA_BASE_URL": server.base_url, "LETTA_API_KEY": key})("doctor")

    assert ended.code == 4
    assert "fail    key" in ended.out
    assert "Bad key ***" in ended.out
    assert "Check `api_key` (or LETTA_API_KEY)." in ended.out


def test_a_key_that_is_taken_is_not_shown(backend: Backend) -> None:
    key = "sk-let-0123456789abcdef"
    ended = CommandLine(variables={"LETTA_BASE_URL": backend.base_url, "LETTA_API_KEY": key})("doctor")

    assert lines(ended.out)["key"] == "ok LETTA_API_KEY is set, and the server takes it."
    assert key not in ended.out + ended.err


@pytest.mark.parametrize(
    ("health", "said"),
    [
        (document({"version": "0.15.0"}), "warn Letta 0.15.0, which this package was not tested with."),
        (whole(b"<html>hello</html>", content_type="text/html"), "warn It answers (HTTP 200), but does not tell its"),
        (document([], "502 Bad Gateway"), "warn It answers (HTTP 502), but does not tell its version."),
    ],
)
def test_another_server_than_the_one_it_was_tested_with_is_told(health: bytes, said: str) -> None:
    code, found = examined(answering(health))
    assert (code, found["server"].startswith(said)) == (0, True)


@pytest.mark.parametrize(
    ("date", "said"),
    [
        ("Thu, 01 Jan 2026 00:00:00 GMT", " s ahead of the server. Set the clock"),
        ("Fri, 01 Jan 2100 00:00:00 GMT", " s behind the server. Set the clock"),
        ("yesterday", "skipped not compared"),
    ],
)
def test_a_clock_that_is_wrong_is_told(date: str, said: str) -> None:
    _, found = examined(answering(document(HEALTHY, date=date)))
    assert said in found["clock"]


@pytest.mark.parametrize("answer", [document({"detail": "Down for a while"}, "503 Away"), document({})])
def test_background_streams_are_not_judged_where_nobody_can_tell(answer: bytes) -> None:
    _, found = examined(answering(document(HEALTHY), resume=answer))
    assert found["background"].startswith("skipped It could not be told whether there are background streams.")
