"""LlamaIndex tools out of plain functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, cast, get_origin, get_type_hints

from llama_index.core.tools import FunctionTool, utils
from llama_index.core.workflow import Context
from pydantic import BaseModel, PydanticUserError

__all__ = ["function_tool"]


def function_tool(function: Callable[..., Any]) -> FunctionTool:
    """Make a tool out of a function, blocking or async.

    `FunctionTool.from_defaults` does not resolve annotations that are texts (`from __future__ import annotations`), so
    that a parameter of a type of one's own has no schema, and one that takes a `Context` is not known as such.

    Raises:
        TypeError: No schema can be made of its signature.
        ValueError: It takes the `Context` of a workflow under an annotation that LlamaIndex cannot see.
    """
    name = getattr(function, "__name__", None) or type(function).__name__
    try:
        signature = _resolved(function)
        contexts = [one.name for one in signature.parameters.values() if _is_context(one.annotation)]
        schema: type[BaseModel] = cast("Any", utils).create_schema_from_function(
            name,
            _Described(_with_descriptions(function, signature)),
            ignore_fields=[*contexts, "self"],
        )
        schema.model_json_schema()
    except (PydanticUserError, NameError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise TypeError(f"No schema can be made of the parameters of tool {name!r}: {reason}") from error
    shown = signature.replace(parameters=[one for one in signature.parameters.values() if one.name not in contexts])
    tool = _from_defaults(function, f"{name}{shown}", name=name, schema=schema)
    if contexts:  # which it may not have seen itself
        tool.requires_context, tool.ctx_param_name = True, contexts[0]
    return tool


def _from_defaults(function: Callable[..., Any], heading: str, *, name: str, schema: type[BaseModel]) -> FunctionTool:
    if inspect.iscoroutinefunction(type(function).__call__) and not inspect.isroutine(function):
        function = function.__call__  # an object: LlamaIndex asks a function whether it is async
    description = f"{heading}\n{inspect.getdoc(function) or ''}".strip()
    return FunctionTool.from_defaults(function, name=name, description=description, fn_schema=schema)


class _Described:
    """Stands for a function where nothing but its signature is looked at."""

    def __init__(self, signature: inspect.Signature) -> None:
        self.__signature__ = signature

    def __call__(self) -> None:
        """Nobody calls it."""


def _resolved(function: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(function)
    target: Any = function if inspect.isroutine(function) else type(function).__call__
    try:
        hints = get_type_hints(inspect.unwrap(target), include_extras=True)
    except (NameError, TypeError, AttributeError):
        return signature
    return signature.replace(
        parameters=[
            one.replace(annotation=hints.get(one.name, one.annotation)) for one in signature.parameters.values()
        ]
    )


def _is_context(annotation: Any) -> bool:
    return annotation is Context or get_origin(annotation) is Context


def _with_descriptions(function: Callable[..., Any], signature: inspect.Signature) -> inspect.Signature:
    """The signature with what the docstring says of a parameter, where its annotation says nothing."""
    found: dict[str, str]
    found, _ = cast("Any", FunctionTool).extract_param_docs(inspect.getdoc(function) or "", set(signature.parameters))
    return signature.replace(
        parameters=[
            one
            if one.name not in found or one.annotation is one.empty or get_origin(one.annotation) is Annotated
            else one.replace(annotation=Annotated[one.annotation, found[one.name].strip()])
            for one in signature.parameters.values()
        ]
    )
