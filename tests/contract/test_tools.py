"""Tool calls: the client's, the server's, and both in one step."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator

import pytest

from tests.contract.build import ADD, CLIENT_TOOLS, PIXEL, answers, result, user
from tests.contract.wire import Json, Wire, id_before

CALL = '[[call add {"a": 1, "b": 2}]]'
TWO_CALLS = '[[call add {"a": 1}]] [[call multiply {"a": 2}]]'


def shout(text: str) -> str:
    """Shout.

    Args:
        text (str): What to shout.
    """
    return text.upper()


@pytest.fixture
def parallel(wire: Wire, agent_id: str) -> None:
    """The agent's model may call several tools at once."""
    wire.patch_agent(agent_id, model_settings={"provider_type": "openai", "parallel_tool_calls": True})


@pytest.fixture
def server_tool(wire: Wire, agent_id: str) -> Iterator[str]:
    """A tool that the server runs."""
    source = inspect.getsource(shout)
    tool = wire.http.post("/v1/tools/", json={"source_code": source}).raise_for_status().json()
    wire.http.patch(f"/v1/agents/{agent_id}/tools/attach/{tool['id']}").raise_for_status()
    yield tool["name"]


def test_in_step_mode_a_call_comes_whole(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS)
    assert turn.types == ["approval_request_message", "stop_reason", "usage_statistics"]
    assert turn.stop_reasons == ["requires_approval"]
    assert turn.done
    (request,) = turn.parts
    (call,) = request["tool_calls"]
    assert request["tool_call"] == call
    assert call["name"] == "add"
    assert json.loads(call["arguments"]) == {"a": 1, "b": 2}


def test_in_token_mode_a_call_comes_as_deltas_of_one_object(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS, stream_tokens=True)
    assert set(turn.types) == {"approval_request_message", "stop_reason", "usage_statistics"}
    assert turn.stop_reasons == ["requires_approval"]
    deltas = [p["tool_call"] for p in turn.parts]
    assert [p["tool_calls"] for p in turn.parts] == deltas
    assert len({d["tool_call_id"] for d in deltas}) == 1
    assert [d["name"] for d in deltas] == ["add"] + [None] * (len(deltas) - 1)
    assert json.loads("".join(d["arguments"] or "" for d in deltas)) == {"a": 1, "b": 2}
    assert len(deltas) > 2


def test_the_otid_of_a_request_is_its_id(wire: Wire, conversation_id: str) -> None:
    for tokens in (False, True):
        conversation = wire.new_conversation(wire.conversation(conversation_id)["agent_id"])
        turn = wire.post(conversation, user(CALL), client_tools=CLIENT_TOOLS, stream_tokens=tokens)
        assert {p["otid"] for p in turn.parts} == {turn.parts[0]["id"]}
        assert wire.stored(conversation)[-1]["otid"] == turn.parts[0]["id"]


@pytest.mark.scripted("its model thinks when it is told to")
def test_in_step_mode_a_request_has_the_id_of_its_step(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(f"[[think hm]] {CALL}"), client_tools=CLIENT_TOOLS)
    thought, request = turn.parts
    assert request["id"] == thought["id"]
    assert [row["id"] for row in wire.stored(conversation_id)[1:]] == [thought["id"], thought["id"]]


@pytest.mark.scripted("its model thinks when it is told to")
def test_in_token_mode_a_request_has_the_id_before_and_the_whole_step_is_stored_under_it(
    wire: Wire, conversation_id: str
) -> None:
    turn = wire.post(conversation_id, user(f"[[think hm]] {CALL}"), client_tools=CLIENT_TOOLS, stream_tokens=True)
    streamed = turn.of("reasoning_message")[0]
    (request_id,) = {p["id"] for p in turn.of("approval_request_message")}
    assert request_id == id_before(streamed["id"])
    _, thought, request = wire.stored(conversation_id)
    assert (thought["message_type"], request["message_type"]) == ("reasoning_message", "approval_request_message")
    assert (thought["id"], request["id"]) == (request_id, request_id)
    assert json.loads(request["tool_call"]["arguments"]) == {"a": 1, "b": 2}


