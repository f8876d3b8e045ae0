"""`stream_events(version="v3")`: the turn as LangChain's protocol tells it, under the id that the server gave it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_letta import ChatLetta
from langchain_letta.protocol_events import ProtocolEvents, error_event
from letta_adapters.errors import TurnFailed
from letta_adapters.events import (
    AnswerStarted,
    Notice,
    PendingCall,
    Reasoning,
    ReasoningDelta,
    ServerToolCall,
    ServerToolResult,
    Text,
    TextDelta,
    TurnEvent,
)
from letta_adapters.wire import Unknown
from tests.langchain.support import CALL, agent_of, human
from tests.langchain.test_events import STARTED, USAGE, begun, delivered

THINK_AND_CALL = f"[[think hm hm]] [[say let me see]] {CALL} [[next]] [[say it is 3]]"

Event = dict[str, Any]


def events_of(*events: TurnEvent, parts: list[Any], **fields: Any) -> list[Event]:
    """What a turn is told as; `fields` are those of the finished turn."""
    told = ProtocolEvents(begun, model_name="letta/agent-1", bound=frozenset({"add"}))
    end = delivered(parts, **{"answer_id": "message-1", **fields})
    return cast("list[Event]", [one for event in (STARTED, *events, end) for one in told.from_event(event)])


def start(index: int, /, **content: Any) -> Event:
    return {"event": "content-block-start", "index": index, "content": content}


def delta(index: int, /, **delta: Any) -> Event:
    return {"event": "content-block-delta", "index": index, "delta": delta}


def finish(index: int, /, **content: Any) -> Event:
    return {"event": "content-block-finish", "index": index, "content": content}


ANSWER = AnswerStarted(message_id="message-1")
MESSAGE_START: Event = {
    "event": "message-start",
    "role": "ai",
    "id": "message-1",
    "metadata": {
        "provider": "letta",
        "model": "letta/agent-1",
        "letta_run_id": "run-1",
        "letta_conversation_id": "conv-1",
    },
}


def test_a_block_begins_grows_and_ends_before_the_next_one() -> None:
    first, *told, _ = events_of(
        ANSWER,
        ReasoningDelta(index=0, text="hm "),
        ReasoningDelta(index=0, text="so", signature="s1"),
        TextDelta(index=1, text="let "),
        TextDelta(index=1, text="me"),
        parts=[Reasoning(index=0, text="hm so", signature="s1"), Text(index=1, text="let me")],
    )
    assert first == MESSAGE_START
    assert told == [
        start(0, type="reasoning", reasoning=""),
        delta(0, type="reasoning-delta", reasoning="hm "),
        delta(0, type="reasoning-delta", reasoning="so"),
        finish(0, type="reasoning", reasoning="hm so", extras={"signature": "s1"}, index=0),
        start(1, type="text", text=""),
        delta(1, type="text-delta", text="let "),
        delta(1, type="text-delta", text="me"),
        finish(1, type="text", text="let me", index=1),
    ]


def test_calls_of_the_server_and_their_results_are_blocks_of_their_own() -> None:
    call = ServerToolCall(index=0, tool_call_id="call_s", name="search", arguments='{"q": "tea"}')
    result = ServerToolResult(index=1, tool_call_id="call_s", content="green", status="success")
    _, *told, _ = events_of(ANSWER, call, result, parts=[call, result])
    assert told == [
        start(0, type="server_tool_call", id="call_s", name="search", args={}),
        finish(0, type="server_tool_call", id="call_s", name="search", args={"q": "tea"}, index=0),
        start(1, type="server_tool_result", tool_call_id="call_s", status="success"),
        finish(1, type="server_tool_result", tool_call_id="call_s", status="success", output="green", index=1),
    ]


def test_a_call_of_a_tool_streams_its_arguments_and_ends_as_a_call() -> None:
    call = PendingCall(index=0, tool_call_id="call_1", name="add", arguments='{"a": 1}')
    _, *told, _ = events_of(ANSWER, call, parts=[call])
    assert told == [
        start(0, type="tool_call_chunk", id="call_1", name="add", args="", index=0),
        delta(0, type="tool-call-delta", args='{"a": 1}'),
        finish(0, type="tool_call", id="call_1", name="add", args={"a": 1}),
    ]


def test_a_call_whose_arguments_are_broken_ends_as_an_invalid_one() -> None:
    call = PendingCall(index=0, tool_call_id="call_1", name="add", arguments="nonsense")
    *_, last, _ = events_of(ANSWER, call, parts=[call])
    assert (last["event"], last["content"]["type"]) == ("content-block-finish", "invalid_tool_call")
    assert (last["content"]["id"], last["content"]["args"]) == ("call_1", "nonsense")


def test_a_call_that_waits_for_a_person_is_a_block_of_the_server() -> None:
    call = PendingCall(index=0, tool_call_id="call_1", name="shout", arguments='{"a": 1}')
    *_, last, end = events_of(ANSWER, call, parts=[call])
    assert last["content"] == {
        "type": "server_tool_call",
        "id": "call_1",
        "name": "shout",
        "args": {"a": 1},
        "extras": {"requires_approval": True},
        "index": 0,
    }
    assert end["metadata"]["finish_reason"] == "requires_approval"


def test_a_text_that_goes_on_after_another_block_began_ends_once_more_with_all_of_it() -> None:
    *_, first, second, _ = events_of(
        ANSWER,
        TextDelta(index=0, text="one "),
        TextDelta(index=1, text="two"),
        TextDelta(index=0, text="more"),
        parts=[Text(index=0, text="one more"), Text(index=1, text="two")],
    )
    ends = {event["index"]: event["content"]["text"] for event in (first, second)}
    assert ends == {0: "one more", 1: "two"}


def test_what_comes_before_the_id_of_the_message_is_told_after_it() -> None:
    notice = Notice(index=0, message=Unknown(raw={"message_type": "weather_message"}))
    told = events_of(notice, ANSWER, TextDelta(index=1, text="hi"), parts=[notice, Text(index=1, text="hi")])
    assert [(event["event"], event.get("index")) for event in told] == [
        ("message-start", None),
        ("content-block-start", 0),
        ("content-block-finish", 0),
        ("content-block-start", 1),
        ("content-block-delta", 1),
        ("content-block-finish", 1),
        ("message-finish", None),
    ]


def test_a_turn_without_an_answer_is_known_by_its_run() -> None:
    first, last = events_of(parts=[], answer_id=None, usage=None)
    assert (first["id"], last["event"]) == ("run-1", "message-finish")
    assert "usage" not in last


def test_usage_and_metadata_come_with_the_end_alone() -> None:
    *before, last = events_of(ANSWER, TextDelta(index=0, text="hi"), parts=[Text(index=0, text="hi")], usage=USAGE)
    assert [event for event in before if "usage" in event] == []
    assert last["usage"]["input_token_details"] == {"cache_read": 7, "cache_creation": 3}
    assert last["usage"]["output_token_details"] == {"reasoning": 5}
    assert {"letta", "letta_run", "model_name", "model_provider", "finish_reason"} == last["metadata"].keys()


def test_an_error_tells_what_happened_and_of_which_kind() -> None:
    error = TurnFailed("The turn failed.", run_id="run-1", hint="Try again.")
    assert error_event(error) == {
        "event": "error",
        "message": "The turn failed. Try again. (run_id=run-1)",
        "code": "TurnFailed",
    }


# Against a server.


def ids(messages: list[BaseMessage]) -> list[str | None]:
    return [message.id for message in messages if isinstance(message, AIMessage)]


beta = pytest.mark.filterwarnings("ignore:.*experimental", "ignore:.*beta")


@beta
def test_an_agents_answers_have_the_same_ids_however_it_is_run(pinned: ChatLetta) -> None:
    agent = agent_of(pinned)
    asked = {"messages": [human(THINK_AND_CALL)]}  # a request of the same id gets the same answer again
    invoked = ids(agent.invoke(asked)["messages"])
    streamed = [message.id for update in agent.stream(asked) for message in update.get("model", {}).get("messages", ())]
    run = agent.stream_events(asked, version="v3")
    told = [message.output for message in run.messages]
    assert invoked == streamed == ids(told) == ids(run.output["messages"])
    assert [str(one).startswith("message-") for one in invoked] == [True, True]


@beta
async def test_so_have_those_of_an_async_one(pinned: ChatLetta) -> None:
    agent = agent_of(pinned)
    asked = {"messages": [human(THINK_AND_CALL)]}
    invoked = ids((await agent.ainvoke(asked))["messages"])
    run = await agent.astream_events(asked, version="v3")
    told = [await message.output async for message in run.messages]
    assert invoked == ids(told) == ids((await run.output())["messages"])


@beta
def test_a_graph_streams_each_message_once_with_its_text_reasoning_and_calls(pinned: ChatLetta) -> None:
    run = agent_of(pinned).stream_events({"messages": [human(THINK_AND_CALL)]}, version="v3")
    told = [
        ("".join(message.text), str(message.reasoning), [call["name"] for call in message.tool_calls.get()])
        for message in run.messages
    ]
    assert told == [("let me see", "hm hm", ["add"]), ("it is 3", "", [])]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_graph_streams_chunks_that_carry_the_same_id(pinned: ChatLetta, version: str) -> None:
    agent, asked = agent_of(pinned), {"messages": [human(THINK_AND_CALL)]}
    parts = list(agent.stream(asked, stream_mode="messages", version=version))
    chunks = [part["data"][0] if version == "v2" else part[0] for part in parts]
    told = [chunk.id for chunk in chunks if isinstance(chunk, AIMessage)]
    assert list(dict.fromkeys(told)) == ids(agent.invoke(asked)["messages"])


class Watch(BaseCallbackHandler):
    """Notes the events that LangChain passes on, and the error."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.errors: list[BaseException] = []

    def on_stream_event(self, event: Any, **_: Any) -> None:
        self.events.append(event)

    def on_llm_error(self, error: BaseException, **_: Any) -> None:
        self.errors.append(error)


