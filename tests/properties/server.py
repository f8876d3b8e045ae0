"""The double in the same process: its own routes and its own state machine, without sockets."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from email.utils import format_datetime
from functools import cache
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request as StarletteRequest
from starlette.responses import Response, StreamingResponse

from letta_adapters.exchange import Request
from letta_adapters.testing.engine import Engine
from letta_adapters.testing.errors import ApiError, ModelError
from letta_adapters.testing.gates import Gates
from letta_adapters.testing.http import api_error
from letta_adapters.testing.messages import now
from letta_adapters.testing.model import ModelPort
from letta_adapters.testing.resources import agent_from
from letta_adapters.testing.routes_agents import AgentRoutes
from letta_adapters.testing.routes_conversations import ConversationRoutes
from letta_adapters.testing.routes_runs import RunRoutes
from letta_adapters.testing.server_tools import ServerTool
from letta_adapters.testing.state import Agent, Store
from tests.properties.kept import Kept, kept
from tests.properties.model import Port, ScriptedModel

__all__ = ["Answer", "Double"]

Handler = Callable[[StarletteRequest], Awaitable[Response]]

_LATER = timedelta(seconds=10)
"""How much later than a run everybody comes who did not begin it; the client tells a replay by it."""

_UNTIL_ASKED = 10
"""Rounds of the loop after which a turn that began has asked its model."""

_SMALL_WINDOW, _LARGE_WINDOW = 133, 128_000
"""Tokens of an agent's context; every answer of the model takes 120."""

_ROLL = ServerTool(
    id="tool-roll",
    name="roll",
    description="",
    parameters={"type": "object", "properties": {}},
    source_code="def roll():\n    return 4",
)


@dataclass(kw_only=True)
class Answer:
    """An HTTP answer; its body is read once, to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes | AsyncIterable[str]


class Double:
    """A Letta server of one example.

    Args:
        loop: What its coroutines run in; it stands still between two calls.
        redis: Whether it can stream in the background, and locks.
        cloud: Whether it is as Letta Cloud is believed to be, without its gateway.
        counts_calls: Whether the model's calls have the same ids in every answer.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        redis: bool = True,
        cloud: bool = False,
        counts_calls: bool = False,
    ) -> None:
        self._loop = loop
        self._gates = Gates()
        self.model = ScriptedModel()
        self.port = Port(model=self.model, gates=self._gates, counts=counts_calls)
        self.engine = _engine(self.port, self._gates, redis=redis, cloud=cloud)
        self._deleted: list[Kept] = []
        self._served_by = {type(routes): routes for routes in _routes_of(self.engine)}

    @property
    def store(self) -> Store:
        """What it keeps."""
        return self.engine.store

    @property
    def busy(self) -> bool:
        """Whether a turn is in flight."""
        return any(run.active for run in self.engine.runs.values())

    def add_agent(self, *, parallel_calls: bool) -> Agent:
        """Make an agent with one tool of the server's own."""
        settings = {"provider_type": "openai", "parallel_tool_calls": parallel_calls}
        agent = agent_from(
            {"name": "A", "system": "Answer.", "model_settings": settings}, default_model="vllm/scripted"
        )
        agent.tools["roll"] = _ROLL
        self.store.agents[agent.id] = agent
        self.store.set_system(agent.default, self.store.compiled_system(agent, "default"))
        return agent

    def compact_by_itself(self, *, always: bool) -> None:
        """Let agents make a summary after every answer of the model, or hardly ever."""
        for agent in self.store.agents.values():
            agent.context_window = _SMALL_WINDOW if always else _LARGE_WINDOW

    def kept(self, agent_id: str, conversation_id: str) -> Kept:
        """What a conversation has, or had when it was deleted."""
        if conversation_id == "default":
            return kept(self.store, self.store.agent(agent_id).default)
        deleted = [one for one in self._deleted if one.id == conversation_id]
        return deleted[-1] if deleted else kept(self.store, self.store.conversations[conversation_id])

    def stored_in(self, conversation_id: str) -> int:
        """How many messages a conversation has, or the agents' own ones have."""
        if conversation_id == "default":
            return sum(len(agent.default.entries) for agent in self.store.agents.values())
        conversation = self.store.conversations.get(conversation_id)
        return len(conversation.entries) if conversation is not None else 0

    def all_kept(self) -> list[Kept]:
        """The same of all conversations that there ever were."""
        there = [one for one in self.store.conversations.values() if not one.deleted]
        defaults = [agent.default for agent in self.store.agents.values()]
        return [*self._deleted, *(kept(self.store, one) for one in (*there, *defaults))]

    def call(self, request: Request) -> Answer:
        """Make a request and wait for the head of its answer; turns that it starts go on while others call."""
        if request.method == "DELETE":
            self._keep(request.path.rpartition("/")[2])
        runs = len(self.engine.runs)
        responding = self._respond(request)
        response = _at_once(responding) if request.method == "GET" else self._loop.run_until_complete(responding)
        if not isinstance(response, StreamingResponse):
            return Answer(status=response.status_code, headers={}, body=bytes(response.body))
        began_here = len(self.engine.runs) > runs
        date = now() if began_here else now() + _LATER
        headers = {"content-type": "text/event-stream", "date": format_datetime(date, usegmt=True)}
        return Answer(status=200, headers=headers, body=_texts(response))

    def ask(self, method: str, path: str, body: object = None, **query: str) -> bytes:
        """Make a request that is nobody's business here, and read what comes back, whatever it is."""
        sent = json.dumps(body).encode() if body is not None else None
        return self.read(self.call(Request(method=method, path=path, query=query, body=sent)))

    def read(self, answer: Answer) -> bytes:
        """Read a body to its end; a model that waits at a gate goes on, since somebody waits for it."""
        if isinstance(answer.body, bytes):
            return answer.body
        self._open_gates()
        return self._loop.run_until_complete(_joined(answer.body))

    def let_time_pass(self) -> None:
        """Let every turn in flight come to its end."""
        self._open_gates()
        if self.busy:
            self._loop.run_until_complete(self._settled())

    def go_on_a_little(self) -> None:
        """Let the turns in flight come to where their model is asked."""
        self._loop.run_until_complete(_ticks(_UNTIL_ASKED))

    def _keep(self, conversation_id: str) -> None:
        conversation = self.store.conversations.get(conversation_id)
        if conversation is not None and not conversation.deleted:
            self._deleted.append(replace(kept(self.store, conversation), deleted=True))

    def _open_gates(self) -> None:
        for gate in self.model.gates:
            self._gates.open(gate)
        self.model.gates.clear()

    async def _settled(self) -> None:
        while self.busy:  # a turn that is over has given its lock back, too
            await asyncio.sleep(0)

    def _route(self, request: Request) -> tuple[Handler, dict[str, str]]:
        for one in _known_routes():
            found = one.pattern.match(request.path)
            if found and request.method in one.methods:
                return getattr(self._served_by[one.served_by], one.handler), found.groupdict()
        raise AssertionError(f"the double has no {request.method} {request.path}")

    async def _respond(self, request: Request) -> Response:
        serve, path_params = self._route(request)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": request.body or b"", "more_body": False}

        given = StarletteRequest(_scope(request, path_params), receive)
        try:
            return await serve(given)
        except (ApiError, ModelError) as error:
            return await api_error(given, error)


