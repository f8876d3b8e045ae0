"""Content blocks of other models: what is said goes on, what their servers ran is told, the rest is named."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_letta import ChatLetta
from langchain_letta.messages import from_langchain
from letta_adapters.transcript import AssistantEntry, Call, ServerCall
from tests.langchain.readback import Reader
from tests.langchain.support import PIXEL, conversation_of, human

TEA = '{"query": "tea"}'
ANTHROPIC: list[Any] = [
    {"type": "thinking", "thinking": "hm", "signature": "s1"},
    {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "tea"}},
    {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [{"type": "text", "text": "Green."}]},
    {"type": "text", "text": "It is green."},
]
OPENAI: list[Any] = [
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "tea"}},
    {"type": "text", "text": "It is green.", "annotations": []},
]


def entry_of(content: Any, provider: str | None = None) -> AssistantEntry:
    (entry,) = from_langchain([AIMessage(content, response_metadata={"model_provider": provider} if provider else {})])
    assert isinstance(entry, AssistantEntry)
    return entry


@pytest.mark.parametrize(
    ("content", "provider", "call_id", "result"),
    [(ANTHROPIC, "anthropic", "srv_1", "Green."), (OPENAI, "openai", "ws_1", None)],
    ids=["anthropic", "openai"],
)
def test_what_another_models_server_ran_is_read_as_its_vendor_spells_it(
    content: Any, provider: str, call_id: str, result: str | None
) -> None:
    entry = entry_of(content, provider)
    assert entry.text == "It is green."  # nobody's thoughts are told
    call = Call(tool_call_id=call_id, name="web_search", arguments=TEA)
    assert entry.server_calls == (ServerCall(call=call, result=result),)


CALLED: dict[str, Any] = {"type": "server_tool_call", "id": "c", "name": "n", "args": {"a": 1}}
RETURNED: dict[str, Any] = {"type": "server_tool_result", "tool_call_id": "c", "status": "success", "output": "o"}
CALL_N = Call(tool_call_id="c", name="n", arguments='{"a": 1}')
NAMELESS = Call(tool_call_id="c", name="", arguments="")


READ: Any = [
    ([CALLED], ServerCall(call=CALL_N)),
    ([CALLED, RETURNED], ServerCall(call=CALL_N, result="o")),
    ([CALLED, {**RETURNED, "status": "error"}], ServerCall(call=CALL_N, result="o", status="error")),
    ([RETURNED], ServerCall(call=NAMELESS, result="o")),
    ([CALLED, {**RETURNED, "output": {"b": "ü"}}], ServerCall(call=CALL_N, result='{"b": "ü"}')),
    ([CALLED, {**RETURNED, "output": []}], ServerCall(call=CALL_N, result="[]")),
    ([CALLED, {**RETURNED, "output": "x" * 6000}], ServerCall(call=CALL_N, result="x" * 5000 + "…")),
    (
        [{**CALLED, "args": {}, "extras": {"arguments": "{nope"}}],
        ServerCall(call=Call(tool_call_id="c", name="n", arguments="{nope")),
    ),
    ([{**CALLED, "extras": {"requires_approval": True}}], ServerCall(call=CALL_N, waits=True)),
]


@pytest.mark.parametrize(
    ("blocks", "expected"),
    READ,
    ids=["call", "result", "failure", "result alone", "data", "nothing", "long", "broken arguments", "waits"],
)
def test_a_call_of_a_server_is_read_with_what_came_of_it(blocks: Any, expected: ServerCall) -> None:
    assert entry_of(blocks).server_calls == (expected,)


def test_a_plain_answer_ran_nothing() -> None:
    assert entry_of("hello").server_calls == ()


@pytest.mark.parametrize("kind", ["reasoning", "server_tool_call", "tool_call"])
def test_a_person_who_says_what_only_models_say_is_told_where(kind: str) -> None:
    block: Any = {"type": kind, "reasoning": "hm", "id": "c", "name": "n", "args": {}}
    with pytest.raises(ValueError, match=f"part 1 of message 0 \\(human\\) is of type '{kind}'"):
        list(from_langchain([HumanMessage([{"type": "text", "text": "hi"}, block])]))


# Against a server.


def test_what_another_models_server_ran_is_told_before_what_it_said(model: ChatLetta, reader: Reader) -> None:
    foreign = AIMessage(ANTHROPIC, response_metadata={"model_provider": "anthropic"}, name="bob")
    answer = model.invoke([human("what colour is tea?"), foreign, human("[[say so it is]]")])
    assert reader.story(conversation_of(answer)) == [
        ("user", "what colour is tea?"),
        ("user", f"[bob called the tools: web_search({TEA})]\n[The tool web_search answered: Green.]"),
        ("assistant", "It is green."),
        ("user", "[[say so it is]]"),
        ("assistant", "so it is"),
    ]


def test_a_foreign_turn_of_calls_alone_is_told(model: ChatLetta, reader: Reader) -> None:
    messages: list[BaseMessage] = [human("hi"), AIMessage([CALLED, {**RETURNED, "status": "error"}], id="a1")]
    answer = model.invoke([*messages, human("[[say go on]]")])
    (_, told, *_) = reader.story(conversation_of(answer))
    assert told == ("user", '[assistant called the tools: n({"a": 1})]\n[The tool n failed with: o]')


@pytest.mark.parametrize(
    "image",
    [
        {"type": "image", "base64": PIXEL, "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
    ],
    ids=["standard", "openai", "anthropic"],
)
def test_a_picture_reaches_the_server_however_it_is_spelled(
    image: Any, pinned: ChatLetta, reader: Reader, conversation_id: str
) -> None:
    pinned.invoke([HumanMessage([{"type": "text", "text": "[[say nice]] look:"}, image])])
    assert reader.story(conversation_id) == [("user", "[[say nice]] look: <image>"), ("assistant", "nice")]
