"""Tools that the server runs once a person agrees: asked for as content, answered with `approval_result`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

import pytest
from langchain.agents import middleware
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    ToolMessage,
    messages_from_dict,
    messages_to_dict,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.message import REMOVE_ALL_MESSAGES  # pyright: ignore[reportMissingTypeStubs]
from langgraph.runtime import Runtime
from langgraph.types import Command, interrupt
from typing_extensions import override

from langchain_letta import ChatLetta, LettaMiddleware, approval_requests, approval_result
from letta_adapters.errors import PendingApprovalError
from tests.conftest import Backend
from tests.contract.build import answers, consent
from tests.contract.guarded import guarded_tool
from tests.contract.wire import Wire
from tests.langchain.readback import Reader
from tests.langchain.support import (
    CALL,
    TOOLS,
    Ask,
    Model,
    agent_of,
    asked,
    blocking_and_async,
    by_stream,
    call_ids,
    config_in_tasks,
    conversation_of,
    each_way,
    human,
    new_gate,
)
from tests.langchain.traps.support import thread, users


@pytest.fixture
def wire(backend: Backend) -> Iterator[Wire]:
    with Wire(backend.base_url) as opened:
        yield opened


@pytest.fixture
def guarded(wire: Wire, agent_id: str) -> Iterator[str]:
    """The name of a tool of the agent's that waits for a person."""
    with guarded_tool(wire, agent_id) as name:
        yield name


def shout(name: str, then: str = "[[next]] [[say loud]]") -> str:
    return f'[[say let me]] [[call {name} {{"text": "hi"}}]] {then}'


def decisions(reader: Reader, message: BaseMessage) -> list[tuple[str, Any, Any]]:
    """What was decided in the conversation of an answer, call by call."""
    given = reader.answers(conversation_of(message))
    return [(one["type"], one.get("approve", one.get("status")), one.get("reason")) for one in given]


async def by_protocol(model: Model, messages: Any) -> AIMessage:
    return cast("Any", model).stream_events(messages, version="v3").output


@pytest.mark.parametrize("version", ["v0", "v1"])
@each_way
async def test_a_call_that_waits_for_a_person_is_content_and_no_call_of_a_tool(
    ask: Ask, version: str, backend: Backend, agent_id: str, guarded: str
) -> None:
    model = ChatLetta(agent_id=agent_id, base_url=backend.base_url, output_version=version).bind_tools(TOOLS)
    answer = await ask(model, shout(guarded))
    assert (answer.tool_calls, answer.invalid_tool_calls, answer.text) == ([], [], "let me")
    (request,) = approval_requests(answer)
    assert (request["name"], request["args"]) == (guarded, {"text": "hi"})
    (pending,) = answer.response_metadata["letta"]["pending"]
    assert pending == {"tool_call_id": request["tool_call_id"], "name": guarded}
    assert answer.response_metadata["finish_reason"] == "requires_approval"


async def test_so_it_is_in_protocol_events(model: ChatLetta, guarded: str) -> None:
    answer = await by_protocol(model, shout(guarded))
    assert answer.tool_calls == []
    assert [request["name"] for request in approval_requests(answer)] == [guarded]


@pytest.mark.parametrize("ask", [by_stream, by_protocol], ids=["stream", "v3"])
@pytest.mark.usefixtures("parallel_calls")
async def test_of_two_calls_each_is_what_it_is(ask: Ask, model: ChatLetta, guarded: str) -> None:
    answer = await ask(model.bind_tools(TOOLS), f"{shout(guarded, '')} {CALL}")
    assert [call["name"] for call in answer.tool_calls] == ["add"]
    assert [request["name"] for request in approval_requests(answer)] == [guarded]
    assert answer.response_metadata["finish_reason"] == "tool_calls"


def decided(messages: list[BaseMessage], *, approve: bool, reason: str | None = None) -> list[BaseMessage]:
    """The transcript with a decision on every call that waits for one."""
    requests = approval_requests(messages[-1])
    return [*messages, *(approval_result(request["tool_call_id"], approve, reason) for request in requests)]


