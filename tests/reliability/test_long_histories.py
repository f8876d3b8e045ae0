"""A conversation of a hundred thousand messages: a turn reads a page of it, and a list is read page by page (F17)."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from langchain_letta import ChatLetta
from letta_adapters import LettaClient
from letta_adapters.client.turns import MessageCreate
from tests.core.frames import TEXT
from tests.core.play import EVENT_STREAM, NO_REDIS, URL

LENGTH = 100_000
PAGE = 1000
AGENT = "agent-1"
CONVERSATION = "conv-1"


def row(number: int) -> dict[str, Any]:
    """A stored message; they are made when they are asked for."""
    return {
        "message_type": "user_message",
        "id": f"message-{number}",
        "otid": f"otid-{number}",
        "date": "2026-01-01T00:00:00Z",
        "content": f"number {number}",
    }


class LongHistory:
    """A server without Redis, whose one conversation is long."""

    def __init__(self) -> None:
        self.pages: list[int] = []
        """How many rows it gave with each page."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and request.url.path.endswith("/messages"):
            return httpx.Response(200, json=self._page(request.url.params))
        if request.method == "GET":
            return httpx.Response(200, json=[])  # no run is in flight
        if b'"background":true' in request.content:
            return httpx.Response(503, json={"detail": NO_REDIS})
        return httpx.Response(200, headers=EVENT_STREAM, content=b"".join(TEXT))

    def _page(self, query: httpx.QueryParams) -> list[dict[str, Any]]:
        numbers = range(LENGTH)
        if after := query.get("after"):
            numbers = numbers[int(after.removeprefix("message-")) + 1 :]
        if query.get("order") != "asc":
            numbers = numbers[::-1]
        numbers = numbers[: int(query.get("limit", 100))]
        self.pages.append(len(numbers))
        return [row(number) for number in numbers]


@contextmanager
def served(server: LongHistory) -> Generator[httpx.Client, None, None]:
    with httpx.Client(transport=httpx.MockTransport(server)) as http:
        yield http


def settle(http: httpx.Client) -> None:
    client = LettaClient(base_url=URL, http_client=http)
    assert client.conversations.settle(CONVERSATION) == ()


def look_for_a_request(http: httpx.Client) -> None:
    messages = [MessageCreate(role="user", content="Hi", otid="sent-before-perhaps")]
    client = LettaClient(base_url=URL, http_client=http)
    turn = client.conversations.messages.create(CONVERSATION, messages=messages, background=False).result()
    assert turn.text.startswith("Grüße")


def compare_system_texts(http: httpx.Client) -> None:
    model = ChatLetta(agent_id=AGENT, conversation_id=CONVERSATION, base_url=URL, http_client=http)
    assert model.invoke([SystemMessage("Be brief."), HumanMessage("Hi")]).text.startswith("Grüße")


@pytest.mark.parametrize("work", [settle, look_for_a_request, compare_system_texts], ids=lambda work: work.__name__)
def test_f17_what_is_read_for_a_turn_does_not_grow_with_the_history(work: Callable[[httpx.Client], None]) -> None:
    server = LongHistory()
    with served(server) as http:
        work(http)
    assert server.pages
    assert sum(server.pages) <= LENGTH // 100


@pytest.fixture
def frozen_heap() -> Iterator[None]:
    """What is there already is not looked through at each collection: in the midst of a run that takes minutes."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen_heap")
def test_f17_a_history_is_read_page_by_page_and_no_page_is_kept() -> None:
    server = LongHistory()
    objects: list[int] = []
    with served(server) as http:
        messages = LettaClient(base_url=URL, http_client=http).conversations.messages
        read, last = 0, None
        while page := messages.list(CONVERSATION, order="asc", after=last, limit=PAGE):
            read, last = read + len(page), page[-1].model_dump()["id"]
            del page
            gc.collect()
            objects.append(len(gc.get_objects()))
    assert (read, last) == (LENGTH, f"message-{LENGTH - 1}")
    assert server.pages == [PAGE] * (LENGTH // PAGE) + [0]
    assert objects[-1] - objects[5] < PAGE


def test_f17_asking_for_a_page_makes_one_request_whatever_comes_back() -> None:
    """A cursor that runs in a circle is the caller's to notice: nothing here follows one by itself."""
    asked: list[str] = []

    def circle(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url.query, "ascii"))
        return httpx.Response(200, json=[row(1), row(2)])

    with httpx.Client(transport=httpx.MockTransport(circle)) as http:
        page = LettaClient(base_url=URL, http_client=http).conversations.messages.list(CONVERSATION, order="asc")
    assert [one.model_dump()["id"] for one in page] == ["message-1", "message-2"]
    assert asked == ["order=asc"]
