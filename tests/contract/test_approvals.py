"""A pending call: what answers it, what does not, and what the model sees of it."""

from __future__ import annotations

import pytest

from tests.contract.build import CLIENT_TOOLS, answers, consent, denial, new_otid, result, user
from tests.contract.wire import Turn, Wire

CALL = '[[call add {"a": 1, "b": 2}]]'
TWO_CALLS = '[[call add {"a": 1}]] [[call multiply {"a": 2}]]'
KEEP_ALIVE = "Automated keep-alive ping"


def ask(wire: Wire, conversation_id: str, script: str = CALL) -> Turn:
    return wire.post(conversation_id, user(script), client_tools=CLIENT_TOOLS)


def expect_refusal(turn: Turn, *, background: bool = False) -> None:
    """HTTP 200, and a stream that holds nothing but the refusal."""
    assert turn.status == 200
    assert turn.types == ["stop_reason", "error_message"]
    assert turn.events[-1] == "error"
    assert turn.stop_reasons == ["error"]
    assert turn.error["error_type"] == "internal_error"
    assert turn.done is not background


def last_type(wire: Wire, conversation_id: str) -> str:
    return wire.rows(conversation_id)[-1]["message_type"]


@pytest.mark.scripted("its model says what it sees")
def test_a_denial_reaches_the_model_with_its_reason(wire: Wire, conversation_id: str) -> None:
    call = ask(wire, conversation_id, f"{CALL} [[next]] [[recall]]").call_id
    turn = wire.post(conversation_id, answers(denial(call, "not allowed")), client_tools=CLIENT_TOOLS)
    assert turn.stop_reasons == ["end_turn"]
    assert turn.text.splitlines()[-1] == "tool: Error: request to call tool denied. User reason: not allowed"


def test_a_denial_is_stored_as_a_response_without_otid_and_a_failed_return(wire: Wire, conversation_id: str) -> None:
    call = ask(wire, conversation_id).call_id
    wire.post(conversation_id, answers(denial(call, "not allowed")), client_tools=CLIENT_TOOLS)
    _, request, response, returned, _ = wire.stored(conversation_id)
    assert response["message_type"] == "approval_response_message"
    assert response["otid"] is None
    (part,) = response["approvals"]
    assert (part["type"], part["tool_call_id"], part["approve"]) == ("approval", call, False)
    assert response["approval_request_id"] == request["tool_call"]["tool_call_id"] == call
    assert returned["message_type"] == "tool_return_message"
    assert [(r["tool_call_id"], r["status"]) for r in returned["tool_returns"]] == [(call, "error")]


def test_a_result_is_stored_in_the_response_row_too(wire: Wire, conversation_id: str) -> None:
    call = ask(wire, conversation_id).call_id
    wire.post(conversation_id, answers(result(call, "3")), client_tools=CLIENT_TOOLS)
    response = wire.stored(conversation_id)[2]
    assert [(p["type"], p["tool_call_id"], p["tool_return"]) for p in response["approvals"]] == [("tool", call, "3")]


def test_the_type_tool_return_answers_too(wire: Wire, conversation_id: str) -> None:
    call = ask(wire, conversation_id).call_id
    body = {"type": "tool_return", "tool_returns": [result(call, "3")], "otid": new_otid()}
    turn = wire.post(conversation_id, body, client_tools=CLIENT_TOOLS)
    assert turn.text == "The tools answered: 3"


def test_a_result_and_a_denial_answer_together(wire: Wire, agent_id: str, conversation_id: str) -> None:
    wire.patch_agent(agent_id, model_settings={"provider_type": "openai", "parallel_tool_calls": True})
    first, second = ask(wire, conversation_id, TWO_CALLS).call_ids
    turn = wire.post(conversation_id, answers(result(first, "1"), denial(second, "no")), client_tools=CLIENT_TOOLS)
    (echo,) = turn.of("tool_return_message")
    assert {r["tool_call_id"]: r["status"] for r in echo["tool_returns"]} == {first: "success", second: "error"}
    assert turn.stop_reasons == ["end_turn"]


