"""A chunk that was not checked is the same as one that was."""

from __future__ import annotations

import copy
import pickle
from typing import Any, cast

import pytest
from langchain_core.load import dumpd
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_letta.text_chunks import text_chunk

TEXT = "Grüße \N{WAVING HAND SIGN}"


def checked(message_id: str | None) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=TEXT, id=message_id))


def inner(model: Any) -> dict[str, Any]:
    """All that pydantic keeps of a model."""
    return {
        "fields": model.__dict__,
        "given": model.model_fields_set,
        "extra": model.model_extra,
        "private": model.__pydantic_private__,
    }


@pytest.mark.parametrize("message_id", ["message-1", None])
def test_it_is_the_chunk_that_langchain_makes(message_id: str | None) -> None:
    made, real = text_chunk(TEXT, message_id), checked(message_id)
    assert made == real
    assert inner(made) == inner(real)
    assert inner(made.message) == inner(real.message)


def test_it_is_written_copied_and_joined_as_that_one_is() -> None:
    made, real = text_chunk(TEXT, "message-1"), checked("message-1")
    assert made.model_dump() == real.model_dump()
    assert dumpd(made) == dumpd(real)
    assert pickle.loads(pickle.dumps(made)) == real
    assert copy.deepcopy(made) == real
    assert made + made == real + real
    assert made.message.text == TEXT


def test_what_a_program_adds_to_one_is_in_no_other() -> None:
    first, second = text_chunk("a", "message-1"), text_chunk("b", "message-1")
    for container in (first.message.additional_kwargs, first.message.response_metadata):
        container["more"] = 1
    cast("AIMessageChunk", first.message).tool_calls.append({"name": "add", "args": {}, "id": "call-1"})
    first.message.name = "one"
    assert second == ChatGenerationChunk(message=AIMessageChunk(content="b", id="message-1"))
    assert "name" not in second.message.model_fields_set
