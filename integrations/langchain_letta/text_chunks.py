"""Chunks of plain text: there is one for each token.

To check LangChain's two objects is half of what a streamed token costs, and of text that a turn told the checks find
nothing. So each chunk is a copy of one that has passed them.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from pydantic import BaseModel

__all__ = ["text_chunk"]

M = TypeVar("M", bound=BaseModel)


class _Pattern(Generic[M]):
    """A model that was checked, to be copied with other fields; lists and dictionaries are each copy's own."""

    def __init__(self, checked: M) -> None:
        self._type = type(checked)
        self._fields = dict(checked.__dict__)
        self._lists = [name for name, value in self._fields.items() if value == []]
        self._dictionaries = [name for name, value in self._fields.items() if value == {}]
        self._given = checked.model_fields_set
        self._has_extra = checked.model_extra is not None

    def copy(self, fields: dict[str, Any]) -> M:
        values = {**self._fields, **fields}
        for name in self._lists:
            values[name] = []
        for name in self._dictionaries:
            values[name] = {}
        # What pydantic's own copies are made of; `model_copy` and `model_construct` take twice as long and more.
        made = self._type.__new__(self._type)
        object.__setattr__(made, "__dict__", values)
        object.__setattr__(made, "__pydantic_fields_set__", set(self._given))
        object.__setattr__(made, "__pydantic_extra__", {} if self._has_extra else None)
        object.__setattr__(made, "__pydantic_private__", None)
        return made


_MESSAGE = _Pattern(AIMessageChunk(content="", id=None))
_CHUNK = _Pattern(ChatGenerationChunk(message=AIMessageChunk(content="")))


def text_chunk(text: str, message_id: str | None) -> ChatGenerationChunk:
    """The same as `ChatGenerationChunk(message=AIMessageChunk(content=text, id=message_id))`."""
    return _CHUNK.copy({"text": text, "message": _MESSAGE.copy({"content": text, "id": message_id})})
