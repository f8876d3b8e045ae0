"""LangChain and LlamaIndex on Letta Cloud: answers, streams, cuts, edits, tools, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from langchain_core.exceptions import ModelRateLimitError
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import BaseTool, tool
from pydantic import SecretStr

from langchain_letta import ChatLetta, LettaChatMessageHistory
from letta_adapters import errors
from letta_adapters.testing import FakeLetta
from letta_adapters.testing.cloud import over_quota, shutting_down
from llama_index_letta import LettaChatEngine
from tests.contract.wire import Json, Wire
from tests.faults.proxy import Cut, End, FaultProxy, Lane, Where
from tests.langchain.test_compaction import SMALL
from tests.llama_index.support import metadata_of

LONG = "[[say one two three four five six]]"
CUTS = [
    pytest.param(Cut(end=End.RESET, at=Where.ANSWERED), id="before the answer"),
    pytest.param(Cut(end=End.RESET, at=700), id="in mid-answer"),
    pytest.param(Cut(end=End.CLEAN, at=700), id="politely, in mid-answer"),
]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


TOOLS: list[BaseTool] = [add]


@pytest.fixture
def model(cloud: FakeLetta, key: SecretStr, agent_id: str) -> ChatLetta:
    return ChatLetta(agent_id=agent_id, base_url=cloud.base_url, api_key=key)


@pytest.fixture
def engine(cloud: FakeLetta, agent_id: str) -> Iterator[LettaChatEngine]:
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    with LettaChatEngine.from_defaults(
        agent_id=agent_id, base_url=cloud.base_url, api_key=cloud.api_key, tools=[add]
    ) as opened:
        yield opened


@pytest.fixture
def lane(cloud: FakeLetta) -> Iterator[Lane]:
    """A way to the server that cuts connections."""
    with FaultProxy(cloud.base_url) as proxy:
        yield proxy.lane()


def place(answer: AIMessage) -> str:
    return str(answer.response_metadata["letta"]["conversation_id"])


def said(witness: Wire, conversation_id: str) -> list[str]:
    """What was said, by the user and by the agent."""
    spoken = ("user_message", "assistant_message")
    return [row["content"] for row in witness.stored(conversation_id) if row["message_type"] in spoken]


def forks(fake: FakeLetta) -> list[str]:
    """The queries of all forks."""
    return [request.query for request in fake.requests if request.path.endswith("/fork")]


def test_a_chain_answers(model: ChatLetta) -> None:
    chain = ChatPromptTemplate.from_messages([("user", "[[say {word}]]")]) | model | StrOutputParser()
    assert chain.invoke({"word": "hello"}) == "hello"


async def test_a_streamed_turn_is_the_whole_answer_and_stored_once(model: ChatLetta, witness: Wire) -> None:
    chunks = [chunk async for chunk in model.astream(LONG)]
    assert "".join(str(chunk.text) for chunk in chunks) == "one two three four five six"
    whole = sum(chunks[1:], chunks[0])
    assert said(witness, place(whole)) == [LONG, "one two three four five six"]


@pytest.mark.parametrize("cut", CUTS)
def test_a_turn_that_is_cut_goes_on_where_it_was(
    key: SecretStr, lane: Lane, witness: Wire, agent_id: str, cut: Cut
) -> None:
    lane.cut(cut)
    answer = ChatLetta(agent_id=agent_id, base_url=lane.base_url, api_key=key).invoke(LONG)
    assert answer.text == "one two three four five six"
    assert said(witness, place(answer)) == [LONG, "one two three four five six"]


def test_an_edited_transcript_goes_on_in_a_fork_that_begins_in_the_middle(
    cloud: FakeLetta, model: ChatLetta, witness: Wire
) -> None:
    messages: list[AnyMessage] = [HumanMessage("[[say one]]", id="m1")]
    messages.append(model.invoke(messages))
    kept = list(messages)
    messages.append(HumanMessage("[[say two]]", id="m2"))
    second = model.invoke(messages)
    edited = model.invoke([*kept, HumanMessage("[[recall]] again", id="m2")])
    assert edited.text.splitlines() == ["user: ", "assistant: one", "user: again"]
    assert place(edited) != place(second) == place(_answer(kept))
    (query,) = forks(cloud)
    assert f"message_id={_answer(kept).response_metadata['letta']['message_id']}" in query
    *_, body = (request.body for request in cloud.requests if request.path.endswith("/messages") and request.body)
    assert [message["content"] for message in body["messages"]] == ["[[recall]] again"]
    assert said(witness, place(second)) == ["[[say one]]", "one", "[[say two]]", "two"]


def _answer(messages: list[AnyMessage]) -> AIMessage:
    answer = messages[-1]
    assert isinstance(answer, AIMessage)
    return answer


def test_a_tool_is_called_and_its_result_sent_once(model: ChatLetta, witness: Wire) -> None:
    bound = model.bind_tools(TOOLS)
    messages: list[AnyMessage] = [HumanMessage('[[call add {"a": 1, "b": 2}]]', id="m1")]
    messages.append(bound.invoke(messages))
    (call,) = _answer(messages).tool_calls
    messages.append(ToolMessage("3", tool_call_id=str(call["id"]), id="m2"))
    answer = bound.invoke(messages)
    assert answer.text == "The tools answered: 3"
    types = [row["message_type"] for row in witness.stored(place(answer))]
    assert types.count("approval_response_message") == types.count("tool_return_message") == 1


@pytest.mark.parametrize("streams", [False, True])
def test_what_is_over_quota_is_asked_for_once_and_is_no_case_for_another_try(
    cloud: FakeLetta, model: ChatLetta, streams: bool
) -> None:
    cloud.refuse(over_quota("standard-usage-exceeded"))
    with pytest.raises(ModelRateLimitError) as caught:
        list(model.stream("hello")) if streams else model.invoke("hello")
    assert isinstance(caught.value, errors.QuotaExceeded)
    assert caught.value.is_retryable is False
    assert sum(request.path.endswith("/messages") and request.method == "POST" for request in cloud.requests) == 1


def test_a_deployment_is_waited_for(cloud: FakeLetta, model: ChatLetta, witness: Wire) -> None:
    cloud.refuse(shutting_down(retry_after=0), times=2)
    answer = model.invoke("[[say hello]]")
    assert said(witness, place(answer)) == ["[[say hello]]", "hello"]


def test_a_history_lists_a_summary_as_what_it_is(
    cloud: FakeLetta, witness: Wire, agent_id: str, conversation_id: str
) -> None:
    history = LettaChatMessageHistory(
        conversation_id=conversation_id, agent_id=agent_id, base_url=cloud.base_url, api_key=cloud.api_key
    )
    for word in ("one", "two", "three", "four"):
        witness.post(conversation_id, {"role": "user", "content": word})
    witness.http.post(f"/v1/conversations/{conversation_id}/compact", json={}).raise_for_status()
    texts = [str(message.text) for message in history.messages]
    assert [word for word in texts if word in ("one", "two", "three", "four")] == ["one", "two", "three", "four"]
    assert not any("system_alert" in text for text in texts)


@pytest.fixture
def crowded_id(witness: Wire) -> str:
    """An agent whose context is full after every answer."""
    fields: Json = {"name": "crowded", "system": "Be kind.", "memory_blocks": [], "context_window_limit": SMALL}
    return str(witness.http.post("/v1/agents/", json=fields).raise_for_status().json()["id"])


def test_a_compaction_during_a_turn_is_in_the_answer_and_what_others_said_behind_it_is_seen(
    cloud: FakeLetta, key: SecretStr, witness: Wire, crowded_id: str
) -> None:
    model = ChatLetta(agent_id=crowded_id, base_url=cloud.base_url, api_key=key)
    messages: list[AnyMessage] = [HumanMessage("[[say one]]", id="m1")]
    messages.append(model.invoke(messages))
    (compaction,) = _answer(messages).response_metadata["letta"]["compactions"]
    assert "one" in compaction["summary"]
    conversation_id = place(_answer(messages))
    assert compaction["message_id"] in [row["id"] for row in witness.stored(conversation_id)]
    witness.post(conversation_id, {"role": "user", "content": "[[say meanwhile]]"})
    answer = model.invoke([*messages, HumanMessage("[[say two]]", id="m2")])
    assert place(answer) != conversation_id
    assert "[[say two]]" not in said(witness, conversation_id)


@pytest.mark.parametrize("options", [{"background": False}, {"max_retries": 0}], ids=["foreground", "no retries"])
def test_a_turn_that_is_read_back_behind_a_compaction_is_whole(
    cloud: FakeLetta, key: SecretStr, crowded_id: str, options: Json
) -> None:
    model = ChatLetta(agent_id=crowded_id, base_url=cloud.base_url, api_key=key, **options)
    cloud.cut_streams(4)
    answer = model.invoke("[[say one]]")
    assert answer.text == "one"
    assert len(answer.response_metadata["letta"]["compactions"]) == 1


def test_a_compaction_during_a_turn_of_an_engine_is_in_its_response(cloud: FakeLetta, crowded_id: str) -> None:
    with LettaChatEngine.from_defaults(agent_id=crowded_id, base_url=cloud.base_url, api_key=cloud.api_key) as engine:
        response = engine.chat("[[say one]]")
    (compaction,) = metadata_of(response)["compactions"]
    assert "one" in compaction["summary"]


def test_an_engine_answers_streams_and_runs_its_tools(engine: LettaChatEngine, witness: Wire) -> None:
    assert str(engine.chat("[[say hello]]")) == "hello"
    assert "".join(engine.stream_chat(LONG).response_gen) == "one two three four five six"
    assert str(engine.chat('[[call add {"a": 1, "b": 2}]]')) == "The tools answered: 3"
    assert [str(message.content) for message in engine.chat_history][-1] == "The tools answered: 3"
    assert engine.conversation_id is not None
    assert said(witness, engine.conversation_id).count("[[say hello]]") == 1


@pytest.mark.parametrize("cut", CUTS)
def test_an_engines_turn_that_is_cut_goes_on_where_it_was(
    cloud: FakeLetta, lane: Lane, witness: Wire, agent_id: str, cut: Cut
) -> None:
    with LettaChatEngine.from_defaults(agent_id=agent_id, base_url=lane.base_url, api_key=cloud.api_key) as engine:
        lane.cut(cut)
        assert "".join(engine.stream_chat(LONG).response_gen) == "one two three four five six"
        assert engine.conversation_id is not None
        assert said(witness, engine.conversation_id) == [LONG, "one two three four five six"]


def test_an_engine_over_quota_says_so_and_goes_on_later(cloud: FakeLetta, engine: LettaChatEngine) -> None:
    cloud.refuse(over_quota(resets_in=60.0))
    with pytest.raises(errors.QuotaExceeded) as caught:
        engine.chat("[[say hello]]")
    assert caught.value.resets_in == 60.0
    assert str(engine.chat("[[say hello]]")) == "hello"
    assert json.dumps([request.body for request in cloud.requests]).count("[[say hello]]") == 2
