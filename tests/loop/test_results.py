"""What a tool returns, and what the agent is told of it."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from enum import Enum
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel

from letta_adapters.loop.calls import result_content
from letta_adapters.wire import Base64Image, ImageContent, MessageCreate, TextContent
from tests.contract.build import PIXEL
from tests.contract.wire import Wire
from tests.loop.support import RunTurn, next_turn_works, results

IMAGE = ImageContent(source=Base64Image(media_type="image/png", data=PIXEL))


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: float


class Line(BaseModel):
    ends: list[Point]
    colour: Colour = Colour.RED


class Opaque:
    def __str__(self) -> str:
        return "opaque thing"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("as it is", "as it is"),
        ("", ""),
        ({"a": [1, None, True]}, '{"a":[1,null,true]}'),
        ([], "[]"),
        ({}, "{}"),
        ((1, "zwölf"), '[1,"zwölf"]'),
        (Point(1, 2.5), '{"x":1,"y":2.5}'),
        (Line(ends=[Point(0, 0)]), '{"ends":[{"x":0,"y":0.0}],"colour":"red"}'),
        ([Line(ends=[])], '[{"ends":[],"colour":"red"}]'),
        (datetime.date(2026, 5, 17), "2026-05-17"),
        (None, "null"),
        (True, "true"),
        (3.5, "3.5"),
        (Opaque(), "opaque thing"),
        (Colour.RED, "red"),
        ({"it": Opaque()}, '{"it":"opaque thing"}'),
        ("nul\x00 and \ud800", "nul and ?"),
        (TextContent(text="part"), "part"),
        ([TextContent(text="one "), TextContent(text="two")], "one two"),
        ([TextContent(text="")], ""),
        (IMAGE, [IMAGE]),
        ([TextContent(text=""), IMAGE], [IMAGE]),
        ([TextContent(text="see"), IMAGE], [TextContent(text="see"), IMAGE]),
    ],
)
def test_a_value_is_told_as(value: Any, told: Any) -> None:
    assert result_content(value) == told


def test_what_refers_to_itself_is_told_by_its_text() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert result_content(endless) == "[[...]]"


def test_numbers_that_json_does_not_have_are_told_by_name() -> None:
    told = result_content({"a": float("nan"), "b": float("inf")})
    assert isinstance(told, str)
    assert json.loads(told) == {"a": "NaN", "b": "Infinity"}


@pytest.mark.parametrize("value", [[], "", None, [TextContent(text="")], "a\x00b", "\ud800"])
def test_no_result_breaks_the_conversation(run: RunTurn, wire: Wire, conversation_id: str, value: Any) -> None:
    def give() -> Any:
        """Give."""
        return value

    result = run(conversation_id, "[[call give {}]] [[next]] [[say got it]]", tools=[give])
    assert result.text == "got it"
    assert results(wire, conversation_id) == [("success", result_content(value))]
    assert next_turn_works(wire, conversation_id)


def test_an_image_is_sent_as_a_part(run: RunTurn, wire: Wire, conversation_id: str) -> None:
    def look() -> Any:
        """Look."""
        return [TextContent(text="a pixel"), IMAGE]

    result = run(conversation_id, "[[call look {}]] [[next]] [[say seen]]", tools=[look])
    assert (result.text, result.executions[0].text) == ("seen", "a pixel")
    (returned,) = [row for row in wire.stored(conversation_id) if row["message_type"] == "tool_return_message"]
    assert [part["type"] for part in returned["tool_returns"][0]["tool_return"]] == ["text", "image"]


@pytest.mark.parametrize("kind", ["image", "long"])
def test_a_result_that_is_stored_in_other_words_is_known_again(
    run: RunTurn, wire: Wire, conversation_id: str, kind: str
) -> None:
    def look() -> Any:
        """Look."""
        return [TextContent(text="a pixel"), IMAGE] if kind == "image" else "x" * 150_000

    message = MessageCreate(role="user", content="[[call look {}]] [[next]] [[say seen]]", otid=str(uuid4()))
    run(conversation_id, messages=[message], tools=[look])
    stored = wire.rows(conversation_id)
    again = run(conversation_id, messages=[message], tools=[look])
    assert (again.text, again.executions) == ("seen", ())
    assert wire.rows(conversation_id) == stored
