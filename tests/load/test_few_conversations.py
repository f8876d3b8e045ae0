"""Many threads and tasks on few conversations: they wait for each other, and no turn is lost, doubled or torn.

The clients reach the server under two addresses, so their locks do not know of each other, as in two processes: what
keeps their turns apart is the server's refusal of a second one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from langchain_letta import ChatLetta
from letta_adapters import AsyncLettaClient, LettaClient
from tests.conftest import Backend, fresh_agent, fresh_conversation
from tests.contract.build import user
from tests.contract.wire import Wire
from tests.faults.proxy import Exchange, FaultProxy, Lane
from tests.langchain.readback import Line, Reader
from tests.langchain.support import human, new_gate, said
from tests.load.leaks import aleaving_nothing, leaving_nothing

THREADS = 32
CONVERSATIONS = 8
TURNS = 3
_PATIENCE = 30.0


@pytest.fixture
def threads(live: bool) -> int:
    return 4 if live else THREADS


@pytest.fixture
def conversations(live: bool, backend: Backend, agent_id: str) -> list[str]:
    """Some conversations of one agent."""
    return [fresh_conversation(backend, agent_id) for _ in range(2 if live else CONVERSATIONS)]


@pytest.fixture
def proxy(backend: Backend) -> Iterator[FaultProxy]:
    """Cuts nothing here; each of its lanes is a server of its own to a client, and it notes every answer."""
    with FaultProxy(backend.base_url) as opened:
        yield opened


@pytest.fixture
def lanes(proxy: FaultProxy) -> list[Lane]:
    """Two addresses of one server."""
    return [proxy.lane(), proxy.lane()]


def words(worker: int) -> list[str]:
    """What one worker says, in its order."""
    return [f"worker {worker}, turn {turn}" for turn in range(TURNS)]


def check_every_turn_is_there_once(stories: Sequence[Sequence[Line]], workers: int) -> None:
    """Each conversation holds whole turns, each worker's in its order, none twice."""
    for place, story in enumerate(stories):
        asked = [text for kind, text in story if kind == "user"]
        mine = [worker for worker in range(workers) if worker % len(stories) == place]
        assert sorted(asked) == sorted(text for worker in mine for text in words(worker))
        assert list(story) == list[Line](said(*asked)), "a turn was torn apart"
        for worker in mine:
            assert [text for text in asked if text in words(worker)] == words(worker)


def without_the_stranger(reader: Reader, conversation: str) -> list[Line]:
    """The story of a conversation after the turn that kept it busy at first."""
    (kind, _), answer, *story = reader.story(conversation)
    assert (kind, answer) == ("user", ("assistant", "go on"))
    return story


class Noted(list[Exchange]):
    """What passes a lane; tells when a turn is refused because another one is in flight."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = threading.Event()

    def append(self, exchange: Exchange) -> None:
        super().append(exchange)
        if exchange.status == 409:
            self.refused.set()


@contextmanager
def in_each_others_way(
    backend: Backend, conversations: Sequence[str], lanes: Sequence[Lane]
) -> Generator[None, None, None]:
    """A stranger's turns keep the conversations busy until a turn of each lane was refused."""
    noted = [Noted() for _ in lanes]
    for lane, exchanges in zip(lanes, noted, strict=True):
        lane.exchanges = exchanges
    gates = [new_gate() for _ in conversations]

    def open_when_refused() -> None:
        for exchanges in noted:
            exchanges.refused.wait(_PATIENCE)
        for gate in gates:
            backend.open_gate(gate)

    with Wire(backend.base_url) as stranger:
        for conversation, gate in zip(conversations, gates, strict=True):
            stranger.start(conversation, user(f"[[hold {gate}]] [[say go on]]"), background=True)
            backend.wait_for_gate(gate)
        opener = threading.Thread(target=open_when_refused)
        opener.start()
        yield
        opener.join()
    assert all(exchanges.refused.is_set() for exchanges in noted), "nobody was in anybody's way"


