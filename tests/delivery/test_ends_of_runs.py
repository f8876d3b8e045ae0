"""Rule 1: an answer that the transcript has a part of. How its run ended is read before anything is planned."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from letta_adapters.delivery_steps import Flow, Pause, TurnOptions, TurnOutcome
from letta_adapters.errors import ConversationBusy, NotFound, PendingApprovalError
from letta_adapters.locks import Patience
from letta_adapters.planner import Target
from letta_adapters.policies import Policies
from letta_adapters.transcript import AssistantEntry, Call, Entry, HumanEntry, SystemEntry, ToolEntry
from letta_adapters.wire import (
    Agent,
    ApprovalRequestMessage,
    AssistantMessage,
    ClientTool,
    Run,
    SystemMessage,
    ToolCall,
    UserMessage,
)
from tests.core.play import Clock
from tests.delivery.dialogues import answer
from tests.delivery.flows import (
    ANSWER,
    FOLLOWED,
    GONE,
    PINNED,
    asked,
    begin,
    claim,
    conversation,
    finish,
    knowing,
    query,
    told,
)

PART: list[Entry] = [HumanEntry(content="one", id="h1"), answer("1", message_id=None)]
NEXT: list[Entry] = [*PART, HumanEntry(content="two", id="h2")]
RUN = ("GET", "/v1/runs/run-1")
ROWS = ("GET", "/v1/runs/run-1/messages")
INPUT = UserMessage(id="message-0", content="one", otid="otid-0", run_id="run-1")
OUTPUT = AssistantMessage(id="message-1", content="1 and more", run_id="run-1")
CALLS = ApprovalRequestMessage(
    id="message-2",
    tool_call=None,
    tool_calls=[ToolCall(name="add", arguments="{}", tool_call_id="call-1")],
    run_id="run-1",
)


def ended(transcript: list[Entry] = NEXT, target: Target = FOLLOWED, *, head: str = "message-1") -> Flow:
    """A delivery that knows that the run is over, and asks for its rows."""
    flow = begin(transcript, target, memory=knowing(head))
    assert asked(next(flow)) == RUN
    assert asked(flow.send(Run(id="run-1", status="completed"))) == ROWS
    return flow


def test_what_comes_after_the_end_of_the_run_is_what_follows_its_last_message() -> None:
    flow = ended()
    step = flow.send([OUTPUT, INPUT])
    assert query(claim(flow, step))["after"] == "message-1"
    assert told(flow.send([])) == ["two"]


def test_the_newest_rows_of_the_run_are_asked_for() -> None:
    flow = begin(NEXT, FOLLOWED)
    next(flow)
    step = flow.send(Run(id="run-1", status="completed"))
    assert query(step) == {"limit": 100, "order": "desc"}


def test_rows_that_come_oldest_first_all_the_same_make_no_difference() -> None:
    flow = ended()
    dated = [row.model_copy(update={"date": f"2026-01-01T00:00:0{n}Z"}) for n, row in enumerate((INPUT, OUTPUT))]
    parsed = [type(row).model_validate(row.model_dump()) for row in dated]
    step = flow.send(parsed)
    assert query(claim(flow, step))["after"] == "message-1"


def test_calls_that_the_run_ended_with_are_answered() -> None:
    flow = ended([*PART, ToolEntry(tool_call_id="call-1", content="3")], head="message-2")
    step = flow.send([CALLS, OUTPUT, INPUT])
    assert query(claim(flow, step))["after"] == "message-2"
    assert told(flow.send([])) == ["approval"]


def refused() -> TurnOutcome:
    error = PendingApprovalError("a call waits", status=409)
    return TurnOutcome(result=error, run_id="run-2", replayed=False)


def refused_twice(options: TurnOptions | None = None, policies: Policies | None = None) -> tuple[Flow, object]:
    """A delivery whose message was refused since a call waits, and then the newest rows are read."""
    flow = begin(NEXT, FOLLOWED, memory=knowing("message-2"), options=options, policies=policies)
    next(flow)
    flow.send(Run(id="run-1", status="completed"))
    step = flow.send([CALLS, OUTPUT, INPUT])
    for _ in range(2):
        claim(flow, step)
        assert told(flow.send([])) == ["two"]
        step = flow.send(refused())
    assert query(claim(flow, step))["order"] == "desc"
    return flow, flow.send([CALLS, OUTPUT, INPUT])


def test_calls_that_the_transcript_never_heard_of_are_denied_where_the_program_runs_them() -> None:
    flow, step = refused_twice(TurnOptions(client_tools=(ClientTool(name="add"),)))
    assert asked(step) == ("GET", "/v1/agents/agent-1")
    assert told(flow.send(Agent(id="agent-1", name="a"))) == ["approval", "two"]


@pytest.mark.parametrize("policy", ["deny", "error"])
def test_calls_that_the_transcript_never_heard_of_are_left_to_others_where_they_are_theirs(policy: Any) -> None:
    offered = ClientTool(name="add" if policy == "error" else "multiply")
    flow, _ = refused_twice(TurnOptions(client_tools=(offered,)), Policies(on_pending_approval=policy))
    with pytest.raises(PendingApprovalError) as caught:
        flow.send(Agent(id="agent-1", name="a"))
    assert [call["tool_call_id"] for call in caught.value.pending] == ["call-1"]


def test_a_call_that_the_part_shows_is_denied_when_the_transcript_goes_on_without_a_result() -> None:
    part = replace(answer("1", message_id=None), calls=(Call(tool_call_id="call-1", name="add", arguments="{}"),))
    flow = ended([PART[0], part, NEXT[-1]], head="message-2")
    claim(flow, flow.send([CALLS, OUTPUT, INPUT]))
    assert told(flow.send([])) == ["approval", "two"]


def test_of_a_run_that_stored_nothing_the_transcript_is_told_anew() -> None:
    flow = ended()
    assert asked(flow.send([])) == ("POST", "/v1/conversations/")


def test_pinned_what_follows_a_part_that_was_never_stored_is_told() -> None:
    flow = ended(target=PINNED)
    assert told(flow.send([])) == ["two"]


# What the conversation has heard.

KIND = SystemEntry(text="be kind")
HEARD = SystemMessage(id="message-s", content="be kind", otid="otid-s", run_id="run-1")


def test_a_system_text_that_the_run_was_told_is_not_told_again() -> None:
    flow = ended([KIND, *NEXT])
    claim(flow, flow.send([OUTPUT, INPUT, HEARD]))
    assert told(flow.send([])) == ["two"]


def test_a_system_text_that_an_earlier_answer_knows_of_is_not_told_again() -> None:
    first = begin([KIND, PART[0]], FOLLOWED)
    next(first)
    first.send(conversation("conv-1"))
    earlier = AssistantEntry(text="0", anchor=finish(first, replace(ANSWER, run_id="run-0")).anchor)
    flow = ended([KIND, PART[0], earlier, HumanEntry(content="and?", id="h1b"), *NEXT[1:]])
    claim(flow, flow.send([OUTPUT, INPUT]))
    assert told(flow.send([])) == ["two"]


def test_another_system_text_than_the_run_was_told_is_told() -> None:
    flow = ended([SystemEntry(text="be brief"), *NEXT])
    claim(flow, flow.send([OUTPUT, INPUT, HEARD]))
    assert told(flow.send([])) == ["be brief", "two"]


# The run is still under way.


def test_a_run_in_flight_is_waited_for() -> None:
    flow = begin(NEXT, FOLLOWED)
    next(flow)
    assert isinstance(flow.send(Run(id="run-1", status="running")), Pause)
    assert asked(flow.send(None)) == RUN
    assert asked(flow.send(Run(id="run-1", status="completed"))) == ROWS


def test_waiting_for_it_has_an_end() -> None:
    clock = Clock()
    flow = begin(NEXT, FOLLOWED, patience=Patience(5.0, clock=clock))
    step: object = next(flow)
    with pytest.raises(ConversationBusy) as caught:
        while True:
            assert asked(step) == RUN
            pause = flow.send(Run(id="run-1", status="running"))
            assert isinstance(pause, Pause)
            clock.wait(pause.seconds)
            step = flow.send(None)
    assert caught.value.run_id == "run-1"
    assert clock.now >= 5.0


def test_a_run_that_is_too_old_to_be_in_flight_is_over() -> None:
    flow = begin(NEXT, FOLLOWED)
    next(flow)
    long_ago = datetime(2020, 1, 1, tzinfo=timezone.utc)
    assert asked(flow.send(Run(id="run-1", status="running", created_at=long_ago))) == ROWS


# The run is not on record, which a server that is slow to write it says as well.


def test_a_run_that_is_not_on_record_yet_is_asked_for_again() -> None:
    flow = begin(NEXT, FOLLOWED)
    next(flow)
    assert isinstance(flow.throw(GONE), Pause)
    assert asked(flow.send(None)) == RUN
    assert asked(flow.send(Run(id="run-1", status="completed"))) == ROWS


def test_a_run_that_stays_away_is_none() -> None:
    flow = begin(NEXT, FOLLOWED)
    step: object = next(flow)
    waited = 0.0
    while asked(step) == RUN:
        pause = flow.throw(NotFound("no such run", status=404))
        if not isinstance(pause, Pause):
            step = pause
            break
        waited += pause.seconds
        step = flow.send(None)
    assert asked(step) == ("POST", "/v1/conversations/")
    assert 5.0 <= waited < 60.0
