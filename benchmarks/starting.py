"""P3 and P5: how long it takes until something happens."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import letta_client
from langchain_core.messages import HumanMessage

from benchmarks import paths
from benchmarks.figures import Figure
from benchmarks.frameworks import model_on
from benchmarks.timing import children_time, fastest
from langchain_letta import ChatLetta
from letta_adapters import LettaClient
from llama_index_letta import LettaChatEngine

__all__ = ["first_token", "imports"]

NAME = "conv-text-1-chunked"

PYDANTIC_IN_USE = """
from pydantic import BaseModel, TypeAdapter

class Model(BaseModel):
    field: int

TypeAdapter(list[Model])
"""
"""`import pydantic` alone loads next to nothing of it."""

FLOOR = "import httpx" + PYDANTIC_IN_USE
FIRST_USE = (
    "from letta_adapters import LettaClient; from letta_adapters.wire import parse_event\n"
    'LettaClient(base_url="http://localhost").close(); parse_event(b\'{"message_type": "ping"}\')\n'
)
HTTPX_TURN = """
with httpx.Client() as http:
    http.post(URL + "/v1/conversations/?agent_id=agent-1").json()
    with http.stream("POST", URL + "/v1/conversations/NAME/messages", content=b"{}") as answer:
        for _ in answer.iter_bytes():
            pass
"""
OUR_TURN = """
from letta_adapters import LettaClient
with LettaClient(base_url=URL) as client:
    conversation = client.conversations.create(agent_id="agent-1")
    client.conversations.messages.create(conversation.id, input="Hello").result()
"""
THEIR_TURN = """
from letta_client import Letta
with Letta(base_url=URL, api_key="none") as client:
    conversation = client.conversations.create(agent_id="agent-1")
    for _ in client.conversations.messages.create(conversation.id, input="Hello", stream_tokens=True):
        pass
"""


def first_token(url: str) -> list[Figure]:
    """The delay of the first event over the first bytes of the same answer to raw httpx."""
    body = url + paths.path_of(NAME)
    model, followed = model_on(url, NAME), ChatLetta(base_url=url, agent_id="agent-1")
    official = letta_client.Letta(base_url=url, api_key="none")
    transcript = [HumanMessage("Hello"), followed.invoke("Hello"), HumanMessage("Hello again")]
    engine = LettaChatEngine.from_defaults(base_url=url, conversation_id=NAME, agent_id="agent-1")
    with httpx.Client() as http, LettaClient(base_url=url) as client, engine, official:
        ways: dict[str, Callable[[], object]] = {
            "": lambda: _first(paths.bytes_of(http, body)),
            "LettaClient": lambda: _first_of_core(client),
            "ChatLetta.stream, nothing to read first": lambda: _first(model.stream("Hello")),
            "ChatLetta.stream with the planner's read": lambda: _first(followed.stream(transcript)),
            "LettaChatEngine.stream_chat": lambda: _first(engine.stream_chat("Hello").response_gen),
            "letta-client": lambda: _first_of(official),
        }
        base, *times = fastest(list(ways.values()), rounds=40, clock=time.perf_counter)
    return [
        Figure(
            id="P3",
            what=f"first token after httpx's first bytes: {name}",
            value=1000 * (taken - base),
            unit="ms",
            budget=1 if name == "LettaClient" else None,
        )
        for name, taken in zip(list(ways)[1:], times, strict=True)
    ]


def imports(url: str) -> list[Figure]:
    """What an import takes beyond what it is built on; processor time of fresh interpreters."""
    turns = (HTTPX_TURN, OUR_TURN, THEIR_TURN)
    httpx_turn, our_turn, their_turn = (FLOOR + code.replace("URL", repr(url)).replace("NAME", NAME) for code in turns)
    langchain = FLOOR + "from langchain_core.language_models import BaseChatModel\n"
    ways = {
        "import letta_adapters, beyond httpx + pydantic": (FLOOR, FLOOR + "import letta_adapters"),
        "import LettaClient, beyond httpx + pydantic": (FLOOR, FLOOR + "from letta_adapters import LettaClient"),
        "… and make one, and read an event": (FLOOR, FLOOR + FIRST_USE),
        "… and stream a turn, beyond httpx and the same turn": (httpx_turn, our_turn),
        "import letta-client, beyond httpx + pydantic": (FLOOR, FLOOR + "from letta_client import Letta"),
        "… and stream a turn with it, beyond httpx and the same turn": (httpx_turn, their_turn),
        "import ChatLetta, beyond langchain-core": (langchain, langchain + "from langchain_letta import ChatLetta"),
    }
    codes = list(dict.fromkeys(code for pair in ways.values() for code in pair))
    with TemporaryDirectory() as cache:
        programs = [_program(code, cache) for code in codes]
        times = dict(zip(codes, fastest(programs, rounds=12, clock=children_time), strict=True))
    return [
        Figure(
            id="P5",
            what=what,
            value=1000 * (times[code] - times[floor]),
            unit="ms",
            budget=30 if what.startswith(("import letta_adapters", "import LettaClient")) else None,
        )
        for what, (floor, code) in ways.items()
    ]


def _program(code: str, cache: str) -> Callable[[], Any]:
    """A run of some code, with all modules compiled before, as an installed package's are, whatever the environment."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ["PYTHONPYCACHEPREFIX"] = cache
    return lambda: subprocess.run([sys.executable, "-c", code], check=True, env=environ)


def _first(things: Any) -> object:
    with closing(things):
        return next(things)


def _first_of_core(client: LettaClient) -> object:
    with client.conversations.messages.create(NAME, input="Hello") as turn:
        return next(turn)


def _first_of(client: letta_client.Letta) -> object:
    with client.conversations.messages.create(NAME, input="Hello", stream_tokens=True) as stream:
        return next(stream)
