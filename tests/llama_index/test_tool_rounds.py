"""Tools through an engine: each runs once, the agent is told what came of it, and nothing is left pending."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
from llama_index.core import Document, MockEmbedding, VectorStoreIndex
from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ImageBlock
from llama_index.core.llms.mock import MockLLM
from llama_index.core.tools import FunctionTool, QueryEngineTool, RetrieverTool, ToolOutput

from letta_adapters.errors import ConversationBusy, PendingApprovalError, ToolLoopLimit
from letta_adapters.events import PendingCall
from letta_adapters.loop import Deny
from llama_index_letta import LettaChatEngine
from tests.contract.wire import Wire
from tests.langchain.readback import Reader
from tests.llama_index.support import (
    ADD,
    IN_SEQUENCE,
    MULTIPLY,
    PIXEL,
    Ask,
    MakeEngine,
    add,
    blocking_and_async,
    by_achat,
    by_chat,
    conversation_of,
    each_way,
    metadata_of,
    multiply,
    outputs_of,
    story_of,
)
from tests.loop.support import next_turn_works, results


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """What a hanging tool waits for; set after the test, so that no thread stays."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def index() -> VectorStoreIndex:
    texts = ["Oslo is in Norway.", "Rome is in Italy."]
    return VectorStoreIndex.from_documents([Document(text=text) for text in texts], embed_model=MockEmbedding(8))


@each_way
async def test_tools_run_until_the_agent_has_answered(ask: Ask, make_engine: MakeEngine, reader: Reader) -> None:
    engine = make_engine(tools=[add, multiply])
    response = await ask(engine, IN_SEQUENCE)
    assert str(response) == "It is 3 and 12"
    assert outputs_of(response) == [("add", "3", False), ("multiply", "12", False)]
    assert len(metadata_of(response)["run_ids"]) == 3
    assert metadata_of(response)["step_count"] == 3
    assert [kind for kind, _ in reader.story(conversation_of(engine))] == [
        "user",
        *["calls", "results"] * 2,
        "assistant",
    ]
    assert reader.story(conversation_of(engine)) == story_of(engine.chat_history)


@each_way
async def test_each_call_runs_once_whatever_comes_of_it(ask: Ask, make_engine: MakeEngine, wire: Wire) -> None:
    calls: list[str] = []

    def fail(text: str) -> None:
        """Fail."""
        calls.append(text)
        raise KeyError(text)

    engine = make_engine(tools=[FunctionTool.from_defaults(fail)])
    response = await ask(engine, '[[call fail {"text": "zz"}]] [[next]] [[say sorry]]')
    assert calls == ["zz"]
    assert outputs_of(response) == [("fail", "KeyError: 'zz'", True)]
    assert results(wire, conversation_of(engine)) == [("error", "KeyError: 'zz'")]


@blocking_and_async
async def test_what_is_wrong_with_the_arguments_is_told(ask: Ask, make_engine: MakeEngine, wire: Wire) -> None:
    engine = make_engine(tools=[add])
    await ask(engine, '[[call add {"a": "x"}]] [[next]] [[call add {broken]] [[next]] [[say sorry]]')
    (_, first), (_, second) = results(wire, conversation_of(engine))
    assert first.startswith("InvalidArguments: a: Input should be a valid integer")
    assert first.endswith("b: Field required")
    assert "not JSON" in second


@blocking_and_async
async def test_arguments_are_coerced(ask: Ask, make_engine: MakeEngine, wire: Wire) -> None:
    engine = make_engine(tools=[add])
    response = await ask(engine, '[[call add {"a": "1", "b": "2"}]]')
    (source,) = response.sources
    assert source.raw_output == 3
    assert results(wire, conversation_of(engine)) == [("success", "3")]


