"""One client in several processes, threads and event loops (F18)."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from letta_adapters import AsyncLettaClient, LettaClient
from letta_adapters.errors import ConnectionLost
from tests.hostile.server import Peer, serve

FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
QUIET = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
LEFT_OPEN = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
PATIENCE = 30


def _keeping(peer: Peer) -> None:
    """Answer with the name that was asked for, and keep the connection."""
    agent_id = peer.path.split("/")[-1]
    body = b'{"id": "%s", "name": "%s"}' % (agent_id.encode(), agent_id.encode())
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


def _ask(client: LettaClient, name: str) -> bool:
    return client.agents.retrieve(f"agent-{name}").name == f"agent-{name}"


async def _aask(client: AsyncLettaClient, name: str) -> bool:
    return (await client.agents.retrieve(f"agent-{name}")).name == f"agent-{name}"


async def _create(client: AsyncLettaClient) -> None:
    await client.conversations.create(agent_id="agent-1")


def _then_collect(work: Callable[[], None]) -> None:
    """Collect what was left open here, where a warning about it is expected."""
    work()
    gc.collect()


def _in_child(work: Callable[[], bool]) -> int:
    """Run in a child process; its exit code is 0 for true, and no hang outlives the alarm."""
    child = os.fork()
    if child == 0:
        signal.alarm(PATIENCE)
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@FORKS
@QUIET
def test_a_child_process_opens_connections_of_its_own() -> None:
    with serve(_keeping) as server, LettaClient(base_url=server.base_url) as client:
        assert _ask(client, "before")
        assert _in_child(lambda: _ask(client, "child")) == 0
        assert server.connections == 2
        assert _ask(client, "after")
        assert server.connections == 2


@FORKS
@QUIET
def test_a_child_of_a_child_and_a_client_that_is_closed_there_disturb_nobody() -> None:
    def child() -> bool:
        grandchild = _in_child(lambda: _ask(client, "grandchild"))
        client.close()
        gc.collect()
        return grandchild == 0

    with serve(_keeping) as server, LettaClient(base_url=server.base_url) as client:
        assert _ask(client, "before")
        assert _in_child(child) == 0
        assert _ask(client, "after")


@FORKS
@QUIET
def test_a_child_process_runs_an_event_loop_of_its_own_with_the_same_client() -> None:
    with serve(_keeping) as server:
        client, loop = AsyncLettaClient(base_url=server.base_url), asyncio.new_event_loop()
        assert loop.run_until_complete(_aask(client, "before"))
        assert _in_child(lambda: asyncio.run(_aask(client, "child"))) == 0
        assert server.connections == 2
        assert loop.run_until_complete(_aask(client, "after"))
        loop.run_until_complete(client.aclose())
        loop.close()
        assert server.connections == 2


@FORKS
@QUIET
def test_a_child_process_does_not_wait_for_what_a_thread_of_its_parent_held() -> None:
    with serve(_keeping) as server:
        client = AsyncLettaClient(base_url=server.base_url)
        with client._sender._transport._clients._mutex:  # pyright: ignore[reportPrivateUsage]
            assert _in_child(lambda: asyncio.run(_aask(client, "child"))) == 0


@FORKS
@QUIET
def test_a_client_of_the_callers_own_stays_his_after_a_fork() -> None:
    with serve(_keeping) as server, httpx.Client() as http:
        client = LettaClient(base_url=server.base_url, http_client=http)
        transport = client._sender._transport  # pyright: ignore[reportPrivateUsage]
        assert _in_child(lambda: transport._client is http) == 0  # pyright: ignore[reportPrivateUsage]


def test_many_threads_share_a_client() -> None:
    with (
        serve(_keeping) as server,
        LettaClient(base_url=server.base_url) as client,
        ThreadPoolExecutor(16) as threads,
    ):
        asked = [threads.submit(_ask, client, str(number)) for number in range(200)]
        assert all(answer.result(PATIENCE) for answer in asked)


@LEFT_OPEN
def test_a_client_outlives_an_event_loop_that_was_closed_without_ado() -> None:
    def work() -> None:
        client = AsyncLettaClient(base_url=server.base_url)
        for name in ("first", "second", "third"):
            loop = asyncio.new_event_loop()
            assert loop.run_until_complete(_aask(client, name))
            loop.close()

    with serve(_keeping) as server:
        _then_collect(work)


@pytest.mark.parametrize("connections", [1, 8])
@pytest.mark.parametrize("goes", ["with its task", "before it", "in a cycle, before it"])
def test_a_client_that_nobody_closes_leaves_no_connection_open_when_its_event_loop_ends(
    goes: str, connections: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        client = AsyncLettaClient(base_url=server.base_url)
        await asyncio.gather(*(_aask(client, str(number)) for number in range(connections)))
        kept: list[object] = [client]
        if goes == "in a cycle, before it":
            kept.append(kept)
        if goes != "with its task":
            del client, kept
            gc.collect()

    with serve(_keeping) as server, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        asyncio.run(work())
        gc.collect()
    assert [str(one.message) for one in warned] == []
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


def test_two_event_loops_at_once_share_a_client() -> None:
    with serve(_keeping) as server, ThreadPoolExecutor(4) as threads:
        client = AsyncLettaClient(base_url=server.base_url)
        asked = [threads.submit(asyncio.run, _aask(client, str(number))) for number in range(8)]
        assert all(answer.result(PATIENCE) for answer in asked)


@LEFT_OPEN
def test_a_callers_own_asynchronous_client_gets_over_the_end_of_its_event_loop() -> None:
    def work() -> None:
        client = AsyncLettaClient(base_url=server.base_url, http_client=httpx.AsyncClient())
        assert asyncio.run(_aask(client, "first"))
        assert asyncio.run(_aask(client, "second"))

    with serve(_keeping) as server:
        _then_collect(work)


@LEFT_OPEN
def test_what_may_have_gone_out_on_a_connection_of_a_dead_event_loop_is_not_sent_again() -> None:
    def work() -> None:
        client = AsyncLettaClient(base_url=server.base_url, http_client=httpx.AsyncClient())
        assert asyncio.run(_aask(client, "first"))
        with pytest.raises(ConnectionLost, match="belongs to one event loop"):
            asyncio.run(_create(client))

    with serve(_keeping) as server:
        _then_collect(work)
        assert sum(head.startswith(b"POST") for head in server.heads) <= 1


_FIRST_CLIENT = """
import os, signal, sys, threading
from letta_adapters import LettaClient

loading = threading.Event()
sys.addaudithook(lambda name, args: loading.set() if args[:1] == ("letta_adapters.client.resources",) else None)
first = threading.Thread(target=lambda: LettaClient(base_url="http://localhost").close())
first.start()
loading.wait()
child = os.fork()
if child == 0:
    signal.alarm(int(sys.argv[1]))
    LettaClient(base_url="http://localhost").close()
    os._exit(0)
first.join()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@FORKS
def test_a_child_that_is_forked_while_a_thread_makes_the_first_client_makes_one_too() -> None:
    code = [sys.executable, "-W", "ignore", "-c", _FIRST_CLIENT, str(PATIENCE)]
    assert subprocess.run(code, check=False).returncode == 0
