"""LangChain tools as Letta client tools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from letta_adapters.tools import check_client_tools, check_listed
from letta_adapters.wire import ClientTool

__all__ = ["LangChainTool", "bound_names", "client_tools_from_langchain", "must_call", "openai_tools_from_langchain"]

LangChainTool = dict[str, Any] | type | Callable[..., Any] | BaseTool


def openai_tools_from_langchain(tools: Sequence[LangChainTool], *, strict: bool | None = None) -> list[dict[str, Any]]:
    """Convert tools to OpenAI's dicts, the form that LangChain's own machinery passes on and traces.

    A tool that is given twice is offered once.

    Args:
        tools: The tools.
        strict: Whether the schemas are to forbid arguments that they do not name.

    Raises:
        TypeError: They are no list.
        ValueError: A name is refused by the API, or two tools have the same one.
    """
    check_listed(tools)
    converted: list[dict[str, Any]] = []
    untitled: list[Any] = []
    checked: list[tuple[ClientTool, str]] = []
    for number, tool in enumerate(tools, start=1):
        one = convert_to_openai_tool(tool, strict=strict)
        bare = _untitled(one)
        if bare in untitled:
            continue  # a class and its own JSON schema, say: one tool that was given twice
        untitled.append(bare)
        converted.append(one)
        checked.append((_client_tool(one), f"tool {number} ({type(tool).__name__})"))
    check_client_tools(checked)
    return converted


def client_tools_from_langchain(tools: Sequence[LangChainTool]) -> tuple[ClientTool, ...]:
    """Convert tools to what the API takes; OpenAI's dicts, which `bind_tools` makes of all kinds, are taken as such."""
    return tuple(_client_tool(convert_to_openai_tool(tool)) for tool in tools)


def bound_names(tools: Sequence[LangChainTool] | None) -> frozenset[str]:
    """The names of the tools that a call offers, which LangChain runs; any other tool is the server's."""
    return frozenset(tool.name for tool in client_tools_from_langchain(tools or ()))


def must_call(tool_choice: Any, tools: Sequence[ClientTool]) -> tuple[str, ...]:
    """The names of the tools one of which a framework wants called: none, any of those offered, or a certain one."""
    if tool_choice in (None, False, "auto", "none"):
        return ()
    names = tuple(tool.name for tool in tools)
    if tool_choice in (True, "any", "required"):
        return names
    wanted: Any = cast("dict[str, Any]", tool_choice) if isinstance(tool_choice, dict) else {"name": tool_choice}
    wanted = wanted.get("function", wanted)
    return tuple(
        name for name in names if isinstance(wanted, dict) and name == cast("dict[str, Any]", wanted).get("name")
    )


def _untitled(schema: Any) -> Any:
    """A schema without its titles, which say nothing: pydantic writes them, and LangChain leaves them out."""
    if isinstance(schema, list):
        return [_untitled(item) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    fields = cast("dict[str, Any]", schema)
    return {name: _untitled(item) for name, item in fields.items() if name != "title" or not isinstance(item, str)}


def _client_tool(tool: dict[str, Any]) -> ClientTool:
    function = tool.get("function")
    if not isinstance(function, dict):
        raise ValueError(f"Only function tools can be offered to a Letta agent, not {tool.get('type', tool)!r}.")
    return ClientTool(
        name=function.get("name", ""),  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        description=function.get("description"),  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        parameters=function.get("parameters"),  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    )
