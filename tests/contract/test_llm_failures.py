"""What a failing model leaves in the stream and in the store."""

from __future__ import annotations

import pytest

from tests.contract.build import CLIENT_TOOLS, answers, result, user
from tests.contract.wire import Turn, Wire

pytestmark = pytest.mark.scripted("its model fails")

CALL = '[[call add {"a": 1, "b": 2}]]'

TOKENS = {"stream_tokens": True}
BACKGROUND = {"stream_tokens": True, "background": True}
BREAK = "[[break 2]] [[say Hello there friend]]"

token_modes = pytest.mark.parametrize("options", [TOKENS, BACKGROUND])


def expect_polite_failure(turn: Turn, error_type: str = "llm_error", *, done: bool = True) -> None:
    """Nothing had been streamed yet: one stop reason, the error, and in foreground `[DONE]`."""
    assert turn.status == 200
    assert turn.types == ["stop_reason", "error_message"]
    assert turn.events[-1] == "error"
    assert turn.stop_reasons == ["llm_api_error"]
    assert turn.error["error_type"] == error_type
    assert turn.error["detail"]
    assert turn.done is done


def expect_rude_failure(turn: Turn, stop_reasons: list[str]) -> None:
    """Something had been streamed already: an internal error, and the stream just ends."""
    assert turn.status == 200
    assert turn.types[-1] == "error_message"
    assert turn.events[-1] == "error"
    assert turn.stop_reasons == stop_reasons
    assert turn.error["error_type"] == "internal_error"
    assert turn.error["detail"]
    assert turn.of("usage_statistics") == []
    assert not turn.done


@pytest.mark.parametrize("options", [{}, TOKENS])
def test_a_refusal_before_anything_stores_nothing(wire: Wire, conversation_id: str, options: dict[str, bool]) -> None:
    expect_polite_failure(wire.post(conversation_id, user("[[fail 500]]"), **options))
    assert wire.stored(conversation_id) == []


@pytest.mark.parametrize(("status", "error_type"), [(500, "llm_error"), (429, "llm_rate_limit")])
def test_in_background_a_refusal_ends_without_done_and_its_error_is_numbered(
    wire: Wire, conversation_id: str, status: int, error_type: str
) -> None:
    turn = wire.post(conversation_id, user(f"[[fail {status}]]"), **BACKGROUND)
    expect_polite_failure(turn, error_type, done=False)
    assert [frame.get("seq_id") for frame in turn.frames] == [1, None, 3]
    assert wire.stored(conversation_id) == []


def test_in_step_mode_a_break_is_like_a_refusal(wire: Wire, conversation_id: str) -> None:
    expect_polite_failure(wire.post(conversation_id, user(BREAK)))
    assert wire.stored(conversation_id) == []


@token_modes
def test_a_break_in_mid_stream_of_the_first_step_stores_nothing(
    wire: Wire, conversation_id: str, options: dict[str, bool]
) -> None:
    turn = wire.post(conversation_id, user(BREAK), **options)
    expect_rude_failure(turn, ["error", "llm_api_error"])
    assert turn.text == "Hello there "
    assert wire.stored(conversation_id) == []


def fail_in_second_step(wire: Wire, conversation_id: str, failure: str, **options: bool) -> Turn:
    call = wire.post(conversation_id, user(f"{CALL} [[next]] {failure}"), client_tools=CLIENT_TOOLS).call_id
    turn = wire.post(conversation_id, answers(result(call, "3")), client_tools=CLIENT_TOOLS, **options)
    assert [kind for kind, _ in wire.story(conversation_id)] == [
        "user_message",
        "approval_request_message",
        "approval_response_message",
        "tool_return_message",
    ]
    return turn


def test_in_step_mode_a_failed_second_step_leaves_the_results_echoed_and_stored(
    wire: Wire, conversation_id: str
) -> None:
    turn = fail_in_second_step(wire, conversation_id, "[[fail 500]]")
    assert turn.types[0] == "tool_return_message"
    expect_rude_failure(turn, ["llm_api_error"])


def test_in_token_mode_a_refused_second_step_leaves_the_results_stored(wire: Wire, conversation_id: str) -> None:
    expect_polite_failure(fail_in_second_step(wire, conversation_id, "[[fail 500]]", **TOKENS))


def test_in_token_mode_a_broken_second_step_leaves_the_results_stored(wire: Wire, conversation_id: str) -> None:
    turn = fail_in_second_step(wire, conversation_id, BREAK, **BACKGROUND)
    expect_rude_failure(turn, ["error", "llm_api_error"])
    assert turn.text == "Hello there "


def test_the_turn_after_a_failed_second_step_sees_its_results(wire: Wire, conversation_id: str) -> None:
    fail_in_second_step(wire, conversation_id, "[[fail 500]]")
    turn = wire.post(conversation_id, user("[[recall]] next"))
    assert turn.text.splitlines()[-2:] == ["tool: 3", "user: next"]


@pytest.mark.parametrize(("failure", "options"), [("[[fail 500]]", TOKENS), (BREAK, BACKGROUND)])
def test_after_a_failure_the_conversation_takes_the_next_turn(
    wire: Wire, conversation_id: str, failure: str, options: dict[str, bool]
) -> None:
    wire.post(conversation_id, user(failure), **options)
    assert wire.post(conversation_id, user("[[recall]] next"), **options).text == "user: next"


@pytest.mark.parametrize(("status", "expected"), [(500, 500), (429, 429)])
def test_in_json_mode_the_failure_is_the_status(wire: Wire, conversation_id: str, status: int, expected: int) -> None:
    turn = wire.post(conversation_id, user(f"[[fail {status}]]"), streaming=False)
    assert turn.status == expected
    error = turn.body["error"]
    assert error["type"] == {500: "llm_error", 429: "llm_rate_limit"}[status]
    assert error["message"]
    assert error["detail"]


def test_the_run_of_a_refused_turn_is_failed(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user("[[fail 500]]"), background=True)
    run = wire.ended_run(turn.run_id)
    assert (run["status"], run["stop_reason"]) == ("failed", "llm_api_error")


def test_the_run_of_a_broken_turn_says_so_in_its_stop_reason_only(wire: Wire, conversation_id: str) -> None:
    turn: Turn = wire.post(
        conversation_id, user("[[break 2]] [[say Hello there friend]]"), stream_tokens=True, background=True
    )
    run = wire.ended_run(turn.run_id)
    assert run["stop_reason"] == "llm_api_error"
