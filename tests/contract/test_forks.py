"""Forks: what they share with their source, what they do not, and when one can be made."""

from __future__ import annotations

import pytest

from tests.conftest import Backend
from tests.contract.build import CLIENT_TOOLS, answers, denial, new_gate, new_otid, result, user
from tests.contract.wire import Json, Wire

CALL = 'do [[call add {"a": 1, "b": 2}]]'
TWO_TURNS = [("user_message", "first [[say one]]"), ("assistant_message", "one")]


@pytest.fixture
def source_id(wire: Wire, conversation_id: str) -> str:
    """A conversation of two turns."""
    wire.post(conversation_id, user("first [[say one]]"))
    wire.post(conversation_id, user("second [[say two]]"))
    return conversation_id


def forked(wire: Wire, conversation_id: str, **query: str) -> Json:
    answer = wire.http.post(f"/v1/conversations/{conversation_id}/fork", params=query)
    return answer.raise_for_status().json()


def fork_of(wire: Wire, conversation_id: str, **query: str) -> str:
    return str(forked(wire, conversation_id, **query)["id"])


def context(wire: Wire, conversation_id: str) -> list[str]:
    return wire.conversation(conversation_id)["in_context_message_ids"]


def ids(rows: list[Json]) -> list[str]:
    return [row["id"] for row in rows]


def waiting(wire: Wire, conversation_id: str) -> str:
    """Let the agent ask for a client's tool; the id of its call."""
    return wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS).call_id


@pytest.mark.self_hosted("the reference has null where no messages were looked up")
def test_the_answer_to_a_fork_names_no_messages_and_the_agent_and_model_of_the_source(
    wire: Wire, backend: Backend, agent_id: str, source_id: str
) -> None:
    patch = {"summary": "a talk", "model": backend.handle}
    wire.http.patch(f"/v1/conversations/{source_id}", json=patch).raise_for_status()
    fork = forked(wire, source_id)
    assert (fork["in_context_message_ids"], fork["summary"], fork["last_message_at"]) == ([], None, None)
    assert (fork["agent_id"], fork["model"]) == (agent_id, backend.handle)


def test_all_but_the_compiled_prompt_is_listed_as_in_the_source(wire: Wire, source_id: str) -> None:
    fork = fork_of(wire, source_id)
    compiled, *shared = wire.rows(fork)
    own, *rows = wire.rows(source_id)
    assert shared == rows
    assert compiled["id"] != own["id"]
    assert (compiled["run_id"], compiled["otid"]) == (None, None)
    assert (f"CONVERSATION_ID: {fork}" in compiled["content"], fork in own["content"]) == (True, False)


def test_a_shared_message_is_a_cursor_in_the_fork_as_in_the_source(wire: Wire, source_id: str) -> None:
    fork = fork_of(wire, source_id)
    _, *shared = wire.rows(source_id)
    for position, row in enumerate(shared):
        assert wire.rows(fork, after=row["id"]) == shared[position + 1 :]


def test_behind_the_head_of_the_source_a_fork_lists_its_own_turns_only(wire: Wire, source_id: str) -> None:
    fork = fork_of(wire, source_id)
    head = wire.rows(source_id)[-1]["id"]
    wire.post(source_id, user("third [[say in the source]]"))
    wire.post(fork, user("third [[say in the fork]]"))
    assert [row["content"] for row in wire.rows(fork, after=head)] == ["third [[say in the fork]]", "in the fork"]
    assert [row["content"] for row in wire.rows(source_id, after=head)][-1] == "in the source"
    assert len(wire.stored(fork)) == 6


def test_what_only_the_source_has_is_an_unknown_cursor_in_the_fork(wire: Wire, source_id: str) -> None:
    fork = fork_of(wire, source_id)
    wire.post(source_id, user("third [[say three]]"))
    whole = wire.rows(fork)
    for row in (wire.rows(source_id)[0], wire.rows(source_id)[-1]):
        assert wire.rows(fork, after=row["id"]) == whole


@pytest.mark.self_hosted("Letta Cloud forks at a message")
def test_a_message_id_is_ignored_even_an_unknown_one(wire: Wire, source_id: str) -> None:
    first_answer = wire.rows(source_id)[2]["id"]
    whole = context(wire, source_id)[1:]
    for message_id in (first_answer, f"message-{new_otid()}"):
        in_query = fork_of(wire, source_id, message_id=message_id)
        body = {"message_id": message_id}
        in_body = wire.http.post(f"/v1/conversations/{source_id}/fork", json=body).raise_for_status().json()["id"]
        assert context(wire, in_query)[1:] == context(wire, in_body)[1:] == whole


def test_a_fork_of_a_fork_shares_the_same_messages(wire: Wire, source_id: str) -> None:
    second = fork_of(wire, fork_of(wire, source_id))
    assert wire.stored(second) == wire.stored(source_id)


def test_a_fork_of_a_conversation_without_turns_holds_its_own_prompt_only(wire: Wire, conversation_id: str) -> None:
    fork = fork_of(wire, conversation_id)
    assert len(context(wire, fork)) == 1
    assert context(wire, fork) != context(wire, conversation_id)


@pytest.mark.scripted("its model says what it sees")
def test_a_fork_outlives_its_source_and_the_other_forks(wire: Wire, source_id: str) -> None:
    first, second = fork_of(wire, source_id), fork_of(wire, source_id)
    for gone in (source_id, first):
        wire.http.delete(f"/v1/conversations/{gone}").raise_for_status()
        assert len(wire.stored(second)) == 4
    recalled = wire.post(second, user("[[recall]] third")).text.splitlines()
    assert recalled == ["user: first", "assistant: one", "user: second", "assistant: two", "user: third"]


