"""A conversation that is made once for a place in a program (rule 10)."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime, timezone
from typing import Any

import pytest

from letta_adapters.client.endpoints import Endpoint, create_conversation
from letta_adapters.creation import Marks, marked_conversation
from letta_adapters.delivery import delivery
from letta_adapters.delivery_steps import Thread
from letta_adapters.errors import NotFound
from letta_adapters.memory import TurnMemory
from letta_adapters.planner import Into, Target
from letta_adapters.transcript import Entry, HumanEntry
from letta_adapters.wire import Conversation

FOLLOWED = Target(agent_id="agent-1")
ASKED: list[Entry] = [HumanEntry(content="hello", id="h-1")]
MARKS = Marks(said="mark-1")
THREAD = Thread(thread_id="thread-1", namespace="model:task-1")


def conversation(id: str, second: int) -> Conversation:
    return Conversation(id=id, agent_id="agent-1", created_at=datetime(2026, 1, 1, 0, 0, second, tzinfo=timezone.utc))


OLDER, NEWER = conversation("conv-1", 1), conversation("conv-2", 2)


def asked(step: object) -> tuple[str, str]:
    assert isinstance(step, Endpoint)
    return step.request.method, step.request.path


def search() -> Generator[Endpoint[Any], Any, Into]:
    def make() -> Generator[Endpoint[Any], Any, Conversation]:
        return (yield create_conversation(agent_id="agent-1", summary=MARKS.summary))

    return marked_conversation("agent-1", MARKS, make())


def end_of(flow: Any, answer: object) -> str:
    with pytest.raises(StopIteration) as stopped:
        flow.send(answer)
    return stopped.value.value.conversation_id


def test_a_conversation_that_is_there_is_taken() -> None:
    flow = search()
    assert asked(next(flow)) == ("GET", "/v1/conversations/")
    assert end_of(flow, [NEWER, OLDER]) == "conv-1"


def test_one_that_is_made_is_looked_for_again() -> None:
    flow = search()
    next(flow)
    assert asked(flow.send([])) == ("POST", "/v1/conversations/")
    assert asked(flow.send(OLDER)) == ("GET", "/v1/conversations/")
    assert end_of(flow, [OLDER]) == "conv-1"


@pytest.mark.parametrize("trouble", [None, NotFound("gone", status=404)], ids=["deleted", "gone"])
def test_of_two_that_were_made_at_once_the_older_wins_and_the_other_is_deleted(trouble: NotFound | None) -> None:
    flow = search()
    next(flow)
    flow.send([])
    flow.send(NEWER)
    assert asked(flow.send([NEWER, OLDER])) == ("DELETE", "/v1/conversations/conv-2")
    with pytest.raises(StopIteration) as stopped:
        flow.throw(trouble) if trouble else flow.send(None)
    assert stopped.value.value == Into(conversation_id="conv-1")


def test_one_that_is_not_listed_yet_is_kept() -> None:
    flow = search()
    next(flow)
    flow.send([])
    flow.send(NEWER)
    assert end_of(flow, []) == "conv-2"


def marker_of(transcript: list[Entry], thread: Thread | None) -> object:
    """What a new conversation is looked for by; `None` where it is made without a look."""
    flow = delivery(transcript, FOLLOWED, server="http://letta.test", thread=thread, memory=TurnMemory())
    step = next(flow)
    assert isinstance(step, Endpoint)
    return dict(step.request.query).get("summary_search")


def test_the_same_task_of_the_same_thread_looks_for_the_same_mark() -> None:
    assert marker_of(ASKED, THREAD) == marker_of(ASKED, THREAD) is not None


@pytest.mark.parametrize(
    "thread", [Thread(thread_id="thread-2", namespace="model:task-1"), Thread(thread_id="thread-1", namespace="b:2")]
)
def test_another_thread_or_task_looks_for_another_mark(thread: Thread) -> None:
    assert marker_of(ASKED, thread) not in (None, marker_of(ASKED, THREAD))


def test_another_transcript_looks_for_another_mark() -> None:
    other: list[Entry] = [HumanEntry(content="hello!", id="h-1")]
    assert marker_of(other, THREAD) not in (None, marker_of(ASKED, THREAD))


def test_without_a_thread_or_without_ids_a_conversation_is_made_at_once() -> None:
    assert marker_of(ASKED, None) is None
    assert marker_of([HumanEntry(content="hello")], THREAD) is None
