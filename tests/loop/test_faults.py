"""F15: a tool raises, hangs, gets what is no JSON, is not known, is called many times; the loop goes on, bounded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from letta_adapters.errors import TurnFailed
from tests.contract.wire import Wire
from tests.loop.support import ADD, RunTurn, add, next_turn_works, results


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """What a hanging tool waits for; set after the test, so that no thread stays."""
    event = threading.Event()
    yield event
    event.set()


def test_f15_a_tool_that_raises_becomes_an_error_result(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    def divide(a: int, b: int) -> float:
        """Divide."""
        return a / b

    result = run(conversation_id, '[[call divide {"a": 1, "b": 0}]] [[next]] [[say I see]]', tools=[divide])
    (execution,) = result.executions
    assert (result.text, execution.status, execution.output) == ("I see", "error", None)
    assert isinstance(execution.error, ZeroDivisionError)
    assert results(wire, conversation_id) == [("error", "ZeroDivisionError: division by zero")]


@pytest.mark.usefixtures("parallel_calls")
def test_f15_a_tool_that_hangs_becomes_an_error_result_and_the_others_go_on(
    run: RunTurn, wire: Wire, conversation_id: str, never: threading.Event
) -> None:
    def hang() -> str:
        """Hang."""
        never.wait()
        return "too late"

    script = f"[[call hang {{}}]] {ADD} [[next]] {ADD} [[next]] [[say went on]]"
    result = run(conversation_id, script, tools=[hang, add], tool_timeout=0.2, max_parallel=1)
    assert result.text == "went on"
    hung = ("error", "TimeoutError: the tool gave no result within 0.2 seconds")
    assert results(wire, conversation_id) == [hung, ("success", "3"), ("success", "3")]


def test_f15_an_async_tool_that_hangs_is_cancelled(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    async def hang() -> str:
        """Hang."""
        await asyncio.Event().wait()
        return "never"

    result = run(conversation_id, "[[call hang {}]] [[next]] [[say went on]]", tools=[hang], tool_timeout=0.2)
    assert result.text == "went on"
    assert [status for status, _ in results(wire, conversation_id)] == ["error"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('{"a": 1, "b"', 'InvalidArguments: the arguments are not JSON: \'{"a": 1, "b"\''),
        ("7", "InvalidArguments: the arguments are no JSON object: '7'"),
        ('{"a": "one", "b": 2}', "InvalidArguments: a: Input should be a valid integer"),
        ('{"a": 1}', "InvalidArguments: b: Field required"),
        ('{"a": 1, "b": 2, "c": 3}', "InvalidArguments: c: Extra inputs are not permitted"),
        ("", "InvalidArguments: a: Field required; b: Field required"),
    ],
)
def test_f15_arguments_that_do_not_fit_become_an_error_result_and_nothing_is_run(
    run: RunTurn, wire: Wire, conversation_id: str, arguments: str, told: str
) -> None:
    ran: list[int] = []

    def note(a: int, b: int) -> None:
        """Take note."""
        ran.append(a)

    run(conversation_id, f"[[call note {arguments}]] [[next]] [[say I see]]", tools=[note])
    ((status, result),) = results(wire, conversation_id)
    assert (status, ran) == ("error", [])
    assert result.startswith(told)


def test_f15_a_call_of_an_unknown_tool_is_answered_by_the_server(
    run: RunTurn, wire: Wire, conversation_id: str
) -> None:
    result = run(conversation_id, "[[call subtract {}]] [[next]] [[say I see]]", tools=[add])
    assert (result.text, result.executions) == ("I see", ())
    (returned,) = [text for kind, text in wire.story(conversation_id) if kind == "tool_return_message"]
    assert "Cannot call subtract" in returned


@pytest.mark.usefixtures("parallel_calls")
def test_f15_many_parallel_calls_are_each_run_once(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    ran: list[int] = []

    def note(a: int) -> int:
        """Take note."""
        ran.append(a)
        if a % 3 == 0:
            raise ValueError(a)
        return a

    calls = " ".join(f'[[call note {{"a": {number}}}]]' for number in range(12))
    run(conversation_id, f"{calls} [[next]] [[say ok]]", tools=[note])
    assert sorted(ran) == list(range(12))
    told = [("error", f"ValueError: {n}") if n % 3 == 0 else ("success", str(n)) for n in range(12)]
    assert results(wire, conversation_id) == told


class _Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_f15_an_error_without_words_is_told_by_its_name(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    def fail() -> None:
        """Fail."""
        raise _Unspeakable

    run(conversation_id, "[[call fail {}]] [[next]] [[say I see]]", tools=[fail])
    assert results(wire, conversation_id) == [("error", "_Unspeakable")]


def test_f15_an_async_tool_that_cancels_itself_becomes_an_error_result(
    run: RunTurn, wire: Wire, conversation_id: str
) -> None:
    async def give_up() -> None:
        """Give up."""
        raise asyncio.CancelledError

    assert run(conversation_id, "[[call give_up {}]] [[next]] [[say I see]]", tools=[give_up]).text == "I see"
    assert results(wire, conversation_id) == [("error", "CancelledError")]


@pytest.mark.parametrize("exit_of", [KeyboardInterrupt, SystemExit])
@pytest.mark.usefixtures("parallel_calls")
def test_what_is_no_exception_goes_on_after_the_calls_are_settled(
    run: RunTurn, wire: Wire, conversation_id: str, exit_of: type[BaseException]
) -> None:
    def leave() -> None:
        """Leave."""
        raise exit_of

    script = f"{ADD} [[call leave {{}}]] {ADD} [[next]] [[say never said]]"
    with pytest.raises(exit_of):
        run(conversation_id, script, tools=[add, leave], max_parallel=1)
    # What was done is told, what was not is denied.
    denied = ("denied", f"The tool was not run to its end ({exit_of.__name__}).")
    assert results(wire, conversation_id) == [("success", "3"), denied, denied]
    assert next_turn_works(wire, conversation_id)


@pytest.mark.parametrize("script", ["[[fail 500]]", "[[say a b c d]] [[break 2]]"])
def test_a_round_that_fails_leaves_no_call_and_no_second_answer(
    run: RunTurn, wire: Wire, conversation_id: str, script: str
) -> None:
    # The server stores the results before it calls the model; answering again would make it call the model once more.
    with pytest.raises(TurnFailed):
        run(conversation_id, f"{ADD} [[next]] {script}", tools=[add])
    assert results(wire, conversation_id) == [("success", "3")]
    assert wire.story(conversation_id)[-1] == ("tool_return_message", "3")
    assert next_turn_works(wire, conversation_id)