@blocking_and_async
async def test_an_approved_call_is_run_by_the_server_and_its_result_is_told(
    ask: Ask, model: ChatLetta, reader: Reader, guarded: str
) -> None:
    messages: list[BaseMessage] = [human(shout(guarded))]
    messages.append(await ask(model, messages))
    answer = await ask(model, decided(messages, approve=True))
    result, said = answer.content_blocks
    assert (said["type"], answer.text) == ("text", "loud")
    assert result["type"] == "server_tool_result"
    assert (result["tool_call_id"], result.get("output")) == (approval_requests(messages[1])[0]["tool_call_id"], "HI")
    assert decisions(reader, answer) == [("approval", True, None)]
    assert users(reader, conversation_of(answer)) == [shout(guarded)]


@blocking_and_async
async def test_a_denied_call_is_not_run_and_the_agent_is_told_why(
    ask: Ask, model: ChatLetta, reader: Reader, guarded: str
) -> None:
    messages: list[BaseMessage] = [human(shout(guarded, "[[next]] [[recall]]"))]
    messages.append(await ask(model, messages))
    answer = await ask(model, decided(messages, approve=False, reason="too loud"))
    assert answer.text.splitlines()[-1].endswith("request to call tool denied. User reason: too loud")
    assert decisions(reader, answer) == [("approval", False, "too loud")]


def test_a_decision_that_is_sent_again_is_made_once(model: ChatLetta, reader: Reader, guarded: str) -> None:
    messages: list[BaseMessage] = [human(shout(guarded))]
    messages.append(model.invoke(messages))
    transcript = decided(messages, approve=True)
    first, again = model.invoke(transcript), model.invoke(transcript)
    assert first.id == again.id
    assert len(decisions(reader, first)) == 1


def test_requests_and_decisions_survive_json(model: ChatLetta, reader: Reader, guarded: str) -> None:
    messages: list[BaseMessage] = [human(shout(guarded))]
    messages.append(model.invoke(messages))
    stored = messages_from_dict(json.loads(json.dumps(messages_to_dict(messages))))
    transcript = messages_from_dict(json.loads(json.dumps(messages_to_dict(decided(stored, approve=True)))))
    assert decisions(reader, model.invoke(transcript)) == [("approval", True, None)]


def test_a_pinned_model_takes_the_decision_alone(pinned: ChatLetta, reader: Reader, guarded: str) -> None:
    (request,) = approval_requests(pinned.invoke(shout(guarded)))
    answer = pinned.invoke([approval_result(request["tool_call_id"], True)])
    assert answer.text == "loud"
    assert decisions(reader, answer) == [("approval", True, None)]


def test_a_result_that_the_program_gives_stands_for_the_run(model: ChatLetta, reader: Reader, guarded: str) -> None:
    messages: list[BaseMessage] = [human(shout(guarded, "[[next]] [[recall]]"))]
    messages.append(model.invoke(messages))
    call_id = approval_requests(messages[1])[0]["tool_call_id"]
    answer = model.invoke([*messages, ToolMessage("done by hand", tool_call_id=call_id)])
    assert answer.text.splitlines()[-1] == "tool: done by hand"


# Without a decision.


@blocking_and_async
async def test_a_new_message_decides_nothing(ask: Ask, model: ChatLetta, reader: Reader, guarded: str) -> None:
    messages: list[BaseMessage] = [human(shout(guarded))]
    messages.append(await ask(model, messages))
    messages.append(human("[[say as you like]] never mind"))
    with pytest.raises(PendingApprovalError) as raised:
        await ask(model, messages)
    (waiting,) = raised.value.pending
    assert (waiting["name"], waiting["arguments"]) == (guarded, '{"text": "hi"}')
    assert raised.value.accepted is False
    assert decisions(reader, messages[1]) == []
    denied = approval_result(waiting["tool_call_id"], False, "never mind")
    answer = await ask(model, [*messages, denied])
    assert answer.text == "as you like"
    assert decisions(reader, answer) == [("approval", False, "never mind")]
    assert conversation_of(answer) == conversation_of(messages[1])