@blocking_and_async
async def test_results_are_told_as_json_and_an_output_at_its_word(
    ask: Ask, make_engine: MakeEngine, wire: Wire
) -> None:
    def look_up() -> dict[str, Any]:
        """Look up."""
        return {"city": "Oslo", "people": None}

    def refuse() -> ToolOutput:
        """Refuse."""
        return ToolOutput(tool_name="refuse", content="not today", raw_input={}, raw_output=None, is_error=True)

    engine = make_engine(tools=[look_up, refuse])
    response = await ask(engine, "[[call look_up {}]] [[next]] [[call refuse {}]]")
    assert results(wire, conversation_of(engine)) == [
        ("success", '{"city":"Oslo","people":null}'),
        ("error", "not today"),
    ]
    assert [source.is_error for source in response.sources] == [False, True]


@blocking_and_async
async def test_images_of_tools_are_shown(ask: Ask, make_engine: MakeEngine, reader: Reader) -> None:
    def draw() -> ImageBlock:
        """Draw."""
        return ImageBlock(image=PIXEL.encode(), image_mimetype="image/png")

    engine = make_engine(tools=[draw])
    response = await ask(engine, "[[call draw {}]] [[next]] [[say nice]]")
    assert str(response) == "nice"
    (source,) = response.sources
    assert isinstance(source.blocks[0], ImageBlock)
    assert [kind for kind, _ in reader.story(conversation_of(engine))] == ["user", "calls", "results", "assistant"]


@blocking_and_async
async def test_a_tool_that_takes_too_long_is_told_of(
    ask: Ask, make_engine: MakeEngine, wire: Wire, never: threading.Event
) -> None:
    def hang() -> None:
        """Hang."""
        never.wait()

    engine = make_engine(tools=[hang], tool_timeout=0.2)
    response = await ask(engine, "[[call hang {}]] [[next]] [[say sorry]]")
    assert str(response) == "sorry"
    ((kind, text),) = results(wire, conversation_of(engine))
    assert kind == "error"
    assert "TimeoutError" in text
    never.set()


@blocking_and_async
@pytest.mark.usefixtures("parallel_calls")
async def test_calls_at_the_same_time_run_at_the_same_time(ask: Ask, make_engine: MakeEngine) -> None:
    meet = threading.Barrier(2)

    def wait_for_the_other(name: str) -> str:
        """Wait."""
        meet.wait(60)
        return name

    engine = make_engine(tools=[wait_for_the_other])
    calls = " ".join(f'[[call wait_for_the_other {{"name": "{name}"}}]]' for name in "ab")
    assert sorted(source.content for source in (await ask(engine, calls)).sources) == ["a", "b"]


@pytest.mark.usefixtures("parallel_calls")
async def test_with_a_limit(make_engine: MakeEngine) -> None:
    at_work, most = 0, 0

    async def work(name: str) -> str:
        """Work."""
        nonlocal at_work, most
        at_work, most = at_work + 1, max(most, at_work + 1)
        await asyncio.sleep(0)
        at_work -= 1
        return name

    engine = make_engine(tools=[work], max_parallel=2)
    calls = " ".join(f'[[call work {{"name": "{name}"}}]]' for name in "abcde")
    assert sorted(source.content for source in (await engine.achat(calls)).sources) == list("abcde")
    assert most == 2


@each_way
async def test_rounds_are_limited_and_nothing_is_left_pending(ask: Ask, make_engine: MakeEngine, wire: Wire) -> None:
    engine = make_engine(tools=[add, multiply], max_tool_rounds=1)
    with pytest.raises(ToolLoopLimit) as raised:
        await ask(engine, IN_SEQUENCE)
    assert [one.text for one in raised.value.result.executions] == ["3"]
    assert [kind for kind, _ in results(wire, conversation_of(engine))] == ["success", "denied"]
    assert next_turn_works(wire, conversation_of(engine))


