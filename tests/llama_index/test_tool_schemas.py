"""LlamaIndex tools as what the API takes, and one call of one of them."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Callable
from datetime import date
from enum import Enum
from typing import Annotated, Any

import pytest
from llama_index.core.base.llms.types import DocumentBlock, ImageBlock, TextBlock
from llama_index.core.base.response.schema import Response
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import AsyncBaseTool, BaseTool, FunctionTool, ToolMetadata, ToolOutput
from llama_index.core.tools.types import adapt_to_async_tool
from llama_index.core.workflow import Context
from pydantic import BaseModel, Field

from letta_adapters.tools import InvalidArguments
from letta_adapters.wire import ImageContent, TextContent
from llama_index_letta import LettaAgent, LettaChatEngine
from llama_index_letta.outputs import answer_from_output, nodes_of
from llama_index_letta.tools import AnyTool, acall_once, as_llama_tools, call_once, client_tool, loop_tools
from tests.conftest import NOWHERE
from tests.llama_index.support import PIXEL, add, multiply

Call = Callable[[BaseTool, dict[str, Any]], ToolOutput]


class Colour(Enum):
    RED = "red"


class Point(BaseModel):
    x: int
    y: int = 0


def place(point: Point, colour: Colour = Colour.RED, *, on: date | None = None) -> Any:
    """Place a point.

    Args:
        point (Point): Where.
    """
    return point, colour, on


def tool_of(tool: AnyTool) -> BaseTool:
    (made,) = as_llama_tools([tool])
    return made


def parameters_of(tool: AnyTool) -> dict[str, Any]:
    parameters = client_tool(tool_of(tool)).parameters
    assert parameters is not None
    return parameters


def in_task(tool: BaseTool, arguments: dict[str, Any]) -> ToolOutput:
    return asyncio.run(acall_once(tool, arguments))


both_ways = pytest.mark.parametrize("call", [call_once, in_task], ids=["blocking", "async"])


class Counting(AsyncBaseTool):
    """A tool of one's own, with one argument under another name than the schema's."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[Any] = []
        self._error = error

    @property
    def metadata(self) -> ToolMetadata:
        return ToolMetadata(name="count", description="Count.")

    def call(self, text: Any) -> ToolOutput:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.calls.append(text)
        if self._error is not None:
            raise self._error
        return ToolOutput(tool_name="count", content=f"{text}!", raw_input={"text": text}, raw_output=text)

    async def acall(self, text: Any) -> ToolOutput:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.call(text)