def _engine(port: ModelPort, gates: Gates, *, redis: bool, cloud: bool) -> Engine:
    return Engine(
        store=Store(),
        gates=gates,
        model=port,
        redis=redis,
        ping_every=60.0,
        handles=("vllm/scripted",),
        cloud=cloud,
    )


def _routes_of(engine: Engine) -> tuple[ConversationRoutes, RunRoutes, AgentRoutes]:
    return ConversationRoutes(engine), RunRoutes(engine), AgentRoutes(engine)


@dataclass(frozen=True, kw_only=True)
class _Route:
    pattern: re.Pattern[str]
    methods: frozenset[str]
    served_by: type
    handler: str


@cache
def _known_routes() -> list[_Route]:
    """All routes, the same for every engine: to put them together takes as long as half a turn."""
    gates = Gates()
    port = Port(model=ScriptedModel(), gates=gates, counts=False)
    engine = _engine(port, gates, redis=True, cloud=False)
    return [
        _Route(
            pattern=route.path_regex,
            methods=frozenset(route.methods or ()),
            served_by=type(routes),
            handler=route.endpoint.__name__,
        )
        for routes in _routes_of(engine)
        for route in routes.routes()
    ]


def _scope(request: Request, path_params: dict[str, str]) -> dict[str, Any]:
    query = {name: value for name, value in request.query.items() if value is not None}
    return {
        "type": "http",
        "method": request.method,
        "path": request.path,
        "query_string": urlencode(query, doseq=True).encode(),
        "headers": [],
        "path_params": path_params,
    }


def _at_once(coroutine: Coroutine[Any, Any, Response]) -> Response:
    """What comes of a coroutine that never waits: an event loop would take longer to start than it does."""
    try:
        coroutine.send(None)
    except StopIteration as returned:
        return returned.value
    raise AssertionError("reading waits for nobody")


async def _ticks(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _texts(response: StreamingResponse) -> AsyncGenerator[str, None]:
    async for piece in response.body_iterator:
        yield str(piece)


async def _joined(pieces: AsyncIterable[str]) -> bytes:
    return "".join([piece async for piece in pieces]).encode()