@each_way
async def test_a_tool_that_returns_directly_is_the_answer_and_the_agent_is_told(
    ask: Ask, make_engine: MakeEngine, wire: Wire
) -> None:
    engine = make_engine(tools=[FunctionTool.from_defaults(add, return_direct=True)])
    response = await ask(engine, f"{ADD} [[next]] [[say never said]]")
    assert str(response) == "3"
    assert response.message.content == "3"
    assert results(wire, conversation_of(engine)) == [("success", "3")]
    assert next_turn_works(wire, conversation_of(engine))


@each_way
async def test_a_person_decides_on_calls(ask: Ask, make_engine: MakeEngine, wire: Wire) -> None:
    asked: list[str] = []

    def decide(call: PendingCall) -> bool | Deny:
        asked.append(call.name)
        return True if call.name == "add" else Deny(reason="Not that one.")

    engine = make_engine(tools=[add, multiply], on_approval=decide, ask_for="all")
    response = await ask(engine, IN_SEQUENCE)
    assert asked == ["add", "multiply"]
    assert outputs_of(response) == [("add", "3", False)]
    assert results(wire, conversation_of(engine)) == [("success", "3"), ("denied", "Not that one.")]


async def test_also_in_an_event_loop(make_engine: MakeEngine, wire: Wire) -> None:
    async def decide(_: PendingCall) -> bool:
        return False

    engine = make_engine(tools=[add], on_approval=decide, ask_for="all")
    await engine.achat(ADD)
    assert results(wire, conversation_of(engine)) == [("denied", "A person denied this call.")]


# What others left, and who interrupts.


@blocking_and_async
async def test_calls_that_a_dead_process_left_are_denied(
    ask: Ask, make_engine: MakeEngine, wire: Wire, conversation_id: str
) -> None:
    wire.post(conversation_id, {"role": "user", "content": ADD}, client_tools=[{"name": "add", "parameters": {}}])
    engine = make_engine(conversation_id=conversation_id, tools=[add])
    assert str(await ask(engine, "[[say still here]]")) == "still here"
    assert [kind for kind, _ in results(wire, conversation_id)] == ["denied"]


@blocking_and_async
async def test_or_they_are_an_error(ask: Ask, make_engine: MakeEngine, wire: Wire, conversation_id: str) -> None:
    wire.post(conversation_id, {"role": "user", "content": ADD}, client_tools=[{"name": "add", "parameters": {}}])
    engine = make_engine(conversation_id=conversation_id, tools=[add], on_pending_approval="error")
    with pytest.raises(PendingApprovalError, match=r"add\("):
        await ask(engine, "hello")


async def test_a_task_that_is_cancelled_leaves_nothing_pending(make_engine: MakeEngine, wire: Wire) -> None:
    began = asyncio.Event()

    async def hang() -> None:
        """Hang."""
        began.set()
        await asyncio.Event().wait()

    engine = make_engine(tools=[hang])
    task = asyncio.create_task(engine.achat("[[call hang {}]]"))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [kind for kind, _ in results(wire, conversation_of(engine))] == ["denied"]
    assert str(await engine.achat("[[say still here]]")) == "still here"


def test_so_does_a_tool_that_ends_the_process(make_engine: MakeEngine, wire: Wire) -> None:
    def leave() -> None:
        """Leave."""
        raise KeyboardInterrupt

    engine = make_engine(tools=[leave])
    with pytest.raises(KeyboardInterrupt):
        engine.chat("[[call leave {}]]")
    assert [kind for kind, _ in results(wire, conversation_of(engine))] == ["denied"]


@pytest.mark.parametrize("ask", [by_chat, by_achat], ids=["chat", "achat"])
async def test_a_tool_cannot_talk_to_the_conversation_that_waits_for_it(
    ask: Ask, make_engine: MakeEngine, wire: Wire
) -> None:
    def talk() -> str:
        """Talk."""
        return str(engine.chat("hello?"))

    async def talk_in_tasks() -> str:
        """Talk."""
        return str(await engine.achat("hello?"))

    engine = make_engine(tools=[talk, talk_in_tasks], busy_timeout=30)
    response = await ask(engine, "[[call talk {}]] [[next]] [[call talk_in_tasks {}]] [[next]] [[say I see]]")
    assert str(response) == "I see"
    for _, text in results(wire, conversation_of(engine)):
        assert text.startswith(f"{ConversationBusy.__name__}: A tool of a turn cannot")


