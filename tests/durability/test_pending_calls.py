"""Calls that somebody else owns are nobody's to decide on: the error says exactly what waits and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from langchain_letta import ChatLetta
from letta_adapters import AsyncLettaClient, LettaClient
from letta_adapters.errors import LettaError, PendingApprovalError
from tests.conftest import Backend
from tests.contract.build import ADD, CLIENT_TOOLS, answers, consent, user
from tests.contract.wire import Json, Wire
from tests.durability.test_never_wedged import NEVER_MIND
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import CALL, TOOLS, TWO_CALLS, Ask, conversation_of, each_way, human

THEIRS: Json = {**ADD, "name": "theirs"}
THEIR_CALL = '[[call theirs {"a": 1, "b": 2}]]'
SERVER_TOOL = '''
def NAME(text: str) -> str:
    """Shout.

    Args:
        text: What to shout.
    """
    return text.upper()
'''


@pytest.fixture
def wire(backend: Backend) -> Iterator[Wire]:
    """The other client."""
    with Wire(backend.base_url) as opened:
        yield opened


@pytest.fixture
def pinned(backend: Backend, conversation_id: str) -> ChatLetta:
    """A model that is pinned to the conversation in which the other client asked."""
    return ChatLetta(conversation_id=conversation_id, base_url=backend.base_url)


@pytest.fixture
def guarded_tool(wire: Wire, agent_id: str) -> Iterator[str]:
    """A tool of the server's that may only run when a human agrees."""
    name = f"shout_{uuid4().hex[:8]}"
    source = {"source_code": SERVER_TOOL.replace("NAME", name)}
    tool_id = wire.http.post("/v1/tools/", json=source).raise_for_status().json()["id"]
    agent = f"/v1/agents/{agent_id}/tools"
    wire.http.patch(f"{agent}/attach/{tool_id}").raise_for_status()
    wire.http.patch(f"{agent}/approval/{name}", json={"requires_approval": True}).raise_for_status()
    yield name
    wire.http.delete(f"/v1/tools/{tool_id}")


def expect_a_useful_error(error: PendingApprovalError, *, conversation_id: str, call_id: str, name: str) -> None:
    """Everything that somebody needs to settle the call is there, in the fields and in the text."""
    (pending,) = error.pending
    assert (pending["tool_call_id"], pending["name"]) == (call_id, name)
    assert json.loads(pending["arguments"])
    assert error.conversation_id == conversation_id
    for needed in (call_id, name, conversation_id, pending["arguments"]):
        assert needed in str(error)
    assert error.accepted is False


@each_way
@pytest.mark.parametrize("policy", ["deny", "error"])
async def test_a_call_that_another_client_owns_is_left_to_it(
    ask: Ask, policy: str, pinned: ChatLetta, wire: Wire, conversation_id: str
) -> None:
    call = wire.post(conversation_id, user(THEIR_CALL), client_tools=[THEIRS]).call_id
    before = wire.rows(conversation_id)
    model = pinned.bind_tools(TOOLS, on_pending_approval=policy)
    with pytest.raises(PendingApprovalError) as caught:
        await ask(model, "hello")
    expect_a_useful_error(caught.value, conversation_id=conversation_id, call_id=call, name="theirs")
    assert "settle" in str(caught.value)
    assert wire.rows(conversation_id) == before


def test_the_owner_can_still_answer_after_somebody_else_was_refused(
    pinned: ChatLetta, wire: Wire, conversation_id: str
) -> None:
    call = wire.post(conversation_id, user(THEIR_CALL), client_tools=[THEIRS]).call_id
    with pytest.raises(PendingApprovalError):
        pinned.invoke("hello")
    result = {"type": "tool", "tool_call_id": call, "tool_return": "3", "status": "success"}
    assert wire.post(conversation_id, answers(result), client_tools=[THEIRS]).text == "The tools answered: 3"
    assert pinned.invoke(NEVER_MIND).text == "never mind"


