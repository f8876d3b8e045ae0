"""Situations, each with what the package makes of the answers."""

from __future__ import annotations

from collections.abc import Callable

from tests.contract.as_read.stage import Expected, Page, Refusal, Scenario, Stage, Stream
from tests.contract.build import denial, result, user

THINK = "[[think let me see]] [[say Hello there friend]]"
CALL = '[[call add {"a": 1, "b": 2}]]'
TWO_CALLS = '[[call add {"a": 1}]] [[call multiply {"a": 2}]]'
MIXED_CALLS = f'[[call whisper {{"text": "HI"}}]] {CALL}'

BACKGROUND = {"stream_tokens": True, "background": True}
"""Token mode, as the package itself asks for it."""

HELLO = "Text: Hello there friend"
THOUGHT = "Reasoning: let me see"
PENDING_ADD = 'PendingCall: add {"a": 1, "b": 2}'
ANSWERED = "Text: The tools answered: 3"
SYSTEM = "system_message: You are brief."

ASKED = Stream(parts=(PENDING_ADD,), stop="requires_approval")
BOTH_ASKED = Stream(parts=('PendingCall: add {"a": 1}', 'PendingCall: multiply {"a": 2}'), stop="requires_approval")

SCENARIOS: list[Scenario] = []

Play = Callable[[Stage], object]


def scenario(*expected: Expected, parallel: bool = False, server_tool: bool = False) -> Callable[[Play], Play]:
    """Keep a situation; `expected` is what each of its requests is answered with."""

    def keep(play: Play) -> Play:
        SCENARIOS.append(Scenario(play=play, expected=expected, parallel=parallel, server_tool=server_tool))
        return play

    return keep


@scenario(Stream(parts=(THOUGHT, HELLO), stop="end_turn"))
def text_in_step_mode(stage: Stage) -> None:
    stage.post(user(THINK))


@scenario(Stream(parts=(THOUGHT, HELLO), stop="end_turn"))
def text_in_token_mode(stage: Stage) -> None:
    stage.post(user(THINK), **BACKGROUND)


@scenario(ASKED, Stream(parts=(ANSWERED,), stop="end_turn"))
def tool_call_in_step_mode(stage: Stage) -> None:
    (call,) = stage.call(CALL)
    stage.answer(result(call, "3"))


@scenario(ASKED, Stream(parts=(ANSWERED,), stop="end_turn"))
def tool_call_in_token_mode(stage: Stage) -> None:
    (call,) = stage.call(CALL, **BACKGROUND)
    stage.answer(result(call, "3"), **BACKGROUND)


@scenario(BOTH_ASKED, Stream(parts=("Text: The tools answered: 10 | 20",), stop="end_turn"), parallel=True)
def parallel_calls(stage: Stage) -> None:
    first, second = stage.call(TWO_CALLS, **BACKGROUND)
    stage.answer(result(first, "10"), result(second, "20"), **BACKGROUND)


@scenario(BOTH_ASKED, Page((SYSTEM, f"user_message: {TWO_CALLS}", 'approval_request_message: add {"a": 1}')))
def parallel_calls_where_one_is_allowed(stage: Stage) -> None:
    stage.call(TWO_CALLS, **BACKGROUND)
    stage.rows()  # every call was streamed, the first alone is stored


@scenario(
    ASKED,
    Stream(
        parts=("Text: The tools answered: Error: request to call tool denied. User reason: not allowed",),
        stop="end_turn",
    ),
)
def denial_of_a_call(stage: Stage) -> None:
    (call,) = stage.call(CALL)
    stage.answer(denial(call, "not allowed"))


@scenario(
    Stream(parts=('ServerToolCall: whisper {"text": "HI"}', PENDING_ADD), stop="requires_approval"),
    Stream(parts=("ServerToolResult: hi", "Text: The tools answered: 3 | hi"), stop="end_turn"),
    parallel=True,
    server_tool=True,
)
def calls_of_server_and_client_in_one_step(stage: Stage) -> None:
    (call,) = stage.call(MIXED_CALLS, **BACKGROUND)
    stage.answer(result(call, "3"), **BACKGROUND)


@scenario(Stream(stop="llm_api_error", error="TurnFailed"), Page((SYSTEM,)))
def failure_of_the_first_step(stage: Stage) -> None:
    stage.post(user("[[fail 500]]"), stream_tokens=True)
    stage.rows()


@scenario(Stream(parts=("Text: Hello there ",), stop="error", error="TurnFailed", done=False), Page((SYSTEM,)))
def break_in_mid_stream(stage: Stage) -> None:
    stage.post(user("[[break 2]] [[say Hello there friend]]"), **BACKGROUND)
    stage.rows()


@scenario(ASKED, Stream(stop="error", error="PendingApprovalError"), Refusal(status=409, error="PendingApprovalError"))
def user_message_while_a_call_is_pending(stage: Stage) -> None:
    stage.call(CALL)
    stage.post(user("hello?"))
    stage.post(user("hello?"), streaming=False)


@scenario(
    ASKED,
    Stream(stop="error", error="PendingApprovalError"),
    Stream(parts=(ANSWERED,), stop="end_turn"),
    Stream(stop="error", error="Conflict"),
)
def wrong_call_ids(stage: Stage) -> None:
    (call,) = stage.call(CALL)
    stage.answer(result("call_unknown", "3"))
    stage.answer(result(call, "3"))
    stage.answer(result("call_unknown", "3"))  # now nothing is pending


@scenario(
    Stream(parts=(THOUGHT, HELLO), stop="end_turn"),
    ASKED,
    Stream(parts=(ANSWERED,), stop="end_turn"),
    Page(
        (
            SYSTEM,
            f"user_message: {THINK}",
            "reasoning_message: let me see",
            "assistant_message: Hello there friend",
            f"user_message: {CALL}",
            'approval_request_message: add {"a": 1, "b": 2}',
            "approval_response_message: tool",
            "tool_return_message: 3",
            "assistant_message: The tools answered: 3",
        )
    ),
)
def listing_of_a_whole_conversation(stage: Stage) -> None:
    stage.post(user(THINK))
    (call,) = stage.call(CALL)
    stage.answer(result(call, "3"))
    stage.rows()


@scenario(
    Stream(parts=(THOUGHT, HELLO), stop="end_turn"),
    Page((f"user_message: {THINK}", "reasoning_message: let me see", "assistant_message: Hello there friend")),
)
def messages_of_a_run(stage: Stage) -> None:
    turn = stage.post(user(THINK), **BACKGROUND)
    stage.wire.get(f"/v1/runs/{turn.run_id}/messages")


@scenario(Refusal(status=404, error="NotFound"), Refusal(status=404, error="NotFound"))
def not_found(stage: Stage) -> None:
    stage.post(user("hello"), override_model="vllm/nothing")
    stage.wire.post("conv-00000000-0000-4000-8000-000000000000", user("hello"))


@scenario(Refusal(status=422, error="InvalidRequest"), Refusal(status=422, error="InvalidRequest"))
def unprocessable(stage: Stage) -> None:
    stage.post({"role": "judge", "content": "hello"})
    stage.post()  # neither messages nor input


@scenario(
    Stream(parts=(THOUGHT, HELLO), stop="end_turn"),
    Stream(parts=(THOUGHT, HELLO), stop="end_turn"),
    Page(
        (
            SYSTEM,
            f"user_message: {THINK}",
            "reasoning_message: let me see",
            "assistant_message: Hello there friend",
        )
    ),
)
def replay_by_otid(stage: Stage) -> None:
    message = user(THINK)
    for _ in range(2):
        stage.post(message, **BACKGROUND)
    stage.rows()
