"""LlamaIndex tools as Letta client tools, and one call of one of them.

`call_tool` of LlamaIndex runs some tools a second time when they raise, and checks no arguments; so calls are made
here: arguments validated against `fn_schema` and coerced, the tool called once.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from llama_index.core.tools import AsyncBaseTool, BaseTool, FunctionTool, ToolOutput
from llama_index.core.tools.types import BaseToolAsyncAdapter
from pydantic import BaseModel, PydanticUserError, ValidationError

from letta_adapters.loop import Tool
from letta_adapters.tools import InvalidArguments, check_client_tools, check_listed
from letta_adapters.wire import ClientTool
from llama_index_letta.functions import function_tool
from llama_index_letta.outputs import answer_from_output

__all__ = [
    "AnyTool",
    "acall_once",
    "as_llama_tools",
    "call_once",
    "client_tool",
    "loop_tools",
    "needs_context",
]

AnyTool = BaseTool | Callable[..., Any]
"""A LlamaIndex tool, or a function that one is made of."""

Bound = tuple[tuple[Any, ...], dict[str, Any]]


def as_llama_tools(tools: Sequence[AnyTool]) -> list[BaseTool]:
    """Make LlamaIndex tools out of functions and check the names of all of them.

    Raises:
        TypeError: They are no list, one is neither a tool nor a function, or no schema can be made of its signature.
        ValueError: A tool has no name, its name is refused by the API, or two tools have the same one.
    """
    check_listed(tools)
    made = [_as_tool(tool) for tool in tools]
    check_client_tools((client_tool(tool), f"tool {number} ({_kind(tool)})") for number, tool in enumerate(made, 1))
    return made


def client_tool(tool: BaseTool) -> ClientTool:
    """The tool as the API takes it; characters that no name may have become `_`.

    Raises:
        TypeError: No schema can be made of its arguments.
        ValueError: It has no name.
    """
    metadata = tool.metadata
    if not metadata.name:
        raise ValueError(f"A {_kind(tool)} has no name; give its `metadata` one.")
    try:
        function: dict[str, Any] = metadata.to_openai_tool(skip_length_check=True)["function"]
    except PydanticUserError as error:  # `FunctionTool` does not resolve annotations that are texts
        reason = str(error).splitlines()[0]
        raise TypeError(
            f"No schema can be made of the arguments of tool {metadata.name!r}: {reason} "
            "Pass the function itself, or give the tool an `fn_schema`."
        ) from error
    parameters: dict[str, Any] = {"type": "object", "properties": {}, "required": [], **function["parameters"]}
    return ClientTool(name=function["name"], description=metadata.description, parameters=copy.deepcopy(parameters))


def needs_context(tool: BaseTool) -> bool:
    """Whether a tool wants the `Context` of a workflow."""
    return isinstance(tool, FunctionTool) and tool.requires_context


def loop_tools(tools: Sequence[BaseTool], *, tasks: bool) -> list[Tool]:
    """Make tools for a loop of this package out of LlamaIndex's.

    Args:
        tools: Tools with checked names.
        tasks: Whether the loop runs in tasks: then async tools run in its event loop, blocking ones in threads.

    Raises:
        ValueError: A tool wants the context of a workflow, which a chat engine does not have.
    """
    return [_loop_tool(tool, tasks=tasks) for tool in tools]


def _loop_tool(tool: BaseTool, *, tasks: bool) -> Tool:
    offered = client_tool(tool)
    if needs_context(tool):
        raise ValueError(
            f"The tool {offered.name!r} needs a workflow `Context`, which a chat engine does not have; "
            "give it to a `LettaAgent` instead, or leave that parameter out."
        )
    return Tool(
        name=offered.name,
        description=offered.description,
        parameters=offered.parameters or {},
        function=_InTask(tool) if tasks and _is_async(tool) else _Blocking(tool),
        return_direct=tool.metadata.return_direct,
    )


class _Blocking:
    """One call, in whatever thread it is made."""

    def __init__(self, tool: BaseTool) -> None:
        self._tool = tool

    def __call__(self, /, **arguments: Any) -> Any:
        return answer_from_output(self._tool, call_once(self._tool, arguments))


class _InTask:
    """One call, in the event loop."""

    def __init__(self, tool: BaseTool) -> None:
        self._tool = tool

    async def __call__(self, /, **arguments: Any) -> Any:
        return answer_from_output(self._tool, await acall_once(self._tool, arguments))


def call_once(tool: BaseTool, arguments: Mapping[str, Any]) -> ToolOutput:
    """Call a tool, once.

    Raises:
        InvalidArguments: The arguments do not fit.
        Exception: Whatever the tool raises.
    """
    if isinstance(tool, BaseToolAsyncAdapter):
        tool = tool.base_tool
    target = tool.call if isinstance(tool, AsyncBaseTool) else tool.__call__
    args, kwargs = _bound(tool, target, arguments)
    if isinstance(tool, FunctionTool) and _was_made(tool.fn, by="async_to_sync"):
        return asyncio.run(tool.acall(*args, **kwargs))  # its own `call` may use the event loop of another thread
    return cast("Callable[..., ToolOutput]", target)(*args, **kwargs)


async def acall_once(tool: BaseTool, arguments: Mapping[str, Any], **given: Any) -> ToolOutput:
    """Call a tool, once; a blocking one in a thread.

    Args:
        tool: The tool.
        arguments: What the agent passed.
        given: What is passed beside it and not validated: the context of a workflow.

    Raises:
        InvalidArguments: The arguments do not fit.
        Exception: Whatever the tool raises.
    """
    if isinstance(tool, BaseToolAsyncAdapter):
        tool = tool.base_tool
    if not isinstance(tool, AsyncBaseTool):
        return await asyncio.to_thread(call_once, tool, arguments)
    args, kwargs = _bound(tool, tool.acall, arguments, given)
    return await cast("Callable[..., Any]", tool.acall)(*args, **kwargs, **given)


# Which way an argument goes in.


def _bound(tool: BaseTool, target: Callable[..., Any], arguments: Mapping[str, Any], given: Any = ()) -> Bound:
    if isinstance(tool, FunctionTool):
        target = tool.real_fn
    parameters = _parameters(target)
    values = _validated(tool, arguments, parameters, given)
    first = _only_by_place(parameters, values, function=isinstance(tool, FunctionTool))
    return tuple(values.pop(name) for name in first), values


def _only_by_place(
    parameters: Mapping[str, inspect.Parameter], values: Mapping[str, Any], *, function: bool
) -> Sequence[str]:
    """The arguments that go in by their place: those that cannot go by name, or that a tool knows under another one."""
    by_place = [name for name, one in parameters.items() if one.kind is one.POSITIONAL_ONLY and name in values]
    if by_place or function or len(values) != 1:
        return by_place
    (name,) = values
    takes_any = any(one.kind is one.VAR_POSITIONAL for one in parameters.values())
    first = next((one for one in parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD), None)
    renamed = first is not None and name not in parameters
    # LlamaIndex's own tools take `input` that way, and make a text of the name, too, when it comes by name.
    return [name] if takes_any or renamed else []


def _parameters(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(target).parameters
    except (TypeError, ValueError):
        return {"kwargs": inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)}


def _validated(
    tool: BaseTool, arguments: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter], given: Any
) -> dict[str, Any]:
    schema = tool.metadata.fn_schema
    if schema is None:
        return dict(arguments)
    preset = {name: one for name, one in _preset(tool).items() if name in schema.model_fields}
    try:
        made = schema.model_validate({**preset, **arguments})
    except ValidationError as error:
        raise InvalidArguments(_told(error)) from None
    names = {field.alias or name: name for name, field in schema.model_fields.items()}
    unknown = [name for name in arguments if name not in names and name not in names.values()]
    others = made.model_extra or {}
    if unknown and not others and not _takes_any_name(parameters):
        raise InvalidArguments(f"{unknown[0]}: there is no such argument; there are {', '.join(names) or 'none'}")
    values = {name: _value(made, name, parameters) for name in names.values() if name in made.model_fields_set}
    # What a schema does not tell goes on to a tool that takes whatever comes.
    extra = others or ({name: arguments[name] for name in unknown} if isinstance(tool, FunctionTool) else {})
    return {**values, **{name: value for name, value in extra.items() if name not in given}}


def _value(made: BaseModel, name: str, parameters: Mapping[str, inspect.Parameter]) -> Any:
    """A coerced argument; a model only where the tool has a parameter for it, else what the model was made of."""
    if name in parameters:
        return getattr(made, name)
    return made.model_dump(include={name}, exclude_unset=True)[name]


def _takes_any_name(parameters: Mapping[str, inspect.Parameter]) -> bool:
    return any(one.kind is one.VAR_KEYWORD for one in parameters.values())


def _preset(tool: BaseTool) -> dict[str, Any]:
    return tool.partial_params if isinstance(tool, FunctionTool) else {}


def _told(error: ValidationError) -> str:
    """What is wrong with the arguments, a few words for each."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(str(step) for step in one['loc']) or 'arguments'}: {one['msg']}" for one in problems)


# What a tool is.


def _as_tool(tool: object) -> BaseTool:
    if isinstance(tool, BaseTool):
        return tool
    if not callable(tool) or isinstance(tool, type):
        raise TypeError(f"A tool is a LlamaIndex tool or a function, not {tool!r}.")
    return function_tool(tool)


def _kind(tool: BaseTool) -> str:
    if isinstance(tool, FunctionTool):
        return getattr(tool.real_fn, "__qualname__", type(tool.real_fn).__name__)
    return type(tool).__name__


def _is_async(tool: BaseTool) -> bool:
    """Whether a tool waits in an event loop; `acall` of a function that blocks would use a pool of threads."""
    if isinstance(tool, BaseToolAsyncAdapter) or not isinstance(tool, AsyncBaseTool):
        return False
    if not isinstance(tool, FunctionTool):
        return True
    return not _was_made(tool.async_fn, by="sync_to_async")


def _was_made(function: Callable[..., Any], *, by: str) -> bool:
    """Whether LlamaIndex made a function out of one of the other kind."""
    return getattr(function, "__qualname__", "").startswith(f"{by}.")
