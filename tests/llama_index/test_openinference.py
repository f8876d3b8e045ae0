"""What an exporter of OpenInference gets to see: one span for each turn and one for each tool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import pytest
from llama_index_instrumentation import get_dispatcher
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from letta_adapters.errors import TurnFailed
from llama_index_letta import LettaAgent, LettaChatEngine
from tests.conftest import Backend
from tests.llama_index.support import IN_SEQUENCE, Ask, MakeEngine, add, each_way, multiply


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = cast("Any", LlamaIndexInstrumentor())
    root: Any = get_dispatcher()
    before = list(root.span_handlers), list(root.event_handlers)
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()
    root.span_handlers, root.event_handlers = before


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    assert span.attributes is not None
    return span.attributes


def kinds_of(spans: Sequence[ReadableSpan]) -> list[str]:
    return sorted(str(attributes_of(span)["openinference.span.kind"]) for span in spans)


@each_way
async def test_a_turn_is_one_span_of_an_agent_and_each_tool_one_inside(
    ask: Ask, make_engine: MakeEngine, exporter: InMemorySpanExporter
) -> None:
    await ask(make_engine(tools=[add, multiply]), IN_SEQUENCE)
    spans = exporter.get_finished_spans()
    assert kinds_of(spans) == ["AGENT", "TOOL", "TOOL"]
    (turn,) = [span for span in spans if attributes_of(span)["openinference.span.kind"] == "AGENT"]
    assert turn.name.startswith("LettaChatEngine.")
    assert (attributes_of(turn)["input.value"], attributes_of(turn)["output.value"]) == (IN_SEQUENCE, "It is 3 and 12")
    tools = [span for span in spans if span is not turn]
    assert {attributes_of(span)["tool.name"] for span in tools} == {"add", "multiply"}
    for span in tools:
        assert span.parent is not None and turn.context is not None
        assert span.parent.span_id == turn.context.span_id
        assert span.start_time is not None and turn.start_time is not None
        assert span.end_time is not None and turn.end_time is not None
        assert turn.start_time <= span.start_time <= span.end_time <= turn.end_time


async def test_a_tool_of_a_workflow_is_one_span(
    backend: Backend, agent_id: str, exporter: InMemorySpanExporter
) -> None:
    async with LettaAgent(agent_id=agent_id, base_url=backend.base_url, tools=[add, multiply]) as agent:
        await agent.run(IN_SEQUENCE)
    tools = [span for span in exporter.get_finished_spans() if kinds_of([span]) == ["TOOL"]]
    assert sorted(str(attributes_of(span)["tool.name"]) for span in tools) == ["add", "multiply"]


@each_way
async def test_turns_one_after_the_other_are_beside_each_other(
    ask: Ask, engine: LettaChatEngine, exporter: InMemorySpanExporter
) -> None:
    for text in ("one", "two"):
        await ask(engine, text)
    assert [span.parent for span in exporter.get_finished_spans()] == [None, None]


@each_way
async def test_a_turn_that_fails_is_told_with_its_error(
    ask: Ask, engine: LettaChatEngine, exporter: InMemorySpanExporter
) -> None:
    with pytest.raises(TurnFailed):
        await ask(engine, "[[fail 500]]")
    (span,) = exporter.get_finished_spans()
    assert not span.status.is_ok
    assert str(span.status.description).startswith("TurnFailed")
