"""What a LlamaIndex tool gave back, as the agent is told it and as a response shows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

from llama_index.core.base.llms.types import (
    CachePoint,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
)
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore
from llama_index.core.tools import BaseTool, FunctionTool, ToolOutput
from pydantic import BaseModel

from letta_adapters.loop import ToolAnswer, ToolExecution
from letta_adapters.loop.calls import result_content
from letta_adapters.wire import ContentPart, ImageContent, TextContent
from llama_index_letta.images import CannotRead, image_content
from llama_index_letta.messages import blocks_from_content

__all__ = ["answer_from_output", "nodes_of", "output_from_execution", "source_nodes_of"]


def answer_from_output(tool: BaseTool, output: object) -> ToolAnswer:
    """What the agent is told of an output: texts and images; dicts, lists and models as JSON.

    A function that returns a `ToolOutput` of its own is taken at its word: LlamaIndex would tell of a success whatever
    it says, and of its text alone.
    """
    if not isinstance(output, ToolOutput):  # a tool that gives something else than it says
        return ToolAnswer(content=result_content(output), output=output)
    output = _unwrapped(output)
    return ToolAnswer(
        content=_told_error(output) if output.is_error else _told(tool, output),
        status="error" if output.is_error else "success",
        output=output,
        error=output.exception,
    )


def output_from_execution(execution: ToolExecution) -> ToolOutput:
    """The output of a call for the `sources` of a response; one is made for calls that gave none."""
    if isinstance(execution.output, ToolOutput):
        return execution.output
    error = execution.error if isinstance(execution.error, Exception) else None
    return ToolOutput(
        tool_name=execution.name,
        blocks=blocks_from_content(execution.content),
        raw_input={"kwargs": execution.arguments or {}},
        raw_output=execution.text if execution.output is None else execution.output,
        is_error=execution.status == "error",
        exception=error,
    )


def source_nodes_of(sources: Sequence[ToolOutput]) -> list[NodeWithScore]:
    """The nodes that tools found, of query engines and of retrievers, in order."""
    return [node for source in sources for node in nodes_of(source.raw_output)]


def nodes_of(value: object) -> list[NodeWithScore]:
    """The nodes in what a tool gave back."""
    if isinstance(value, ToolOutput):
        return nodes_of(value.raw_output)
    if isinstance(value, NodeWithScore):
        return [value]
    if isinstance(value, BaseNode):
        return [NodeWithScore(node=value)]
    if isinstance(value, (list, tuple)):
        return [node for one in cast("Sequence[object]", value) for node in nodes_of(one)]
    found: Any = getattr(value, "source_nodes", None)  # responses have no class in common
    return nodes_of(found) if isinstance(found, list) else []  # pyright: ignore[reportUnknownArgumentType]


def _unwrapped(output: ToolOutput) -> ToolOutput:
    inner: Any = output.raw_output
    while isinstance(inner, ToolOutput) and output.content == str(inner):  # a callback may have said something else
        output, inner = inner, inner.raw_output
    return output


def _told_error(output: ToolOutput) -> str:
    error = output.exception
    if error is None:
        return output.content or "The tool failed."
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _told(tool: BaseTool, output: ToolOutput) -> str | list[ContentPart]:
    value: Any = output.raw_output
    if isinstance(tool, FunctionTool) and output.content == str(value):
        if nodes := _only_nodes(value):
            return "\n\n".join(node.get_content(MetadataMode.LLM) for node in nodes)
        if not _is_block(value) and _has_json(value):
            return result_content(value)
    blocks: Sequence[Any] = [value] if _is_block(value) else output.blocks  # older versions know few kinds of blocks
    parts = [part for block in blocks for part in _parts(block)]
    if any(isinstance(part, ImageContent) for part in parts):
        return [part for part in parts if not isinstance(part, TextContent) or part.text]
    return "\n".join(part.text for part in parts if isinstance(part, TextContent))


def _only_nodes(value: object) -> list[NodeWithScore]:
    """The nodes of a value that is nothing but nodes."""
    many = cast("Sequence[object]", value) if isinstance(value, (list, tuple)) else [value]
    return nodes_of(many) if many and all(isinstance(one, (NodeWithScore, BaseNode)) for one in many) else []


def _is_block(value: object) -> bool:
    return isinstance(value, BaseModel) and hasattr(value, "block_type")


def _has_json(value: object) -> bool:
    """Whether a value is told better as JSON than as Python shows it."""
    kind = type(value)
    if isinstance(value, BaseModel):
        return kind.__str__ is BaseModel.__str__
    if dataclasses.is_dataclass(value):
        return kind.__str__ is object.__str__  # LlamaIndex's responses say themselves how they are read
    return value is None or isinstance(value, (dict, list, tuple, set, bool, int, float))


def _parts(block: ContentBlock) -> list[TextContent | ImageContent]:
    match block:
        case TextBlock():
            return [TextContent(text=block.text)]
        case ImageBlock():
            return [_image(block)]
        case CitableBlock():
            return [part for inner in block.content for part in _parts(inner)]
        case CitationBlock():
            return _parts(block.cited_content)
        case CachePoint() | ThinkingBlock():
            return []
        case _:
            return [TextContent(text=f"[The tool gave a block of type {block.block_type!r}, which cannot be shown.]")]


def _image(block: ImageBlock) -> TextContent | ImageContent:
    try:
        return image_content(block) or TextContent(text="")
    except CannotRead as error:
        return TextContent(text=f"[The tool gave an image that cannot be shown: {error}]")