@pytest.mark.scripted("its model says what it sees")
def test_the_source_outlives_its_fork(wire: Wire, source_id: str) -> None:
    before = wire.rows(source_id)
    wire.http.delete(f"/v1/conversations/{fork_of(wire, source_id)}").raise_for_status()
    assert wire.rows(source_id) == before
    assert wire.post(source_id, user("[[recall]] third")).text.startswith("user: first\nassistant: one\n")


def test_what_is_deleted_or_never_was_cannot_be_forked(wire: Wire, source_id: str) -> None:
    wire.http.delete(f"/v1/conversations/{source_id}").raise_for_status()
    for gone in (source_id, f"conv-{new_otid()}"):
        answer = wire.http.post(f"/v1/conversations/{gone}/fork")
        assert answer.status_code == 404
        assert answer.json()["detail"].startswith(f"Conversation not found with id='['{gone}']'")


@pytest.mark.scripted("it holds the model at a gate")
@pytest.mark.parametrize("background", [False, True])
def test_a_fork_made_in_mid_turn_has_nothing_of_that_turn_then_or_later(
    wire: Wire, backend: Backend, conversation_id: str, background: bool
) -> None:
    wire.post(conversation_id, user("first [[say one]]"))
    gate, asked = new_gate(), user("")
    asked["content"] = f"second [[hold {gate} 1]] [[say two and more]]"
    turn = wire.start(conversation_id, asked, stream_tokens=True, background=background)
    backend.wait_for_gate(gate)
    fork = fork_of(wire, conversation_id)
    meanwhile = wire.story(fork)
    beside = wire.post(fork, user("[[recall]] beside"))
    backend.open_gate(gate)
    assert turn.result().stop_reasons == ["end_turn"]
    assert meanwhile == TWO_TURNS
    assert beside.text == "user: first\nassistant: one\nuser: beside"
    assert wire.story(conversation_id)[2:] == [
        ("user_message", asked["content"]),
        ("assistant_message", "two and more"),
    ]
    assert wire.story(fork) == [*TWO_TURNS, ("user_message", "[[recall]] beside"), ("assistant_message", beside.text)]


@pytest.mark.scripted("it holds the model at a gate")
def test_a_fork_made_between_two_steps_has_the_steps_that_are_over(
    wire: Wire, backend: Backend, conversation_id: str
) -> None:
    gate = new_gate()
    script = user(f"{CALL} [[next]] [[hold {gate} 1]] [[say done now]]")
    call = wire.post(conversation_id, script, client_tools=CLIENT_TOOLS).call_id
    turn = wire.start(conversation_id, answers(result(call, "3")), client_tools=CLIENT_TOOLS, stream_tokens=True)
    backend.wait_for_gate(gate)
    fork = fork_of(wire, conversation_id)
    backend.open_gate(gate)
    assert turn.result().text == "done now"
    kinds = ["user_message", "approval_request_message", "approval_response_message", "tool_return_message"]
    assert [kind for kind, _ in wire.story(fork)] == kinds
    roles = [line.partition(": ")[0] for line in wire.post(fork, user("[[recall]] next")).text.splitlines()]
    assert roles == ["user", "assistant", "tool", "user"]


def test_a_fork_of_a_conversation_that_waits_for_a_call_waits_too(wire: Wire, conversation_id: str) -> None:
    call = waiting(wire, conversation_id)
    fork = fork_of(wire, conversation_id)
    assert wire.stored(fork) == wire.stored(conversation_id)
    assert "is waiting for approval on a tool call" in wire.post(fork, user("hello?")).error["detail"]
    turn = wire.post(fork, answers(result(call, "3")), client_tools=CLIENT_TOOLS)
    assert turn.text == "The tools answered: 3"


def test_each_fork_is_answered_for_itself(wire: Wire, conversation_id: str) -> None:
    call = waiting(wire, conversation_id)
    first, second = fork_of(wire, conversation_id), fork_of(wire, conversation_id)
    before = wire.rows(conversation_id)
    assert wire.post(first, answers(result(call, "3"))).text == "The tools answered: 3"
    assert wire.post(second, answers(denial(call, "gone")), max_steps=1).stop_reasons == ["max_steps"]
    assert wire.rows(conversation_id) == before
    assert wire.post(conversation_id, answers(result(call, "4"))).text == "The tools answered: 4"


def test_an_answer_under_the_otid_of_the_sources_answer_replays_that_and_leaves_the_fork_waiting(
    wire: Wire, conversation_id: str
) -> None:
    call = waiting(wire, conversation_id)
    fork = fork_of(wire, conversation_id)
    answer = answers(result(call, "3"))
    first = wire.post(conversation_id, answer, background=True)
    assert wire.post(fork, answer, background=True).frames == first.frames
    assert wire.stored(fork)[-1]["message_type"] == "approval_request_message"


def test_a_fork_is_not_found_by_the_sources_summary_until_it_has_one_too(
    wire: Wire, agent_id: str, source_id: str
) -> None:
    marker = new_otid()
    wire.http.patch(f"/v1/conversations/{source_id}", json={"summary": marker}).raise_for_status()
    fork = fork_of(wire, source_id)

    def found() -> list[str]:
        return ids(wire.get("/v1/conversations/", agent_id=agent_id, summary_search=marker))

    assert found() == [source_id]
    wire.http.patch(f"/v1/conversations/{fork}", json={"summary": f"fork {marker}"}).raise_for_status()
    assert found() == [fork, source_id]