@pytest.mark.usefixtures("parallel_calls")
def test_a_result_of_another_call_decides_nothing(model: ChatLetta, reader: Reader, guarded: str) -> None:
    bound = model.bind_tools(TOOLS)
    messages: list[BaseMessage] = [human(f"{CALL} {shout(guarded)}")]
    messages.append(bound.invoke(messages))
    messages.append(ToolMessage("3", tool_call_id=call_ids(messages[1])[0], id="t1"))
    with pytest.raises(PendingApprovalError) as raised:
        bound.invoke(messages)
    assert guarded in [call["name"] for call in raised.value.pending]
    assert decisions(reader, messages[1]) == []
    requests = approval_requests(messages[1])
    answer = bound.invoke([*messages, approval_result(requests[0]["tool_call_id"], True)])
    assert sorted(kind for kind, *_ in decisions(reader, answer)) == ["approval", "tool"]
    assert answer.text == "loud"


def test_a_decision_that_somebody_made_elsewhere_counts(pinned: ChatLetta, wire: Wire, guarded: str) -> None:
    messages: list[BaseMessage] = [human(shout(guarded))]
    messages.append(pinned.invoke(messages))
    conversation, call_id = conversation_of(messages[1]), approval_requests(messages[1])[0]["tool_call_id"]
    wire.post(conversation, answers(consent(call_id)))
    assert pinned.invoke([*messages, human("[[say go on]]")]).text == "go on"
    assert [kind for kind, _ in wire.story(conversation)].count("tool_return_message") == 1


def test_a_tool_of_the_program_cannot_be_approved(model: ChatLetta, reader: Reader) -> None:
    bound = model.bind_tools(TOOLS)
    messages: list[BaseMessage] = [human(CALL)]
    messages.append(bound.invoke(messages))
    (call_id,) = call_ids(messages[1])
    with pytest.raises(ValueError, match="'add', which this program runs"):
        bound.invoke([*messages, approval_result(call_id, True)])
    assert decisions(reader, messages[1]) == []
    answer = bound.invoke([*messages, approval_result(call_id, False, "not now")])
    assert decisions(reader, answer) == [("approval", False, "not now")]


# In an agent.


def test_an_agent_stops_at_the_request_and_goes_on_with_the_decision(
    model: ChatLetta, reader: Reader, agent_id: str, guarded: str
) -> None:
    agent, config = agent_of(model, checkpointer=InMemorySaver()), thread()
    messages = agent.invoke(asked(shout(guarded)), config)["messages"]
    (request,) = approval_requests(messages[-1])
    given = {"messages": [approval_result(request["tool_call_id"], True)]}
    messages = agent.invoke(given, config)["messages"]
    assert messages[-1].text == "loud"
    assert decisions(reader, messages[-1]) == [("approval", True, None)]
    assert reader.conversations(agent_id) == [conversation_of(messages[-1])]


class AskAPerson(middleware.AgentMiddleware[Any, Any, Any]):
    """Stops the agent for a decision on the calls that the server waits with."""

    @middleware.hook_config(can_jump_to=["model"])
    @override
    def after_model(self, state: Any, runtime: Runtime[Any]) -> dict[str, Any] | None:
        answer = next(message for message in reversed(state["messages"]) if isinstance(message, AIMessage))
        requests = approval_requests(answer)
        if not requests:
            return None
        verdicts = interrupt(requests)
        told = [approval_result(request["tool_call_id"], verdicts) for request in requests]
        return {"messages": told} if answer.tool_calls else {"messages": told, "jump_to": "model"}


@pytest.mark.parametrize(("approve", "said"), [(True, "HI"), (False, "Error: request to call tool denied")])
def test_an_interrupt_asks_and_the_agent_goes_on(
    approve: bool, said: str, model: ChatLetta, reader: Reader, guarded: str
) -> None:
    agent, config = agent_of(model, middleware=[AskAPerson()], checkpointer=InMemorySaver()), thread()
    agent.invoke(asked(shout(guarded, "[[next]] [[recall]]")), config)
    (waiting,) = agent.get_state(config).interrupts
    assert [request["name"] for request in waiting.value] == [guarded]
    messages = agent.invoke(Command(resume=approve), config)["messages"]
    assert said in messages[-1].text.splitlines()[-1]
    assert decisions(reader, messages[-1]) == [("approval", approve, None)]