@pytest.mark.scripted("its model says what it sees")
def test_user_messages_may_follow_the_answers_and_the_model_is_called_once(wire: Wire, conversation_id: str) -> None:
    call = ask(wire, conversation_id).call_id
    turn = wire.post(conversation_id, answers(result(call, "3")), user("[[recall]] and now this"))
    assert turn.text.splitlines()[-2:] == ["tool: 3", "user: and now this"]
    assert turn.usage["step_count"] == 1
    assert [kind for kind, _ in wire.story(conversation_id)] == [
        "user_message",
        "approval_request_message",
        "approval_response_message",
        "tool_return_message",
        "user_message",
        "assistant_message",
    ]


def test_a_user_message_while_pending_is_refused_in_the_stream(wire: Wire, conversation_id: str) -> None:
    ask(wire, conversation_id)
    before = wire.rows(conversation_id)
    for background in (False, True):
        turn = wire.post(conversation_id, user("hello?"), background=background)
        expect_refusal(turn, background=background)
        assert "is waiting for approval on a tool call" in turn.error["detail"]
    assert wire.rows(conversation_id) == before


def test_a_user_message_while_pending_is_refused_in_json_mode(wire: Wire, conversation_id: str) -> None:
    ask(wire, conversation_id)
    before = wire.rows(conversation_id)
    turn = wire.post(conversation_id, user("hello?"), streaming=False)
    assert turn.status == 409
    assert "is waiting for approval on a tool call" in turn.body["detail"]
    assert wire.rows(conversation_id) == before


@pytest.mark.parametrize("background", [False, True])
def test_an_unknown_call_id_stores_nothing_and_the_call_stays_pending(
    wire: Wire, conversation_id: str, background: bool
) -> None:
    call = ask(wire, conversation_id).call_id
    before = wire.rows(conversation_id)
    turn = wire.post(conversation_id, answers(result("call_unknown", "3")), background=background)
    expect_refusal(turn, background=background)
    assert turn.error["detail"] == f"Invalid tool call IDs. Expected '['{call}']', but received '['call_unknown']'."
    assert wire.rows(conversation_id) == before
    assert wire.post(conversation_id, answers(result(call, "3"))).stop_reasons == ["end_turn"]


def test_a_subset_of_the_calls_stores_nothing_and_all_stay_pending(
    wire: Wire, agent_id: str, conversation_id: str
) -> None:
    wire.patch_agent(agent_id, model_settings={"provider_type": "openai", "parallel_tool_calls": True})
    first, second = ask(wire, conversation_id, TWO_CALLS).call_ids
    before = wire.rows(conversation_id)
    turn = wire.post(conversation_id, answers(result(first, "1")))
    expect_refusal(turn)
    assert turn.error["detail"].startswith("Invalid tool call IDs. Expected")
    assert wire.rows(conversation_id) == before
    whole = wire.post(conversation_id, answers(result(first, "1"), result(second, "2")))
    assert whole.stop_reasons == ["end_turn"]


def test_an_unknown_call_id_in_json_mode_is_a_400(wire: Wire, conversation_id: str) -> None:
    ask(wire, conversation_id)
    turn = wire.post(conversation_id, answers(result("call_unknown", "3")), streaming=False)
    assert turn.status == 400
    assert turn.body["detail"].startswith("Invalid tool call IDs. Expected")


def test_an_approved_client_tool_is_run_by_the_server_which_does_not_have_it(wire: Wire, conversation_id: str) -> None:
    call = ask(wire, conversation_id).call_id
    turn = wire.post(conversation_id, answers(consent(call)), client_tools=CLIENT_TOOLS)
    (echo,) = turn.of("tool_return_message")
    assert (echo["tool_returns"][0]["status"], echo["tool_returns"][0]["tool_call_id"]) == ("error", call)
    assert "Tool not found" in echo["tool_returns"][0]["tool_return"]


