"""The tools of a workflow, as a Letta agent is offered them and as they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.tools import AsyncBaseTool, BaseTool, FunctionTool, ToolMetadata, ToolOutput
from llama_index.core.workflow import Context
from typing_extensions import override

from letta_adapters.wire import ClientTool
from llama_index_letta.tools import acall_once, as_llama_tools, client_tool
from llama_index_letta.tracing import opens_its_own_span

__all__ = ["CheckedTool", "Offered"]


@dataclass(frozen=True, kw_only=True)
class Offered:
    """The tools of one step.

    Args:
        client_tools: As the API takes them.
        names: What the workflow knows each by, whose name may have characters that the API does not take.
        metadata: What tracers are told of each, by the name that the workflow knows.
    """

    client_tools: tuple[ClientTool, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    metadata: Mapping[str, ToolMetadata] = field(default_factory=dict[str, ToolMetadata])

    @classmethod
    def of(cls, tools: Sequence[BaseTool]) -> Offered:
        """The tools that a workflow offers.

        Raises:
            ValueError: A name is refused by the API, or two tools have the same one.
        """
        made = [(client_tool(tool), tool) for tool in as_llama_tools(tools)]
        return cls(
            client_tools=tuple(one for one, _ in made),
            names={one.name: tool.metadata.name or one.name for one, tool in made},
            metadata={tool.metadata.name or one.name: tool.metadata for one, tool in made},
        )


class CheckedTool(AsyncBaseTool):
    """A tool whose arguments are checked before it is called, once."""

    def __init__(self, tool: AsyncBaseTool, ctx: Context[Any]) -> None:
        self._tool = tool
        self._ctx = ctx

    @property
    @override
    def metadata(self) -> Any:
        """The tool's."""
        return self._tool.metadata

    @override
    def call(self, input: Any) -> ToolOutput:
        """Not offered."""
        raise NotImplementedError("An agent calls its tools in an event loop.")

    @opens_its_own_span
    @override
    async def acall(self, **arguments: Any) -> ToolOutput:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Call the tool.

        Raises:
            InvalidArguments: The arguments do not fit.
            Exception: Whatever the tool raises.
        """
        tool = self._tool
        name = tool.ctx_param_name if isinstance(tool, FunctionTool) and tool.requires_context else None
        output: Any = await acall_once(tool, arguments, **({name: self._ctx} if name else {}))
        if isinstance(output, ToolOutput):
            return output
        # A tool that gives something else than it says would be the end of the run.
        return ToolOutput(
            tool_name=tool.metadata.get_name(),
            content=str(output),
            raw_input={"kwargs": arguments},
            raw_output=output,
        )
