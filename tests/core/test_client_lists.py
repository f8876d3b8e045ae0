"""Lists that are read to their end: agents', runs' and those of conversations, on both kinds of cursors."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from letta_adapters.client.asking import ask
from letta_adapters.client.calls import Endpoint
from letta_adapters.client.listing import Page, all_conversations, id_of, pages_of, pages_of_agent, pages_of_run
from letta_adapters.errors import ProtocolError

Json = dict[str, Any]
Rows = Callable[[dict[str, str]], Sequence[Json]]
Flow = Callable[[], Any]


def message(number: int) -> Json:
    """A row whose id is longer than the strings that the reader of JSON remembers."""
    return {"message_type": "user_message", "id": f"message-{number:070}", "content": "hi"}


def conversation(number: int) -> Json:
    return {"id": f"conv-{number:070}", "agent_id": "agent-1"}


class Server:
    """Answers what a flow asks for; `ask` takes it for a client."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.asked: list[str] = []

    def send(self, endpoint: Endpoint[Any]) -> Any:
        given = {name: value for name, value in endpoint.request.query.items() if value is not None}
        self.asked.append(endpoint.request.path)
        answer = self._rows(dict(parse_qsl(urlencode(given))))
        return endpoint.read(json.dumps(answer).encode())

    def pause(self, seconds: float) -> None:
        raise AssertionError("no list is waited for")


def self_hosted(rows: Sequence[Json]) -> Rows:
    """`after` is what is newer, whatever the order."""

    def page(query: dict[str, str]) -> Sequence[Json]:
        keys = [one["id"] for one in rows]
        newer = list(rows[keys.index(query["after"]) + 1 :] if "after" in query else rows)
        ordered = newer if query["order"] == "asc" else newer[::-1]
        return ordered[: int(query["limit"])]

    return page


def cloud(rows: Sequence[Json]) -> Rows:
    """`after` is what comes next in the order asked for."""

    def page(query: dict[str, str]) -> Sequence[Json]:
        ordered = list(rows if query["order"] == "asc" else rows[::-1])
        keys = [one["id"] for one in ordered]
        first = keys.index(query["after"]) + 1 if "after" in query else 0
        return ordered[first : first + int(query["limit"])]

    return page


LISTS: dict[str, tuple[Flow, Callable[[int], Json]]] = {
    "conversation": (lambda: pages_of("conv-1", "agent-1", page_size=3), message),
    "agent": (lambda: pages_of_agent("agent-1", page_size=3), message),
    "run": (lambda: pages_of_run("run-1", page_size=3), message),
    "conversations": (lambda: all_conversations(agent_id="agent-1", page_size=3), conversation),
}


def found(step: Any) -> list[str]:
    return [id_of(row) or "" for row in step.rows] if isinstance(step, Page) else [step.id]


@pytest.mark.parametrize("kind", [self_hosted, cloud])
@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("count", [1, 3, 7])
def test_every_row_is_given_once_oldest_first_on_either_kind_of_cursor(
    name: str, kind: Callable[[Sequence[Json]], Rows], count: int
) -> None:
    flow, make = LISTS[name]
    rows = [make(number) for number in range(count)]
    given = [one for step in ask(Server(kind(rows)), flow()) for one in found(step)]
    assert given == [one["id"] for one in rows]


@pytest.mark.parametrize("name", sorted(LISTS.keys() - {"conversation"}))  # an empty one is asked for: it may be gone
def test_an_empty_list_is_at_its_end(name: str) -> None:
    server = Server(lambda _: [])
    assert list(ask(server, LISTS[name][0]())) == []
    assert len(server.asked) == 1


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_goes_round_in_circles_is_noticed(name: str) -> None:
    flow, make = LISTS[name]

    def circle(query: dict[str, str]) -> Sequence[Json]:
        number = int(query["after"].partition("-")[2]) + 1 if "after" in query else 0
        return [make(3 + number % 5 if number > 7 else number)]

    with pytest.raises(ProtocolError, match="begins again"):
        for _ in ask(Server(circle), flow()):
            pass


@pytest.mark.parametrize("name", LISTS)
def test_what_is_kept_of_a_long_list_does_not_grow(name: str) -> None:
    flow, make = LISTS[name]

    def endless(query: dict[str, str]) -> Sequence[Json]:
        number = int(query["after"].partition("-")[2]) + 1 if "after" in query else 0
        return [make(number + offset) for offset in range(3)]

    server = Server(endless)
    steps = ask(server, flow())
    sizes: list[int] = []
    tracemalloc.start()
    try:
        for _ in range(2):
            for _ in range(600):
                next(steps)
            server.asked.clear()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
        steps.close()
    assert sizes[1] - sizes[0] < 20_000


def test_the_agent_of_a_conversation_is_asked_for_where_nobody_knows_it() -> None:
    answers: list[Any] = [{"id": "conv-1", "agent_id": "agent-9"}, [message(0)], []]
    server = Server(lambda _: answers.pop(0))
    assert [found(step) for step in ask(server, pages_of("conv-1"))] == [[message(0)["id"]]]
    assert server.asked[0] == "/v1/conversations/conv-1"
