"""What tracers see: a span that lasts as long as the turn, its events, and nothing of it in the caller's context."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from llama_index.core.callbacks import (
    CallbackManager,
    CBEventType,
    EventPayload,
    LlamaDebugHandler,
    TokenCountingHandler,
)
from llama_index.core.instrumentation.events.agent import (
    AgentChatWithStepEndEvent,
    AgentChatWithStepStartEvent,
    AgentToolCallEvent,
)
from llama_index.core.instrumentation.events.chat_engine import (
    StreamChatDeltaReceivedEvent,
    StreamChatEndEvent,
    StreamChatErrorEvent,
    StreamChatStartEvent,
)
from llama_index_instrumentation.span import BaseSpan, active_span_id

from letta_adapters.errors import ConnectFailed, TurnFailed
from llama_index_letta import LettaChatEngine
from tests.conftest import NOWHERE, Backend
from tests.llama_index.support import (
    ADD,
    IN_SEQUENCE,
    Ask,
    MakeEngine,
    add,
    by_achat,
    by_astream,
    by_chat,
    by_stream,
    each_way,
    metadata_of,
    multiply,
    new_gate,
)
from tests.llama_index.tracers import Events, Spans, added

NAMES: dict[Ask, str] = {by_chat: "chat", by_achat: "achat", by_stream: "stream_chat", by_astream: "astream_chat"}


@each_way
async def test_a_turn_is_one_span_and_its_tools_are_spans_in_it(
    ask: Ask, make_engine: MakeEngine, spans: Spans
) -> None:
    await ask(make_engine(tools=[add, multiply]), IN_SEQUENCE)
    (turn,) = spans.named(f"LettaChatEngine.{NAMES[ask]}")
    assert turn.parent_id is None
    tools = [*spans.named("FunctionTool.call"), *spans.named("FunctionTool.acall")]
    assert [tool.parent_id for tool in tools] == [turn.id_, turn.id_]
    assert len(spans.completed_spans) == 3
    assert (spans.open_spans, spans.dropped_spans) == ({}, [])


@each_way
async def test_the_span_nests_in_the_callers_and_nothing_is_left_there(
    ask: Ask, engine: LettaChatEngine, spans: Spans
) -> None:
    around = active_span_id.set("around")
    try:
        await ask(engine, "hello")
        assert active_span_id.get() == "around"
    finally:
        active_span_id.reset(around)
    assert [span.parent_id for span in spans.completed_spans] == ["around"]


def test_the_span_of_a_stream_lasts_as_long_as_the_stream(
    engine: LettaChatEngine, spans: Spans, backend: Backend
) -> None:
    gate = new_gate()
    response = engine.stream_chat(f"[[hold {gate} 1]] [[say one two]]")
    (open_span,) = spans.open_spans
    assert open_span.startswith("LettaChatEngine.stream_chat-")
    assert active_span_id.get() is None
    backend.open_gate(gate)
    response.result()
    assert spans.open_spans == {}


@pytest.mark.parametrize("ask", [by_stream, by_astream], ids=["stream", "astream"])
async def test_the_events_of_a_stream_know_its_span(
    ask: Ask, make_engine: MakeEngine, spans: Spans, events: Events
) -> None:
    await ask(make_engine(tools=[add]), f"{ADD} [[next]] [[say It is 3]]")
    (turn,) = spans.named(f"LettaChatEngine.{NAMES[ask]}")
    kinds = [type(event) for event in events.seen]
    assert [kind for kind in dict.fromkeys(kinds)] == [
        AgentChatWithStepStartEvent,
        StreamChatStartEvent,
        AgentToolCallEvent,
        StreamChatDeltaReceivedEvent,
        StreamChatEndEvent,
        AgentChatWithStepEndEvent,
    ]
    assert {event.span_id for event in events.seen} == {turn.id_}
    deltas = [event.delta for event in events.seen if isinstance(event, StreamChatDeltaReceivedEvent)]
    assert "".join(deltas) == "It is 3"
    (tool,) = [event for event in events.seen if isinstance(event, AgentToolCallEvent)]
    assert (tool.arguments, tool.tool.name) == ('{"a": 1, "b": 2}', "add")
    (end,) = [event for event in events.seen if isinstance(event, AgentChatWithStepEndEvent)]
    assert str(end.response) == "It is 3"


@pytest.mark.parametrize("ask", [by_chat, by_achat], ids=["chat", "achat"])
async def test_an_answer_that_is_not_streamed_has_no_events_of_a_stream(
    ask: Ask, engine: LettaChatEngine, events: Events
) -> None:
    await ask(engine, "hello")
    assert [type(event) for event in events.seen] == [AgentChatWithStepStartEvent, AgentChatWithStepEndEvent]


def test_a_stream_that_nobody_reads_tells_all_of_it(engine: LettaChatEngine, events: Events) -> None:
    assert engine.stream_chat("hello").wait(60)
    deltas = [event.delta for event in events.seen if isinstance(event, StreamChatDeltaReceivedEvent)]
    assert "".join(deltas) == "You said: hello"
    assert len(events.of(StreamChatEndEvent)) == 1


@each_way
async def test_a_turn_that_fails_drops_its_span(
    ask: Ask, engine: LettaChatEngine, spans: Spans, events: Events
) -> None:
    with pytest.raises(TurnFailed) as raised:
        await ask(engine, "[[fail 500]]")
    (dropped,) = spans.dropped_spans
    assert dropped.id_.startswith(f"LettaChatEngine.{NAMES[ask]}-")
    assert (spans.open_spans, spans.completed_spans) == ({}, [])
    errors = [event for event in events.seen if isinstance(event, StreamChatErrorEvent)]
    assert [event.exception for event in errors] == ([raised.value] if "stream" in NAMES[ask] else [])
    assert events.of(StreamChatEndEvent, AgentChatWithStepEndEvent) == []


def test_so_does_one_that_never_began(make_engine: MakeEngine, spans: Spans) -> None:
    engine = make_engine(base_url=NOWHERE, max_retries=0)
    with pytest.raises(Exception, match="Could not reach"):
        engine.stream_chat("hello")
    assert len(spans.dropped_spans) == 1
    assert spans.open_spans == {}


def test_arguments_are_shown_as_they_were_passed(engine: LettaChatEngine) -> None:
    seen: list[dict[str, Any]] = []

    class Arguments(Spans):
        def new_span(self, id_: str, bound_args: inspect.BoundArguments, *_: Any, **__: Any) -> BaseSpan:
            seen.append(dict(bound_args.arguments))
            return BaseSpan(id_=id_)

    with added(Arguments()):
        engine.chat("hello")
    assert seen == [{"message": "hello", "chat_history": None}]


# The older callbacks.


@each_way
async def test_callbacks_see_a_step_and_its_tools(ask: Ask, make_engine: MakeEngine) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    engine = make_engine(tools=[add], callback_manager=CallbackManager([debug]))
    response = await ask(engine, f"{ADD} [[next]] [[say It is 3]]")
    ((step, step_end),) = debug.get_event_pairs(CBEventType.AGENT_STEP)
    ((tool, tool_end),) = debug.get_event_pairs(CBEventType.FUNCTION_CALL)
    assert step.payload is not None and step_end.payload is not None
    assert tool.payload is not None and tool_end.payload is not None
    assert step.payload[EventPayload.MESSAGES] == [f"{ADD} [[next]] [[say It is 3]]"]
    assert str(step_end.payload[EventPayload.RESPONSE]) == str(response)
    assert tool.payload[EventPayload.FUNCTION_CALL] == '{"a": 1, "b": 2}'
    assert tool_end.payload[EventPayload.FUNCTION_OUTPUT] == "3"


@each_way
async def test_callbacks_see_each_round_and_count_the_tokens_that_it_took(ask: Ask, make_engine: MakeEngine) -> None:
    counter = TokenCountingHandler(tokenizer=str.split)
    debug = LlamaDebugHandler(print_trace_on_end=False)
    engine = make_engine(tools=[add], callback_manager=CallbackManager([counter, debug]))
    response = await ask(engine, f"{ADD} [[next]] [[say It is 3]]")
    usage = metadata_of(response)["usage"]
    assert counter.prompt_llm_token_count == usage["prompt_tokens"] > 0
    assert counter.completion_llm_token_count == usage["completion_tokens"] > 0
    rounds = [end.payload for _, end in debug.get_event_pairs(CBEventType.LLM) if end.payload is not None]
    told = [[str(message) for message in one[EventPayload.MESSAGES]] for one in rounds]
    assert told == [[f"user: {ADD} [[next]] [[say It is 3]]"], ["tool: 3"]]
    assert str(rounds[-1][EventPayload.RESPONSE]) == "assistant: It is 3"


@each_way
async def test_callbacks_of_a_round_that_fails_are_told_with_what(ask: Ask, make_engine: MakeEngine) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    engine = make_engine(callback_manager=CallbackManager([debug]))
    with pytest.raises(TurnFailed) as raised:
        await ask(engine, "[[fail 500]]")
    for kind in (CBEventType.LLM, CBEventType.AGENT_STEP):
        ((_, end),) = debug.get_event_pairs(kind)
        assert end.payload == {EventPayload.EXCEPTION: raised.value}


@each_way
async def test_callbacks_of_turns_that_never_began_leave_nothing_with_the_caller(
    ask: Ask, make_engine: MakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    callbacks = CallbackManager([debug])
    engine = make_engine(base_url=NOWHERE, max_retries=0, callback_manager=callbacks)
    callbacks.start_trace("around")
    around = callbacks.on_event_start(CBEventType.QUERY)
    for _ in range(2):
        with pytest.raises(ConnectFailed):
            await ask(engine, "hello")
    callbacks.on_event_start(CBEventType.RETRIEVE, event_id="inside")
    assert callbacks.trace_map[around][2:] == ["inside"]  # after the two turns, what was under way still is
    assert len(debug.get_event_pairs(CBEventType.AGENT_STEP)) == 2
    assert caplog.records == []


class Broken(LlamaDebugHandler):
    """Fails at everything."""

    def on_event_start(self, *_: Any, **__: Any) -> str:
        raise RuntimeError("broken")

    def on_event_end(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("broken")

    def start_trace(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("broken")

    def end_trace(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("broken")


@each_way
async def test_a_tracer_that_fails_is_not_the_end_of_a_turn(ask: Ask, make_engine: MakeEngine) -> None:
    engine = make_engine(tools=[add], callback_manager=CallbackManager([Broken(print_trace_on_end=False)]))
    assert str(await ask(engine, f"{ADD} [[next]] [[say It is 3]]")) == "It is 3"
