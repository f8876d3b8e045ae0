"""What callbacks and tracers see of a call: names, tags, parameters, tokens, errors, and nothing secret."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import httpx
import pytest
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    UsageMetadataCallbackHandler,
    get_usage_metadata_callback,
)
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGenerationChunk, LLMResult
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from letta_client import Letta
from pydantic import BaseModel
from typing_extensions import override

from langchain_letta import ChatLetta
from letta_adapters.errors import LettaError, TurnFailed
from tests.conftest import Backend
from tests.langchain.support import CALL, TOOLS, agent_of, asked, fold

BROKEN = "[[say one two three]] [[break 2]]"


class Traces(BaseTracer):
    """Keeps every run that was traced, the outermost alone with its children."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Run] = []

    @override
    def _persist_run(self, run: Run) -> None:
        self.kept.append(run)

    @property
    def models(self) -> list[Run]:
        """The runs of the model, however deep."""

        def below(run: Run) -> list[Run]:
            own = [run] if run.run_type in ("llm", "chat_model") else []
            return [*own, *(found for child in run.child_runs for found in below(child))]

        return [found for run in self.kept for found in below(run)]


class Record(BaseCallbackHandler):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.tokens: list[tuple[Any, Any]] = []
        self.ends: list[LLMResult] = []
        self.errors: list[tuple[BaseException, Any]] = []
        self.everything: list[Any] = []

    def on_chat_model_start(self, *told: Any, **more: Any) -> None:
        self.everything += [told, more]

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **more: Any) -> None:
        self.tokens.append((token, chunk))
        self.everything += [token, chunk, more]

    def on_llm_end(self, response: LLMResult, **more: Any) -> None:
        self.ends.append(response)
        self.everything += [response, more]

    def on_llm_error(self, error: BaseException, *, response: Any = None, **more: Any) -> None:
        self.errors.append((error, response))
        self.everything += [error, repr(error), str(error), response, more]


class RecordAsync(AsyncCallbackHandler):
    """The same for async calls."""

    def __init__(self) -> None:
        self.tokens: list[tuple[Any, Any]] = []
        self.errors: list[tuple[BaseException, Any]] = []

    async def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
        self.tokens.append((token, chunk))

    async def on_llm_error(self, error: BaseException, *, response: Any = None, **_: Any) -> None:
        self.errors.append((error, response))


def extra_of(run: Run) -> dict[str, Any]:
    """What a trace has beside inputs and outputs."""
    return cast("dict[str, Any]", cast("Any", run).extra)


def config(*handlers: Any, **more: Any) -> Any:
    return {"callbacks": list(handlers), **more}


def test_a_run_has_the_name_tags_and_metadata_of_its_call(model: ChatLetta) -> None:
    traces = Traces()
    model.invoke("hi", config(traces, run_name="greet", tags=["t1"], metadata={"user": "ann"}))
    (run,) = traces.models
    assert (run.name, run.tags, run.error) == ("greet", ["t1"], None)
    metadata = extra_of(run)["metadata"]
    assert metadata["user"] == "ann"
    assert metadata["ls_provider"] == "letta"
    assert metadata["ls_model_type"] == "chat"
    assert metadata["ls_model_name"] == f"letta/{model.agent_id}"
    assert "langchain-core" in metadata["lc_versions"]


def test_without_a_name_it_has_that_of_the_class(model: ChatLetta) -> None:
    traces = Traces()
    model.invoke("hi", config(traces))
    assert [run.name for run in traces.models] == ["ChatLetta"]


def test_the_provider_of_a_trace_is_that_of_the_answer(model: ChatLetta) -> None:
    traces = Traces()
    answer = model.invoke("hi", config(traces))
    assert extra_of(traces.models[0])["metadata"]["ls_provider"] == answer.response_metadata["model_provider"]


def test_a_trace_names_agent_and_server(model: ChatLetta) -> None:
    traces = Traces()
    model.invoke("hi", config(traces))
    params = extra_of(traces.models[0])["invocation_params"]
    assert (params["agent_id"], params["base_url"]) == (model.agent_id, model.base_url)


def test_a_trace_of_an_answer_in_a_form_has_its_tool_and_is_plain_data(model: ChatLetta) -> None:
    class Weather(BaseModel):
        degrees: int

    traces = Traces()
    model.with_structured_output(Weather).invoke('[[call Weather {"degrees": 3}]]', config(traces))
    params = extra_of(traces.models[0])["invocation_params"]
    assert [tool["function"]["name"] for tool in json.loads(json.dumps(params))["tools"]] == ["Weather"]


def test_an_agents_traces_have_each_call_of_the_model_with_its_usage(model: ChatLetta) -> None:
    traces = Traces()
    agent_of(model).invoke(asked(f"{CALL} [[next]] [[say done]]"), config(traces))
    told: list[Any] = [cast("Any", run).outputs for run in traces.models]
    messages: list[Any] = [one["generations"][0][0]["message"]["kwargs"] for one in told]
    assert [len(message["tool_calls"]) for message in messages] == [1, 0]
    assert [message["usage_metadata"]["total_tokens"] for message in messages] == [120, 120]


# Tokens.


def text_of(chunks: list[tuple[Any, Any]]) -> list[str]:
    assert all(isinstance(chunk, ChatGenerationChunk) for _, chunk in chunks)
    return [chunk.message.text for _, chunk in chunks]


def test_each_chunk_of_a_stream_is_told_with_its_message(model: ChatLetta) -> None:
    record = Record()
    chunks = list(model.stream("[[say one two three]]", config(record)))
    assert text_of(record.tokens) == [chunk.text for chunk in chunks] == ["one ", "two ", "three", ""]
    (end,) = record.ends
    assert (
        cast("Any", end.generations[0][0]).message.response_metadata["letta"]
        == (fold(chunks).response_metadata["letta"])
    )


