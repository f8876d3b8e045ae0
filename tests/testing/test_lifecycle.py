"""Starting and stopping the double."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from letta_adapters.testing import FakeLetta
from tests.testing.support import new_conversation, send, text_of, turn_body


def test_it_answers_on_a_loopback_port_until_it_is_stopped() -> None:
    with FakeLetta() as fake:
        url = fake.base_url
        assert url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{url}/v1/health/").json() == {"version": "0.16.8", "status": "ok"}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/v1/health/")


async def test_it_is_an_async_context_manager_too() -> None:
    async with FakeLetta() as fake, httpx.AsyncClient(base_url=fake.base_url) as http:
        assert (await http.get("/v1/health/")).status_code == 200


def test_starting_twice_is_refused_while_it_runs_and_afterwards() -> None:
    fake = FakeLetta().start()
    with pytest.raises(RuntimeError, match="started before"):
        fake.start()
    fake.stop()
    with pytest.raises(RuntimeError, match="started before"):
        fake.start()


def test_stopping_what_does_not_run_is_refused() -> None:
    fake = FakeLetta()
    with pytest.raises(RuntimeError, match="not running"):
        fake.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = fake.base_url
    fake.start()
    fake.stop()
    with pytest.raises(RuntimeError, match="not running"):
        fake.stop()


def test_stopping_inside_the_block_is_enough() -> None:
    with FakeLetta() as fake:
        fake.stop()


def test_it_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    with FakeLetta() as fake:
        httpx.get(f"{fake.base_url}/v1/health/")
        assert set(threading.enumerate()) - before
    assert set(threading.enumerate()) <= before


def test_two_doubles_do_not_know_each_other() -> None:
    with FakeLetta() as one, FakeLetta() as other:
        with httpx.Client(base_url=one.base_url) as http:
            conversation = new_conversation(http)
        with httpx.Client(base_url=other.base_url) as http:
            assert http.get(f"/v1/conversations/{conversation}").status_code == 404


@pytest.mark.parametrize("background", [False, True])
def test_it_stops_while_a_stream_is_open_and_a_model_waits(background: bool) -> None:
    with ThreadPoolExecutor() as pool, FakeLetta() as fake, httpx.Client(base_url=fake.base_url) as http:
        conversation = new_conversation(http)
        turn = pool.submit(send, http, conversation, "[[hold gate 2]] [[say one two three]]", background=background)
        fake.wait_for_gate("gate")
        fake.stop()
        assert text_of(turn.result(timeout=10)) == "one two "


def test_it_stops_while_a_request_waits_for_its_json_answer() -> None:
    with ThreadPoolExecutor() as pool, FakeLetta() as fake, httpx.Client(base_url=fake.base_url) as http:
        conversation = new_conversation(http)
        path = f"/v1/conversations/{conversation}/messages"
        body = turn_body("[[hold gate]]", streaming=False, stream_tokens=False)
        turn = pool.submit(http.post, path, json=body)
        fake.wait_for_gate("gate")
        fake.stop()
        assert turn.result(timeout=10).status_code == 503


def test_it_stops_while_somebody_reads_a_foreground_run_again() -> None:
    with ThreadPoolExecutor() as pool, FakeLetta() as fake, httpx.Client(base_url=fake.base_url) as http:
        conversation = new_conversation(http)
        run = send(http, conversation, "[[say ok]]")[0]["run_id"]
        with http.stream("POST", f"/v1/conversations/{conversation}/stream", json={"run_id": run}) as response:
            rest = pool.submit(response.read)
            fake.stop()
            assert rest.result(timeout=10) == b""


def test_a_turn_goes_on_when_its_client_is_gone() -> None:
    with FakeLetta() as fake, httpx.Client(base_url=fake.base_url) as http:
        conversation = new_conversation(http)
        path = f"/v1/conversations/{conversation}/messages"
        with http.stream("POST", path, json=turn_body("[[hold gate 1]] [[say one two]]", background=True)):
            fake.wait_for_gate("gate")
        (run,) = http.get("/v1/runs/", params={"conversation_id": conversation}).json()
        fake.open_gate("gate")
        again = http.post(f"/v1/conversations/{conversation}/stream", json={"run_id": run["id"]})
        assert "[DONE]" in again.text
        rows = http.get(path, params={"order": "asc"}).json()
        assert [row["message_type"] for row in rows] == ["system_message", "user_message", "assistant_message"]


async def test_an_async_test_waits_for_a_gate_in_a_thread() -> None:
    async with FakeLetta() as fake, httpx.AsyncClient(base_url=fake.base_url) as http:
        agent = (await http.post("/v1/agents/", json={})).json()["id"]
        body = turn_body("[[hold gate]] [[say ok]]", agent_id=agent)
        turn = asyncio.create_task(http.post("/v1/conversations/default/messages", json=body))
        await asyncio.to_thread(fake.wait_for_gate, "gate")
        fake.open_gate("gate")
        assert (await turn).text.endswith("data: [DONE]\n\n")
