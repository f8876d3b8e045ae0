"""Tools in every form that `bind_tools` takes, also where a program gives them with a call."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from pydantic import BaseModel

from langchain_letta import ChatLetta
from tests.langchain.readback import Reader
from tests.langchain.support import CALL, Ask, add, call_ids, conversation_of, each_way


class AddNumbers(BaseModel):
    """Add two numbers."""

    a: int
    b: int


def subtract(a: int, b: int) -> int:
    """Subtract two numbers."""
    return a - b


OPENAI: dict[str, Any] = {
    "type": "function",
    "function": {"name": "add", "description": "Add.", "parameters": AddNumbers.model_json_schema()},
}
ANTHROPIC: dict[str, Any] = {"name": "add", "description": "Add.", "input_schema": AddNumbers.model_json_schema()}


@pytest.mark.parametrize(
    ("tool", "name"),
    [(add, "add"), (AddNumbers, "AddNumbers"), (subtract, "subtract"), (OPENAI, "add"), (ANTHROPIC, "add")],
    ids=["tool", "class", "function", "dict of OpenAI", "dict of Anthropic"],
)
@each_way
async def test_a_tool_can_be_given_with_the_call(ask: Ask, tool: Any, name: str, model: ChatLetta) -> None:
    answer = await ask(model.bind(tools=[tool]), f'[[call {name} {{"a": 1, "b": 2}}]]')
    assert [call["name"] for call in answer.tool_calls] == [name]
    assert answer.response_metadata["finish_reason"] == "tool_calls"


def test_its_result_is_delivered_like_any_other(model: ChatLetta, reader: Reader) -> None:
    question = HumanMessage(CALL)
    answer = model.invoke([question], tools=[add])
    (call_id,) = call_ids(answer)
    last = model.invoke([question, answer, ToolMessage("3", tool_call_id=call_id)], tools=[add])
    assert reader.story(conversation_of(last)) == [
        ("user", CALL),
        ("calls", "add"),
        ("results", "3"),
        ("assistant", "The tools answered: 3"),
    ]


@pytest.mark.parametrize(
    ("tools", "told"),
    [
        (subtract, r"\(`\[subtract\]`\), not function"),
        (add, "not StructuredTool"),
        (AddNumbers, r"\(`\[AddNumbers\]`\)"),
        (OPENAI, "not dict"),
    ],
)
def test_a_tool_alone_is_no_list(tools: Any, told: str, model: ChatLetta) -> None:
    with pytest.raises(TypeError, match=f"`tools` must be a list, .*{told}"):
        model.bind_tools(tools)
