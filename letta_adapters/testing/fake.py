"""`FakeLetta`: a Letta 0.16.8 server inside the test process, on a loopback port, with a scripted model."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from types import TracebackType
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import Self

from letta_adapters.testing.app import make_app
from letta_adapters.testing.cloud import Gateway, Refusal
from letta_adapters.testing.cuts import Cuts, Line
from letta_adapters.testing.engine import Engine
from letta_adapters.testing.gates import Gates
from letta_adapters.testing.model import EAGER, Model, ModelPort, ModelRequest
from letta_adapters.testing.script import reply_to
from letta_adapters.testing.state import Store
from letta_adapters.testing.token_data import SGLANG

__all__ = ["FakeLetta", "RecordedRequest"]

_CLOUD_KEY = "sk-let-double"


@dataclass(frozen=True, kw_only=True)
class RecordedRequest:
    """One HTTP request as it arrived: `body` is the JSON object that was sent, header names are lower-case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: dict[str, Any] | None


class FakeLetta:
    """A verified double of a Letta 0.16.8 server, for tests without a server.

    It serves the part of the API that this project uses on a port of its own, in a thread of its own, and obeys the
    rules of the real server: locks, pending approvals, replay by otid, sequence ids, resuming, paging, stop reasons.
    The suite in `tests/contract` runs on it and on a real server.

    ```python
    from letta_adapters.testing import FakeLetta

    with FakeLetta() as fake:
        print(fake.base_url.startswith("http://127.0.0.1:"))
        #> True
    ```

    Args:
        redis: false makes a server without Redis: no locks, and 503 for background streams and resuming.
        ping_interval: seconds of silence after which an open stream gets a ping.
        cloud: true makes it like Letta Cloud where that differs: it wants a key (`api_key`), lists go on in the order
            that was asked for, a fork may begin at a message, summaries have a type of their own. Nobody has measured
            Letta Cloud; `letta_adapters.testing.cloud` and `tests/cloud` say what is believed of it, and why.
        models: the model handles that it knows; the first is the default of an agent.
        model: what plays the language model, the script of `letta_adapters.testing.script` unless given. The handle
            `vllm/eager` is played by `letta_adapters.testing.eager` in any case; `sglang/scripted` tells the ids of its
            tokens in answers that do not stream.
    """

    def __init__(
        self,
        *,
        redis: bool = True,
        ping_interval: float = 20.0,
        cloud: bool = False,
        models: Sequence[str] = ("vllm/scripted", EAGER, SGLANG),
        model: Model = reply_to,
    ) -> None:
        """Prepare a server; it runs from `start()`, or inside `with`.

        Raises:
            ValueError: if it is to be Letta Cloud without background streams.
        """
        if cloud and not redis:
            raise ValueError("Letta Cloud always has background streams; `redis=False` is a server of one's own")
        self._redis = redis
        self._ping_interval = ping_interval
        self._cloud = cloud
        self._models = tuple(models)
        self._gates = Gates()
        self._port_of_model = ModelPort(function=model, gates=self._gates)
        self._gateway: Gateway | None = None
        self._requests: list[RecordedRequest] = []
        self._cuts = Cuts()
        self._running: _Running | None = None
        self._used = False

    def start(self) -> Self:
        """Start serving.

        Raises:
            RuntimeError: if it was started before; make a new one instead.
        """
        if self._used:
            raise RuntimeError("this FakeLetta was started before; make a new one")
        self._used = True
        self._running = _Running(self._application)
        return self

    def stop(self) -> None:
        """Stop at once: open streams end, turns that wait at a gate are given up.

        Raises:
            RuntimeError: if it does not run.
        """
        running = self._live()
        self._running = None
        running.stop()

    def __enter__(self) -> Self:
        """Start serving."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, unless it was stopped inside."""
        if self._running is not None:
            self.stop()

    async def __aenter__(self) -> Self:
        """Start serving."""
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, unless it was stopped inside."""
        if self._running is not None:
            await asyncio.to_thread(self.stop)

    @property
    def base_url(self) -> str:
        """Where it listens, such as `http://127.0.0.1:41234`."""
        return f"http://127.0.0.1:{self._live().port}"

    @property
    def api_key(self) -> str | None:
        """The key that it takes; `None` where it wants none."""
        return _CLOUD_KEY if self._cloud else None

    def refuse(self, refusal: Refusal, *, times: int = 1) -> None:
        """Answer the next requests that a refusal concerns with it: a quota, a deployment (`testing.cloud`).

        ```python
        from letta_adapters import LettaClient
        from letta_adapters.testing import FakeLetta
        from letta_adapters.testing.cloud import shutting_down

        with FakeLetta(cloud=True) as fake, LettaClient(base_url=fake.base_url, api_key=fake.api_key) as client:
            fake.refuse(shutting_down(retry_after=0))
            print(client.agents.create(name="one").name)
            #> one
        ```

        Args:
            refusal: What to answer.
            times: To how many requests.

        Raises:
            RuntimeError: if it does not run.
        """
        self._live()
        assert self._gateway is not None, "it is made before the server runs"
        self._gateway.refuse(refusal, times)

    def _live(self) -> _Running:
        if self._running is None:
            raise RuntimeError("this FakeLetta is not running; use it inside `with`, or call `start()`")
        return self._running

    def _application(self) -> tuple[ASGIApp, Engine]:
        engine = Engine(
            store=Store(),
            gates=self._gates,
            model=self._port_of_model,
            redis=self._redis,
            ping_every=self._ping_interval,
            handles=self._models,
            cloud=self._cloud,
        )
        self._gateway = Gateway(make_app(engine), key=self.api_key)
        return _Recorder(self._cuts.around(_Dated(self._gateway)), self._requests.append), engine

    def open_gate(self, name: str) -> None:
        """Let a model go on that waits at `[[hold NAME]]`, now or later; twice does no harm."""
        self._gates.open(name)

    def wait_for_gate(self, name: str, timeout: float = 10.0) -> None:
        """Block until a model waits at a gate, or has waited there.

        A test that is a coroutine calls it as `await asyncio.to_thread(fake.wait_for_gate, name)`.

        Raises:
            TimeoutError: if none comes in time.
        """
        if not self._gates.wait_until_reached(name, timeout):
            raise TimeoutError(f"no model came to the gate {name!r} within {timeout} s")

    def cut_streams(self, *after: int) -> None:
        """Lose the connections of the next streams, as a network does: the turns go on, and are stored.

        ```python
        from letta_adapters import LettaClient
        from letta_adapters.testing import FakeLetta

        with FakeLetta() as fake, LettaClient(base_url=fake.base_url) as client:
            agent = client.agents.create(name="ann")
            conversation = client.conversations.create(agent_id=agent.id)
            fake.cut_streams(2, 0)  # after two events, and the one that goes on from there before its first
            print(client.conversations.messages.create(conversation.id, input="Hello").result().text)
            #> You said: Hello
        ```

        Args:
            after: Of each stream, how many events it carries before the connection is lost. One that has no more than
                these ends as it would.
        """
        self._cuts.plan(*after)

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every HTTP request so far, in the order of arrival."""
        return list(self._requests)

    @property
    def model(self) -> Model:
        """What plays the language model; may be replaced at any time, for the calls that follow."""
        return self._port_of_model.function

    @model.setter
    def model(self, function: Model) -> None:
        self._port_of_model.function = function

    @property
    def model_requests(self) -> list[ModelRequest]:
        """What the model saw, call by call; of very many only the last ones."""
        return list(self._port_of_model.requests)


