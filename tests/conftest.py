"""Fixtures for every test that needs a Letta server.

`pytest` runs them on the embedded double; `pytest --backend live` runs the same tests on real servers, which
`make live` boots and names in the environment, and `pytest tests/contract --backend recorded` on what they answered
when `make record` asked them:

| variable | what it names |
|---|---|
| `LETTA_LIVE_URL` | a Letta 0.16.8 with Redis |
| `LETTA_LIVE_MODEL_URL` | the scripted model behind it (its gates) |
| `LETTA_LIVE_NO_REDIS_URL`, `LETTA_LIVE_NO_REDIS_MODEL_URL` | the same without Redis |
| `LETTA_LIVE_HANDLE` | the model handle of both, `vllm/scripted` unless set |

`--backend cloud-double` is the double as Letta Cloud is believed to be, and `--backend cloud` Letta Cloud itself, or
the server that `LETTA_BASE_URL` names: `tests/contract/conftest.py` says which scenarios run there.

| variable | what it names |
|---|---|
| `LETTA_API_KEY` | the key of the account that pays for the turns |
| `LETTA_CLOUD_HANDLE` | the model handle of the agents |

Fixtures: `backend` (session; a server with Redis), `no_redis_backend` (session; one without), `agent_id` (a fresh
agent on `backend`, deleted afterwards), `conversation_id` (a fresh conversation of `agent_id`). A test that needs
an agent on another backend makes it with `fresh_agent(backend)`. Under pytest-xdist every worker has a double of
its own, and all workers share the real servers: name gates and otids with `uuid4()`. A test reaches a server through
these fixtures alone, named as arguments: on real servers, tests that name none are left out.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, settings
from pydantic import SecretStr

from letta_adapters.client.settings import Settings

HANDLE = "vllm/scripted"
TIMEOUT = 60.0
NOWHERE = "http://127.0.0.1:9"
"""Where nobody listens: the system hands out no port as low, so no other test gets it meanwhile."""
_LIVE_ONLY = Path(__file__).parent / "live"
_CONTRACT = Path(__file__).parent / "contract"


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A running server and the scripted model behind it.

    `open_gate(name)` lets a model go on that waits at `[[hold NAME]]`; `wait_for_gate(name)` returns once it waits
    there. Both work from any thread.
    """

    base_url: str
    handle: str
    redis: bool
    open_gate: Callable[[str], None]
    wait_for_gate: Callable[[str], None]
    api_key: str | None = None
    instructions: str | None = None
    """The system prompt that its model needs to follow directives."""

    @property
    def secret(self) -> SecretStr | None:
        """The key as a chat model takes it."""
        return SecretStr(self.api_key) if self.api_key else None

    @property
    def eager(self) -> str:
        """The handle of the model that calls an offered tool unasked."""
        return f"{self.handle.partition('/')[0]}/eager"


settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")  # how long an example takes says what else the machine does


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        choices=("double", "live", "recorded", "cloud-double", "cloud"),
        default="double",
        help="run on the embedded double (default), on the real servers that LETTA_LIVE_* name, on cassettes/, on the "
        "double as Letta Cloud, or on Letta Cloud",
    )
    parser.addoption("--record", action="store_true", help="write the contract scenarios to cassettes/")