def test_max_steps_one_settles_a_call_with_no_model_call(wire: Wire, conversation_id: str) -> None:
    for settle in (result, denial):
        call = ask(wire, conversation_id).call_id
        turn = wire.post(conversation_id, answers(settle(call, "dropped")), max_steps=1)
        assert turn.types == ["tool_return_message", "stop_reason", "usage_statistics"]
        assert turn.stop_reasons == ["max_steps"]
        assert turn.usage["prompt_tokens"] == 0
        assert last_type(wire, conversation_id) == "tool_return_message"


def test_in_token_mode_a_settled_call_streams_its_end_only(wire: Wire, conversation_id: str) -> None:
    call = ask(wire, conversation_id).call_id
    turn = wire.post(conversation_id, answers(denial(call, "dropped")), max_steps=1, stream_tokens=True)
    assert turn.types == ["stop_reason", "usage_statistics"]
    assert turn.stop_reasons == ["max_steps"]
    assert turn.usage["step_count"] == 0
    assert last_type(wire, conversation_id) == "tool_return_message"


@pytest.mark.scripted("its model says what it sees")
def test_the_turn_after_a_settled_call_sees_a_whole_history(wire: Wire, conversation_id: str) -> None:
    call = ask(wire, conversation_id).call_id
    wire.post(conversation_id, answers(denial(call, "dropped")), max_steps=1)
    turn = wire.post(conversation_id, user("[[recall]] next"))
    assert [line.partition(": ")[0] for line in turn.text.splitlines()] == ["user", "assistant", "tool", "user"]


def test_answering_again_under_the_same_otid_in_background_replays(wire: Wire, conversation_id: str) -> None:
    call = ask(wire, conversation_id).call_id
    answer = answers(result(call, "3"))
    first = wire.post(conversation_id, answer, background=True)
    before = wire.rows(conversation_id)
    again = wire.post(conversation_id, answer, background=True)
    assert again.frames == first.frames
    assert wire.rows(conversation_id) == before


def test_answering_again_under_another_otid_calls_the_model_again(wire: Wire, conversation_id: str) -> None:
    call = ask(wire, conversation_id).call_id
    wire.post(conversation_id, answers(result(call, "3")), background=True)
    before = len(wire.rows(conversation_id))
    again = wire.post(conversation_id, answers(result(call, "3")), background=True)
    assert again.stop_reasons == ["end_turn"]
    alert, answer = wire.rows(conversation_id)[before:]
    assert alert["message_type"] == "user_message"
    assert KEEP_ALIVE in alert["content"]
    assert answer["message_type"] == "assistant_message"


def test_answering_again_in_foreground_calls_the_model_again_even_under_the_same_otid(
    wire: Wire, conversation_id: str
) -> None:
    call = ask(wire, conversation_id).call_id
    answer = answers(result(call, "3"))
    wire.post(conversation_id, answer)
    wire.post(conversation_id, answer)
    asked = [text for kind, text in wire.story(conversation_id) if kind == "user_message"]
    assert [KEEP_ALIVE in text for text in asked] == [False, True]


def test_an_answer_where_nothing_is_pending_is_an_error(wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, user("[[say ok]]"))
    before = wire.rows(conversation_id)
    turn = wire.post(conversation_id, answers(result("call_unknown", "3")))
    expect_refusal(turn)
    assert "no tool call is currently awaiting approval" in turn.error["detail"].lower()
    assert wire.rows(conversation_id) == before


def test_cancel_does_not_clear_a_pending_call(wire: Wire, conversation_id: str) -> None:
    call = ask(wire, conversation_id).call_id
    assert wire.cancel(conversation_id).status_code == 409
    assert wire.post(conversation_id, answers(result(call, "3"))).stop_reasons == ["end_turn"]