def test_a_call_without_arguments_has_none(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user("[[call add]]"), client_tools=CLIENT_TOOLS, stream_tokens=True)
    assert {p["tool_call"]["name"] for p in turn.parts} == {"add"}
    assert not "".join(p["tool_call"]["arguments"] or "" for p in turn.parts)


def test_in_step_mode_a_result_is_echoed_and_then_answered(wire: Wire, conversation_id: str) -> None:
    call = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS).call_id
    turn = wire.post(conversation_id, answers(result(call, "3")), client_tools=CLIENT_TOOLS)
    echo, answer = turn.parts
    assert echo["message_type"] == "tool_return_message"
    assert [(r["tool_call_id"], r["tool_return"], r["status"]) for r in echo["tool_returns"]] == [
        (call, "3", "success")
    ]
    assert answer["content"] == "The tools answered: 3"
    assert turn.stop_reasons == ["end_turn"]


def test_in_token_mode_a_result_is_not_echoed(wire: Wire, conversation_id: str) -> None:
    call = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS).call_id
    turn = wire.post(
        conversation_id,
        answers(result(call, "3")),
        client_tools=CLIENT_TOOLS,
        stream_tokens=True,
        background=True,
    )
    assert {p["message_type"] for p in turn.parts} == {"assistant_message"}
    assert turn.text == "The tools answered: 3"
    assert wire.story(conversation_id)[-2] == ("tool_return_message", "3")


def test_the_result_is_stored_as_a_response_and_a_return(wire: Wire, conversation_id: str) -> None:
    call = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS).call_id
    wire.post(conversation_id, answers(result(call, "3")), client_tools=CLIENT_TOOLS)
    assert wire.story(conversation_id) == [
        ("user_message", CALL),
        ("approval_request_message", "add"),
        ("approval_response_message", ""),
        ("tool_return_message", "3"),
        ("assistant_message", "The tools answered: 3"),
    ]


def test_a_failed_result_is_marked_as_failed_for_the_model(wire: Wire, conversation_id: str) -> None:
    call = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS).call_id
    wire.post(conversation_id, answers(result(call, "boom", status="error", stderr=["trace"])))
    path = f"/v1/conversations/{conversation_id}/messages/preview-raw-payload"
    preview = wire.http.post(path, json={"messages": [user("hi")]}).raise_for_status().json()
    (seen,) = [json.loads(m["content"]) for m in preview["messages"] if m["role"] == "tool"]
    assert (seen["status"], seen["message"]) == ("Failed", "boom")
    assert "trace" not in json.dumps(seen)


@pytest.mark.scripted("its model says what it sees")
def test_an_image_in_a_result_is_omitted_for_the_model(wire: Wire, conversation_id: str) -> None:
    call = wire.post(conversation_id, user(f"{CALL} [[next]] [[recall]]"), client_tools=CLIENT_TOOLS).call_id
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    turn = wire.post(conversation_id, answers(result(call, [{"type": "text", "text": "seen"}, image])))
    assert turn.text.splitlines()[-1] == "tool: seen [Image omitted]"
    (returned,) = wire.stored(conversation_id)[3]["tool_returns"]
    assert [part["type"] for part in returned["tool_return"]] == ["text", "image"]


NO_RESULT = "1 validation error for {}\n{}\n  Input should be a valid string"


@pytest.mark.parametrize("value", [[], [{"type": "text", "text": ""}]])
@pytest.mark.parametrize("options", [{}, {"stream_tokens": True}])
def test_a_result_of_no_parts_is_taken_and_breaks_the_conversation(
    wire: Wire, conversation_id: str, value: list[Json], options: dict[str, bool]
) -> None:
    call = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS).call_id
    turn = wire.post(conversation_id, answers(result(call, value)), client_tools=CLIENT_TOOLS, **options)
    # Only a stream of tokens says what is wrong.
    assert turn.types == ["stop_reason", "error_message" if options else "usage_statistics"]
    assert turn.stop_reasons == ["error"]
    assert turn.done
    for told in ([turn] if options else []) + [wire.post(conversation_id, user("[[say hi]]"), **options)]:
        assert told.types == ["stop_reason", "error_message"]
        assert told.stop_reasons == ["error"]
        assert told.error["error_type"] == "internal_error"
        assert told.error["detail"].startswith(NO_RESULT.format("ToolMessage", "content"))
    assert len(wire.conversation(conversation_id)["in_context_message_ids"]) == 5
    run = wire.ended_run(turn.run_id) if options else wire.runs(conversation_id)[1]
    assert (run["status"], run["stop_reason"]) == ("failed" if options else "completed", "error")
    listed = wire.http.get(f"/v1/conversations/{conversation_id}/messages")
    assert listed.status_code == 400
    assert listed.json()["detail"].startswith(NO_RESULT.format("ToolReturnMessage", "tool_return"))


