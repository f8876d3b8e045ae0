"""P3 and P5: how long it takes until something happens."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
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


def imports() -> list[Figure]:
    """What an import takes beyond what it is built on; processor time of fresh interpreters."""
    ways = {
        "import letta_adapters, beyond httpx + pydantic": (FLOOR, "import letta_adapters"),
        "import LettaClient, beyond httpx + pydantic": (FLOOR, "from letta_adapters import LettaClient"),
        "… and make one, and read an event": (FLOOR, FIRST_USE),
        "import letta-client, beyond httpx + pydantic": (FLOOR, "from letta_client import Letta"),
        "import ChatLetta, beyond langchain-core": (
            FLOOR + "from langchain_core.language_models import BaseChatModel\n",
            "from langchain_letta import ChatLetta",
        ),
    }
    codes = list(dict.fromkeys(code for floor, more in ways.values() for code in (floor, floor + more)))
    times = dict(zip(codes, fastest([_import(code) for code in codes], rounds=6, clock=children_time), strict=True))
    return [
        Figure(
            id="P5",
            what=what,
            value=1000 * (times[floor + more] - times[floor]),
            unit="ms",
            budget=30 if what.startswith(("import letta_adapters", "import LettaClient")) else None,
        )
        for what, (floor, more) in ways.items()
    ]


def _import(code: str) -> Callable[[], Any]:
    return lambda: subprocess.run([sys.executable, "-c", code], check=True)


def _first(things: Any) -> object:
    with closing(things):
        return next(things)


def _first_of_core(client: LettaClient) -> object:
    with client.conversations.messages.create(NAME, input="Hello") as turn:
        return next(turn)


def _first_of(client: letta_client.Letta) -> object:
    with client.conversations.messages.create(NAME, input="Hello", stream_tokens=True) as stream:
        return next(stream)