class WatchAsync(AsyncCallbackHandler):
    """The same for async calls."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.errors: list[BaseException] = []
        self.failed = asyncio.Event()

    async def on_stream_event(self, event: Any, **_: Any) -> None:
        self.events.append(event)

    async def on_llm_error(self, error: BaseException, **_: Any) -> None:
        self.errors.append(error)
        self.failed.set()


BROKEN = "[[say one two three]] [[break 2]]"


@beta
def test_a_turn_that_fails_midway_is_told_to_watchers_and_raises_what_it_is(model: ChatLetta) -> None:
    watch = Watch()
    stream = cast("Any", model).stream_events(BROKEN, config={"callbacks": [watch]}, version="v3")
    with pytest.raises(TurnFailed) as raised:
        _ = stream.output
    expect_the_error_last(watch, raised.value)


@beta
async def test_so_does_an_async_one(model: ChatLetta) -> None:
    watch = WatchAsync()
    stream = await cast("Any", model).astream_events(BROKEN, config={"callbacks": [watch]}, version="v3")
    with pytest.raises(TurnFailed) as raised:
        await stream.output
    await watch.failed.wait()
    expect_the_error_last(watch, raised.value)


def expect_the_error_last(watch: Watch | WatchAsync, error: TurnFailed) -> None:
    kinds = [event["event"] for event in watch.events]
    assert (kinds[0], kinds[-1], kinds.count("error")) == ("message-start", "error", 1)
    assert watch.events[-1]["code"] == "TurnFailed"
    assert watch.errors == [error]
    assert error.run_id is not None
    assert error.run_id in watch.events[-1]["message"]


@beta
def test_a_turn_that_fails_before_anything_was_told_is_told_as_an_error_alone(model: ChatLetta) -> None:
    watch = Watch()
    stream = cast("Any", model).stream_events("[[fail 500]]", config={"callbacks": [watch]}, version="v3")
    with pytest.raises(TurnFailed):
        _ = stream.output
    assert (watch.events, len(watch.errors)) == ([], 1)


@beta
def test_leaving_early_is_no_error(model: ChatLetta) -> None:
    watch = Watch()
    stream = cast("Any", model).stream_events("[[say one two]]", config={"callbacks": [watch]}, version="v3")
    assert next(iter(stream))["event"] == "message-start"
    del stream
    assert [event["event"] for event in watch.events] == ["message-start"]
    assert watch.errors == []


@beta
def test_an_answer_of_version_3_goes_on_like_any_other(model: ChatLetta) -> None:
    messages: list[BaseMessage] = [HumanMessage("[[say hi]] one", id="m1")]
    messages.append(cast("Any", model).stream_events(messages, version="v3").output)
    messages.append(HumanMessage("[[recall]] two", id="m2"))
    answer = model.invoke(messages)
    assert answer.text.splitlines() == ["user: one", "assistant: hi", "user: two"]
    assert (
        answer.response_metadata["letta"]["conversation_id"]
        == (messages[1].response_metadata["letta"]["conversation_id"])
    )
