"""What `ChatLetta` puts on the wire, and models that change their mind: on the double, whose inside can be seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from langchain_core.messages import BaseMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from letta_client import Letta

from langchain_letta import ChatLetta
from letta_adapters.errors import TurnFailed, TurnInterrupted
from letta_adapters.testing import FakeLetta
from letta_adapters.testing.script import Reply, reply_to
from tests.langchain.cutting import dying_client
from tests.langchain.readback import Reader, story_of
from tests.langchain.support import (
    CALL,
    IN_SEQUENCE,
    TOOLS,
    Ask,
    agent_of,
    asked,
    call_ids,
    conversation_of,
    each_way,
    fold,
    human,
    letta,
    new_gate,
    said,
)


@pytest.fixture
def fake() -> Iterator[FakeLetta]:
    with FakeLetta() as started:
        yield started


def new_agent(fake: FakeLetta) -> str:
    with Letta(base_url=fake.base_url, api_key="not needed") as client:
        return client.agents.create(name="tester", model="vllm/scripted", include_base_tools=False).id


@pytest.fixture
def agent_id(fake: FakeLetta) -> str:
    return new_agent(fake)


@pytest.fixture
def model(fake: FakeLetta, agent_id: str) -> ChatLetta:
    return ChatLetta(agent_id=agent_id, base_url=fake.base_url)


@pytest.fixture
def reader(fake: FakeLetta) -> Iterator[Reader]:
    with Reader(fake.base_url) as opened:
        yield opened


def turns(fake: FakeLetta) -> list[dict[str, Any]]:
    """The bodies of the turns that were sent."""
    return [
        request.body or {}
        for request in fake.requests
        if request.method == "POST" and request.path.endswith("/messages")
    ]


def fails_once(text: str = "") -> Any:
    """A model whose first call fails, after that much text."""
    calls: list[None] = []

    def play(messages: Sequence[Any]) -> Reply:
        calls.append(None)
        if len(calls) > 1:
            return reply_to(messages)
        return Reply(text=text, break_after=2) if text else Reply(fail=500)

    return play


@each_way
async def test_every_turn_is_streamed_in_the_background_by_tokens(ask: Ask, fake: FakeLetta, model: ChatLetta) -> None:
    await ask(model, "hello")
    (body,) = turns(fake)
    assert (body["streaming"], body["stream_tokens"], body["background"]) == (True, True, True)
    assert all(message["otid"] for message in body["messages"])


def test_only_the_tail_goes_out_in_one_request_each(fake: FakeLetta, model: ChatLetta) -> None:
    agent_of(model, system_prompt="You compute.").invoke(asked(IN_SEQUENCE))
    sent = [[message.get("role", message.get("type")) for message in body["messages"]] for body in turns(fake)]
    assert sent == [["system", "user"], ["approval"], ["approval"]]
    assert [len(body["client_tools"]) for body in turns(fake)] == [2, 2, 2]
    posts = [request.path for request in fake.requests if request.method == "POST"]
    assert posts.count("/v1/conversations/") == 1


def test_options_go_along_and_with_every_continuation(fake: FakeLetta, model: ChatLetta) -> None:
    options: dict[str, Any] = {"max_steps": 7, "override_model": "vllm/scripted", "override_system": "Be terse."}
    bound = model.bind_tools(TOOLS, **options)
    question = human(CALL)
    call = bound.invoke([question])
    bound.invoke([question, call, ToolMessage("3", tool_call_id=call_ids(call)[0])])
    assert [{name: body[name] for name in options} for body in turns(fake)] == [options, options]
    assert call.response_metadata["model_name"] == "vllm/scripted"


def test_the_model_sees_an_override_on_every_turn(fake: FakeLetta, agent_id: str) -> None:
    model = ChatLetta(agent_id=agent_id, base_url=fake.base_url, system_messages="override")
    transcript: list[BaseMessage] = [SystemMessage("Be brief.")]
    for text in ("one", "two"):
        transcript.append(human(text))
        transcript.append(model.invoke(transcript))
    assert [request.messages[0]["content"] for request in fake.model_requests] == ["Be brief.", "Be brief."]


@each_way
@pytest.mark.parametrize("text", ["", "one two three"], ids=["at once", "in mid-stream"])
async def test_a_turn_whose_first_step_failed_succeeds_on_its_retry_and_is_stored_once(
    ask: Ask, text: str, fake: FakeLetta, model: ChatLetta, reader: Reader
) -> None:
    dialogue: list[BaseMessage] = [human("one")]
    dialogue += [await ask(model, dialogue), human("two")]
    fake.model = fails_once(text)
    with pytest.raises(TurnFailed) as caught:
        await ask(model, dialogue)
    assert caught.value.accepted is False
    answer = await ask(model, dialogue)
    assert letta(answer)["run_id"] != caught.value.run_id
    assert reader.story(conversation_of(answer)) == said("one", "two")


def test_a_retry_of_a_stream_that_broke_begins_anew(fake: FakeLetta, model: ChatLetta, reader: Reader) -> None:
    first = model.invoke([human("one")])
    dialogue: list[BaseMessage] = [human("one"), first, human("two")]
    fake.model = fails_once("half an answer")
    seen: list[str] = []
    with pytest.raises(TurnFailed):
        for chunk in model.stream(dialogue):
            seen.append(str(chunk.content))
    assert "".join(seen) == "half an "
    assert fold(model.stream(dialogue)).content == "You said: two"
    assert reader.story(conversation_of(first))[2:] == said("two")


def test_a_failure_of_an_agents_step_is_made_good_by_running_it_again(
    fake: FakeLetta, model: ChatLetta, reader: Reader
) -> None:
    agent = agent_of(model, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "one"}}
    agent.invoke(asked("hello"), config)
    fake.model = fails_once()
    with pytest.raises(TurnFailed):
        agent.invoke(asked(IN_SEQUENCE), config)
    messages = agent.invoke(None, config)["messages"]
    assert messages[-1].text == "It is 3 and 12"
    assert reader.story(conversation_of(messages[-1])) == story_of(messages)


def test_a_turn_that_was_lost_on_one_server_is_not_looked_for_on_another(fake: FakeLetta, agent_id: str) -> None:
    gate = new_gate()
    text = f"[[hold {gate}]] [[say one two]]"
    with dying_client() as dying, pytest.raises(TurnInterrupted):
        ChatLetta(agent_id=agent_id, base_url=fake.base_url, max_retries=0, http_client=dying).invoke(text)
    fake.open_gate(gate)
    with FakeLetta() as second:
        second.open_gate(gate)
        assert ChatLetta(agent_id=new_agent(second), base_url=second.base_url).invoke(text).text == "one two"


def test_the_model_is_asked_once_for_each_turn(fake: FakeLetta, model: ChatLetta) -> None:
    question = human("one")
    model.invoke([question, model.invoke([question]), human("two")])
    assert len(fake.model_requests) == 2


def test_a_key_goes_out_as_a_bearer(fake: FakeLetta, agent_id: str) -> None:
    ChatLetta(agent_id=agent_id, base_url=fake.base_url, api_key="sk-test").invoke("hello")  # pyright: ignore[reportArgumentType]
    sent = [request.headers.get("authorization") for request in fake.requests if "/conversations" in request.path]
    assert sent == ["Bearer sk-test"] * 2
