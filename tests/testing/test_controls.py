"""What a test sees of a double and how it steers it: gates, requests, the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from letta_adapters.testing import Call, FakeLetta, Reply
from tests.testing.support import Json, frames_of, new_conversation, send, text_of, turn_body

DOUBLE = '''
def double(n: int, times: int = 2) -> int:
    """Multiply.

    Args:
        n (int): A number.
    """
    print("n is", n)
    return n * times
'''


@pytest.fixture
def fake() -> Iterator[FakeLetta]:
    with FakeLetta() as started:
        yield started


@pytest.fixture
def http(fake: FakeLetta) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=fake.base_url) as opened:
        yield opened


def test_a_gate_opened_before_anybody_comes_holds_nobody(fake: FakeLetta, http: httpx.Client) -> None:
    fake.open_gate("early")
    fake.open_gate("early")
    assert text_of(send(http, new_conversation(http), "[[hold early]] [[say ok]]")) == "ok"


def test_waiting_for_a_gate_where_nobody_comes_times_out(fake: FakeLetta) -> None:
    with pytest.raises(TimeoutError, match="'nobody'"):
        fake.wait_for_gate("nobody", timeout=0)


def test_a_gate_holds_the_tokens_behind_it(fake: FakeLetta, http: httpx.Client) -> None:
    conversation = new_conversation(http)
    body = turn_body("[[hold gate 1]] [[say one two]]", include_pings=False)
    with http.stream("POST", f"/v1/conversations/{conversation}/messages", json=body) as response:
        chunks = response.iter_text()
        assert text_of(frames_of(next(chunks))) == "one "
        fake.wait_for_gate("gate")
        fake.open_gate("gate")
        assert text_of(frames_of("".join(chunks))) == "two"


def test_a_gate_may_be_waited_for_after_somebody_passed_it(fake: FakeLetta, http: httpx.Client) -> None:
    conversation = new_conversation(http)
    with ThreadPoolExecutor() as pool:
        turn = pool.submit(send, http, conversation, "[[hold gate]] [[say ok]]")
        fake.wait_for_gate("gate")
        fake.wait_for_gate("gate")
        fake.open_gate("gate")
        turn.result(timeout=10)


def test_requests_are_recorded_as_they_arrived(fake: FakeLetta, http: httpx.Client) -> None:
    http.post("/v1/agents/", params={"a": "1"}, json={"name": "x"}, headers={"X-Custom": "Value"})
    http.get("/v1/unknown")
    posted, got = fake.requests
    assert (posted.method, posted.path, posted.query, posted.body) == ("POST", "/v1/agents/", "a=1", {"name": "x"})
    assert posted.headers["x-custom"] == "Value"
    assert (got.method, got.path, got.body) == ("GET", "/v1/unknown", None)


def test_the_list_of_requests_is_a_copy(fake: FakeLetta, http: httpx.Client) -> None:
    before = fake.requests
    http.get("/v1/health/")
    assert before == []
    assert len(fake.requests) == 1


def test_the_model_may_be_replaced(fake: FakeLetta, http: httpx.Client) -> None:
    def count(messages: Sequence[Json]) -> Reply:
        return Reply(text=f"{len(messages)} messages")

    fake.model = count
    assert text_of(send(http, new_conversation(http), "hello")) == "2 messages"


def test_what_the_model_saw_is_kept(fake: FakeLetta, http: httpx.Client) -> None:
    tools = [{"name": "add", "description": "adds"}]
    send(http, new_conversation(http, system="Be brief."), "hello", client_tools=tools)
    (seen,) = fake.model_requests
    assert [message["role"] for message in seen.messages] == ["system", "user"]
    assert seen.messages[0]["content"].startswith("Be brief.")
    assert [tool["function"]["name"] for tool in seen.tools] == ["add"]


def test_a_model_that_raises_fails_its_turn_and_no_other(fake: FakeLetta, http: httpx.Client) -> None:
    def broken(messages: Sequence[Json]) -> Reply:
        raise KeyError("what the test forgot")

    conversation = new_conversation(http)
    usual = fake.model
    fake.model = broken
    *_, error = send(http, conversation, "hello")
    assert error["error_type"] == "internal_error"
    assert "what the test forgot" in error["detail"]
    fake.model = usual
    assert text_of(send(http, conversation, "[[say ok]]")) == "ok"


def test_a_server_tool_is_run(fake: FakeLetta, http: httpx.Client) -> None:
    tool: Json = http.post("/v1/tools/", json={"source_code": DOUBLE}).raise_for_status().json()
    assert tool["json_schema"]["parameters"]["required"] == ["n"]
    conversation = new_conversation(http)
    agent = http.get(f"/v1/conversations/{conversation}").json()["agent_id"]
    http.patch(f"/v1/agents/{agent}/tools/attach/{tool['id']}").raise_for_status()
    frames = send(http, conversation, '[[call double {"n": 4}]]')
    (result,) = [frame for frame in frames if frame["message_type"] == "tool_return_message"]
    assert (result["tool_return"], result["status"], result["stdout"]) == ("8", "success", ["n is 4\n"])
    assert text_of(frames) == "The tools answered: 8"


def test_silence_is_filled_with_pings() -> None:
    with FakeLetta(ping_interval=0.05) as fake, httpx.Client(base_url=fake.base_url) as http:
        conversation = new_conversation(http)
        body = turn_body("[[hold gate 1]] [[say one two]]", background=True)
        with http.stream("POST", f"/v1/conversations/{conversation}/messages", json=body) as response:
            frames = (frame for chunk in response.iter_text() for frame in frames_of(chunk))
            seen = [(f["message_type"], f.get("seq_id")) for f, _ in zip(frames, range(4), strict=False)]
            assert seen == [("ping", 1), ("assistant_message", 2), ("ping", 2), ("ping", 2)]


def test_an_unknown_model_is_refused_and_a_named_one_served() -> None:
    with FakeLetta(models=["some/model"]) as fake, httpx.Client(base_url=fake.base_url) as http:
        assert http.post("/v1/agents/", json={"model": "vllm/scripted"}).status_code == 404
        assert http.post("/v1/agents/", json={}).json()["model"] == "some/model"


def test_a_model_given_at_creation_plays_from_the_start() -> None:
    def calls(messages: Sequence[dict[str, Any]]) -> Reply:
        return Reply(calls=(Call(name="add", arguments="{}"),))

    with FakeLetta(model=calls) as fake, httpx.Client(base_url=fake.base_url) as http:
        frames = send(http, new_conversation(http), "hello", client_tools=[{"name": "add"}])
        assert [frame["stop_reason"] for frame in frames if frame["message_type"] == "stop_reason"] == [
            "requires_approval"
        ]
