"""Lists that are read newest first, on every kind of server: the same rows backwards, each once."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from letta_adapters import AsyncLettaClient, LettaClient
from letta_adapters.client.asking import ask
from letta_adapters.client.listing import all_conversations, id_of, pages_of, pages_of_agent
from letta_adapters.errors import ProtocolError
from letta_adapters.wire import Unknown
from tests.core.test_client_lists import Json, Server, cloud

Messages = list[list[Json]]
Kind = Callable[[Messages], Callable[[dict[str, str]], Sequence[Json]]]
PLACES = "/v1/conversations/conv-1/messages"


def row(number: int, kind: str = "user_message", *, second: int | None = 0) -> Json:
    date = {} if second is None else {"date": f"2026-01-01T00:{second // 60:02}:{second % 60:02}Z"}
    text = "reasoning" if kind == "reasoning_message" else "content"
    return {"message_type": kind, "id": f"message-{number}", text: "hi", **date}


def dialogue(count: int, *, seconds: Callable[[int], int | None]) -> Messages:
    """Messages, every other of them of two rows."""
    return [[row(number, kind, second=seconds(number)) for kind in _kinds(number)] for number in range(count)]


def _kinds(number: int) -> Sequence[str]:
    return ("reasoning_message", "assistant_message") if number % 2 else ("user_message",)


def _cut(messages: Messages, query: dict[str, str], newer: str, older: str) -> Messages:
    keys = [message[0]["id"] for message in messages]
    first = keys.index(query[newer]) + 1 if newer in query else 0
    end = keys.index(query[older]) if older in query else len(keys)
    return messages[first:end]


def _rows(messages: Messages) -> list[Json]:
    return [one for message in messages for one in message]


def of_conversation(messages: Messages) -> Callable[[dict[str, str]], Sequence[Json]]:
    """A self-hosted server's list of a conversation: cursors follow the time."""

    def page(query: dict[str, str]) -> Sequence[Json]:
        found = _cut(messages, query, "after", "before")
        ordered = found[::-1] if query["order"] == "desc" else found
        return _rows(ordered[: int(query["limit"])])

    return page


def of_agent(messages: Messages) -> Callable[[dict[str, str]], Sequence[Json]]:
    """A self-hosted server's list of an agent: the newest ones come oldest first, too."""

    def page(query: dict[str, str]) -> Sequence[Json]:
        found, limit = _cut(messages, query, "after", "before"), int(query["limit"])
        return _rows(found[-limit:] if query["order"] == "desc" else found[:limit])

    return page


def of_cloud(messages: Messages) -> Callable[[dict[str, str]], Sequence[Json]]:
    """Cloud's lists: cursors follow the order that is asked for."""

    def page(query: dict[str, str]) -> Sequence[Json]:
        newer, older = ("after", "before") if query["order"] == "asc" else ("before", "after")
        found, limit = _cut(messages, query, newer, older), int(query["limit"])
        if "before" in query:  # those that are next to the cursor
            return _rows(found[-limit:] if query["order"] == "asc" else found[:limit][::-1])
        return _rows(found[:limit] if query["order"] == "asc" else found[-limit:][::-1])

    return page


def of_cloud_from_the_top(messages: Messages) -> Callable[[dict[str, str]], Sequence[Json]]:
    """Cloud's lists, if a page before a cursor is the first of all that is before it."""

    def page(query: dict[str, str]) -> Sequence[Json]:
        if "before" in query and query["order"] == "desc":
            newer = _cut(messages, query, "before", "after")
            return _rows(newer[-int(query["limit"]) :][::-1])
        return of_cloud(messages)(query)

    return page


def read(kind: Kind, messages: Messages, *, page_size: int = 3, agent: bool = False) -> list[Json]:
    """The rows of a conversation, or of an agent, newest first."""
    flow = pages_of_agent if agent else pages_of
    steps = ask(Server(kind(messages)), flow("agent-1" if agent else "default", **_where(agent, page_size)))
    return [one.model_dump(mode="json", exclude_unset=True) for page in steps for one in page.rows]


def _where(agent: bool, page_size: int) -> Any:
    return {"page_size": page_size, "order": "desc", **({} if agent else {"agent_id": "agent-1"})}


TIMES: dict[str, Callable[[int], int | None]] = {
    "in one second": lambda _: 0,
    "each in a second of its own": lambda number: number,
    "in twos": lambda number: number // 2,
    "without dates": lambda _: None,
}


@pytest.mark.parametrize("kind", [of_conversation, of_agent, of_cloud])
@pytest.mark.parametrize("seconds", TIMES.values(), ids=TIMES.keys())
@pytest.mark.parametrize("page_size", [1, 2, 3, 100])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
def test_it_is_the_list_backwards_on_every_kind_of_server(
    kind: Kind, seconds: Callable[[int], int | None], page_size: int, count: int
) -> None:
    messages = dialogue(count, seconds=seconds)
    backwards = [(one["id"], one["message_type"]) for one in _rows(messages)[::-1]]
    for agent in (False, True):
        rows = read(kind, messages, page_size=page_size, agent=agent)
        assert [(one["id"], one["message_type"]) for one in rows] == backwards


@pytest.mark.parametrize("kind", [of_conversation, of_agent, of_cloud, of_cloud_from_the_top])
def test_messages_that_come_while_it_is_read_are_not_in_it(kind: Kind) -> None:
    messages = dialogue(7, seconds=lambda number: number)
    steps = ask(Server(kind(messages)), pages_of_agent("agent-1", page_size=3, order="desc"))
    rows = [id_of(one) for one in next(steps).rows]
    messages += [[row(number, second=number)] for number in range(7, 17)]
    rows += [id_of(one) for page in steps for one in page.rows]
    assert list(dict.fromkeys(rows)) == [f"message-{number}" for number in range(6, -1, -1)]