async def test_it_can_talk_to_another_one(make_engine: MakeEngine) -> None:
    other = make_engine()
    engine = make_engine(tools=[other.as_tool("other")])
    response = engine.chat('[[call other {"input": "hello"}]]')
    assert [source.content for source in response.sources] == ["You said: hello"]


# Query engines and retrievers.


class Fixed(BaseQueryEngine):
    """Answers with what a retriever finds."""

    def __init__(self, retriever: BaseRetriever) -> None:
        super().__init__(callback_manager=None)
        self._retriever = retriever

    def _get_prompt_modules(self) -> Any:
        return {}

    def _query(self, query_bundle: Any) -> Any:
        from llama_index.core.base.response.schema import Response

        return Response(response="Norway", source_nodes=self._retriever.retrieve(query_bundle))

    async def _aquery(self, query_bundle: Any) -> Any:
        return self._query(query_bundle)


@each_way
async def test_a_query_engine_answers_and_its_nodes_are_sources(
    ask: Ask, make_engine: MakeEngine, index: VectorStoreIndex, wire: Wire
) -> None:
    tool = QueryEngineTool.from_defaults(Fixed(index.as_retriever(similarity_top_k=1)), name="ask", description="Ask.")
    engine = make_engine(tools=[tool])
    response = await ask(engine, '[[call ask {"input": "Where is Oslo?"}]]')
    assert results(wire, conversation_of(engine)) == [("success", "Norway")]
    assert len(response.source_nodes) == 1
    assert response.sources[0].raw_input == {"input": "Where is Oslo?"}


@each_way
async def test_a_retriever_gives_texts_and_its_nodes_are_sources(
    ask: Ask, make_engine: MakeEngine, index: VectorStoreIndex, wire: Wire
) -> None:
    tool = RetrieverTool.from_defaults(index.as_retriever(similarity_top_k=2), name="find", description="Find.")
    engine = make_engine(tools=[tool])
    response = await ask(engine, '[[call find {"input": "cities"}]]')
    ((_, text),) = results(wire, conversation_of(engine))
    assert "Oslo is in Norway." in text
    assert "Rome is in Italy." in text
    assert sorted(node.get_content() for node in response.source_nodes) == ["Oslo is in Norway.", "Rome is in Italy."]


def test_a_query_engine_with_a_model_of_its_own_is_a_tool(make_engine: MakeEngine, index: VectorStoreIndex) -> None:
    query_engine = cast("Any", index).as_query_engine(llm=MockLLM())
    tool = QueryEngineTool.from_defaults(query_engine, name="ask", description="Ask.")
    engine = make_engine(tools=[tool])
    response = engine.chat('[[call ask {"input": "Where is Oslo?"}]]')
    assert "Where is Oslo?" in response.sources[0].content
    assert len(response.source_nodes) == 2


def test_none_is_no_tool(make_engine: MakeEngine) -> None:
    assert str(make_engine(tools=None).chat("hello")) == "You said: hello"


def test_tools_are_checked_when_the_engine_is_made(make_engine: MakeEngine) -> None:
    with pytest.raises(ValueError, match="Two tools are named 'add'"):
        make_engine(tools=[add, FunctionTool.from_defaults(add)])
    with pytest.raises(ValueError, match="send_message"):
        make_engine(tools=[FunctionTool.from_defaults(add, name="send_message")])


def test_engines_for_other_conversations_have_the_same_tools(make_engine: MakeEngine) -> None:
    engine = make_engine(tools=[multiply])
    other: LettaChatEngine = engine.for_conversation(None)
    assert [source.content for source in other.chat(MULTIPLY).sources] == ["12"]
    other.close()
