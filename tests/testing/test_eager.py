"""The scripted model that calls a tool unasked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field

from letta_adapters.testing import FakeLetta, Reply
from letta_adapters.testing.eager import CACHED_TOKENS, REASONING_TOKENS, eager_reply_to, example_of
from tests.testing.support import Json

TEXT = "Create a customer named '你好啊' with 3 boxes."


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def tool(**properties: Any) -> Json:
    return {"type": "function", "function": {"name": "note", "parameters": {"properties": properties}}}


def said(text: str) -> Reply:
    return Reply(text=text, cached_tokens=CACHED_TOKENS, reasoning_tokens=REASONING_TOKENS)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "你好啊"),
        ({"type": "integer"}, 3),
        ({"type": "number"}, 3.0),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 3),
        ({"enum": ["red", "blue"]}, "red"),
        ({"const": 7}, 7),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 3),
        ({"type": "array", "items": {"type": "integer"}}, [3]),
        ({"type": "array"}, []),
        ({}, "你好啊"),
    ],
    ids=str,
)
def test_a_value_is_made_from_the_schema_and_the_text(schema: Json, value: Any) -> None:
    assert example_of(schema, TEXT) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("What is 19 + 23?", {"a": 19, "of": {"b": 23.0}, "c": 23}),
        ("What is 19 + 23 + 5 + 8?", {"a": 19, "of": {"b": 23.0}, "c": 5}),
        ("What is it?", {"a": 1, "of": {"b": 1.0}, "c": 1}),
    ],
)
def test_each_value_takes_the_next_number_of_the_text_and_the_last_one_stands_for_more(text: str, value: Json) -> None:
    inner = {"properties": {"b": {"type": "number"}}}
    schema = {"properties": {"a": {"type": "integer"}, "of": inner, "c": {"type": "integer"}}}
    assert example_of(schema, text) == value


class Box(BaseModel):
    size: int
    inside: Box | None = None


class Order(BaseModel):
    """An order."""

    customer: str
    boxes: list[Box] = Field(min_length=1)


def test_a_value_of_a_model_that_refers_to_others_and_to_itself_is_one_of_that_model() -> None:
    order = Order.model_validate(example_of(Order.model_json_schema(), TEXT))
    assert (order.customer, order.boxes[0].size) == ("你好啊", 3)


def test_a_tool_is_called_unasked_and_its_result_is_answered_in_words() -> None:
    offered = [tool(count={"type": "integer"}, name={"type": "string"})]
    reply = eager_reply_to([user(TEXT)], offered)
    (call,) = reply.calls
    assert (call.name, json.loads(call.arguments), reply.text) == ("note", {"count": 3, "name": "你好啊"}, "")
    asked = {"role": "assistant", "tool_calls": [{"id": "1"}]}
    answered = eager_reply_to([user(TEXT), asked, {"role": "tool", "content": "noted"}], offered)
    assert answered == said("The tools answered: noted")


def test_without_a_tool_the_text_is_echoed_and_asked_for_json_its_keys_are_filled() -> None:
    assert eager_reply_to([user("Hello")]) == said("You said: Hello")
    assert eager_reply_to([]) == said("You said: ")
    text = "Return a JSON with 'setup' and 'punchline' keys."
    assert json.loads(eager_reply_to([user(text)]).text) == {"setup": text, "punchline": text}


def test_a_directive_wins_over_the_tool() -> None:
    assert eager_reply_to([user("[[say no]]")], [tool()]) == said("no")


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with FakeLetta() as fake, httpx.Client(base_url=fake.base_url) as opened:
        yield opened


@pytest.mark.parametrize(
    ("agent", "override", "called"),
    [("vllm/eager", None, True), ("vllm/scripted", "vllm/eager", True), ("vllm/eager", "vllm/scripted", False)],
)
def test_the_handle_of_a_request_says_which_model_plays(
    http: httpx.Client, agent: str, override: str | None, called: bool
) -> None:
    agent_id = http.post("/v1/agents/", json={"model": agent}).json()["id"]
    conversation = http.post("/v1/conversations/", params={"agent_id": agent_id}, json={}).json()["id"]
    offered = convert_to_openai_tool(Order)["function"]
    body = {"input": TEXT, "streaming": False, "client_tools": [offered], "override_model": override}
    answer = http.post(f"/v1/conversations/{conversation}/messages", json=body).json()
    kinds = {message["message_type"] for message in answer["messages"]}
    assert ("approval_request_message" in kinds) is called