def test_in_json_mode_a_result_of_no_parts_is_refused_and_kept_nevertheless(wire: Wire, conversation_id: str) -> None:
    call = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS).call_id
    refused = wire.post(conversation_id, answers(result(call, [])), client_tools=CLIENT_TOOLS, streaming=False)
    later = wire.post(conversation_id, user("[[say hi]]"), streaming=False)
    assert (refused.status, later.status) == (400, 400)
    assert refused.body["detail"].startswith(NO_RESULT.format("ToolReturnMessage", "tool_return"))
    assert later.body["detail"].startswith(NO_RESULT.format("ToolMessage", "content"))


@pytest.mark.not_recorded("100,000 characters")
def test_a_long_result_is_clipped_to_four_fifths_of_the_context_window(wire: Wire, conversation_id: str) -> None:
    call = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS).call_id
    wire.post(conversation_id, answers(result(call, "x" * 150_000)), max_steps=1)
    stored = wire.stored(conversation_id)[3]["tool_return"]
    assert stored.startswith("x" * 102_400)
    assert "... [truncated" in stored
    assert len(stored) < 102_500


def test_a_filter_without_requests_hides_the_calls(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(
        conversation_id,
        user(CALL),
        client_tools=CLIENT_TOOLS,
        include_return_message_types=["assistant_message"],
    )
    assert turn.types == ["stop_reason", "usage_statistics"]
    assert turn.stop_reasons == ["requires_approval"]
    assert wire.rows(conversation_id)[-1]["message_type"] == "approval_request_message"


@pytest.mark.scripted("its model has a script of several rounds")
def test_a_tool_that_the_continuation_does_not_name_is_unknown_to_the_model(wire: Wire, conversation_id: str) -> None:
    call = wire.post(conversation_id, user(f"{CALL} [[next]] {CALL}"), client_tools=CLIENT_TOOLS).call_id
    turn = wire.post(conversation_id, answers(result(call, "3")))
    assert turn.stop_reasons != ["requires_approval"]
    assert turn.call_ids == []


@pytest.mark.scripted("it counts the tokens of the scripted model")
def test_the_server_runs_its_own_tool_and_sums_the_usage_of_both_steps(
    wire: Wire, conversation_id: str, server_tool: str
) -> None:
    turn = wire.post(conversation_id, user(f'[[call {server_tool} {{"text": "hi"}}]]'))
    assert turn.types == [
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
        "stop_reason",
        "usage_statistics",
    ]
    assert turn.text == "The tools answered: HI"
    usage = turn.usage
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["step_count"]) == (200, 40, 2)
    assert [kind for kind, _ in wire.story(conversation_id)] == [
        "user_message",
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
    ]


def test_in_token_mode_deltas_of_a_server_call_carry_only_what_is_new(
    wire: Wire, conversation_id: str, server_tool: str
) -> None:
    turn = wire.post(conversation_id, user(f'[[call {server_tool} {{"text": "hi"}}]]'), stream_tokens=True)
    deltas = [p["tool_call"] for p in turn.of("tool_call_message")]
    assert [p["tool_calls"] for p in turn.of("tool_call_message")] == deltas
    first, *rest = deltas
    assert set(first) == {"name", "tool_call_id"}
    assert {frozenset(delta) for delta in rest} == {frozenset({"arguments", "tool_call_id"})}
    assert json.loads("".join(delta["arguments"] for delta in rest)) == {"text": "hi"}
    (returned,) = turn.of("tool_return_message")
    assert (returned["name"], returned["tool_return"], returned["status"]) == (server_tool, "HI", "success")
    assert turn.text == "The tools answered: HI"