class _Dated:
    """Tells the time with every answer; uvicorn's own would be that of the start, since this server does not tick."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                dated = (b"date", formatdate(usegmt=True).encode())
                message = {**message, "headers": [dated, *message.get("headers", ())]}
            await send(message)

        await self._app(scope, receive, send_dated)


class _Recorder:
    """Reads every request whole, notes it, and hands it on."""

    def __init__(self, app: ASGIApp, note: Callable[[RecordedRequest], None]) -> None:
        self._app = app
        self._note = note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        raw = b""
        more = True
        while more:
            message = await receive()
            raw += message.get("body", b"")
            more = message["type"] == "http.request" and message.get("more_body", False)
        self._note(_recorded(scope, raw))
        replayed: list[Message] = [{"type": "http.request", "body": raw, "more_body": False}]

        async def receive_again() -> Message:
            return replayed.pop() if replayed else await receive()

        await self._app(scope, receive_again, send)


def _recorded(scope: Scope, raw: bytes) -> RecordedRequest:
    try:
        body: Any = json.loads(raw) if raw else None
    except ValueError:
        body = None
    return RecordedRequest(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode(),
        headers={name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]},
        body=body if isinstance(body, dict) else None,  # pyright: ignore[reportUnknownArgumentType]
    )


class _Server(uvicorn.Server):
    """A server that is told when to stop, instead of looking every tenth of a second."""

    def __init__(self, config: uvicorn.Config, *, engine: Engine, ready: threading.Event) -> None:
        super().__init__(config)
        self._engine = engine
        self._ready = ready
        self._end = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def end_soon(self) -> None:
        """Ask for the end, from any thread."""
        self._loop.call_soon_threadsafe(self._end.set)

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self._ready.set()
        await self._end.wait()
        await self._engine.stop()


class _Running:
    """A server in its thread."""

    def __init__(self, application: Callable[[], tuple[ASGIApp, Engine]]) -> None:
        # Named as TCP, or asyncio would leave Nagle's algorithm on: 40 ms for every small answer.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._ready = threading.Event()
        self._server: _Server | None = None
        self._failure: BaseException | None = None
        self._application = application
        self._thread = threading.Thread(target=self._run, name=f"fake-letta-{self.port}", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise RuntimeError("FakeLetta could not start") from self._failure

    def stop(self) -> None:
        """End the server and wait for its thread."""
        if self._server is not None:
            self._server.end_soon()
        self._thread.join()
        if self._failure is not None:
            raise RuntimeError("FakeLetta failed") from self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        app, engine = self._application()
        config = uvicorn.Config(
            app,
            http=Line,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            date_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config, engine=engine, ready=self._ready)
        with self._socket:
            await self._server.serve(sockets=[self._socket])