@each_way
@pytest.mark.parametrize("case", ["a tool of ours", "any tool", "any tool, and the agent is known"])
async def test_a_pending_call_is_denied_in_the_same_request_as_the_new_message(
    ask: Ask, case: str, pinned: ChatLetta, wire: Wire, reader: Reader, agent_id: str, conversation_id: str
) -> None:
    call = CALL if case == "a tool of ours" else THEIR_CALL
    wire.post(conversation_id, user(call), client_tools=[*CLIENT_TOOLS, THEIRS])
    policy: dict[str, Any] = {} if case == "a tool of ours" else {"on_pending_approval": "deny_all"}
    known: dict[str, Any] = {"agent_id": agent_id} if "known" in case else {}
    model = pinned.bind_tools(TOOLS, **policy, **known)
    assert (await ask(model, [human(NEVER_MIND)])).text == "never mind"
    assert [kind for kind, _ in reader.story(conversation_id)] == ["user", "calls", "results", "user", "assistant"]
    (answer,) = reader.answers(conversation_id)
    assert (answer["type"], answer["approve"]) == ("approval", False)
    assert answer["reason"]


def test_of_two_calls_one_of_which_is_not_ours_none_is_answered(
    pinned: ChatLetta, wire: Wire, agent_id: str, conversation_id: str
) -> None:
    wire.patch_agent(agent_id, model_settings={"provider_type": "openai", "parallel_tool_calls": True})
    ids = wire.post(conversation_id, user(f"{CALL} {THEIR_CALL}"), client_tools=[*CLIENT_TOOLS, THEIRS]).call_ids
    before = wire.rows(conversation_id)
    with pytest.raises(PendingApprovalError) as caught:
        pinned.bind_tools(TOOLS).invoke("hello")
    assert [call["tool_call_id"] for call in caught.value.pending] == ids
    assert wire.rows(conversation_id) == before


def test_without_tools_no_call_is_ours(pinned: ChatLetta, wire: Wire, conversation_id: str) -> None:
    call = wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS).call_id
    with pytest.raises(PendingApprovalError) as caught:
        pinned.invoke("hello")
    expect_a_useful_error(caught.value, conversation_id=conversation_id, call_id=call, name="add")


def test_the_default_conversation_is_no_exception(backend: Backend, wire: Wire, agent_id: str, reader: Reader) -> None:
    wire.post("default", user(CALL), client_tools=CLIENT_TOOLS, agent_id=agent_id)
    model = ChatLetta(agent_id=agent_id, conversation_id="default", base_url=backend.base_url)
    with pytest.raises(PendingApprovalError):
        model.invoke("hello")
    assert model.bind_tools(TOOLS).invoke(NEVER_MIND).text == "never mind"
    kinds = [row["message_type"] for row in reader.rows("default", agent_id=agent_id)]
    assert kinds.count("approval_response_message") == 1


@pytest.mark.parametrize("policy", ["deny", "deny_all", "error"])
def test_what_a_human_is_to_decide_is_never_decided_here(
    policy: str, pinned: ChatLetta, wire: Wire, conversation_id: str, guarded_tool: str
) -> None:
    call = wire.post(conversation_id, user(f'[[call {guarded_tool} {{"text": "hi"}}]]')).call_id
    before = wire.rows(conversation_id)
    with pytest.raises(PendingApprovalError) as caught:
        pinned.bind_tools(TOOLS, on_pending_approval=policy).invoke("hello")
    expect_a_useful_error(caught.value, conversation_id=conversation_id, call_id=call, name=guarded_tool)
    assert wire.rows(conversation_id) == before
    wire.post(conversation_id, answers(consent(call)))  # the human agrees
    assert pinned.invoke(NEVER_MIND).text == "never mind"