def pytest_configure(config: pytest.Config) -> None:
    # On Python 3.10 the first to ask for the main thread's loop has one made, and pytest-asyncio asks and closes none.
    asyncio.set_event_loop(None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell's job in the background ignores Ctrl-C, and so would the processes that tests send one to.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "not_recorded(reason): a scenario that a recording cannot tell")
    config.addinivalue_line("markers", "cloud: a contract scenario that Letta Cloud can play")
    config.addinivalue_line(
        "markers", "self_hosted(reason): a contract scenario of what only a self-hosted server does"
    )
    config.addinivalue_line("markers", "scripted(reason): a contract scenario that needs the scripted model")
    if config.getoption("--record") and config.getoption("--backend") != "live":
        raise pytest.UsageError("--record needs --backend live; run `make record`")
    if config.getoption("--backend") != "live":
        return
    needed = ("LETTA_LIVE_URL", "LETTA_LIVE_MODEL_URL", "LETTA_LIVE_NO_REDIS_URL", "LETTA_LIVE_NO_REDIS_MODEL_URL")
    missing = [name for name in needed if not os.environ.get(name)]
    if missing:
        raise pytest.UsageError(f"--backend live needs {', '.join(missing)} in the environment; run `make live`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On real servers, leave out what asks for none of them, or asks what another case does: `make test` runs that.

    On Letta Cloud, leave out all but the contract: somebody pays for it.
    """
    backend = str(config.getoption("--backend"))
    servers = {"backend", "no_redis_backend"}
    if backend == "live":
        asking = [item for item in items if servers & set(_fixtures_of(item)) or _LIVE_ONLY in item.path.parents]
        wanted = [item for item in asking if not item.get_closest_marker("other_way")]
    elif backend in ("cloud", "cloud-double"):
        wanted = [item for item in items if _CONTRACT in item.path.parents]
    else:
        return
    config.hook.pytest_deselected(items=[item for item in items if item not in set(wanted)])
    items[:] = wanted


def _fixtures_of(item: pytest.Item) -> list[str]:
    return item.fixturenames if isinstance(item, pytest.Function) else []


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A server with Redis: locks, background streams, deduplication by otid."""
    with _running(request.config, redis=True) as server:
        yield server


@pytest.fixture(scope="session")
def no_redis_backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A server without Redis: no locks, and 503 for background streams."""
    with _running(request.config, redis=False) as server:
        yield server


@pytest.fixture
def agent_id(backend: Backend) -> Iterator[str]:
    """A fresh agent with one memory block and no tools of its own."""
    with fresh_agent(backend) as agent:
        yield agent


@pytest.fixture
def conversation_id(backend: Backend, agent_id: str) -> str:
    """A fresh conversation of `agent_id`; it goes when the agent goes."""
    return fresh_conversation(backend, agent_id)


def plain_http(base_url: str, api_key: str | None = None) -> httpx.Client:
    """A client that reads certificates only where it has a key: it takes longer than most scenarios take."""
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    return httpx.Client(base_url=base_url, timeout=TIMEOUT, headers=headers, verify=api_key is not None)


@contextmanager
def fresh_agent(backend: Backend, **other: Any) -> Generator[str, None, None]:
    """Create an agent on a backend, with other fields than the usual ones if need be, and delete it afterwards."""
    with plain_http(backend.base_url, backend.api_key) as http:
        fields = {
            "name": f"agent-{uuid4().hex}",
            "agent_type": "letta_v1_agent",
            "model": backend.handle,
            "memory_blocks": [{"label": "human", "value": "They like brevity."}],
            "include_base_tools": False,
            **other,
        }
        if backend.instructions is not None:
            fields["system"] = backend.instructions
        created = http.post("/v1/agents/", json=fields).raise_for_status().json()
        try:
            yield str(created["id"])
        finally:
            http.delete(f"/v1/agents/{created['id']}")


def fresh_conversation(backend: Backend, agent_id: str) -> str:
    """Create a conversation of an agent."""
    with plain_http(backend.base_url, backend.api_key) as http:
        created = http.post("/v1/conversations/", params={"agent_id": agent_id}, json={}).raise_for_status()
        return str(created.json()["id"])


@contextmanager
def _running(config: pytest.Config, *, redis: bool) -> Generator[Backend, None, None]:
    kinds = {
        "double": _double,
        "live": _live,
        "recorded": _recorded,
        "cloud-double": _cloud_double,
        "cloud": _cloud,
    }
    with kinds[str(config.getoption("--backend"))](redis=redis) as server:
        yield server


@contextmanager
def _double(*, redis: bool, cloud: bool = False) -> Generator[Backend, None, None]:
    from letta_adapters.testing import FakeLetta

    with FakeLetta(redis=redis, cloud=cloud) as fake:
        yield Backend(
            base_url=fake.base_url,
            handle=HANDLE,
            redis=redis,
            open_gate=fake.open_gate,
            wait_for_gate=fake.wait_for_gate,
            api_key=fake.api_key,
        )


def _cloud_double(*, redis: bool) -> AbstractContextManager[Backend]:
    """The double as Letta Cloud, which is never without Redis; a scenario that wants none is marked `self_hosted`."""
    del redis
    return _double(redis=True, cloud=True)


@contextmanager
def _cloud(*, redis: bool) -> Generator[Backend, None, None]:
    """Letta Cloud, or what stands in its place; nobody can hold its models at a gate."""
    del redis
    from tests.contract.on_cloud import INSTRUCTIONS

    yield Backend(
        base_url=Settings.resolve().base_url,
        handle=os.environ["LETTA_CLOUD_HANDLE"],
        redis=True,
        open_gate=_no_gate,
        wait_for_gate=_no_gate,
        api_key=os.environ["LETTA_API_KEY"],
        instructions=INSTRUCTIONS,
    )


def _no_gate(name: str) -> None:
    raise AssertionError(f"there is no gate {name!r} on Letta Cloud; mark the scenario `scripted`")


@contextmanager
def _live(*, redis: bool) -> Generator[Backend, None, None]:
    kind = "" if redis else "_NO_REDIS"
    with httpx.Client(base_url=os.environ[f"LETTA_LIVE{kind}_MODEL_URL"], timeout=TIMEOUT) as model:

        def open_gate(name: str) -> None:
            model.post(f"/gates/{name}").raise_for_status()

        def wait_for_gate(name: str) -> None:
            model.get(f"/gates/{name}", params={"wait": 1}).raise_for_status()

        yield Backend(
            base_url=os.environ[f"LETTA_LIVE{kind}_URL"],
            handle=os.environ.get("LETTA_LIVE_HANDLE", HANDLE),
            redis=redis,
            open_gate=open_gate,
            wait_for_gate=wait_for_gate,
        )


@contextmanager
def _recorded(*, redis: bool) -> Generator[Backend, None, None]:
    """What `make record` heard; whatever waited at a gate has gone on long ago."""
    host = "letta.invalid" if redis else "no-redis.letta.invalid"
    gates: list[str] = []
    yield Backend(
        base_url=f"http://{host}", handle=HANDLE, redis=redis, open_gate=gates.append, wait_for_gate=gates.append
    )
