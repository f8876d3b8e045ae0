"""The scripted model server over a real loopback connection, and how processes are ended; none of it needs Letta."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from letta_adapters.testing.script import COMPLETION_TOKENS, PROMPT_TOKENS
from tests.live.model import EAGER_MODEL, MODEL, ScriptedModel
from tests.live.processes import end_groups, living, ours, plain_environment, spawn

Json = dict[str, Any]


@pytest.fixture
def model() -> Iterator[httpx.Client]:
    """A client of a model server that listens before it serves, so that nobody has to wait for it."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(ScriptedModel().app(), ws="none", log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def chat(text: str, **options: Any) -> Json:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **options}


def stream(model: httpx.Client, text: str) -> list[Json]:
    """The frames of a streamed reply, which has to end as OpenAI's do."""
    body = chat(text, stream=True, stream_options={"include_usage": True})
    answer = model.post("/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *frames, last = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert last == "[DONE]"
    return [json.loads(frame) for frame in frames]


def deltas_of(frames: list[Json]) -> list[Json]:
    return [choice["delta"] for frame in frames for choice in frame["choices"]]


def test_both_models_say_how_long_their_context_is(model: httpx.Client) -> None:
    entries = model.get("/v1/models").json()["data"]
    assert [entry["id"] for entry in entries] == [MODEL, EAGER_MODEL]
    assert all(entry["max_model_len"] > 0 for entry in entries)


def test_the_eager_model_calls_what_it_is_offered(model: httpx.Client) -> None:
    offered = {
        "type": "function",
        "function": {"name": "add", "parameters": {"properties": {"a": {"type": "integer"}}}},
    }
    body = {**chat("What is 3 + 4?"), "tools": [offered]}
    calls = [
        model.post("/v1/chat/completions", json={**body, "model": name})
        .json()["choices"][0]["message"]
        .get("tool_calls")
        for name in (MODEL, EAGER_MODEL)
    ]
    assert calls[0] is None
    assert [call["function"] for call in calls[1]] == [{"name": "add", "arguments": '{"a": 3}'}]


def test_a_reply_is_streamed_token_by_token_reasoning_first(model: httpx.Client) -> None:
    frames = stream(model, "[[think let me see]] [[say Hello there]]")
    assert [d["reasoning_content"] for d in deltas_of(frames) if "reasoning_content" in d] == ["let ", "me ", "see"]
    assert [d["content"] for d in deltas_of(frames) if "content" in d] == ["Hello ", "there"]
    assert frames[-2]["choices"][0]["finish_reason"] == "stop"
    assert frames[-1]["choices"] == []
    assert frames[-1]["usage"]["prompt_tokens"] == PROMPT_TOKENS
    assert frames[-1]["usage"]["completion_tokens"] == COMPLETION_TOKENS


def test_tool_calls_are_streamed_with_the_name_first_and_the_arguments_in_pieces(model: httpx.Client) -> None:
    frames = stream(model, '[[call add {"a": 1, "b": "two"}]] [[call now]]')
    calls = [call for delta in deltas_of(frames) for call in delta.get("tool_calls", ())]
    first = [call for call in calls if call["index"] == 0]
    second = [call for call in calls if call["index"] == 1]
    assert first[0]["function"] == {"name": "add", "arguments": ""}
    assert all("name" not in piece["function"] for piece in first[1:])
    assert len(first) > 2
    assert "".join(piece["function"]["arguments"] for piece in first) == '{"a": 1, "b": "two"}'
    assert [piece["function"] for piece in second] == [{"name": "now", "arguments": ""}]
    assert first[0]["id"].startswith("call_")
    assert first[0]["id"] != second[0]["id"]
    assert frames[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_the_same_reply_comes_whole_when_it_is_not_streamed(model: httpx.Client) -> None:
    body = chat("[[think hm]] [[say Hello there]] [[call add {}]]")
    answer = model.post("/v1/chat/completions", json=body).json()
    message = answer["choices"][0]["message"]
    assert message["reasoning_content"] == "hm"
    assert message["content"] == "Hello there"
    assert [call["function"] for call in message["tool_calls"]] == [{"name": "add", "arguments": "{}"}]
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    assert answer["usage"]["total_tokens"] == PROMPT_TOKENS + COMPLETION_TOKENS


def test_a_held_reply_goes_on_when_its_gate_is_opened(model: httpx.Client) -> None:
    body = chat("[[say one two three]] [[hold gate 1]]", stream=True)
    with model.stream("POST", "/v1/chat/completions", json=body) as answer:
        lines = answer.iter_lines()
        assert "one " in next(lines)
        assert model.get("/gates/gate", params={"wait": "1"}).json() == {"waiting": 1, "open": False}
        assert model.post("/gates/gate").json()["open"] is True
        assert model.post("/gates/gate").json()["open"] is True
        rest = "\n".join(lines)
    assert "two " in rest
    assert "three" in rest
    assert model.get("/gates/gate").json() == {"waiting": 0, "open": True}


@pytest.mark.parametrize("streamed", [True, False])
def test_a_gate_may_be_opened_before_anybody_comes(model: httpx.Client, streamed: bool) -> None:
    model.post("/gates/early")
    answer = model.post("/v1/chat/completions", json=chat("[[say one two]] [[hold early 9]]", stream=streamed))
    assert "two" in answer.text
    # Nor does this wait for ever for somebody to come: whoever was to come may have passed already.
    assert model.get("/gates/early", params={"wait": "1"}).json() == {"waiting": 0, "open": True}


@pytest.mark.parametrize("streamed", [True, False])
def test_a_scripted_failure_has_its_status_and_an_error_body(model: httpx.Client, streamed: bool) -> None:
    answer = model.post("/v1/chat/completions", json=chat("[[fail 429]]", stream=streamed))
    assert answer.status_code == 429
    assert answer.json()["error"]["type"] == "rate_limit_error"


def test_a_scripted_break_ends_the_connection_after_so_many_tokens(model: httpx.Client) -> None:
    received: list[str] = []

    def read_all() -> None:
        body = chat("[[say one two three]] [[break 2]]", stream=True)
        with model.stream("POST", "/v1/chat/completions", json=body) as answer:
            received.extend(line for line in answer.iter_lines() if line)

    with pytest.raises(httpx.RemoteProtocolError):
        read_all()
    frames = [json.loads(line.removeprefix("data: ")) for line in received]
    assert [delta["content"] for delta in deltas_of(frames)] == ["one ", "two "]


def test_a_scripted_break_ends_the_connection_of_a_whole_reply_too(model: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        model.post("/v1/chat/completions", json=chat("[[break 0]]"))


def test_what_the_model_saw_can_be_read_the_newest_last(model: httpx.Client) -> None:
    for text in ("first", "second", "third"):
        model.post("/v1/chat/completions", json=chat(text))
    latest = model.get("/requests", params={"limit": 2}).json()
    assert [request["messages"][0]["content"] for request in latest] == ["second", "third"]
    assert len(model.get("/requests").json()) == 3


@pytest.fixture
def stubborn(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ignores a polite request and has a child; `tmp_path` is in its command line."""
    code = (
        "import signal, subprocess, sys;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']);"
        "open(sys.argv[1] + '/up', 'w').close();"
        "signal.pause()"
    )
    # Opening a pipe to read waits until somebody opens it to write, here when the process is set up.
    os.mkfifo(tmp_path / "up")
    command = [sys.executable, "-c", code, str(tmp_path)]
    process = spawn(command, cwd=tmp_path, environment=plain_environment(tmp_path), log=tmp_path / "log")
    (tmp_path / "up").read_bytes()
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_number_that_now_belongs_to_another_process_is_left_alone(stubborn: subprocess.Popen[bytes]) -> None:
    end_groups([stubborn.pid], marker="/another/data/directory", patience=0.2)
    assert stubborn.poll() is None


def test_a_whole_group_is_ended_even_if_it_does_not_want_to(stubborn: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert ours([stubborn.pid], str(tmp_path)) == {stubborn.pid}
    end_groups([stubborn.pid], marker=str(tmp_path), patience=0.5)
    assert stubborn.wait() == -signal.SIGKILL
    assert [row for row in living() if row.group == stubborn.pid] == []