def test_a_client_tool_hides_the_servers_tool_of_its_name(wire: Wire, conversation_id: str, server_tool: str) -> None:
    hiding = [{"name": server_tool, "description": "Mine.", "parameters": ADD["parameters"]}]
    turn = wire.post(conversation_id, user(f'[[call {server_tool} {{"text": "hi"}}]]'), client_tools=hiding)
    assert turn.stop_reasons == ["requires_approval"]


@pytest.mark.usefixtures("parallel")
def test_parallel_calls_are_one_request(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(TWO_CALLS), client_tools=CLIENT_TOOLS)
    assert turn.types == ["approval_request_message", "stop_reason", "usage_statistics"]
    (request,) = turn.parts
    assert [call["name"] for call in request["tool_calls"]] == ["add", "multiply"]
    assert request["tool_call"] == request["tool_calls"][0]


@pytest.mark.usefixtures("parallel")
def test_deltas_of_parallel_calls_differ_in_the_call_id_only(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(TWO_CALLS), client_tools=CLIENT_TOOLS, stream_tokens=True)
    assert len({(p["id"], p["otid"]) for p in turn.parts}) == 1
    names = {p["tool_call"]["tool_call_id"]: p["tool_call"]["name"] for p in turn.parts if p["tool_call"]["name"]}
    assert list(names.values()) == ["add", "multiply"]


@pytest.mark.usefixtures("parallel")
def test_parallel_calls_are_answered_in_one_message(wire: Wire, conversation_id: str) -> None:
    first, second = wire.post(conversation_id, user(TWO_CALLS), client_tools=CLIENT_TOOLS).call_ids
    turn = wire.post(conversation_id, answers(result(second, "20"), result(first, "10")), client_tools=CLIENT_TOOLS)
    (echo,) = turn.of("tool_return_message")
    assert {r["tool_call_id"]: r["tool_return"] for r in echo["tool_returns"]} == {first: "10", second: "20"}
    assert turn.stop_reasons == ["end_turn"]


def test_without_the_flag_every_call_is_streamed_and_only_the_first_is_stored(wire: Wire, conversation_id: str) -> None:
    turn = wire.post(conversation_id, user(TWO_CALLS), client_tools=CLIENT_TOOLS, stream_tokens=True)
    assert [p["tool_call"]["name"] for p in turn.parts if p["tool_call"]["name"]] == ["add", "multiply"]
    request = wire.stored(conversation_id)[-1]
    assert [call["name"] for call in request["tool_calls"]] == ["add"]


@pytest.mark.usefixtures("parallel")
def test_the_servers_call_waits_for_the_clients_result(wire: Wire, conversation_id: str, server_tool: str) -> None:
    both = user(f'[[call {server_tool} {{"text": "hi"}}]] {CALL}')
    first = wire.post(conversation_id, both, client_tools=CLIENT_TOOLS)
    assert first.types == ["tool_call_message", "approval_request_message", "stop_reason", "usage_statistics"]
    assert [call["name"] for call in first.of("approval_request_message")[0]["tool_calls"]] == ["add"]
    second = wire.post(conversation_id, answers(result(first.call_id, "3")), client_tools=CLIENT_TOOLS)
    (echo,) = second.of("tool_return_message")
    assert sorted(r["tool_return"] for r in echo["tool_returns"]) == ["3", "HI"]
    assert echo["tool_return"] == echo["tool_returns"][0]["tool_return"]
    assert second.stop_reasons == ["end_turn"]


@pytest.mark.usefixtures("parallel")
def test_in_token_mode_results_are_echoed_where_the_server_ran_a_call_too(
    wire: Wire, conversation_id: str, server_tool: str
) -> None:
    both = user(f'[[call {server_tool} {{"text": "hi"}}]] {CALL}')
    call = wire.post(conversation_id, both, client_tools=CLIENT_TOOLS).call_id
    turn = wire.post(conversation_id, answers(result(call, "3")), client_tools=CLIENT_TOOLS, stream_tokens=True)
    (echo,) = turn.of("tool_return_message")
    assert sorted(r["tool_return"] for r in echo["tool_returns"]) == ["3", "HI"]
    assert turn.text == "The tools answered: 3 | HI"
