"""`letta-adapters prune`: what followed mode made, and nothing else; and not what somebody may still follow."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from langchain_letta import ChatLetta, LettaChatMessageHistory
from letta_adapters import LettaClient
from letta_adapters.cli.following import verdict_on
from letta_adapters.creation import is_made_for_a_transcript
from letta_adapters.wire import ApprovalRequestMessage, Conversation, Run, ToolCall, UserMessage
from tests.cli.conftest import CommandLine
from tests.conftest import Backend
from tests.contract.build import new_gate
from tests.langchain.support import agent_of, asked, conversation_of

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)
LONG_AGO = NOW - timedelta(days=100)
MONTH = timedelta(days=30)
MARK = "6b1f6a3e-0c55-5d0a-9d53-5f9d7f0a4c11"
AT_ONCE = ("--idle-days", "0")


@pytest.fixture
def model(backend: Backend, agent_id: str) -> Iterator[ChatLetta]:
    yield ChatLetta(agent_id=agent_id, base_url=backend.base_url)


def followed(model: ChatLetta, text: str = "[[say hello]]") -> str:
    """The conversation that followed mode made for a thread."""
    agent: Any = agent_of(model, checkpointer=InMemorySaver())
    result = agent.invoke(asked(text), {"configurable": {"thread_id": str(uuid4())}})
    return conversation_of(result["messages"][-1])


def ids(client: LettaClient, agent_id: str) -> set[str]:
    return {one.id for one in client.conversations.list(agent_id=agent_id)}


def test_by_default_what_would_be_deleted_is_listed_and_left(
    cli: CommandLine, client: LettaClient, model: ChatLetta, agent_id: str
) -> None:
    made = followed(model)

    ended = cli("prune", agent_id, *AT_ONCE)

    assert (ended.code, ended.err) == (0, "")
    first, *rest = ended.out.splitlines()
    assert first.startswith(f"unfollowed  {made}  last used ")
    assert rest == ["1 would be deleted, 0 kept.", "Nothing was deleted; --delete does it."]
    assert ids(client, agent_id) == {made}


def test_only_what_followed_mode_made_for_a_thread_is_deleted(
    cli: CommandLine, client: LettaClient, model: ChatLetta, backend: Backend, agent_id: str
) -> None:
    made = followed(model)
    by_hand = client.conversations.create(agent_id=agent_id, summary="letta-adapters and what I think of it").id
    without_thread = conversation_of(model.invoke("[[say hello]]"))
    history = LettaChatMessageHistory(session_id="ann", agent_id=agent_id, base_url=backend.base_url)
    assert history.messages == []

    ended = cli("prune", agent_id, *AT_ONCE, "--delete")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[1:] == ["1 deleted, 0 kept."]
    left = ids(client, agent_id)
    assert made not in left
    assert left == {by_hand, without_thread, history.conversation_id}


def test_whoever_goes_on_with_a_pruned_thread_is_told_its_transcript(
    cli: CommandLine, model: ChatLetta, agent_id: str
) -> None:
    agent: Any = agent_of(model, checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": str(uuid4())}}
    agent.invoke(asked("I am Ann. [[say hello]]"), thread)
    cli("prune", agent_id, *AT_ONCE, "--delete")

    assert "I am Ann." in agent.invoke(asked("[[recall]]"), thread)["messages"][-1].text


def test_what_was_used_lately_is_kept(cli: CommandLine, client: LettaClient, model: ChatLetta, agent_id: str) -> None:
    made = followed(model)

    assert cli("prune", agent_id, "--delete").out == "0 deleted, 1 kept (1 used lately).\n"
    assert ids(client, agent_id) == {made}


def test_one_whose_call_waits_is_kept(cli: CommandLine, client: LettaClient, agent_id: str, model: ChatLetta) -> None:
    agent: Any = agent_of(model, checkpointer=InMemorySaver(), interrupt_before=["tools"])
    agent.invoke(asked('[[call add {"a": 1, "b": 2}]]'), {"configurable": {"thread_id": str(uuid4())}})

    assert cli("prune", agent_id, *AT_ONCE, "--delete").out == "0 deleted, 1 kept (1 a call waits).\n"
    assert len(ids(client, agent_id)) == 1


@contextmanager
def held_turn(client: LettaClient, backend: Backend, conversation_id: str) -> Generator[None, None, None]:
    """A turn that is in flight meanwhile."""
    gate = new_gate()
    stream = client.conversations.messages.create(conversation_id, input=f"[[hold {gate}]] [[say late]]")
    with stream:
        next(iter(stream))
        backend.wait_for_gate(gate)
        yield
        backend.open_gate(gate)
        stream.result()


def test_one_whose_turn_is_in_flight_is_kept(
    cli: CommandLine, client: LettaClient, model: ChatLetta, backend: Backend, agent_id: str
) -> None:
    made = followed(model)
    with held_turn(client, backend, made):
        ended = cli("prune", agent_id, *AT_ONCE, "--delete")

    assert ended.out == "0 deleted, 1 kept (1 a turn is in flight).\n"
    assert ids(client, agent_id) == {made}


def test_it_tells_as_json_what_it_thinks_of_each(cli: CommandLine, model: ChatLetta, agent_id: str) -> None:
    made = followed(model)

    told = json.loads(cli("prune", agent_id, "--json").out)

    assert (told["agent_id"], told["dry_run"]) == (agent_id, True)
    (one,) = told["conversations"]
    assert datetime.fromisoformat(one.pop("last_used")) <= datetime.now(timezone.utc)
    assert one == {"conversation_id": made, "unfollowed": False, "reason": "used lately", "deleted": False}


def test_more_than_a_page_is_looked_through(cli: CommandLine, client: LettaClient, agent_id: str) -> None:
    for _ in range(51):
        client.conversations.create(agent_id=agent_id, summary=f"letta-adapters {uuid4()} {uuid4()} step-1")

    assert cli("prune", agent_id, *AT_ONCE, "--delete").out.splitlines()[-1] == "51 deleted, 0 kept."
    assert ids(client, agent_id) == set()


def test_an_agent_that_is_not_there_is_told(cli: CommandLine) -> None:
    assert cli("prune", f"agent-{uuid4()}").code == 5


def test_days_are_not_negative(cli: CommandLine, agent_id: str) -> None:
    assert cli("prune", agent_id, "--idle-days", "-1").code == 2


@pytest.mark.parametrize(
    ("summary", "made"),
    [
        (f"letta-adapters {MARK}", True),
        (f"letta-adapters {MARK} {MARK} step-12", True),
        (f"letta-adapters {MARK} at-anchor", True),
        ("letta-adapters at-anchor", True),
        (f"letta-adapters session-{MARK}", False),
        (f"letta-adapters former-{MARK}", False),
        (f"letta-adapters {MARK} keep this one", False),
        (f"my letta-adapters {MARK}", False),
        ("letta-adapters", False),
        ("", False),
        (None, False),
    ],
)
def test_a_mark_counts_as_it_was_written(summary: str | None, made: bool) -> None:
    assert is_made_for_a_transcript(summary) is made


def conversation(**times: Any) -> Conversation:
    return Conversation(id="conv-1", agent_id="agent-1", **times)


def said(date: datetime | str) -> UserMessage:
    return UserMessage(id="message-1", content="hi", date=date)


def test_a_conversation_is_idle_when_all_its_times_are_long_ago() -> None:
    old = conversation(created_at=LONG_AGO, updated_at=LONG_AGO, last_message_at=LONG_AGO)

    verdict = verdict_on(old, [said(LONG_AGO)], [], idle=MONTH, now=NOW)

    assert (verdict.unfollowed, verdict.reason, verdict.last_used) == (True, "idle", LONG_AGO)


@pytest.mark.parametrize("name", ["created_at", "updated_at", "last_message_at"])
def test_one_time_that_is_not_long_ago_is_enough_to_keep_it(name: str) -> None:
    lately = NOW - MONTH + timedelta(seconds=1)
    one = conversation(**{"created_at": LONG_AGO, "updated_at": LONG_AGO, "last_message_at": LONG_AGO, name: lately})

    assert verdict_on(one, [said(LONG_AGO)], [], idle=MONTH, now=NOW).reason == "used lately"
    assert verdict_on(conversation(created_at=LONG_AGO), [said(lately)], [], idle=MONTH, now=NOW).last_used == lately


def test_without_any_time_it_is_kept() -> None:
    assert verdict_on(conversation(), [said("yesterday")], [], idle=MONTH, now=NOW).reason == "age unknown"


def test_a_turn_in_flight_and_a_waiting_call_keep_it_however_old_it_is() -> None:
    old = conversation(created_at=LONG_AGO)
    call = ToolCall(name="add", arguments="{}", tool_call_id="call-1")
    request = ApprovalRequestMessage(id="message-2", tool_calls=[call], date=LONG_AGO)

    assert verdict_on(old, [], [Run(id="run-1")], idle=MONTH, now=NOW).reason == "a turn is in flight"
    assert verdict_on(old, [request], [], idle=MONTH, now=NOW).reason == "a call waits"