def test_a_call_of_somebody_else_in_a_followed_conversation_is_left_to_them_and_the_transcript_goes_on_in_a_fork(
    backend: Backend, agent_id: str, wire: Wire, reader: Reader
) -> None:
    model = ChatLetta(agent_id=agent_id, base_url=backend.base_url)
    messages: list[Any] = [human("[[say hello there]]")]
    messages.append(model.invoke(messages))
    theirs = conversation_of(messages[-1])
    call = wire.post(theirs, user(THEIR_CALL), client_tools=[THEIRS]).call_id
    messages.append(human("and now?"))
    messages.append(model.invoke(messages))
    assert reader.story(conversation_of(messages[-1])) == story_of(messages)
    assert reader.rows(theirs)[-1]["tool_calls"][0]["tool_call_id"] == call


# `settle`: an answer to calls that nobody will answer, without a word of the model.


def model_calls(wire: Wire, conversation_id: str) -> int:
    """How often the model was called, by the tokens that its scripted answers report."""
    runs = wire.runs(conversation_id)
    return sum(wire.get(f"/v1/runs/{run['id']}/usage")["prompt_tokens"] for run in runs) // 100


async def settle(way: str, backend: Backend, conversation_id: str, **options: Any) -> None:
    if way == "blocking":
        with LettaClient(base_url=backend.base_url) as client:
            client.conversations.settle(conversation_id, **options)
    else:
        async with AsyncLettaClient(base_url=backend.base_url) as client:
            await client.conversations.settle(conversation_id, **options)


both_clients = pytest.mark.parametrize("way", ["blocking", "async"])


@both_clients
@pytest.mark.parametrize("text", [CALL, TWO_CALLS], ids=["one call", "two calls"])
async def test_settling_denies_every_call_and_does_not_call_the_model(
    way: str, text: str, backend: Backend, wire: Wire, agent_id: str, conversation_id: str, reader: Reader
) -> None:
    wire.patch_agent(agent_id, model_settings={"provider_type": "openai", "parallel_tool_calls": True})
    calls = wire.post(conversation_id, user(text), client_tools=CLIENT_TOOLS, background=True).call_ids
    before = model_calls(wire, conversation_id)
    assert before == 1
    await settle(way, backend, conversation_id)
    assert model_calls(wire, conversation_id) == before
    assert [(part["tool_call_id"], part["approve"]) for part in reader.answers(conversation_id)] == [
        (call, False) for call in calls
    ]
    assert [kind for kind, _ in reader.story(conversation_id)] == ["user", "calls", "results"]
    turn = wire.post(conversation_id, user("[[recall]] next"))
    tools = ["tool"] * len(calls)
    assert [line.partition(":")[0] for line in turn.text.splitlines()] == ["user", "assistant", *tools, "user"]


@both_clients
async def test_settling_where_nothing_waits_stores_nothing(
    way: str, backend: Backend, wire: Wire, conversation_id: str
) -> None:
    wire.post(conversation_id, user("[[say hello]]"))
    before = wire.rows(conversation_id)
    await settle(way, backend, conversation_id)
    assert wire.rows(conversation_id) == before


async def test_settling_twice_is_settling_once(
    backend: Backend, wire: Wire, conversation_id: str, reader: Reader
) -> None:
    wire.post(conversation_id, user(CALL), client_tools=CLIENT_TOOLS)
    for _ in range(2):
        await settle("blocking", backend, conversation_id)
    assert [kind for kind, _ in reader.story(conversation_id)] == ["user", "calls", "results"]


def test_the_remedy_of_the_error_cures_it(
    backend: Backend, pinned: ChatLetta, wire: Wire, conversation_id: str
) -> None:
    wire.post(conversation_id, user(THEIR_CALL), client_tools=[THEIRS])
    with pytest.raises(LettaError, match="settle"):
        pinned.invoke("hello")
    with LettaClient(base_url=backend.base_url) as client:
        client.conversations.settle(conversation_id)
    assert pinned.invoke(NEVER_MIND).text == "never mind"
