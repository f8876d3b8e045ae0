"""What functions become: a JSON Schema, a description, and arguments that fit; the rest is refused with a reason."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from letta_adapters.tools import InvalidArguments, Tool, as_tools
from tests.loop.support import add, multiply


class Kind(Enum):
    RAIN = "rain"
    SUN = "sun"


@dataclass
class Place:
    name: str
    height: int = 0


class Span(BaseModel):
    first: datetime.date
    days: int = 1


def forecast(
    place: Place,
    span: Span | None = None,
    *,
    kinds: list[Kind] | None = None,
    unit: Literal["C", "F"] = "C",
    detail: Annotated[int, Field(ge=0, le=3, description="How much to tell")] = 1,
) -> str:
    """Foretell the weather.

    Good for a week or so.

    Args:
        place: Where.
        span (Span, optional): When,
            from the first day on.
        detail: Overruled.

    Returns:
        What it will be.
    """
    return f"{place.name} {span} {kinds} {unit} {detail}"


def test_the_schema_is_read_from_signature_and_docstring() -> None:
    tool = Tool.from_function(forecast)
    assert (tool.name, tool.description) == ("forecast", "Foretell the weather.\n\nGood for a week or so.")
    properties = tool.parameters["properties"]
    assert tool.parameters["type"] == "object"
    assert tool.parameters["required"] == ["place"]
    assert tool.parameters["additionalProperties"] is False
    assert list(properties) == ["place", "span", "kinds", "unit", "detail"]
    assert properties["place"] == {"$ref": "#/$defs/Place", "description": "Where."}
    assert properties["span"]["description"] == "When, from the first day on."
    assert properties["unit"] == {"default": "C", "enum": ["C", "F"], "type": "string"}
    assert properties["detail"]["description"] == "How much to tell"
    assert (properties["detail"]["minimum"], properties["detail"]["maximum"]) == (0, 3)
    assert set(tool.parameters["$defs"]) == {"Place", "Span", "Kind"}


def test_arguments_are_coerced_to_the_types_of_the_signature() -> None:
    arguments = {"place": {"name": "Oslo"}, "span": {"first": "2026-05-17"}, "kinds": ["sun"], "detail": "2"}
    assert Tool.from_function(forecast).validated(arguments) == {
        "place": Place(name="Oslo"),
        "span": Span(first=datetime.date(2026, 5, 17)),
        "kinds": [Kind.SUN],
        "detail": 2,
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "place: Field required"),
        ({"place": {"name": "Oslo"}, "detail": 9}, "detail: Input should be less than or equal to 3"),
        ({"place": {"name": "Oslo"}, "when": 1}, "when: Extra inputs are not permitted"),
        ({"place": {}, "unit": "K"}, "place.name: Field required; unit: Input should be 'C' or 'F'"),
    ],
)
def test_arguments_that_do_not_fit_are_told_in_a_few_words(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        Tool.from_function(forecast).validated(arguments)
    assert str(caught.value) == told


def test_a_function_without_parameters_has_an_object_without_properties() -> None:
    def now() -> str:
        """Tell the time."""
        return "now"

    tool = Tool.from_function(now)
    assert tool.parameters == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert tool.validated({}) == {}


def test_parameters_may_be_named_like_what_pydantic_has() -> None:
    def odd(schema: str, copy: int = 1, model_config: str = "", _hidden: int = 0) -> None: ...

    tool = Tool.from_function(odd)
    assert list(tool.parameters["properties"]) == ["schema", "copy", "model_config", "_hidden"]
    assert tool.validated({"schema": "s", "_hidden": "3"}) == {"schema": "s", "_hidden": 3}


class Scale:
    def weigh(self, grams: int) -> int:
        """Weigh."""
        return grams

    async def __call__(self, grams: int) -> int:
        """Weigh."""
        return grams


@pytest.mark.parametrize("function", [Scale().weigh, Scale(), partial(Scale().weigh)])
def test_methods_objects_and_partials_are_tools_too(function: Callable[..., Any]) -> None:
    tool = Tool.from_function(function, name="weigh")
    assert tool.description == "Weigh."
    assert tool.parameters["properties"] == {"grams": {"type": "integer"}}
    assert tool.validated({"grams": "3"}) == {"grams": 3}


def test_name_and_description_can_be_given() -> None:
    tool = Tool.from_function(add, name="plus", description="Sum up.", return_direct=True)
    assert (tool.name, tool.description, tool.return_direct) == ("plus", "Sum up.", True)


def _positional(a: int, /) -> None: ...
def _many(*args: int) -> None: ...
def _named(**kwargs: int) -> None: ...
def _lock(lock: threading.Lock) -> None: ...
def _unresolved(a: int) -> None: ...


_unresolved.__annotations__["a"] = "Nowhere"


def _unannotated(a: int) -> None: ...


del _unannotated.__annotations__["a"]


def _field_default(a: int = Field(description="x")) -> None: ...


UNSUPPORTED: list[tuple[Any, str]] = [
    (_positional, "Parameter 'a' of tool '_positional' is positional-only"),
    (_unannotated, "Parameter 'a' of tool '_unannotated' has no annotation"),
    (_many, "variadic positional"),
    (_named, "variadic keyword"),
    (_lock, "No JSON Schema can be made of the parameters of tool '_lock'"),
    (_unresolved, "An annotation of tool '_unresolved' cannot be resolved"),
    (_field_default, "has a `Field` as its default"),
    (dict.fromkeys, "fromkeys"),
    (int, "A tool is a function or a `Tool`, not <class 'int'>"),
    ("add", "A tool is a function or a `Tool`, not 'add'"),
]


@pytest.mark.parametrize(("function", "told"), UNSUPPORTED)
def test_what_is_not_supported_is_refused_by_name(function: Any, told: str) -> None:
    with pytest.raises(TypeError) as caught:
        as_tools([function])
    assert told in str(caught.value)


def test_a_tool_with_a_schema_of_its_own_takes_any_function_that_is_called_by_name() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}

    def take(**given: Any) -> dict[str, Any]:
        return given

    def take_two(a: Any, b: Any = 2) -> Any:
        return a, b

    anything = Tool(name="anything", function=take, parameters=schema)
    assert anything.client_tool().parameters == schema
    assert anything.validated({"a": "1", "b": [2]}) == {"a": "1", "b": [2]}
    some = Tool(name="some", function=take_two, parameters=schema)
    assert some.validated({"a": "1"}) == {"a": "1"}
    with pytest.raises(InvalidArguments, match="c: Extra"):
        some.validated({"a": 1, "c": 3})


def test_tools_of_the_same_name_are_refused_naming_both() -> None:
    with pytest.raises(ValueError, match=r"Two tools are named 'add': tool 1 \(add\) and tool 2 \(multiply\)"):
        as_tools([add, Tool(name="add", function=multiply)])


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 65, "send_message"])
def test_names_that_the_server_refuses_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="tool 1"):
        as_tools([Tool(name=name, function=add)])
