"""A Letta agent as a tool of another agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.tools import AsyncBaseTool, ToolMetadata, ToolOutput
from typing_extensions import override

from llama_index_letta.answers import LettaChatResponse

if TYPE_CHECKING:
    from llama_index_letta.engine import LettaChatEngine

__all__ = ["LettaEngineTool"]

_DESCRIPTION = "Ask an agent that remembers what it was told before; it answers in plain language."


class LettaEngineTool(AsyncBaseTool):
    """Sends what it is called with as a message to an engine's conversation, and gives the answer.

    The output's `raw_output` is the whole response, sources included.

    Args:
        engine: The engine; calls at the same time wait for each other.
        name: What the calling agent calls it.
        description: What the calling agent is told that it is good for.
        return_direct: Whether the answer is the calling agent's, too.
    """

    def __init__(
        self, engine: LettaChatEngine, *, name: str, description: str | None = None, return_direct: bool = False
    ) -> None:
        self._engine = engine
        self._metadata = ToolMetadata(name=name, description=description or _DESCRIPTION, return_direct=return_direct)

    @property
    @override
    def metadata(self) -> ToolMetadata:
        """Its name, what it is good for, and its one argument: `input`."""
        return self._metadata

    @override
    def call(self, input: Any) -> ToolOutput:
        """Ask the agent.

        Raises:
            LettaError: The turn failed.
        """
        return self._output(input, self._engine.chat(str(input)))

    @override
    async def acall(self, input: Any) -> ToolOutput:
        """Ask the agent.

        Raises:
            LettaError: The turn failed.
        """
        return self._output(input, await self._engine.achat(str(input)))

    def _output(self, asked: Any, response: LettaChatResponse) -> ToolOutput:
        return ToolOutput(
            tool_name=self._metadata.get_name(),
            content=response.response,
            raw_input={"input": asked},
            raw_output=response,
        )
