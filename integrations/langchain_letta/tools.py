"""LangChain tools as Letta client tools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from letta_adapters.tools import check_client_tools
from letta_adapters.wire import ClientTool

__all__ = ["client_tools_from_openai", "must_call", "openai_tools_from_langchain"]

LangChainTool = dict[str, Any] | type | Callable[..., Any] | BaseTool


def openai_tools_from_langchain(tools: Sequence[LangChainTool]) -> list[dict[str, Any]]:
    """Convert tools to OpenAI's dicts, the form that LangChain's own machinery passes on and traces.

    Raises:
        ValueError: A name is refused by the API, or two tools have the same one.
    """
    converted = [convert_to_openai_tool(tool) for tool in tools]
    check_client_tools(
        (_client_tool(one), f"tool {number} ({type(tool).__name__})")
        for number, (tool, one) in enumerate(zip(tools, converted, strict=True), start=1)
    )
    return converted


def client_tools_from_openai(tools: Sequence[dict[str, Any]]) -> tuple[ClientTool, ...]:
    """Convert OpenAI's dicts to what the API takes."""
    return tuple(_client_tool(tool) for tool in tools)


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


def _client_tool(tool: dict[str, Any]) -> ClientTool:
    function = tool.get("function")
    if not isinstance(function, dict):
        raise ValueError(f"Only function tools can be offered to a Letta agent, not {tool.get('type', tool)!r}.")
    return ClientTool(
        name=function.get("name", ""),  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        description=function.get("description"),  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        parameters=function.get("parameters"),  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    )
