"""`python -m letta_adapters.testing`: a double in a terminal."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest
from langchain_core.tools import tool

from langchain_letta import ChatLetta


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_it_prints_what_to_set_serves_an_agent_and_ends_on_ctrl_c() -> None:
    command = [sys.executable, "-m", "letta_adapters.testing"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as double:
        try:
            assert double.stdout is not None
            settings = dict(re.findall(r"export (\w+)=(\S+)\n", double.stdout.readline() + double.stdout.readline()))
            model = ChatLetta(agent_id=settings["LETTA_AGENT_ID"], base_url=settings["LETTA_BASE_URL"])
            assert model.invoke("Hello").text == "You said: Hello"
            (call,) = model.bind_tools([add]).invoke("What is 19 + 23?").tool_calls
            assert (call["name"], call["args"]) == ("add", {"a": 19, "b": 23})
            double.send_signal(signal.SIGINT)
            rest, said = double.communicate(timeout=30)
        finally:
            double.kill()
    assert (double.returncode, rest) == (0, "")
    assert said == "Type these two lines into another terminal. Ctrl-C ends the double.\n"


@pytest.mark.parametrize(
    ("argument", "code", "told"),
    [("--help", 0, "A double of a Letta server to try things on"), ("--port=1", 2, "unrecognized arguments: --port=1")],
)
def test_it_serves_nothing_where_it_is_given_arguments(argument: str, code: int, told: str) -> None:
    command = [sys.executable, "-m", "letta_adapters.testing", argument]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode == code
    assert told in ended.stdout + ended.stderr
    assert "export" not in ended.stdout
