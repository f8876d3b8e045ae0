"""A history of a hundred thousand messages is read page by page, and nothing of it is kept."""

from __future__ import annotations

import gc
from itertools import islice
from typing import Any

import httpx

from langchain_letta import LettaChatMessageHistory
from tests.core.play import URL

LENGTH = 100_000
PAGE = 1000
CONVERSATION = "conv-1"


def row(number: int) -> dict[str, Any]:
    """A stored message: questions and answers in turn, made when they are asked for."""
    kind = "assistant_message" if number % 2 else "user_message"
    return {
        "message_type": kind,
        "id": f"message-{number}",
        "otid": f"otid-{number}",
        "run_id": f"run-{number // 2}",
        "date": "2026-01-01T00:00:00Z",
        "content": f"{kind} number {number}",
    }


class LongConversation:
    """A server whose one conversation is long."""

    def __init__(self, length: int = LENGTH) -> None:
        self.length = length
        self.pages: list[int] = []
        """How many messages it gave with each page."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        assert (request.url.path, query["order"]) == (f"/v1/conversations/{CONVERSATION}/messages", "asc")
        first = self.number_after(query["after"]) if "after" in query else 0
        numbers = range(first, self.length)[: int(query["limit"])]
        self.pages.append(len(numbers))
        return httpx.Response(200, json=[row(number) for number in numbers])

    def number_after(self, cursor: str) -> int:
        return int(cursor.removeprefix("message-")) + 1


def history(server: LongConversation) -> LettaChatMessageHistory:
    transport = httpx.MockTransport(server)
    return LettaChatMessageHistory(
        conversation_id=CONVERSATION,
        agent_id="agent-1",
        base_url=URL,
        page_size=PAGE,
        http_client=httpx.Client(transport=transport),
        http_async_client=httpx.AsyncClient(transport=transport),
    )


def objects() -> int:
    gc.collect()
    return len(gc.get_objects())


def test_what_is_kept_while_it_is_read_does_not_grow() -> None:
    server, seen, kept = LongConversation(), 0, list[int]()
    for seen, _ in enumerate(history(server).iter_messages(), start=1):
        if seen % (10 * PAGE) == 0:
            kept.append(objects())
    assert seen == LENGTH
    assert server.pages == [PAGE] * (LENGTH // PAGE) + [0]
    assert max(kept) - kept[0] < PAGE


async def test_what_is_kept_while_it_is_read_does_not_grow_for_tasks_either() -> None:
    server, seen, kept = LongConversation(LENGTH // 5), 0, list[int]()
    async for _ in history(server).aiter_messages():
        seen += 1
        if seen % (5 * PAGE) == 0:
            kept.append(objects())
    assert seen == LENGTH // 5
    assert max(kept) - kept[0] < PAGE


def test_a_page_is_asked_for_when_a_message_of_it_is_wanted() -> None:
    server = LongConversation()
    messages = history(server).iter_messages()
    first = list(islice(messages, 10))
    assert [message.text for message in first[:2]] == ["user_message number 0", "assistant_message number 1"]
    assert server.pages == [PAGE]