def test_messages_of_a_type_that_is_not_known_are_among_them() -> None:
    messages = [[{"message_type": "citation_message", "id": f"message-{number}"}] for number in range(5)]
    assert [one["id"] for one in read(of_cloud, messages)] == [f"message-{number}" for number in range(4, -1, -1)]


def test_a_conversation_that_was_compacted_is_read_in_order_of_time() -> None:
    summary = json.dumps({"type": "system_alert", "message": "Note: prior messages have been hidden."})
    prompt: Json = {"message_type": "system_message", "id": "message-prompt", "content": "You are kind."}
    said = [[row(number, second=number)] for number in range(6)]
    packed: Json = {**row(99, second=5), "content": summary}
    times = [[prompt], *said[:5], [packed], said[5]]
    places = [[prompt], [packed], said[0], said[5], *said[1:5]]
    asked: list[str] = []

    class Both(Server):
        def send(self, endpoint: Any) -> Any:
            asked.append(endpoint.request.path)
            server = Server(of_conversation(places) if endpoint.request.path == PLACES else of_agent(times))
            return server.send(endpoint)

    steps = ask(Both(lambda _: []), pages_of("conv-1", "agent-1", page_size=3, order="desc"))
    assert [id_of(one) for page in steps for one in page.rows] == [one["id"] for one in _rows(times)[::-1]]
    assert asked.count(PLACES) == 2  # its beginning alone


@pytest.mark.parametrize("kind", [of_conversation, of_cloud])
@pytest.mark.parametrize("page_size", [4, 7, 12, 13, 100])
def test_a_fork_whose_prompt_is_newer_than_what_follows_it_is_read_backwards(kind: Kind, page_size: int) -> None:
    prompt: Json = {
        "message_type": "system_message",
        "id": "message-prompt",
        "content": "x",
        "date": "2026-02-01T00:00:00Z",
    }
    places = [[prompt], *dialogue(12, seconds=lambda number: number)]
    steps = ask(Server(kind(places)), pages_of("conv-1", "agent-1", page_size=page_size, order="desc"))
    rows = [(id_of(one), one.message_type) for page in steps for one in page.rows]
    assert rows == [(one["id"], one["message_type"]) for one in _rows(places)[::-1]]


def unknown_cursor(query: dict[str, str]) -> Sequence[Json]:
    """A server that has lost a message gives the newest rows."""
    rest = {name: value for name, value in query.items() if name not in ("before", "after")}
    lost = "message-4" in (query.get("before"), query.get("after"))
    messages = dialogue(12, seconds=lambda number: number)
    return of_conversation(messages)(rest if lost else query)


def circle(query: dict[str, str]) -> Sequence[Json]:
    """A server that goes on from its end in the middle."""
    number = int(query["before"].partition("-")[2]) - 1 if "before" in query else 20
    return [row(15 if number < 3 else number, second=0)]


@pytest.mark.parametrize("server", [unknown_cursor, circle])
def test_a_server_that_goes_in_circles_is_noticed(server: Callable[[dict[str, str]], Sequence[Json]]) -> None:
    given: list[str | None] = []
    with pytest.raises(ProtocolError, match="begins again"):
        for page in ask(Server(server), pages_of_agent("agent-1", page_size=2, order="desc")):
            given += [id_of(page.rows[0])]
    assert server is circle or len(given) == len(set(given)), "nothing is given twice where that can be seen at once"


def test_conversations_are_read_newest_first_by_the_one_cursor_that_every_server_has_for_them() -> None:
    rows = [{"id": f"conv-{number}", "agent_id": "agent-1"} for number in range(5)]
    found = ask(Server(cloud(rows)), all_conversations(page_size=2, order="desc"))
    assert [one.id for one in found] == [f"conv-{number}" for number in range(4, -1, -1)]


# Memory.

COUNT = 100_000
PAGE = 500


def long_list(request: httpx.Request) -> httpx.Response:
    """A self-hosted server's list of a conversation of 100,000 messages; ids are too long to be kept by the reader."""
    query = request.url.params
    low = int(query["after"].partition("-")[2]) + 1 if "after" in query else 0
    high = int(query["before"].partition("-")[2]) if "before" in query else COUNT
    limit = int(query["limit"])
    numbers = range(max(low, high - limit), high)[::-1] if query["order"] == "desc" else range(low, high)[:limit]
    text = "x" * 100
    rows = ",".join(
        f'{{"message_type":"user_message","id":"message-{number:070}","content":"{text}"}}' for number in numbers
    )
    return httpx.Response(200, content=f"[{rows}]", headers={"content-type": "application/json"})


@pytest.mark.parametrize(("order", "blocking"), [("asc", True), ("desc", False)])
async def test_a_hundred_thousand_messages_are_read_in_the_memory_of_a_few_pages(order: Any, blocking: bool) -> None:
    transport = httpx.MockTransport(long_list)
    where: Any = {"agent_id": "agent-1", "page_size": PAGE, "order": order}
    seen = 0
    tracemalloc.start()
    try:
        if blocking:
            with LettaClient(base_url="http://letta.test", http_client=httpx.Client(transport=transport)) as client:
                for one in client.conversations.messages.iterate("default", **where):
                    seen += not isinstance(one, Unknown)
        else:
            http = httpx.AsyncClient(transport=transport)
            async with AsyncLettaClient(base_url="http://letta.test", http_client=http) as client:
                async for one in client.conversations.messages.iterate("default", **where):
                    seen += not isinstance(one, Unknown)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen == COUNT
    assert peak < 6_000_000, f"{peak / 1e6:.1f} MB for pages of {PAGE}"
