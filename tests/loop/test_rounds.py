"""The loop when nothing is wrong, read back with an independent client."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import pytest

from letta_adapters import TextDelta
from letta_adapters.errors import ToolLoopLimit
from letta_adapters.loop import LoopEvent, RoundFinished, Tool, ToolFinished, ToolStarted
from letta_adapters.wire import MessageCreate, TextContent
from tests.contract.wire import Wire
from tests.loop.support import ADD, IN_SEQUENCE, MULTIPLY, RunTurn, add, multiply, next_turn_works, results


def test_tools_run_until_the_agent_has_answered(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    result = run(conversation_id, IN_SEQUENCE, tools=[add, multiply])
    assert result.text == "It is 3 and 12"
    assert result.stop_reason == "end_turn"
    assert [(one.name, one.arguments, one.content, one.output) for one in result.executions] == [
        ("add", {"a": 1, "b": 2}, "3", 3),
        ("multiply", {"a": 3, "b": 4}, "12", 12),
    ]
    assert wire.story(conversation_id) == [
        ("user_message", IN_SEQUENCE),
        ("approval_request_message", "add"),
        ("approval_response_message", ""),
        ("tool_return_message", "3"),
        ("approval_request_message", "multiply"),
        ("approval_response_message", ""),
        ("tool_return_message", "12"),
        ("assistant_message", "It is 3 and 12"),
    ]
    assert results(wire, conversation_id) == [("success", "3"), ("success", "12")]


def test_the_usage_of_all_rounds_is_summed(run: RunTurn, conversation_id: str) -> None:
    result = run(conversation_id, IN_SEQUENCE, tools=[add, multiply])
    assert len(result.turns) == 3
    assert [turn.stop_reason for turn in result.turns] == ["requires_approval", "requires_approval", "end_turn"]
    assert result.usage is not None
    usage = result.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.step_count) == (300, 60, 3)
    assert usage.context_tokens == 120


def test_a_turn_without_calls_is_a_turn(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    assert run(conversation_id, "[[say hi]]").text == "hi"
    assert wire.story(conversation_id) == [("user_message", "[[say hi]]"), ("assistant_message", "hi")]


def test_parts_and_messages_can_be_sent_too(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    assert run(conversation_id, [TextContent(text="[[say one]]")]).text == "one"
    seed = [MessageCreate(role="system", content="Be brief."), MessageCreate(role="user", content="[[say two]]")]
    assert run(conversation_id, messages=seed).text == "two"
    kinds = [kind for kind, _ in wire.story(conversation_id)]
    assert kinds == ["user_message", "assistant_message", "system_message", "user_message", "assistant_message"]


def test_the_default_conversation_has_loops_too(run: RunTurn, wire: Wire, agent_id: str) -> None:
    assert run("default", f"{ADD} [[next]] [[say three]]", agent_id=agent_id, tools=[add]).text == "three"
    assert results(wire, "default", agent_id=agent_id) == [("success", "3")]


def test_events_come_in_order_while_it_runs(run: RunTurn, conversation_id: str) -> None:
    events: list[LoopEvent] = []
    run(conversation_id, f"[[say Let me see]] {ADD} [[next]] [[say three]]", tools=[add], on_event=events.append)
    kinds = [type(event) for event in events]
    order = [ToolStarted, ToolFinished]
    assert [kind for kind in kinds if kind in (RoundFinished, *order)] == [RoundFinished, *order, RoundFinished]
    first, second = [event.turn for event in events if isinstance(event, RoundFinished)]
    assert (first.text, second.text) == ("Let me see", "three")
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Let me seethree"


@pytest.mark.usefixtures("parallel_calls")
def test_parallel_calls_run_at_the_same_time_and_are_answered_in_one_message(
    run: RunTurn, wire: Wire, conversation_id: str
) -> None:
    meeting = threading.Barrier(2, timeout=30)

    def left(a: int) -> str:
        """Meet the other."""
        meeting.wait()
        return f"left {a}"

    def right(a: int) -> str:
        """Meet the other."""
        meeting.wait()
        return f"right {a}"

    script = '[[call left {"a": 1}]] [[call right {"a": 2}]] [[next]] [[say met]]'
    assert run(conversation_id, script, tools=[left, right], tool_timeout=60).text == "met"
    assert results(wire, conversation_id) == [("success", "left 1"), ("success", "right 2")]
    rows = wire.stored(conversation_id)
    assert [row["message_type"] for row in rows].count("approval_response_message") == 1


@pytest.mark.usefixtures("parallel_calls")
@pytest.mark.parametrize("limit", [1, 2])
def test_no_more_tools_run_at_a_time_than_the_limit(run: RunTurn, wire: Wire, conversation_id: str, limit: int) -> None:
    running: list[int] = [0]

    def note(event: LoopEvent) -> None:
        running.append(running[-1] + isinstance(event, ToolStarted) - isinstance(event, ToolFinished))

    calls = " ".join(ADD for _ in range(6))
    run(conversation_id, f"{calls} [[next]] [[say ok]]", tools=[add], max_parallel=limit, on_event=note)
    assert max(running) == limit
    assert results(wire, conversation_id) == [("success", "3")] * 6


def test_of_calls_that_the_server_did_not_keep_none_is_run(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    # Without the model's flag the server streams both calls and stores the first only.
    result = run(conversation_id, f"{ADD} {MULTIPLY} [[next]] [[say ok]]", tools=[add, multiply])
    assert [one.name for one in result.executions] == ["add"]
    assert results(wire, conversation_id) == [("success", "3")]


def test_a_return_direct_tool_ends_the_loop_and_its_result_is_stored(
    run: RunTurn, wire: Wire, conversation_id: str
) -> None:
    direct = Tool.from_function(add, return_direct=True)
    result = run(conversation_id, f"{ADD} [[next]] [[say never said]]", tools=[direct])
    assert (result.text, result.returned_direct) == ("3", True)
    assert results(wire, conversation_id) == [("success", "3")]
    assert wire.story(conversation_id)[-1] == ("tool_return_message", "3")  # and no LLM call
    assert next_turn_works(wire, conversation_id)


def test_a_return_direct_tool_that_fails_is_left_to_the_agent(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    def broken() -> str:
        """Fail."""
        raise LookupError("not there")

    direct = Tool.from_function(broken, return_direct=True)
    result = run(conversation_id, "[[call broken {}]] [[next]] [[say sorry]]", tools=[direct])
    assert (result.text, result.returned_direct) == ("sorry", False)
    assert results(wire, conversation_id) == [("error", "LookupError: not there")]


def test_the_last_calls_are_denied_when_the_limit_of_rounds_is_reached(
    run: RunTurn, wire: Wire, conversation_id: str
) -> None:
    script = f"{ADD} [[next]] {ADD} [[next]] {ADD} [[next]] [[say never said]]"
    with pytest.raises(ToolLoopLimit, match="more than 2 rounds") as caught:
        run(conversation_id, script, tools=[add], max_tool_rounds=2)
    assert (caught.value.conversation_id, caught.value.accepted) == (conversation_id, True)
    assert [one.content for one in caught.value.result.executions] == ["3", "3"]
    reason = "No more tools can be called in this turn: the limit of rounds is reached."
    assert results(wire, conversation_id) == [("success", "3"), ("success", "3"), ("denied", reason)]
    assert "never said" not in dict(wire.story(conversation_id)).get("assistant_message", "")
    assert next_turn_works(wire, conversation_id)


def test_as_many_rounds_as_the_limit_are_no_error(run: RunTurn, conversation_id: str) -> None:
    script = f"{ADD} [[next]] {ADD} [[next]] [[say done]]"
    assert run(conversation_id, script, tools=[add], max_tool_rounds=2).text == "done"


def test_sent_again_under_the_same_otid_no_tool_runs_again(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    ran: list[int] = []

    def note(a: int) -> int:
        """Take note."""
        ran.append(a)
        return a

    script = '[[call note {"a": 1}]] [[next]] [[call note {"a": 2}]] [[next]] [[say noted]]'
    message = MessageCreate(role="user", content=script, otid=str(uuid4()))
    first = run(conversation_id, messages=[message], tools=[note])
    stored = wire.rows(conversation_id)
    again = run(conversation_id, messages=[message], tools=[note])
    assert (first.text, again.text) == ("noted", "noted")
    assert [turn.run_id for turn in again.turns] == [turn.run_id for turn in first.turns]
    assert ran == [1, 2]
    assert wire.rows(conversation_id) == stored


def test_tools_and_overrides_go_with_every_round(run: RunTurn, wire: Wire, agent_id: str, conversation_id: str) -> None:
    # The server remembers neither: a tool that a continuation does not name cannot be called in it.
    script = f"{ADD} [[next]] {ADD} [[next]] [[say done]]"
    result = run(
        conversation_id,
        script,
        tools=[add],
        override_system="You are somebody else.",
        include_return_message_types=["assistant_message"],
    )
    assert (result.text, len(result.executions)) == ("done", 2)
    assert results(wire, conversation_id) == [("success", "3"), ("success", "3")]


def test_a_tool_that_talks_to_its_own_agent_does_not_deadlock(
    run: RunTurn, wire: Wire, agent_id: str, conversation_id: str
) -> None:
    other = wire.new_conversation(agent_id)

    def ask(question: str) -> str:
        """Ask in another conversation."""
        return run(other, question).text

    script = '[[call ask {"question": "who is there?"}]] [[next]] [[say asked]]'
    assert run(conversation_id, script, tools=[ask]).text == "asked"
    assert results(wire, conversation_id) == [("success", "You said: who is there?")]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tools": [add, Tool(name="add", function=multiply)]}, "Two tools are named 'add': tool 1"),
        ({"tools": [Tool(name="a b", function=add)]}, "'a b'"),
        ({"tools": [Tool(name="send_message", function=add)]}, "send_message"),
        ({"tools": [add], "max_steps": 1}, "max_steps"),
        ({"max_tool_rounds": 0}, "max_tool_rounds"),
        ({"max_parallel": 0}, "max_parallel"),
        ({"tool_timeout": 0}, "tool_timeout"),
        ({"ask_for": "all"}, "on_approval"),
        ({"messages": [MessageCreate(role="user", content="x")]}, "either"),
    ],
)
def test_bad_options_are_refused_before_anything_is_sent(
    run: RunTurn, wire: Wire, conversation_id: str, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        run(conversation_id, "hello", **options)
    assert wire.stored(conversation_id) == []