async def test_each_chunk_of_an_async_stream_is_told_with_its_message(model: ChatLetta) -> None:
    record = RecordAsync()
    chunks = [chunk async for chunk in model.astream("[[say one two three]]", config(record))]
    assert text_of(record.tokens) == [chunk.text for chunk in chunks] == ["one ", "two ", "three", ""]


async def test_a_token_is_told_before_the_turn_is_over(backend: Backend, model: ChatLetta) -> None:
    gate = f"gate-{id(model)}"
    record = RecordAsync()
    stream = model.astream(f"[[say one two]] [[hold {gate} 1]]", config(record))
    first = await anext(stream)
    assert (first.text, text_of(record.tokens)) == ("one ", ["one "])
    await asyncio.to_thread(backend.open_gate, gate)
    assert [chunk.text async for chunk in stream] == ["two", ""]


# Usage.


def test_usage_is_counted_for_each_model(model: ChatLetta) -> None:
    usage = UsageMetadataCallbackHandler()
    model.invoke("one", config(usage))
    for _ in model.stream("two", config(usage)):
        pass
    counted = usage.usage_metadata[f"letta/{model.agent_id}"]
    assert (counted["input_tokens"], counted["output_tokens"], counted["total_tokens"]) == (200, 40, 240)


async def test_usage_of_everything_inside_is_counted(model: ChatLetta) -> None:
    with get_usage_metadata_callback() as usage:
        await agent_of(model).ainvoke(asked(f"{CALL} [[next]] [[say done]]"))
    assert usage.usage_metadata[f"letta/{model.agent_id}"]["total_tokens"] == 240


# Errors.


def test_an_error_has_the_run_and_comes_with_what_had_arrived(model: ChatLetta) -> None:
    record, traces = Record(), Traces()
    with pytest.raises(TurnFailed) as raised:
        list(model.stream(BROKEN, config(record, traces)))
    ((error, response),) = record.errors
    assert error is raised.value
    partial = response.generations[0][0].message
    assert (partial.text, partial.response_metadata["letta_run"]["run_id"]) == ("one two ", raised.value.run_id)
    (run,) = traces.models
    assert raised.value.run_id is not None
    assert raised.value.run_id in (run.error or "")


async def test_so_has_one_of_an_async_stream(model: ChatLetta) -> None:
    record = RecordAsync()
    with pytest.raises(TurnFailed) as raised:
        _ = [chunk async for chunk in model.astream(BROKEN, config(record))]
    ((error, response),) = record.errors
    assert error is raised.value
    assert response.generations[0][0].message.text == "one two "


async def test_an_error_of_a_whole_call_has_the_run(model: ChatLetta) -> None:
    record, record_async = Record(), RecordAsync()
    with pytest.raises(TurnFailed):
        model.invoke(BROKEN, config(record))
    with pytest.raises(TurnFailed):
        await model.ainvoke(BROKEN, config(record_async))
    for error, _ in (*record.errors, *record_async.errors):
        assert isinstance(error, LettaError)
        assert (error.run_id or "").startswith("run-")
    assert len(record.errors) == len(record_async.errors) == 1


# Secrets.

SECRETS = ("sk-of-the-model", "sk-of-the-call", "anchor-of-the-model", "anchor-of-the-call", "sk-of-the-client")

Call = Callable[[Any, Any], Any]


def by_stream(model: Any, settings: Any) -> Any:
    return fold(model.stream("[[say hi]]", settings))


def by_invoke(model: Any, settings: Any) -> Any:
    return model.invoke("[[say hi]]", settings)


def by_protocol(model: Any, settings: Any) -> Any:
    return model.stream_events("[[say hi]]", settings, version="v3").output


def by_failing(model: Any, settings: Any) -> Any:
    with pytest.raises(LettaError) as raised:
        model.invoke("[[fail 401]]", settings)
    return raised.value


@pytest.mark.filterwarnings("ignore:.*beta")
@pytest.mark.parametrize("call", [by_invoke, by_stream, by_protocol, by_failing])
def test_nothing_secret_is_told(call: Call, backend: Backend, agent_id: str) -> None:
    record, traces = Record(), Traces()
    with httpx.Client(headers={"x-key": SECRETS[4]}) as http:
        model = ChatLetta.model_validate(
            {"agent_id": agent_id, "base_url": backend.base_url, "api_key": SECRETS[0], "anchor_key": SECRETS[2]}
        )
        overridden = model.bind(api_key=SECRETS[1], anchor_key=SECRETS[3], http_client=http)
        for one in (model, overridden, model.bind_tools(TOOLS, api_key=SECRETS[1])):
            answer = call(one, config(record, traces))
            record.everything += [answer, repr(answer), str(answer)]
            if isinstance(answer, AIMessage):
                record.everything.append(answer.model_dump_json())
    traced = [run.model_dump() if hasattr(run, "model_dump") else cast("Any", run).dict() for run in traces.kept]
    assert len(traced) == 3
    told = repr(record.everything) + repr(traced)
    assert [secret for secret in SECRETS if secret in told] == []
    assert agent_id in told


def test_a_trace_has_no_client_of_the_caller(backend: Backend, model: ChatLetta) -> None:
    traces = Traces()
    with httpx.Client() as http:
        sdk = Letta(base_url=backend.base_url, api_key="not needed")
        model.invoke("hi", config(traces), http_client=http, letta_client=sdk, timeout=30)
    params = extra_of(traces.models[0])["invocation_params"]
    assert not {"http_client", "letta_client"} & params.keys()
    assert params["timeout"] == 30
