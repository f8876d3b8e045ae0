"""A process that ends in mid-turn, by itself or by Ctrl-C, leaves no call pending."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from tests.conftest import Backend, fresh_agent, fresh_conversation
from tests.contract.wire import Wire
from tests.loop.support import next_turn_works, results

HEAD = """
import sys, threading
from letta_adapters import LettaClient
from letta_adapters.loop import run_turn, stream_turn

url, conversation_id, script = sys.argv[1:]

def hang() -> str:
    '''Hang.'''
    print("began", flush=True)
    threading.Event().wait()
    return "never"

def add(a: int, b: int) -> int:
    '''Add.'''
    return a + b

client = LettaClient(base_url=url)
"""
INTERRUPTED = "run_turn(client, conversation_id, script, tools=[hang])"
LEAVING = """
for event in stream_turn(client, conversation_id, script, tools=[add]):
    break
print("left", flush=True)
"""

OPEN = """
stream = client.conversations.messages.create(conversation_id, input=script, on_abandon="{on_abandon}")
next(stream)
print("begun", flush=True)
"""

WITHOUT_THREADS = """
import atexit

def refuse(thread: threading.Thread) -> None:
    raise RuntimeError("can't create new thread at interpreter shutdown")

atexit.register(setattr, threading.Thread, "start", refuse)
"""
"""Python 3.12.0 and 3.12.1 start no thread any more when a process ends."""


@contextmanager
def program(code: str, *arguments: str) -> Generator[subprocess.Popen[str], None, None]:
    command = [sys.executable, "-c", HEAD + code, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_ctrl_c_while_a_tool_hangs_denies_its_call(backend: Backend, wire: Wire, conversation_id: str) -> None:
    with program(INTERRUPTED, backend.base_url, conversation_id, "[[call hang {}]]") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "began\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert [kind for kind, _ in results(wire, conversation_id)] == ["denied"]
    assert next_turn_works(wire, conversation_id)


@pytest.mark.parametrize("ending", ["", WITHOUT_THREADS], ids=["", "without threads"])
@pytest.mark.parametrize("script", ['[[call add {"a": 1, "b": 2}]] [[next]] [[say three]]', "[[say hi]]"])
def test_a_program_that_ends_right_after_it_left_a_stream_leaves_no_call(
    backend: Backend, wire: Wire, conversation_id: str, script: str, ending: str
) -> None:
    with program(LEAVING + ending, backend.base_url, conversation_id, script) as process:
        output, errors = process.communicate(timeout=60)
    assert (output, errors, process.returncode) == ("left\n", "", 0)
    results(wire, conversation_id)
    assert next_turn_works(wire, conversation_id)


@pytest.mark.parametrize("on_abandon", ["finish", "cancel"])
def test_a_process_ends_while_a_stream_of_a_server_without_redis_is_open(
    no_redis_backend: Backend, on_abandon: str
) -> None:
    with fresh_agent(no_redis_backend) as agent_id:
        conversation_id = fresh_conversation(no_redis_backend, agent_id)
        code = OPEN.format(on_abandon=on_abandon)
        with program(code, no_redis_backend.base_url, conversation_id, "[[say one two]]") as process:
            output, errors = process.communicate(timeout=30)
    assert (output, errors, process.returncode) == ("begun\n", "", 0)
