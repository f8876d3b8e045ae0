"""A conversation that is made once for a place in a program (rule 10)."""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import datetime, timezone
from typing import Any

import pytest

from letta_adapters.client.endpoints import Endpoint, create_conversation
from letta_adapters.creation import Marks, marked_conversation
from letta_adapters.delivery import delivery
from letta_adapters.delivery_steps import Claim, Thread, TurnOptions
from letta_adapters.errors import ConnectionLost, NotFound
from letta_adapters.memory import TurnMemory
from letta_adapters.planner import Target
from letta_adapters.plans import Into
from letta_adapters.policies import Policies
from letta_adapters.transcript import AssistantEntry, Entry, HumanEntry
from letta_adapters.wire import ClientTool, Conversation
from tests.delivery.flows import claim

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

    return marked_conversation("agent-1", MARKS, make)


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


# What it is found by: the words, the task, the step.

TASK = Thread(thread_id="thread-1", namespace="model:task-1", step=1)
OTHER_TASK = Thread(thread_id="thread-1", namespace="model:task-2", step=1)
LATER = Thread(thread_id="thread-1", namespace="model:task-3", step=4)


def made_for(thread: Thread, transcript: list[Entry] = ASKED, *, id: str = "conv-1", second: int = 1) -> Conversation:
    """The conversation that a task makes when it finds none."""
    flow = delivery(transcript, FOLLOWED, server="http://letta.test", thread=thread, memory=TurnMemory())
    next(flow)
    step = flow.send([])
    while asked(step)[0] == "GET":  # it looks for what may have been begun
        step = flow.send([])
    assert isinstance(step, Endpoint)
    made = json.loads(step.request.body or b"{}")
    return conversation(id, second).model_copy(update={"summary": made["summary"]})


def taken(thread: Thread, *found: Conversation, transcript: list[Entry] = ASKED) -> str:
    """The conversation that a task takes of those that are found, or `new`."""
    flow = delivery(transcript, FOLLOWED, server="http://letta.test", thread=thread, memory=TurnMemory())
    step: object = next(flow)
    while isinstance(step, Endpoint) and asked(step) == ("GET", "/v1/conversations/"):
        wanted = dict(step.request.query)["summary_search"]
        step = flow.send([one for one in found if str(wanted) in (one.summary or "")])
    return step.conversation_id if isinstance(step, Claim) else "new"


def test_a_task_that_is_run_again_takes_its_own() -> None:
    assert taken(TASK, made_for(TASK)) == "conv-1"


def test_a_task_of_the_same_step_that_says_the_same_has_one_of_its_own() -> None:
    assert taken(OTHER_TASK, made_for(TASK)) == "new"
    both = [made_for(TASK), made_for(OTHER_TASK, id="conv-2", second=2)]
    assert (taken(TASK, *both), taken(OTHER_TASK, *both)) == ("conv-1", "conv-2")


def test_a_task_of_another_step_that_says_the_same_takes_what_an_earlier_one_made() -> None:
    assert taken(LATER, made_for(TASK)) == "conv-1"


def test_without_a_number_of_its_step_a_task_takes_its_own_only() -> None:
    unnumbered = Thread(thread_id="thread-1", namespace="model:task-4")
    assert taken(unnumbered, made_for(TASK)) == "new"
    assert taken(unnumbered, made_for(unnumbered)) == "conv-1"


def test_of_several_the_oldest_is_taken() -> None:
    other = Thread(thread_id="thread-1", namespace="model:task-9", step=2)
    assert taken(LATER, made_for(TASK, second=2), made_for(other, id="conv-2", second=1)) == "conv-2"


def test_what_another_thread_made_is_not_taken() -> None:
    elsewhere = Thread(thread_id="thread-2", namespace="model:task-1", step=1)
    assert taken(elsewhere, made_for(TASK)) == "new"