class Plain(BaseTool):
    """A tool that knows nothing of tasks."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    @property
    def metadata(self) -> ToolMetadata:
        return ToolMetadata(name="plain", description="Plain.")

    def __call__(self, input: Any) -> ToolOutput:
        self.calls.append(input)
        return ToolOutput(tool_name="plain", content=f"<{input}>", raw_input={"input": input}, raw_output=input)


# What is offered.


def test_a_function_is_described_by_its_signature_and_docstring() -> None:
    offered = client_tool(tool_of(place))
    assert offered.name == "place"
    assert offered.description is not None
    assert offered.description.startswith("place(point:")
    assert "Place a point." in offered.description
    parameters = parameters_of(place)
    assert parameters["required"] == ["point"]
    assert parameters["properties"]["point"]["description"] == "Where."
    assert parameters["$defs"]["Point"]["required"] == ["x"]


def test_required_is_always_there() -> None:
    def now() -> str:
        """The time."""
        return "noon"

    assert parameters_of(now) == {"type": "object", "properties": {}, "required": []}


def test_a_tool_without_a_schema_takes_a_text() -> None:
    def echo(input: str) -> str:
        return input

    tool = FunctionTool.from_defaults(echo, description="Echo.")
    tool.metadata.fn_schema = None
    assert parameters_of(tool)["required"] == ["input"]
    assert call_once(tool, {"input": "hello"}).content == "hello"


def test_names_are_made_fit_and_long_descriptions_stay() -> None:
    tool = FunctionTool.from_defaults(len, name="a b[int]", description="x" * 3000, fn_schema=Point)
    offered = client_tool(tool)
    assert offered.name == "a_b_int_"
    assert offered.description == "x" * 3000


def test_what_is_offered_is_a_copy() -> None:
    tool = tool_of(place)
    parameters_of(tool)["properties"].clear()
    assert parameters_of(tool)["properties"]


@pytest.mark.parametrize("name", [None, ""])
def test_a_tool_without_a_name_is_refused(name: str | None) -> None:
    tool = FunctionTool.from_defaults(lambda: 1, name="x", description="x")
    tool.metadata.name = name
    with pytest.raises(ValueError, match="no name"):
        as_llama_tools([tool])


def test_two_tools_of_one_name_are_refused_by_both_origins() -> None:
    first = FunctionTool.from_defaults(add, name="a b")
    second = FunctionTool.from_defaults(async_fn=multiply, name="a_b")
    with pytest.raises(ValueError, match=r"'a_b': tool 1 \(add\) and tool 2 \(multiply\)"):
        as_llama_tools([first, second])


def test_a_schema_that_llama_index_could_not_make_is_told_with_what_to_do() -> None:
    tool = FunctionTool.from_defaults(place)  # its annotations are texts here
    with pytest.raises(TypeError, match=r"'place'.*`Point`.*Pass the function itself"):
        as_llama_tools([tool])


def test_what_is_no_tool_is_refused() -> None:
    for tool in (3, Point):
        with pytest.raises(TypeError, match="A tool is"):
            as_llama_tools([tool])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("door", [LettaChatEngine.from_defaults, LettaAgent])
@pytest.mark.parametrize(
    ("tools", "told"), [(add, r"\(`\[add\]`\), not function"), (FunctionTool.from_defaults(add), "not Fu")]
)
def test_a_tool_alone_is_no_list(door: Callable[..., Any], tools: Any, told: str) -> None:
    with pytest.raises(TypeError, match=f"`tools` must be a list, .*{told}"):
        door(agent_id="agent-1", base_url=NOWHERE, tools=tools)


def test_a_signature_that_no_schema_can_be_made_of_is_told() -> None:
    def strange(thing: threading.Lock) -> None:
        """Strange."""

    with pytest.raises(TypeError, match="'strange'"):
        as_llama_tools([strange])


def test_a_tool_that_needs_a_workflow_is_refused_with_what_to_do() -> None:
    def remember(ctx: Context, text: str) -> str:
        """Remember."""
        return text

    (tool,) = as_llama_tools([remember])
    assert parameters_of(tool)["required"] == ["text"]
    with pytest.raises(ValueError, match=r"'remember' needs a workflow `Context`.*LettaAgent"):
        loop_tools([tool], tasks=False)


# One call.


@both_ways
def test_arguments_are_coerced_to_the_types_of_the_function(call: Call) -> None:
    output = call(tool_of(place), {"point": {"x": "3"}, "colour": "red", "on": "2026-01-02"})
    assert output.raw_output == (Point(x=3), Colour.RED, date(2026, 1, 2))


@both_ways
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "point: Field required"),
        ({"point": {"x": "three"}}, "point.x: Input should be a valid integer"),
        ({"point": {"x": 1}, "size": 3}, "size: there is no such argument; there are point, colour, on"),
    ],
)
def test_what_does_not_fit_is_told_and_the_tool_is_not_called(call: Call, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidArguments, match=told):
        call(tool_of(place), arguments)


@both_ways
@pytest.mark.parametrize("make", [Counting, Plain])
def test_a_tool_of_ones_own_is_called_once_with_its_argument(call: Call, make: Callable[[], Counting | Plain]) -> None:
    tool = make()
    call(tool, {"input": "hello"})
    assert tool.calls == ["hello"]


@both_ways
def test_one_that_fails_is_not_called_again(call: Call) -> None:
    tool = Counting(KeyError("zz"))
    with pytest.raises(KeyError):
        call(tool, {"input": "hello"})
    assert tool.calls == ["hello"]


@both_ways
def test_one_that_was_adapted_is_called_itself(call: Call) -> None:
    tool = Plain()
    assert call(adapt_to_async_tool(tool), {"input": "hello"}).content == "<hello>"
    assert tool.calls == ["hello"]


@both_ways
def test_parameters_that_have_no_name_to_go_by_are_passed_by_place(call: Call) -> None:
    def divide(a: int, b: int, /, *, digits: int = 0) -> float:
        """Divide."""
        return round(a / b, digits)

    assert call(tool_of(divide), {"a": "1", "b": 3, "digits": 2}).raw_output == 0.33


@both_ways
def test_partial_parameters_are_not_the_agents(call: Call) -> None:
    def pair(a: int, b: int) -> tuple[int, int]:
        return a, b

    tool = FunctionTool.from_defaults(pair, partial_params={"b": 2})
    assert list(parameters_of(tool)["properties"]) == ["a"]
    assert call(tool, {"a": 1}).raw_output == (1, 2)


@both_ways
def test_defaults_of_fields_are_the_tools(call: Call) -> None:
    def shout(text: str, times: int = Field(default=2, description="How often.")) -> str:
        """Shout."""
        return text.upper() * times

    assert call(tool_of(shout), {"text": "ho"}).content == "HOHO"


@both_ways
def test_a_function_that_takes_whatever_comes_gets_plain_values(call: Call) -> None:
    def anything(**kwargs: Any) -> Any:
        return kwargs

    tool = FunctionTool.from_defaults(anything, name="anything", fn_schema=PointAt)
    assert call(tool, {"point": {"x": "1"}, "more": True}).raw_output == {"point": {"x": 1}, "more": True}


class PointAt(BaseModel):
    point: Point


@both_ways
def test_a_function_has_both_sides_where_both_were_given(call: Call) -> None:
    async def in_tasks() -> str:
        return "async"

    tool = FunctionTool.from_defaults(fn=lambda: "blocking", async_fn=in_tasks, name="sides", description="Sides.")
    assert call(tool, {}).content == ("blocking" if call is call_once else "async")


@both_ways
def test_an_object_that_is_called_is_a_tool(call: Call) -> None:
    class Greet:
        """Greet."""

        async def __call__(self, name: Annotated[str, "Whom."]) -> str:
            return f"Hello, {name}."

    tool = tool_of(Greet())
    assert parameters_of(tool)["properties"]["name"]["description"] == "Whom."
    assert call(tool, {"name": "Ann"}).content == "Hello, Ann."


# What the agent is told.


class Opaque:
    def __str__(self) -> str:
        return "opaque"


NODE = NodeWithScore(node=TextNode(text="found", id_="n1"), score=0.5)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("text", "text"),
        ("", ""),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ([1, "b"], '[1,"b"]'),
        (Point(x=1), '{"x":1,"y":0}'),
        (None, "null"),
        (3, "3"),
        (True, "true"),
        (Opaque(), "opaque"),
        (NODE, "found"),
        ([NODE, NODE], "found\n\nfound"),
        (Response(response="said", source_nodes=[NODE]), "said"),
        ([TextBlock(text="a"), TextBlock(text="b")], "a\nb"),
        (DocumentBlock(data=b"x", title="doc"), "[The tool gave a block of type 'document', which cannot be shown.]"),
    ],
    ids=str,
)
def test_results_are_told_as_they_are_meant(value: Any, told: str) -> None:
    tool = FunctionTool.from_defaults(lambda: value, name="give", description="Give.")
    assert answer_from_output(tool, call_once(tool, {})).content == told


def test_images_are_shown() -> None:
    image = ImageBlock(image=base64.b64decode(PIXEL))
    tool = FunctionTool.from_defaults(lambda: [TextBlock(text="look"), image], name="draw", description="Draw.")
    answer = answer_from_output(tool, call_once(tool, {}))
    assert isinstance(answer.content, list)
    text, shown = answer.content
    assert text == TextContent(text="look")
    assert isinstance(shown, ImageContent)
    assert shown.source.type == "base64"


def test_an_image_that_is_gone_is_told_of() -> None:
    tool = FunctionTool.from_defaults(lambda: ImageBlock(url="ftp://x/y.png"), name="draw", description="Draw.")
    assert "cannot be shown" in str(answer_from_output(tool, call_once(tool, {})).content)


@pytest.mark.parametrize("depth", [1, 2])
def test_an_output_inside_of_an_output_is_taken_at_its_word(depth: int) -> None:
    output = ToolOutput(tool_name="inner", content="it broke", raw_input={}, raw_output=None, is_error=True)
    for _ in range(depth - 1):
        output = ToolOutput(tool_name="middle", content=str(output), raw_input={}, raw_output=output)
    tool = FunctionTool.from_defaults(lambda: output, name="outer", description="Outer.")
    answer = answer_from_output(tool, call_once(tool, {}))
    assert (answer.status, answer.content) == ("error", "it broke")
    assert answer.output.tool_name == "inner"


def test_what_a_callback_says_is_told() -> None:
    tool = FunctionTool.from_defaults(lambda: {"a": 1}, name="give", callback=lambda _: "said otherwise")
    assert answer_from_output(tool, call_once(tool, {})).content == "said otherwise"


def test_an_error_is_told_with_its_kind() -> None:
    output = ToolOutput(tool_name="x", raw_input={}, raw_output=None, is_error=True, exception=KeyError("zz"))
    assert answer_from_output(Counting(), output).content == "KeyError: 'zz'"


def test_nodes_are_found_in_whatever_tools_give() -> None:
    response = Response(response="said", source_nodes=[NODE])
    nested = ToolOutput(tool_name="x", raw_input={}, raw_output=[response, NODE])
    assert nodes_of(nested) == [NODE, NODE]
    assert nodes_of(TextNode(text="alone"))[0].node.get_content() == "alone"
    assert nodes_of("nothing") == []