@config_in_tasks
@pytest.mark.usefixtures("parallel_calls")
async def test_tools_of_the_program_run_meanwhile_and_all_is_answered_together(
    model: ChatLetta, reader: Reader, guarded: str
) -> None:
    review = middleware.HumanInTheLoopMiddleware(interrupt_on={"add": True})
    agent, config = agent_of(model, middleware=[review, AskAPerson()], checkpointer=InMemorySaver()), thread()
    await agent.ainvoke(asked(f"{CALL} {shout(guarded)}"), config)
    await agent.ainvoke(Command(resume=True), config)  # the server's call first
    messages = (await agent.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), config))["messages"]
    assert messages[-1].text == "loud"
    assert sorted(kind for kind, *_ in decisions(reader, messages[-1])) == ["approval", "tool"]


def test_an_answer_without_calls_asks_for_nothing() -> None:
    assert approval_requests(AIMessage("hello")) == []
    assert approval_requests(AIMessage([{"type": "server_tool_call", "id": "c", "name": "n", "args": {}}])) == []
    assert approval_requests(HumanMessage("hello")) == []


def test_a_call_that_waits_for_a_person_is_nobody_elses_to_deny_when_its_message_was_removed(
    model: ChatLetta, guarded: str, reader: Reader
) -> None:
    agent = agent_of(model, middleware=[LettaMiddleware(model)], checkpointer=InMemorySaver())
    config = thread()
    first = agent.invoke(asked(f"[[call {guarded} {{}}]]"), config)["messages"]
    agent.update_state(config, {"messages": [RemoveMessage(id=REMOVE_ALL_MESSAGES)]})
    with pytest.raises(PendingApprovalError):
        agent.invoke(asked("well?"), config)
    (request,) = approval_requests(first[-1])
    decided = approval_result(request["tool_call_id"], False, "Not today.")
    messages = agent.invoke({"messages": [decided]}, config)["messages"]
    (answer,) = reader.answers(conversation_of(messages[-1]))
    assert (answer["approve"], answer["reason"]) == (False, "Not today.")


# An answer of which a part was kept, and whose end asks for a decision.


@pytest.fixture
def part_before_a_call(model: ChatLetta, backend: Backend, guarded: str) -> list[BaseMessage]:
    """A question and the first word of its answer; the call came after it."""
    gate = new_gate()
    question = human(f"[[hold {gate} 1]] {shout(guarded)}")
    with closing(cast("Any", model.stream([question]))) as chunks:
        part = next(chunks)
    backend.open_gate(gate)
    return [question, part]


@blocking_and_async
async def test_a_call_that_came_after_the_part_that_was_kept_is_nobody_elses_to_deny(
    ask: Ask, model: ChatLetta, reader: Reader, guarded: str, agent_id: str, part_before_a_call: list[BaseMessage]
) -> None:
    bound = model.bind_tools(TOOLS, on_pending_approval="deny_all")
    with pytest.raises(PendingApprovalError) as caught:
        await ask(bound, [*part_before_a_call, human("and now?")])
    (pending,) = caught.value.pending
    assert (pending["name"], json.loads(pending["arguments"])) == (guarded, {"text": "hi"})
    (conversation,) = reader.conversations(agent_id)
    assert reader.answers(conversation) == []
    answer = await ask(bound, [*part_before_a_call, approval_result(pending["tool_call_id"], True)])
    assert (answer.text, decisions(reader, answer)) == ("loud", [("approval", True, None)])
    assert conversation_of(answer) == conversation


@blocking_and_async
async def test_a_call_of_ours_that_came_after_the_part_that_was_kept_is_denied_with_the_next_message(
    ask: Ask, model: ChatLetta, backend: Backend, reader: Reader, agent_id: str
) -> None:
    gate, bound = new_gate(), model.bind_tools(TOOLS)
    question = human(f"[[hold {gate} 1]] [[say let me]] {CALL}")
    with closing(cast("Any", bound.stream([question]))) as chunks:
        part = next(chunks)
    backend.open_gate(gate)
    answer = await ask(bound, [question, part, human("[[say never mind]]")])
    assert answer.text == "never mind"
    assert [(kind, approved) for kind, approved, _ in decisions(reader, answer)] == [("approval", False)]
    assert reader.conversations(agent_id) == [conversation_of(answer)]