def test_the_node_of_another_subgraph_looks_for_another_mark() -> None:
    assert taken(Thread(thread_id="thread-1", namespace="other:task-1", step=4), made_for(TASK)) == "new"


TWICE: list[Entry] = [*ASKED, HumanEntry(content="are you there?", id="h-2")]


def test_who_got_no_answer_and_says_something_else_is_taken_to_what_was_begun() -> None:
    assert taken(LATER, made_for(TASK), transcript=TWICE) == "conv-1"


def test_what_was_begun_more_than_once_is_nobodys() -> None:
    begun = [made_for(TASK), made_for(OTHER_TASK, id="conv-2", second=2)]
    assert taken(LATER, *begun, transcript=TWICE) == "new"


def test_after_an_answer_nothing_before_it_counts_as_begun() -> None:
    answered: list[Entry] = [*ASKED, AssistantEntry(text="of another model"), HumanEntry(content="and you?", id="h-2")]
    assert taken(LATER, made_for(TASK), transcript=answered) == "new"


def test_no_more_than_five_beginnings_are_looked_for() -> None:
    many: list[Entry] = [HumanEntry(content=f"{n}", id=f"h-{n}") for n in range(20)]
    flow = delivery(many, FOLLOWED, server="http://letta.test", thread=TASK, memory=TurnMemory())
    step: object = next(flow)
    searches = 0
    while asked(step)[0] == "GET":
        searches += 1
        step = flow.send([])
    assert searches == 1 + 5


def test_a_conversation_that_is_found_is_looked_at_before_anything_is_sent() -> None:
    flow = delivery(ASKED, FOLLOWED, server="http://letta.test", thread=TASK, memory=TurnMemory())
    next(flow)
    assert asked(claim(flow, flow.send([made_for(TASK)]))) == ("GET", "/v1/conversations/conv-1/messages")


def test_an_ephemeral_conversation_and_a_lasting_one_are_not_taken_for_each_other() -> None:
    def mark(*, ephemeral: bool) -> object:
        policies = Policies(ephemeral=ephemeral)
        flow = delivery(
            ASKED, FOLLOWED, server="http://letta.test", thread=TASK, policies=policies, memory=TurnMemory()
        )
        step = next(flow)
        assert isinstance(step, Endpoint)
        return dict(step.request.query)["summary_search"]

    assert mark(ephemeral=True) != mark(ephemeral=False)


def test_other_tools_make_another_request() -> None:
    def mark(*tools: str) -> object:
        options = TurnOptions(client_tools=tuple(ClientTool(name=name) for name in tools))
        flow = delivery(ASKED, FOLLOWED, server="http://letta.test", thread=TASK, options=options, memory=TurnMemory())
        step = next(flow)
        assert isinstance(step, Endpoint)
        return dict(step.request.query)["summary_search"]

    assert mark("add") == mark("add") != mark("multiply")


# The answer to the request that makes one is lost.


def lost(accepted: bool | None = None) -> ConnectionLost:
    return ConnectionLost("broke", accepted=accepted)


def test_a_conversation_whose_making_was_not_answered_is_looked_for() -> None:
    flow = search()
    next(flow)
    flow.send([])
    assert asked(flow.throw(lost())) == ("GET", "/v1/conversations/")
    assert asked(flow.send([OLDER])) == ("GET", "/v1/conversations/")
    assert end_of(flow, [OLDER]) == "conv-1"


def test_one_that_was_not_made_is_made_again_a_few_times() -> None:
    flow = search()
    next(flow)
    step: object = flow.send([])
    for _ in range(4):
        assert asked(step)[0] == "POST"
        flow.throw(lost())
        step = flow.send([])
    with pytest.raises(ConnectionLost):
        flow.throw(lost())


def test_a_refusal_to_make_one_is_final() -> None:
    flow = search()
    next(flow)
    flow.send([])
    with pytest.raises(ConnectionLost):
        flow.throw(lost(accepted=False))
