"""Reading a conversation page by page: which list, how far, and what is done about a server that goes in circles."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from letta_adapters.client.endpoints import Endpoint
from letta_adapters.client.listing import Page, id_of, pages_of
from letta_adapters.errors import ProtocolError
from letta_adapters.wire import parse_messages

Json = dict[str, Any]
Server = Callable[[str, dict[str, str]], Sequence[Json]]

PLACES = "/v1/conversations/conv-1/messages"
TIMES = "/v1/agents/agent-1/messages"
SUMMARY = json.dumps({"type": "system_alert", "message": "Note: prior messages have been hidden."})


PROMPT = {"message_type": "system_message", "id": "message-prompt", "content": "You are kind."}


def row(key: object, content: str = "hi", *, second: int = 0) -> Json:
    date = f"2026-01-01T00:00:{second:02}Z"
    return {"message_type": "user_message", "id": f"message-{key}", "content": content, "date": date}


def query_of(endpoint: Endpoint[Any]) -> dict[str, str]:
    given = {name: value for name, value in endpoint.request.query.items() if value is not None}
    return dict(parse_qsl(urlencode(given)))


def read(server: Server, *, conversation_id: str = "conv-1", page_size: int = 3, at_most: int = 100) -> list[list[str]]:
    """The ids of every page."""
    pages: list[list[str]] = []
    flow = pages_of(conversation_id, "agent-1", page_size=page_size)
    answer: Any = None
    for _ in range(at_most):
        try:
            step = flow.send(answer)
        except StopIteration:
            return pages
        answer = None
        if isinstance(step, Page):
            pages.append([id_of(one) or "" for one in step.rows])
        else:
            answer = parse_messages(json.dumps(server(step.request.path, query_of(step))).encode())
    pytest.fail(f"no end after {at_most} steps")


def joined(pages: list[list[str]]) -> list[str]:
    return [one for page in pages for one in page]


def after(rows: Sequence[Json], query: dict[str, str]) -> Sequence[Json]:
    """What a server gives that knows its messages."""
    keys = [one["id"] for one in rows]
    first = keys.index(query["after"]) + 1 if query.get("after") in keys else 0
    return rows[first : first + int(query["limit"])]


def test_pages_follow_each_other_until_one_is_empty() -> None:
    asked: list[dict[str, str]] = []

    def server(path: str, query: dict[str, str]) -> Sequence[Json]:
        asked.append(query)
        return after([row(number) for number in range(4)], query)

    assert read(server) == [["message-0", "message-1", "message-2"], ["message-3"]]
    assert [query.get("after") for query in asked] == [None, "message-2", "message-3"]
    assert {query["order"] for query in asked} == {"asc"}


def test_a_short_page_is_not_the_end() -> None:
    given = iter([[row(0)], [row(1), row(2)], []])
    assert read(lambda path, query: next(given)) == [["message-0"], ["message-1", "message-2"]]


def test_an_empty_list_may_be_of_a_conversation_that_is_gone() -> None:
    flow = pages_of("conv-1", "agent-1")
    next(flow)
    step = flow.send([])
    assert isinstance(step, Endpoint)
    assert step.request.path == "/v1/conversations/conv-1"
    with pytest.raises(StopIteration):
        flow.send(None)


def test_rows_of_an_unknown_type_are_followed_by_their_ids() -> None:
    rows = [{"message_type": "citation_message", "id": f"message-{number}"} for number in range(5)]
    assert joined(read(lambda _, query: after(rows, query))) == [one["id"] for one in rows]


def test_a_page_without_any_id_cannot_be_followed() -> None:
    with pytest.raises(ProtocolError, match="no ids"):
        read(lambda path, query: [{"message_type": "citation_message"}])


def unknown_cursor(_: str, query: dict[str, str]) -> Sequence[Json]:
    """A server that has lost a message gives the oldest rows."""
    rows = [row(number) for number in range(7)]
    return after([one for one in rows if "after" not in query or one["id"] != "message-2"], query)


def the_cursor_again(_: str, query: dict[str, str]) -> Sequence[Json]:
    return [row(query["after"].removeprefix("message-")), row("new")] if "after" in query else [row(0)]


def circle(start: int, length: int) -> Server:
    """A server that goes on from its end in the middle."""

    def server(_: str, query: dict[str, str]) -> Sequence[Json]:
        number = int(query["after"].removeprefix("message-")) + 1 if "after" in query else 0
        return [row(number if number < start + length else start)]

    return server


@pytest.mark.parametrize(
    "server",
    [unknown_cursor, the_cursor_again, circle(0, 1), circle(1, 1), circle(1, 2), circle(3, 5), circle(10, 7)],
)
def test_a_server_that_goes_in_circles_is_noticed(server: Server) -> None:
    with pytest.raises(ProtocolError, match="begins again"):
        read(server)


class Compacted:
    """A conversation whose places are no order of time, and the list of its agent.

    Args:
        shared: How many of its messages were said in the conversation that it was forked from.
    """

    def __init__(self, *, shared: int = 0) -> None:
        messages = [row(number, second=number) for number in range(6)]
        summary = row("summary", SUMMARY, second=5)
        self.times = [PROMPT, *messages[shared:5], summary, messages[5]]
        self.places = [PROMPT, summary, messages[0], messages[5], *messages[1:5]]
        self.asked: list[str] = []

    def __call__(self, path: str, query: dict[str, str]) -> Sequence[Json]:
        self.asked.append(path)
        return after(self.times if path == TIMES else self.places, query)


def ids(rows: Sequence[Json]) -> list[str]:
    return [one["id"] for one in rows]


def test_what_was_compacted_is_read_in_order_of_time() -> None:
    server = Compacted()
    assert joined(read(server)) == ids(server.times)


@pytest.mark.parametrize("shared", [1, 2, 5])
def test_a_fork_is_read_by_place_for_the_agents_list_lacks_what_it_shares(shared: int) -> None:
    server = Compacted(shared=shared)
    assert joined(read(server)) == ids(server.places)


def test_so_is_a_fork_of_a_conversation_that_was_compacted() -> None:
    server = Compacted()
    server.places = [PROMPT, row("summary", SUMMARY, second=1), row("own", second=2)]
    server.times = [PROMPT, row("own", second=2)]
    assert joined(read(server)) == ids(server.places)


def test_and_one_in_which_nothing_was_said_yet() -> None:
    server = Compacted()
    server.places, server.times = [PROMPT, row("summary", SUMMARY)], [PROMPT]
    assert joined(read(server)) == ids(server.places)


def test_without_a_summary_among_its_first_the_agents_list_is_not_read() -> None:
    server = Compacted()
    server.places = [row(number) for number in range(3)] + [row("alert", SUMMARY)]
    assert len(joined(read(server, page_size=100))) == 4
    assert set(server.asked) == {PLACES}


def test_the_default_conversation_is_read_by_its_own_list_always() -> None:
    asked: list[tuple[str, str]] = []

    def server(path: str, query: dict[str, str]) -> Sequence[Json]:
        asked.append((path, query["agent_id"]))
        return after([PROMPT, row("summary", SUMMARY)], query)

    assert joined(read(server, conversation_id="default")) == ["message-prompt", "message-summary"]
    assert set(asked) == {("/v1/conversations/default/messages", "agent-1")}
