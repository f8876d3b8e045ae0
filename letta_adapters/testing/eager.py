"""A scripted language model that calls a tool unasked: for programs whose texts no script can be written into.

`eager_reply_to` does what a directive says, as `reply_to` does. Where there is none it calls the first tool that it is
offered, once for each user message, with arguments made from the tool's JSON schema and the user's text. Without a
tool, a text that asks for JSON and quotes the keys gets an object with them. Anything else is echoed. It reports tokens
that it read from a cache and tokens that it thought, which `reply_to` does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from letta_adapters.testing.script import Call, ChatMessage, Reply, directives_in, reply_to, text_of

__all__ = ["CACHED_TOKENS", "REASONING_TOKENS", "eager_reply_to", "example_of"]

CACHED_TOKENS = 40
"""Prompt tokens that every reply reports as read from a cache."""

REASONING_TOKENS = 5
"""Completion tokens that every reply reports as thought."""

Schema = Mapping[str, Any]

_NUMBER = re.compile(r"-?\d+")
_QUOTED = re.compile(r"'([^']+)'")

_DEEPEST = 8
"""Levels of a schema that are looked into: one that contains itself has no end."""


def eager_reply_to(messages: Sequence[ChatMessage], tools: Sequence[Mapping[str, Any]] = ()) -> Reply:
    """Answer a list of OpenAI chat messages, with a call where a tool is offered.

    Args:
        messages: The chat.
        tools: The tools of the request, as OpenAI's API takes them.

    Example:
        >>> tool = {"type": "function", "function": {"name": "add", "parameters": {
        ...     "properties": {"a": {"type": "integer"}}, "required": ["a"]}}}
        >>> eager_reply_to([{"role": "user", "content": "What is 3 + 4?"}], [tool]).calls
        (Call(name='add', arguments='{"a": 3}'),)
    """
    reply = _reply(messages, tools)
    return replace(reply, cached_tokens=CACHED_TOKENS, reasoning_tokens=REASONING_TOKENS)


def _reply(messages: Sequence[ChatMessage], tools: Sequence[Mapping[str, Any]]) -> Reply:
    last_user = max((i for i, message in enumerate(messages) if message["role"] == "user"), default=-1)
    asked = text_of(messages[last_user]) if last_user >= 0 else ""
    called = any(message.get("tool_calls") for message in messages[last_user + 1 :])
    if directives_in(asked) or called:
        return reply_to(messages)
    if tools:
        function = tools[0]["function"]
        arguments = example_of(function.get("parameters") or {}, asked)
        return Reply(calls=(Call(name=function["name"], arguments=json.dumps(arguments, ensure_ascii=False)),))
    keys = _QUOTED.findall(asked) if "JSON" in asked else []
    if keys:
        return Reply(text=json.dumps(dict.fromkeys(keys, asked), ensure_ascii=False))
    return reply_to(messages)


def example_of(schema: Schema, text: str) -> Any:
    """Make a value that a JSON schema allows out of a text: its numbers one after the other, what it quotes, or all.

    Args:
        schema: The schema of the value.
        text: What values are taken from; the last number stands for those that it lacks.
    """
    return _Maker(schema, text).value(schema)


class _Maker:
    """Makes the values of one schema."""

    def __init__(self, root: Schema, text: str) -> None:
        self._root = root
        self._text = text
        self._numbers = [int(found) for found in _NUMBER.findall(text)] or [1]

    def value(self, schema: Schema, *, depth: int = 0) -> Any:
        """Make the value of a schema that is so deep in the whole one."""
        schema = _resolved(schema, self._root, wanted=depth < _DEEPEST)
        if "const" in schema or "enum" in schema:
            return schema["const"] if "const" in schema else schema["enum"][0]
        match _type_of(schema):
            case "object":
                fields: Mapping[str, Schema] = schema.get("properties", {}) if depth < _DEEPEST else {}
                return {name: self.value(field, depth=depth + 1) for name, field in fields.items()}
            case "array":
                items: Schema | None = schema.get("items") if depth < _DEEPEST else None
                return [self.value(items, depth=depth + 1)] if items else []
            case "integer":
                return self._number()
            case "number":
                return float(self._number())
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return _words(self._text)

    def _number(self) -> int:
        return self._numbers.pop(0) if len(self._numbers) > 1 else self._numbers[0]


def _resolved(schema: Schema, root: Schema, *, wanted: bool) -> Schema:
    """Follow references, and take the first of several that is something, or nothing where no more is wanted."""
    for _ in range(_DEEPEST):
        options = next((schema[name] for name in ("anyOf", "oneOf", "allOf") if schema.get(name)), None)
        if options is not None:
            schema = next((option for option in options if (option.get("type") != "null") is wanted), options[0])
        elif "$ref" in schema:
            target: Any = root
            for step in str(schema["$ref"]).removeprefix("#/").split("/"):
                target = target[step]
            schema = target
        else:
            break
    return schema


def _type_of(schema: Schema) -> str:
    kinds = schema.get("type") or ("object" if "properties" in schema else "string")
    if isinstance(kinds, str):
        return kinds
    return next((kind for kind in kinds if kind != "null"), "null")


def _words(text: str) -> str:
    found = _QUOTED.search(text)
    return found[1] if found else text
