"""Chunks that are joined are the message that `invoke` gives; both ways of LangChain's events tell the same."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage

from langchain_letta import ChatLetta
from tests.conftest import TIMEOUT, Backend
from tests.langchain.support import CALL, TOOLS, Model, fold

TURNS = {
    "text": "[[say one two three]]",
    "reasoning and text": "[[think hm hm]] [[say one two]]",
    "a call": CALL,
    "text and a call": f"[[say let me see]] {CALL}",
    "reasoning, text and a call": f"[[think hm hm]] [[say let me see]] {CALL}",
    "two calls of which one is kept": f"{CALL} {CALL}",
    "text, a server tool and text": '[[say let me see]] [[call shout {"text": "hey"}]] [[next]] [[say done so]]',
    "reasoning around a server tool": '[[think hm]] [[call shout {"text": "a"}]] [[next]] [[think so]] [[say done]]',
    "a server tool alone": '[[call shout {"text": "hey"}]] [[next]] [[say done]]',
    "a server tool and a call": f'[[call shout {{"text": "hey"}}]] [[next]] {CALL}',
}
each_turn = pytest.mark.parametrize("text", TURNS.values(), ids=TURNS.keys())
SOME = ("text", "reasoning and text", "reasoning, text and a call", "text, a server tool and text")
some_turns = pytest.mark.parametrize("text", [TURNS[name] for name in SOME], ids=SOME)
versions = pytest.mark.parametrize("version", [None, "v1"])


def shout(text: str) -> str:
    """Shout.

    Args:
        text (str): What to shout.
    """
    return text.upper()


@pytest.fixture(scope="module")
def server_tool(backend: Backend) -> Iterator[str]:
    """A tool that the server runs."""
    with httpx.Client(base_url=backend.base_url, timeout=TIMEOUT) as http:
        source = {"source_code": inspect.getsource(shout)}
        yield http.post("/v1/tools/", json=source).raise_for_status().json()["id"]


@pytest.fixture
def attached(backend: Backend, agent_id: str, server_tool: str) -> None:
    with httpx.Client(base_url=backend.base_url, timeout=TIMEOUT) as http:
        http.patch(f"/v1/agents/{agent_id}/tools/attach/{server_tool}").raise_for_status()


@pytest.fixture
def bound(backend: Backend, agent_id: str, attached: None, version: str | None) -> Model:
    return ChatLetta(agent_id=agent_id, base_url=backend.base_url, output_version=version).bind_tools(TOOLS)


def plain(message: AIMessage) -> dict[str, Any]:
    """A message without what is another one's every time: ids."""
    names: dict[Any, str] = {}

    def without_ids(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            return {name: without_ids(field, name) for name, field in fields.items()}
        if isinstance(value, (list, tuple)):
            return [without_ids(item, key) for item in cast("list[Any]", value)]
        if key.endswith(("id", "ids", "otids")) and value:
            return names.setdefault(value, f"id {len(names)}")
        return value

    fields = {
        "content_blocks": [dict(block) for block in message.content_blocks],
        "tool_calls": message.tool_calls,
        "invalid_tool_calls": message.invalid_tool_calls,
        "usage_metadata": message.usage_metadata,
        "response_metadata": message.response_metadata,
    }
    return without_ids(fields)


def unnumbered(fields: dict[str, Any]) -> dict[str, Any]:
    """LangChain itself numbers the blocks of a stream in `v1`, those of a message not."""
    for block in fields["content_blocks"]:
        block.pop("index", None)
    return fields


@versions
@each_turn
def test_joined_chunks_are_the_message(bound: Model, text: str, version: str | None) -> None:
    whole, joined = bound.invoke([HumanMessage(text)]), fold(bound.stream([HumanMessage(text)]))
    if version is None:
        assert plain(joined) == plain(whole)
    else:
        assert unnumbered(plain(joined)) == unnumbered(plain(whole))


@versions
@some_turns
async def test_joined_async_chunks_are_the_message(bound: Model, text: str, version: str | None) -> None:
    whole = await bound.ainvoke([HumanMessage(text)])
    joined = fold([chunk async for chunk in bound.astream([HumanMessage(text)])])
    assert unnumbered(plain(joined)) == unnumbered(plain(whole))


@pytest.mark.parametrize("version", [None])
@each_turn
def test_metadata_and_usage_are_told_once(bound: Model, text: str) -> None:
    chunks: list[Any] = list(bound.stream([HumanMessage(text)]))
    told = [key for chunk in chunks for key in chunk.response_metadata]
    assert sorted(told) == sorted(set(told))
    assert "letta_run" in chunks[0].response_metadata
    assert [chunk.usage_metadata is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert [chunk.chunk_position for chunk in chunks] == [None] * (len(chunks) - 1) + ["last"]


@pytest.mark.parametrize("version", [None])
@some_turns
def test_every_chunk_has_the_id_of_the_message(bound: Model, text: str) -> None:
    chunks = list(bound.stream([HumanMessage(text)]))
    assert {chunk.id for chunk in chunks} == {fold(chunks).id}


@pytest.mark.parametrize("version", [None])
def test_a_text_that_is_all_is_a_plain_string(bound: Model) -> None:
    assert bound.invoke(TURNS["text"]).content == "one two three"
    assert [chunk.content for chunk in bound.stream(TURNS["text"])] == ["one ", "two ", "three", ""]


@pytest.mark.parametrize("version", [None])
def test_a_server_tool_is_shown_and_never_runnable(bound: Model) -> None:
    answer = bound.invoke(TURNS["text, a server tool and text"])
    assert (answer.tool_calls, answer.text) == ([], "let me seedone so")
    said, call, result, done = answer.content_blocks
    assert (said["type"], done["type"]) == ("text", "text")
    assert call["type"] == "server_tool_call"
    assert (call["name"], call["args"]) == ("shout", {"text": "hey"})
    assert result["type"] == "server_tool_result"
    assert (result["tool_call_id"], result["status"], result.get("output")) == (call["id"], "success", "HEY")
    assert answer.usage_metadata == {"input_tokens": 200, "output_tokens": 40, "total_tokens": 240}


@pytest.mark.parametrize("version", [None])
@some_turns
async def test_events_of_version_2_tell_the_chunks_and_the_message(bound: Model, text: str) -> None:
    events = [event async for event in bound.astream_events(text, version="v2")]
    chunks = [event["data"].get("chunk") for event in events if event["event"] == "on_chat_model_stream"]
    (ended,) = [event["data"].get("output") for event in events if event["event"] == "on_chat_model_end"]
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
    assert isinstance(ended, AIMessage)
    assert plain(fold(cast("Any", chunks))) == plain(ended)
    assert plain(ended) == plain(bound.invoke(text))


def of_the_end(message: AIMessage) -> dict[str, Any]:
    fields = unnumbered(plain(message))
    fields["response_metadata"].pop("output_version", None)
    return fields


@pytest.mark.parametrize("version", [None])
@some_turns
def test_events_of_version_3_tell_text_reasoning_calls_and_the_message(bound: Any, text: str) -> None:
    whole = bound.invoke(text)
    stream = bound.stream_events(text, version="v3")
    assert "".join(stream.text) == whole.text
    assert of_the_end(stream.output) == of_the_end(whole)


@pytest.mark.parametrize("version", [None])
@some_turns
async def test_async_events_of_version_3_tell_the_message(bound: Any, text: str) -> None:
    whole = await bound.ainvoke(text)
    stream = await bound.astream_events(text, version="v3")
    assert "".join([piece async for piece in stream.text]) == whole.text
    assert of_the_end(await stream.output) == of_the_end(whole)