def in_threads(count: int, work: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(work, worker) for worker in range(count)]:
            done.result()


def test_threads_of_two_clients_hammer_few_conversations(
    threads: int, backend: Backend, conversations: list[str], proxy: FaultProxy, lanes: list[Lane], reader: Reader
) -> None:
    clients = [LettaClient(base_url=lane.base_url) for lane in lanes]

    def work(worker: int) -> None:
        client = clients[worker // len(conversations) % 2]
        for text in words(worker):
            turn = client.conversations.messages.create(conversations[worker % len(conversations)], input=text)
            assert turn.result().text == f"You said: {text}"

    with in_each_others_way(backend, conversations, lanes), leaving_nothing(proxy):
        in_threads(threads, work)
        for client in clients:
            client.close()
    check_every_turn_is_there_once([without_the_stranger(reader, one) for one in conversations], threads)


def test_threads_of_two_chat_models_hammer_few_conversations(
    threads: int, backend: Backend, conversations: list[str], proxy: FaultProxy, lanes: list[Lane], reader: Reader
) -> None:
    models = [
        [ChatLetta(conversation_id=conversation, base_url=lane.base_url) for conversation in conversations]
        for lane in lanes
    ]

    def work(worker: int) -> None:
        model = models[worker // len(conversations) % 2][worker % len(conversations)]
        for number, text in enumerate(words(worker)):  # with and without an id of the framework's
            assert model.invoke([human(text)] if number else text).text == f"You said: {text}"

    with in_each_others_way(backend, conversations, lanes), leaving_nothing(proxy):
        in_threads(threads, work)
        for model in [model for row in models for model in row]:
            model.client.close()
    check_every_turn_is_there_once([without_the_stranger(reader, one) for one in conversations], threads)


async def test_tasks_of_two_clients_hammer_few_conversations(
    threads: int,
    backend: Backend,
    conversations: list[str],
    proxy: FaultProxy,
    lanes: list[Lane],
    reader: Reader,
) -> None:
    with in_each_others_way(backend, conversations, lanes):
        async with aleaving_nothing(proxy):
            clients = [AsyncLettaClient(base_url=lane.base_url) for lane in lanes]

            async def work(worker: int) -> None:
                client = clients[worker // len(conversations) % 2]
                for text in words(worker):
                    turn = client.conversations.messages.create(conversations[worker % len(conversations)], input=text)
                    async with turn:
                        assert (await turn.result()).text == f"You said: {text}"

            await asyncio.gather(*[work(worker) for worker in range(threads)])
            for client in clients:
                await client.aclose()
    check_every_turn_is_there_once([without_the_stranger(reader, one) for one in conversations], threads)


def test_threads_of_one_client_keep_apart_where_the_server_does_not(live: bool, no_redis_backend: Backend) -> None:
    """Without Redis two turns at once both succeed, and the context of the conversation loses one of them."""
    workers = 4 if live else THREADS
    with (
        fresh_agent(no_redis_backend) as agent_id,
        Reader(no_redis_backend.base_url) as reader,
        LettaClient(base_url=no_redis_backend.base_url) as client,
    ):
        conversations = [fresh_conversation(no_redis_backend, agent_id) for _ in range(2 if live else CONVERSATIONS)]

        def work(worker: int) -> None:
            for text in words(worker):
                turn = client.conversations.messages.create(conversations[worker % len(conversations)], input=text)
                assert turn.result().text == f"You said: {text}"

        in_threads(workers, work)
        stories = [reader.story(conversation) for conversation in conversations]
        check_every_turn_is_there_once(stories, workers)
        for conversation, story in zip(conversations, stories, strict=True):
            seen = client.conversations.messages.create(conversation, input="[[recall]]").result().text
            assert seen.splitlines()[:-1] == [f"{kind}: {text}" for kind, text in story]
